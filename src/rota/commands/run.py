"""``rota run``: a folder as a job: packed, sent, run by ``make run`` on a worker, its output here."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rota.commands import output
from rota.commands.common import Misused, Span, as_json, connect, json_option, raw, server_options

if TYPE_CHECKING:
    from rota.programs.archive_pack import Packed
    from rota.sdk.answers import Created
    from rota.sdk.client import Client
    from rota.sdk.transfer import Progress

TYPE = "program_zip"
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
SHOWN = 10
"""Files left out that are named; more are counted."""
SLOW = 64 * 1024
"""Bytes from which on a bar shows how the sending goes."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@click.command("run")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--timeout", type=Span(0.001), metavar="TIME", help="The longest it may take: 30s, 5m.")
@click.option("--memory", metavar="SIZE", help="The most memory that it may have: 256MiB.")
@click.option("--cpus", type=click.FloatRange(0, min_open=True), metavar="N", help="Cores at once.")
@click.option("--network", is_flag=True, help="Let it use the network, if the server's settings do.")
@click.option(
    "--env", "env", metavar="NAME=VALUE", multiple=True, help="An environment variable; may be given again."
)
@click.option("--queue", metavar="NAME", help="The queue. [default]")
@click.option("--wait/--no-wait", default=True, help="Follow it to its end, or print its id. [wait]")
@click.option(
    "--output",
    "-o",
    "--artifact",
    "place",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE.zip",
    help="Save what it leaves in out/: as files in a new folder, or as the archive FILE.zip.",
)
@json_option
@server_options
def run(
    folder: Path,
    timeout: float | None,
    memory: str | None,
    cpus: float | None,
    network: bool,
    env: tuple[str, ...],
    queue: str | None,
    wait: bool,
    place: Path | None,
) -> None:
    """Run a folder with a Makefile on the server: what 'make run' does there is shown here.

    The folder (or a zip archive of one) is sent and run in a sandbox, once. Its output comes as it is
    written, then a line on standard error says how it went. Ctrl-C cancels it, a second one leaves it to
    itself. The status is that of 'make run'; 124 when its time was up, 130 after Ctrl-C, 1 when it could not
    be run.

    With --json the job is printed once it has ended, in place of the output.
    """
    payload = _payload(timeout, memory, cpus, network, env)
    if place is not None:
        if not wait:
            raise click.UsageError("--output needs the end of the program; it does not go with --no-wait.")
        _check_place(place)
    with _archive(folder) as archive, connect() as client:
        body = _send(client, archive, folder, payload, queue)
    if not wait:
        _tell_id(body)
        return
    import msgspec

    from rota.commands import program
    from rota.model.errors import RotaError
    from rota.sdk.answers import Created

    id = msgspec.json.decode(body, type=Created).id
    try:
        status = asyncio.run(program.to_its_end(id, place))
    except KeyboardInterrupt:
        # Pressed before the job was watched, or behind its end.
        with contextlib.suppress(RotaError), connect() as client:
            client.cancel(id)
        raise
    click.get_current_context().exit(status)


def _payload(
    timeout: float | None, memory: str | None, cpus: float | None, network: bool, env: tuple[str, ...]
) -> dict[str, Any]:
    asked: dict[str, Any] = {"timeout": timeout, "cpus": cpus}
    if memory is not None:
        from rota.config.kinds import Refused, Size

        kind = Size(1, 1 << 50)
        try:
            asked["memory"] = kind.parse(memory)
        except Refused:
            raise click.BadParameter(
                f"must be {kind.allowed}, not {memory!r}.", param_hint="'--memory'"
            ) from None
    variables = {}
    for one in env:
        name, found, value = one.partition("=")
        if not found or not _NAME.fullmatch(name):
            raise click.BadParameter(
                f"must be NAME=VALUE, the name of letters, digits and _, not {one!r}.", param_hint="'--env'"
            )
        variables[name] = value
    asked |= {"env": variables or None, "network": network or None}
    return {name: value for name, value in asked.items() if value is not None}


def _check_place(place: Path) -> None:
    """Before anything runs: it would be a pity to have nowhere for what comes out."""
    taken = place.is_symlink() or place.exists()
    if place.suffix == ".zip":
        if taken:
            raise click.BadParameter(f"{str(place)!r} exists already.", param_hint="'--output'")
    elif taken and not (place.is_dir() and not any(place.iterdir())):
        raise click.BadParameter(f"{str(place)!r} exists and is no empty folder.", param_hint="'--output'")
    if not place.parent.is_dir():
        raise click.BadParameter(f"There is no folder {str(place.parent)!r}.", param_hint="'--output'")


@contextlib.contextmanager
def _archive(folder: Path) -> Iterator[Path]:
    """A zip archive of a folder, for as long as it is needed; one that is given is taken as it is."""
    if folder.is_file():
        yield folder
        return
    if not folder.is_dir():
        raise click.BadParameter(f"There is no folder {str(folder)!r}.", param_hint="'FOLDER'")
    if not any((folder / name).is_file() for name in MAKEFILES):
        raise Misused(
            f"{str(folder)!r} has no Makefile, and what is run is 'make run'. The simplest one:\n"
            f"  printf 'run:\\n\\t@echo hello\\n' > {folder}/Makefile"
        )
    with tempfile.TemporaryDirectory(prefix="rota-run-") as place:
        packed = _pack(folder, Path(place) / "program.zip")
        for path, why in packed.skipped[:SHOWN]:
            output.note(output.inert(f"Left out: {path} {why}."))
        if (more := len(packed.skipped) - SHOWN) > 0:
            output.note(f"Left out: {more} more.")
        yield Path(place) / "program.zip"


def _pack(folder: Path, archive: Path) -> Packed:
    from rota.programs.archive import BadArchive, pack

    try:
        with archive.open("wb") as file:
            return pack(folder, file)
    except BadArchive as error:
        raise click.ClickException(
            output.inert(f"{str(folder)!r} cannot be packed: {error.detail}.")
        ) from None
    except OSError as error:
        raise click.ClickException(f"{str(folder)!r} cannot be packed: {error.strerror}.") from None


def _send(client: Client, archive: Path, folder: Path, payload: dict[str, Any], queue: str | None) -> bytes:
    import msgspec

    from rota.model.spec import JobSpec
    from rota.sdk import calls
    from rota.sdk.transport import new_key

    given = {} if queue is None else {"queue": queue}
    if payload:
        given["payload"] = msgspec.Raw(msgspec.json.encode(payload))  # type: ignore[assignment]
    spec = JobSpec(type=TYPE, max_attempts=1, **given)  # type: ignore[arg-type]
    try:
        with _bar(archive.stat().st_size, folder) as progress:
            return client.send(raw(calls.upload(spec, new_key(), archive, progress)))
    except OSError as error:
        raise click.ClickException(f"{str(archive)!r} cannot be read: {error.strerror}.") from None


@contextlib.contextmanager
def _bar(size: int, folder: Path) -> Iterator[Progress | None]:
    """A bar for people who watch, and gone afterwards."""
    if size < SLOW or not output.watched():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.text import Text

    name = Text(f"Sending {output.inert(folder.resolve().name)}")
    columns = (TextColumn(name.plain, markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True, width=output.width(), highlight=False)
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=size)
        yield lambda done, total: shown.update(task, completed=done)


def _tell_id(body: bytes) -> None:
    if as_json():
        output.document(body)
    else:
        import msgspec

        from rota.sdk.answers import Created

        kept: Created = msgspec.json.decode(body, type=Created)
        output.say(output.inert(kept.id))
