"""A whole measurement, from an empty store to the report; it leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from rota.bench import disk, keep
from rota.bench.machine import load_average, this_machine
from rota.bench.report import Options, Report, figures_of, load_warnings, store_warnings, times_of
from rota.bench.site import Site, undisturbed
from rota.bench.steps import SLOTS, STEPS, Measured, Round
from rota.engines import places
from rota.model.clock import SystemClock, to_text
from rota.model.errors import BadInput

Tell = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """What to measure. ``store`` None: a fresh SQLite file, on a disk if there is one. ``python``: the
    interpreter whose Rota is measured.
    """

    store: str | None = None
    steps: tuple[str, ...] = tuple(STEPS)
    scale: float = 1.0
    rounds: int = 1
    pending: int = 0
    force: bool = False
    python: str = sys.executable


class Used(Exception):
    """The store holds jobs; ``jobs`` of them."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self.jobs = jobs


def measure(plan: Plan, tell: Tell = lambda _: None) -> Report:
    """Do it; ``tell`` hears what is being done. Raises Used, Broken, BadInput and StoreError."""
    started, at = time.perf_counter(), to_text(SystemClock().now())
    machine, load = this_machine(), load_average()
    warnings = load_warnings(machine, load)
    with _place(plan) as (url, folder):
        tell("fsync")
        shown = "a fresh file" if plan.store is None else places.shown(plan.store)
        store = disk.describe(url, shown, max(20, int(200 * plan.scale)))
        warnings += store_warnings(store, store.file_system in disk.IN_MEMORY)
        found = []
        for number in range(plan.rounds):
            found.append(_round(plan, url, folder, number, tell))
            if number + 1 < plan.rounds:
                _reset(plan, url)
    return Report(
        at=at,
        seconds=round(time.perf_counter() - started, 1),
        machine=machine,
        load_before=load,
        load_after=load_average(),
        store=store,
        options=Options(plan.steps, plan.scale, plan.rounds, plan.pending, SLOTS),
        figures=figures_of(found),
        times=times_of(found),
        warnings=tuple(warnings),
    )


def _round(plan: Plan, url: str, folder: Path, number: int, tell: Tell) -> Measured:
    part = f" ({number + 1} of {plan.rounds})" if plan.rounds > 1 else ""
    tell("start" + part)
    with Site(url, folder, plan.python) as site:
        one = Round(site, plan.scale, plan.pending)
        for name, step in STEPS.items():
            if name in plan.steps:
                tell(name + part)
                step(one)
        tell("stop" + part)
    return one.found


@contextlib.contextmanager
def _place(plan: Plan) -> Iterator[tuple[str, Path]]:
    """A store that may be used and a folder for the processes; both are as before afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rota-bench-", dir=disk.temporary_home()))
    url = f"sqlite:///{folder}/bench.db" if plan.store is None else disk.absolute(plan.store)
    undo = contextlib.ExitStack()
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        if plan.store is not None:
            file = disk.file_of(url)
            if file is not None and not file.parent.is_dir():
                # The engine would make one, and nobody would take it away again.
                raise BadInput(f"store: there is no folder {str(file.parent)!r}.", code="invalid_store")
            ours = file is not None and not file.exists()
            if ours:
                undo.callback(disk.remove, url)
            if (jobs := asyncio.run(keep.held(url))) and not plan.force:
                raise Used(jobs)
            if not ours:
                undo.callback(lambda: asyncio.run(keep.remove_ours(url)))
        yield url, folder
    finally:
        with undisturbed():
            undo.close()


def _reset(plan: Plan, url: str) -> None:
    """Make ready for the next round: an empty store, or a named one without the jobs of this round."""
    if plan.store is None:
        disk.remove(url)
    else:
        asyncio.run(keep.remove_ours(url))
