"""``rota jobs export``: all jobs that match, as lines of JSON or as CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rota.commands import output
from rota.commands.bulk import filter_options, which
from rota.commands.common import Misused, connect, server_options


@click.command()
@click.argument("file", default="-", type=click.Path(path_type=Path, allow_dash=True))
@filter_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(["ndjson", "csv"]),
    help="How jobs are written (csv where FILE ends so, else ndjson).",
)
@click.option(
    "--columns", metavar="NAMES", default="", help="Only these, in this order, with commas between."
)
@click.option("--whole", is_flag=True, help="With payload, result, error and attempts.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many jobs.")
@server_options
def export(file: Path, format_: Any, columns: str, whole: bool, limit: int | None, **filters: Any) -> None:
    """Write all jobs that match, newest first, to FILE ('-', the default, is standard output)."""
    asked = which(**filters)
    how: dict[str, Any] = {
        "format": format_ or ("csv" if file.suffix == ".csv" else "ndjson"),
        "columns": columns.split(",") if columns else (),
        "whole": whole,
        "limit": limit,
    }
    if str(file) == "-":
        if output.terminal():
            raise Misused("An export is nothing for a terminal: name a FILE, or use a pipe.")
        _print(how, asked)
        return
    try:
        with connect() as client:
            kept = client.export(file, **how, **asked)
    except OSError as error:
        raise click.ClickException(f"{str(file)!r} cannot be written: {error.strerror}.") from None
    output.note(output.inert(f"Saved {kept.bytes} bytes in {str(file)!r}."))


def _print(how: dict[str, Any], asked: dict[str, Any]) -> None:
    import shutil
    import tempfile

    with connect() as client, tempfile.TemporaryDirectory(prefix="rota-export-") as place:
        # Whole before a byte is passed on: half of it would look like all of it to whoever reads it.
        path = Path(place) / "jobs"
        client.export(path, **how, **asked)
        with path.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
