"""``rota move``: all that is in one store into another one, without a server in between."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import as_json, json_option

if TYPE_CHECKING:
    from rota.engines.moving import Moved

_EVERY = 10.0
"""Seconds between two lines about one step, where there is no terminal."""
_SHOWN = ("jobs", "attempts", "logs", "keys", "failures", "notes", "files")
_WORDS: Mapping[str, str] = {
    "logs": "log lines",
    "keys": "idempotency keys",
    "failures": "groups of failures",
    "notes": "notes (figures, paused queues)",
}


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@json_option
def move(source: str, target: str) -> None:
    """Carry all that is in the store SOURCE into TARGET, which is empty or not there yet.

    Both are URLs as for 'rota serve --store'. Stop all servers and workers that have them open first. SOURCE
    is not changed; TARGET is a store when both were compared, and as empty as before when anything goes
    wrong.
    """
    import asyncio

    from rota.engines.open import move as carry

    with _telling() as progress:
        moved = asyncio.run(carry(source, target, progress))
    if as_json():
        _document(moved)
        return
    output.pairs(_lines(moved))


def _document(moved: Moved) -> None:
    import msgspec

    counts = [
        {"queue": queue, "type": type, "state": state, "jobs": jobs}
        for (queue, type, state), jobs in moved.counts.items()
    ]
    shape = {
        "source": moved.source,
        "target": moved.target,
        "rows": dict(moved.rows),
        "counts": counts,
        "checksum": moved.checksum,
        "altered": list(moved.altered),
        "seconds": round(moved.seconds, 3),
    }
    output.document(msgspec.json.encode(shape))


def _lines(moved: Moved) -> Iterator[tuple[str, output.Cell]]:
    states: dict[str, int] = {}
    for (_, _, state), jobs in moved.counts.items():
        states[state] = states.get(state, 0) + jobs
    told = ", ".join(f"{jobs} {state}" for state, jobs in sorted(states.items()))
    yield "source", moved.source
    yield "target", moved.target
    for table in _SHOWN:
        rows = f"{moved.rows[table]}"
        yield _WORDS.get(table, table), f"{rows} ({told})" if table == "jobs" and told else rows
    if moved.altered:
        yield "altered", f"U+0000 became U+FFFD in texts of {', '.join(moved.altered)}"
    yield "checksum", f"{moved.checksum} at both ends"
    yield "took", f"{moved.seconds:.1f} s"
    yield "next", "start the servers on the target; never one on the source again"


@contextlib.contextmanager
def _telling() -> Iterator[Callable[[str, int, int], None]]:
    """How far it is: a bar on a terminal, a line now and then elsewhere, nothing beside JSON."""
    if as_json():
        yield lambda step, done, total: None
    elif output.watched():
        with _bar() as show:
            yield show
    else:
        yield _Lines().show


class _Lines:
    """A line when a step begins, and one now and then while it lasts."""

    def __init__(self) -> None:
        self._step = ""
        self._told = 0.0

    def show(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step == self._step and now - self._told < _EVERY:
            return
        self._step, self._told = step, now
        output.note(f"{step}: {done} of {total} rows" if total else step)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A line with a bar for each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, width=output.width(), highlight=False)
    with Progress(*columns, console=console) as shown:
        current, task = "opening", shown.add_task("opening", total=None, rows="")

        def show(step: str, done: int, total: int) -> None:
            nonlocal task, current
            if step != current:
                shown.update(task, total=1, completed=1)
                current, task = step, shown.add_task(step, total=None, rows="")
            rows = f"{done:,} of {total:,} rows" if total else ""
            shown.update(task, completed=done, total=total or None, rows=rows)

        yield show
        shown.update(task, total=1, completed=1)
