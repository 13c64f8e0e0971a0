"""``rota backup``, and what ``rota check --store`` says: stores, without a server in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import DONE, FAILED, as_json, json_option

if TYPE_CHECKING:
    from rota.engines.care import Verdict
    from rota.engines.open import Progress


@click.command()
@click.argument("target", metavar="TARGET")
@click.option("--config", metavar="FILE", help="The server's settings. [as for 'rota serve']")
@click.option("--store", metavar="URL", help="What to copy. [the store of the settings]")
@click.option("--force", is_flag=True, help="Replace TARGET when it is there.")
@json_option
def backup(target: str, config: str | None, store: str | None, force: bool) -> None:
    """Copy the store to the file TARGET, also while a server works on it.

    The copy is of one moment. It is checked, and TARGET appears when it is whole and on disk. To restore,
    stop the server and put the copy in the place of the store.
    """
    from rota.engines.open import backup as copy

    done = copy(store_of(config, store), target, replace=force, progress=_bar())
    if as_json():
        _document({"target": done.path, "size": done.size, "jobs": dict(done.verdict.jobs)})
        return
    total = sum(done.verdict.jobs.values())
    output.say(f"{output.inert(target)}: {_size(done.size)}, {_jobs(total)}, checked")


def check_store(config: str | None, store: str | None, repair: bool) -> int:
    """Check a store (None: that of the settings), print what was found; the exit status."""
    import msgspec

    from rota.engines.open import verify

    verdict = verify(store_of(config, store), repair=repair)
    if as_json():
        shape = {
            "sound": verdict.sound,
            "store": verdict.path,
            "size": verdict.size,
            "schema": verdict.schema,
            "live": verdict.live,
            "jobs": dict(verdict.jobs),
            "findings": [msgspec.structs.asdict(one) for one in verdict.findings],
            "repaired": verdict.repaired,
        }
        _document(shape)
    else:
        output.pairs(_lines(verdict))
    return DONE if verdict.sound else FAILED


def _lines(verdict: Verdict) -> Iterator[tuple[str, output.Cell]]:
    yield "store", verdict.path
    yield "size", _size(verdict.size)
    old = f", of an older Rota: the next start brings it to {verdict.known}, only the file was checked"
    yield "schema", f"{verdict.schema}{old if verdict.schema < verdict.known else ''}"
    yield "server", "has it open" if verdict.live else "none has it open"
    parts = [f"{number} {state}" for state, number in verdict.jobs.items()]
    yield "jobs", f"{sum(verdict.jobs.values())}{' (' + ', '.join(parts) + ')' if parts else ''}"
    if verdict.repaired:
        yield "repaired", f"{verdict.repaired} counters"
    for one in verdict.findings:
        yield "fault", output.Styled("\n".join([f"{one.sentence} [{one.code}]", *one.examples]), "red")
    if any(one.repairable for one in verdict.findings):
        yield "remedy", "stop the server, then: rota check --store --repair"
    if verdict.sound:
        yield "result", output.Styled("sound", "green")


def store_of(config: str | None, store: str | None) -> str:
    """The store's URL. One that was named needs no settings, so faults in them do not matter."""
    from rota.commands.settings import load_settings

    return store or load_settings(config, {}).store


def _bar() -> Progress:
    """Shows how far it is, on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty() or as_json():
        return lambda done, total: None
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent != shown:
            shown = percent
            click.echo(f"\rcopied {percent}%" + ("\n" if done >= total else ""), nl=False, err=True)

    return show


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}"


def _document(shape: object) -> None:
    import msgspec

    output.document(msgspec.json.encode(shape))
