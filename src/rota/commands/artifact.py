"""``rota jobs artifact``: what a job's handler left, as a zip archive."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rota.commands import output
from rota.commands.common import Misused, connect, one_id, server_options


@click.command()
@one_id
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@server_options
def artifact(id: str, file: Path | None) -> None:
    """Fetch what a job left: for a program, the files of its folder out/.

    It is a zip archive, written to FILE (ID.zip by default, '-' is standard output), which must not exist.
    """
    file = file or Path(f"{id}.zip")
    if str(file) == "-":
        if output.terminal():
            raise Misused("A zip archive is nothing for a terminal: name a FILE, or use a pipe.")
        _print(id)
        return
    try:
        with connect() as client:
            kept = client.artifact(id, file)
    except OSError as error:
        raise click.ClickException(f"{str(file)!r} cannot be written: {error.strerror}.") from None
    output.note(output.inert(f"Saved {kept.bytes} bytes in {str(file)!r}."))


def _print(id: str) -> None:
    import shutil
    import tempfile

    with connect() as client, tempfile.TemporaryDirectory(prefix="rota-artifact-") as place:
        # Whole before a byte is passed on: half an archive would look like one to whoever reads it.
        whole = Path(place) / "artifact.zip"
        client.artifact(id, whole)
        with whole.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
