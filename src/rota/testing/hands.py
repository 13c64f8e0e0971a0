"""The worker of a test: the SDK's own desk and runners; its link to the server is calls instead of a wire.

It takes jobs only while its gate is open, so that an enqueue alone runs nothing. Lives on the service's loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rota.core.inside_files import InsideFiles
from rota.core.service import Service
from rota.core.worker import Worker
from rota.model.protocol import Ending, Hello, Lease, Work
from rota.sdk.desk import Desk
from rota.sdk.endings import stopped
from rota.sdk.run import Run, Runner
from rota.sdk.tasks import Kind, Task
from rota.testing.twins import Losses, twins

FAILED = ("failed", "timeout")
OTHERS = "*"
"""In place of a type, which it cannot be: what runs the types that no task has."""


class Hands:
    """One worker: what it has in hand, and what it is made to suffer."""

    def __init__(
        self, service: Service, tasks: Mapping[str, Task[Any, Any]], slots: int, processes: bool
    ) -> None:
        self.losses = Losses(asyncio.get_running_loop(), self.lose)
        self._tasks = twins(tasks, self.losses, self._has_begun, processes)
        others = self._tasks.pop(OTHERS, None)
        self._types = tuple(sorted(self._tasks)) if others is None else None
        self.desk = Desk(self._tasks, slots, service.clock, others)
        self.desk.files = self
        self._files = InsideFiles(service.files)
        self.stuck: Counter[str] = Counter()
        """Types whose handlers hang, and how often that was asked for."""
        self.loosen = False
        """Whether jobs that come in are not waited for."""
        self.extra = 0
        """Slots on top, for jobs that handlers wait for."""
        self.open = False
        """The gate."""
        self.drained = False
        """Whether somebody asked the worker to leave."""
        self.started = 0
        self.last: Work | None = None
        self.tally: Counter[str] = Counter()
        """Tries by how they ended."""
        self.failed: list[Ending] = []
        """Tries that failed, until somebody looks."""
        self.beaten = 0
        """When the leases were last extended."""
        self._loose: dict[Run, bool] = {}
        self._service = service
        self._slots = slots
        self._worker: Worker | None = None
        self._number = 0

    @property
    def id(self) -> str:
        return f"testing-{self._number}"

    @property
    def queues(self) -> tuple[str, ...]:
        return () if self._worker is None else self._worker.queues

    def held(self) -> set[tuple[str, int]]:
        """The leases that this worker extends."""
        return {(run.id, run.lease) for run in self.desk.held.values()}

    def awaited(self) -> list[Run]:
        """Runs to wait for. Of loose ones: those that have not begun, and those that were told to stop and
        can be made to.
        """
        loose = self._loose
        return [
            run
            for run in self.desk.held.values()
            if not loose.get(run, False) or (run.stop is not None and run.task.kind != "thread")
        ]

    def tighten(self) -> None:
        """All runs are waited for again, but for those that hang."""
        self._loose = {run: True for run in self._loose if self.stuck[run.work.type]}

    async def join(self, queues: Iterable[str]) -> None:
        """Connect; or, for more queues or as the successor of a drained worker, connect again."""
        if self._worker is None:
            self._number += 1
        self.drained = False
        held = tuple(self.desk.leases())
        names = tuple(queues)
        hello = Hello(self.id, names, self._slots, self._types, "rota.testing", held=held)
        dispatch = self._service.dispatch
        # Whoever connects is given jobs at once; these hands open when they are told to.
        dispatch.stopped = True
        try:
            self._worker = await self._service.workers.attach(
                hello, "socket", self._take, self.desk.stop_named, self._drain
            )
        finally:
            dispatch.stopped = False
        self._set_free(0)
        self.level()

    async def lose(self) -> None:
        """The worker dies with all that it has in hand, reported or not, and another one takes its place."""
        worker, desk = self._worker, self.desk
        if worker is None:
            return
        self._worker = None
        for run in list(desk.held.values()):
            desk.stop(run, "stale_lease")
        desk.outbox.clear()
        self._loose.clear()
        queues = worker.queues
        await self._service.workers.leave(worker)
        await self.join(queues)
        desk.room.set()

    def level(self) -> None:
        """Ask for as many jobs as there is room for. Only while no claim is under way."""
        before, target = self._free(), self._target()
        self._set_free(target)
        if target > max(before, 0) and self._worker is not None and self._worker.taker is not None:
            self._service.dispatch.freed(self._worker.taker, 0)

    async def beat(self) -> None:
        """Extend the leases."""
        self.beaten = self._service.clock.now()
        stops = await self._service.workers.extend(self.id, self.desk.leases(), self.desk.news())
        self.desk.stop_named(stops)

    async def say(self) -> None:
        """Pass on what handlers say: progress and lines."""
        desk, workers = self.desk, self._service.workers
        if news := desk.news():
            desk.stop_named(await workers.extend(self.id, [], news))
        while lines := desk.lines():
            await workers.log(lines, self.id)

    async def report(self) -> None:
        """Say what handlers said, then how they ended."""
        await self.say()
        desk = self.desk
        batch = desk.endings()
        if not batch or self._worker is None:
            return
        self.tally.update(ending.end for ending in batch)
        self.failed += [ending for ending in batch if ending.end in FAILED]
        for run in [run for run in self._loose if run.silent]:
            del self._loose[run]
        # The service frees a slot per ending and claims at once: no more than there is room for.
        freed = sum((ending.id, ending.lease) in self._worker.taken for ending in batch)
        self._set_free(self._target() - freed)
        desk.answered(batch, await self._service.workers.finish(self.id, batch))

    async def read_upload(self, lease: Lease, path: Path) -> None:
        """For the desk: what came with a job."""
        await self._files.read_upload(lease, path)

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        """For the desk: what a handler leaves."""
        await self._files.keep_artifact(self.id, lease, path)

    def _drain(self) -> None:
        self.drained = True

    def _target(self) -> int:
        waited = sum(run not in self._loose for run in self.desk.held.values())
        return (self._slots if self.open else 0) + self.extra - waited

    def _free(self) -> int:
        return 0 if self._worker is None or self._worker.taker is None else self._worker.taker.free

    def _set_free(self, free: int) -> None:
        if self._worker is not None and self._worker.taker is not None:
            self._worker.taker.free = free

    def _take(self, jobs: list[Work]) -> None:
        if not self.desk.held:
            self.beaten = self._service.clock.now()
        self.started += len(jobs)
        self.last = jobs[-1]
        known = set(self.desk.held.values())
        self.desk.take(jobs)
        for run in self.desk.held.values():
            if run not in known:
                hangs = self.stuck[run.work.type] > 0
                if hangs or self.loosen:
                    self._loose[run] = hangs or run.task.kind == "process"

    def _has_begun(self, id: str) -> None:
        run = self.desk.held.get(id)
        if run is not None and run in self._loose:
            self._loose[run] = True
            self.desk.room.set()


class Stage:
    """A runner in front of another one: handlers of stuck types never begin."""

    def __init__(self, hands: Hands, inner: Runner) -> None:
        self._hands = hands
        self.inner = inner
        self._hanging: set[Run] = set()

    def start(self, runs: list[Run]) -> None:
        stuck = self._hands.stuck
        hanging = [run for run in runs if stuck[run.work.type] > 0]
        self._hanging.update(hanging)
        if len(hanging) < len(runs):
            self.inner.start([run for run in runs if run not in self._hanging])

    def stop(self, run: Run) -> None:
        if run in self._hanging:
            self._hanging.discard(run)
            ending = stopped(run.id, run.lease, run.stop or "cancelled", run.work.timeout)
            self._hands.desk.post([(run, ending)])
        else:
            # The loop of a test that is over cannot be told anything.
            with suppress(RuntimeError):
                self.inner.stop(run)

    def where(self, run: Run) -> str | None:
        return None if run in self._hanging else self.inner.where(run)

    async def close(self) -> None:
        with suppress(RuntimeError):
            await self.inner.close()


def stages(hands: Hands, runners: Mapping[Kind, Runner]) -> dict[Kind, Runner]:
    """Every runner behind a stage."""
    return {kind: Stage(hands, runner) for kind, runner in runners.items()}
