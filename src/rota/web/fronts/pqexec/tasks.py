"""The tasks of the parallel queue: which wait, which run, and what is told of them.

Several tasks may have the same id, and no two of those run at once. So only the first of them is pending; the
others are stored as scheduled for :data:`HELD` and each is let go when the one before it has ended. Whoever
works on the queue need know nothing of this, no claim meets a task that may not run, and it holds after a
restart, when :meth:`Tasks.run` reads everything back.

Each task is told of exactly once as scheduled, next, start and done, in this order, whatever happens to its
job: one that ends without having run is told the steps in between at that moment, one that has to run again
is not told to start again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import takewhile

import msgspec

from rota.core.service import BATCH, Service
from rota.model.clock import to_text
from rota.model.errors import BadInput, RotaError
from rota.model.job import ENDED, LIVE, Applied, Job, Match, NewJob, State
from rota.model.spec import FRONT_TAG, MAX_JOBS, JobSpec, request
from rota.web.fronts.pqexec.audience import Audience

log = logging.getLogger("rota.web")

HELD = 253_402_214_400_000_000
"""Tasks that wait for one of their id are scheduled for then: the last day that can be written."""
PIECE = 5_000
"""Tasks in one piece of a long list."""
ROUND_IT = 40
"""Bytes of a payload besides the id, at most."""
AGAIN = 1.0
"""Seconds after which the store is asked again, when it refused."""


class Step(IntEnum):
    """How far a task is, and how far it was told."""

    NEW = 0
    SCHEDULED = 1
    STARTED = 2
    DONE = 3


class Stored(msgspec.Struct, frozen=True):
    """A task as its job's payload; milliseconds."""

    id: str
    ms: int


class Task:
    """A task that has not ended, or was not told to have. ``held``: it waits for others of its id."""

    __slots__ = ("held", "id", "job", "ms", "reached", "told")

    def __init__(self, job: str, id: str, ms: int, held: bool, told: Step = Step.NEW) -> None:
        self.job = job
        self.id = id
        self.ms = ms
        self.held = held
        self.told = told
        self.reached = max(told, Step.SCHEDULED)

    def shape(self) -> dict[str, object]:
        """Both forms that its events ever had. An id that reads like ``ID`` has room for the second only."""
        plain: dict[str, object] = {} if self.id.casefold() == "id" else {self.id: self.ms}
        return plain | {"ID": self.id, "Duration": self.ms}


class Tasks:
    """All tasks of the front ``name``, which is their jobs' type, too. New ones go into ``queue``; the
    ``audience`` is told of all.
    """

    def __init__(self, service: Service, name: str, queue: str, audience: Audience) -> None:
        self._service = service
        self._name = name
        self._queue = queue
        self._audience = audience
        self._tasks: dict[str, Task] = {}
        """By job, the oldest first."""
        self._lines: dict[str, list[Task]] = {}
        """By id, in their order; those that are not held come first."""
        self._active: dict[str, Task] = {}
        self._late: dict[str, list[Task]] = {}
        """By id: ended without having run, to be told once no other of the id is active."""
        self._due: list[str] = []
        """Held jobs that may go."""
        self._strange: dict[str, Step] = {}
        """How far jobs are that are not among the tasks (yet)."""
        self._missed = False
        """Whether something happened at another server that was not told."""
        self._loaded = asyncio.Event()
        self._work = asyncio.Event()
        service.bus.follow(name, self)

    def __len__(self) -> int:
        return len(self._tasks)

    async def schedule(self, tasks: Mapping[str, int]) -> None:
        """Store tasks, id -> milliseconds, and tell of them. Up to MAX_JOBS are stored all or none; more go
        in several such pieces. Raises BadInput (413) when an id is too long, StoreError.
        """
        most = self._service.limits.payload_bytes - ROUND_IT
        if any(6 * len(id) > most and len(msgspec.json.encode(id)) > most for id in tasks):
            raise BadInput(f"An id may have {most} bytes.", code="payload_too_large", status=413)
        pairs = list(tasks.items())
        for at in range(0, len(pairs) or 1, MAX_JOBS):
            await self._store(pairs[at : at + MAX_JOBS])

    async def listed(self) -> AsyncIterator[bytes]:
        """``{"active":{id:ms},"scheduled":[{id:ms}]}`` as it is now, in pieces."""
        await self._loaded.wait()
        active = list(self._active.values())
        running, tasks = {task.job for task in active}, list(self._tasks.values())
        yield b'{"active":%b,"scheduled":[' % msgspec.json.encode({task.id: task.ms for task in active})
        comma = b""
        for at in range(0, len(tasks), PIECE):
            piece = [
                {task.id: task.ms} for task in tasks[at : at + PIECE] if task.told and task.job not in running
            ]
            if piece:
                yield comma + msgspec.json.encode(piece)[1:-1]
                comma = b","
        yield b"]}"

    async def run(self) -> None:
        """Read the tasks of before, then let go whose turn it is, until cancelled."""
        while True:
            try:
                if not self._loaded.is_set():
                    await self._load()
                while True:
                    await self._work.wait()
                    self._work.clear()
                    while self._missed:
                        await self._look_again()
                    while self._due:
                        await self._let_go()
                    while self._strange:
                        await self._adopt()
            except RotaError as error:
                log.error("tasks wait for the store", extra={"detail": error.detail, "code": error.code})
            except Exception:
                log.exception("tasks wait after a fault")
            self._work.set()
            await asyncio.sleep(AGAIN)

    # what the bus tells

    def stored(self, ids: Sequence[str]) -> None:
        for id in ids:
            if id not in self._tasks:
                self._strange.setdefault(id, Step.SCHEDULED)
        self._work.set()

    def started(self, ids: Sequence[str]) -> None:
        for id in ids:
            self._reached(id, Step.STARTED)

    def moved(self, jobs: Sequence[Applied]) -> None:
        for one in jobs:
            if one.state in ENDED:
                self._reached(one.id, Step.DONE)
            elif one.state is not State.RUNNING:
                self._reached(one.id, Step.SCHEDULED)

    def missed(self) -> None:
        self._missed = True
        self._work.set()

    def _reached(self, job: str, step: Step) -> None:
        task = self._tasks.get(job)
        if task is not None:
            if task.held:
                # Somebody let it go by hand, or cancelled it.
                task.held = False
                self._lines[task.id].remove(task)
                self._lines[task.id].insert(0, task)
            if step is Step.SCHEDULED and self._active.get(task.id) is task:
                del self._active[task.id]
            task.reached = step
            self._advance(task)
        elif step is not Step.DONE or job in self._strange or not self._loaded.is_set():
            self._strange[job] = step
            self._work.set()

    # telling

    def _advance(self, task: Task) -> None:
        """Tell what was not told yet, and take leave of what has ended."""
        if task.told is Step.NEW:
            return
        if task.reached is Step.STARTED:
            self._active.setdefault(task.id, task)
        if self._active.get(task.id, task) is task:
            if task.reached is not Step.SCHEDULED:
                self._tell(task)
            if task.reached is Step.DONE:
                self._end(task)
        elif task.reached is Step.DONE:
            self._late.setdefault(task.id, []).append(task)
            self._leave(task)

    def _end(self, task: Task) -> None:
        self._leave(task)
        if self._active.get(task.id) is not task:
            return
        del self._active[task.id]
        for other in self._late.pop(task.id, ()):
            self._tell(other)
        # What somebody let go by hand is told once it is alone.
        for other in list(takewhile(lambda one: not one.held, self._lines.get(task.id, ()))):
            self._advance(other)

    def _leave(self, task: Task) -> None:
        del self._tasks[task.job]
        line = self._lines[task.id]
        line.remove(task)
        if line:
            self._free(line)
        else:
            del self._lines[task.id]

    def _tell(self, task: Task) -> None:
        """Up to where it is."""
        if task.told is Step.SCHEDULED:
            task.told = Step.STARTED
            self._say("next", [task])
            self._say("start", [task])
        if task.reached is Step.DONE:
            self._say("done", [task])

    def _say(self, event: str, tasks: Sequence[Task]) -> None:
        if self._audience:
            shapes = [task.shape() for task in tasks]
            about = {event: shapes if event == "scheduled" else shapes[0]}
            self._audience.tell(msgspec.json.encode(about).decode() + "\n")

    # storing

    async def _store(self, piece: Sequence[tuple[str, int]]) -> None:
        if not piece:
            self._say("scheduled", [])
            return
        # Until all is read back nobody knows which ids are taken.
        held = [not self._loaded.is_set() or id in self._lines for id, _ in piece]
        specs = [
            JobSpec(
                type=self._name,
                queue=self._queue,
                payload=msgspec.Raw(msgspec.json.encode(Stored(id, ms))),
                run_at=to_text(HELD) if wait else None,
            )
            for (id, ms), wait in zip(piece, held, strict=True)
        ]
        asked = request(specs, self._service.clock.now(), self._service.limits, front=self._name)
        tasks = list(self._expected(piece, asked.jobs, held))
        # Nothing is awaited between taking the places and handing over: the order is that of the store.
        try:
            await self._service.enqueue(asked)
        except RotaError:
            for task in tasks:
                self._leave(task)
            raise
        self._say("scheduled", tasks)
        for task in tasks:
            task.told = Step.SCHEDULED
            self._advance(task)
            if task.held and task.job in self._tasks:
                self._free(self._lines[task.id])

    def _expected(
        self, piece: Iterable[tuple[str, int]], jobs: Iterable[NewJob], held: Iterable[bool]
    ) -> Iterator[Task]:
        for (id, ms), job, wait in zip(piece, jobs, held, strict=True):
            task = self._tasks[job.id] = Task(job.id, id, ms, wait)
            self._lines.setdefault(id, []).append(task)
            yield task

    # letting go

    def _free(self, line: list[Task]) -> None:
        """The first may go, unless one of them is about already."""
        first = line[0]
        if first.held and first.told and self._loaded.is_set():
            first.held = False
            self._due.append(first.job)
            self._work.set()

    async def _let_go(self) -> None:
        some, self._due = self._due[:BATCH], self._due[BATCH:]
        try:
            await self._service.retry_all(Match(ids=tuple(some), states=(State.SCHEDULED,)))
        except RotaError:
            self._due += some
            raise

    # reading back

    async def _load(self) -> None:
        """Tasks that were there before this server, ahead of those that came meanwhile."""
        found: list[Task] = []
        wanted = Match(tags=(FRONT_TAG + self._name,), states=tuple(LIVE))
        cursor = None
        while True:
            page = await self._service.jobs(wanted, BATCH, cursor)
            jobs = await self._service.engine.get([one.id for one in page.jobs])
            before = (_task(job) for job in jobs if job.id not in self._tasks and job.state in LIVE)
            found += [task for task in before if task is not None]
            cursor = page.cursor
            if cursor is None:
                break
        self._tasks = {task.job: task for task in reversed(found)} | self._tasks
        self._lines.clear()
        for task in self._tasks.values():
            if task.job in self._strange:
                # It started while all was read, which nobody was told.
                task.told = task.reached = Step.SCHEDULED
            line = self._lines.setdefault(task.id, [])
            line.insert(len(line) if task.held else 0, task)
            if task.told is Step.STARTED:
                self._active[task.id] = task
        self._loaded.set()
        for task in reversed(found):
            if (step := self._strange.pop(task.job, None)) is not None:
                self._reached(task.job, step)
        for line in list(self._lines.values()):
            self._free(line)
        self._work.set()

    async def _look_again(self) -> None:
        """How far all tasks are by now, and which there are besides."""
        self._missed = False
        known = [task.job for task in self._tasks.values() if task.told]
        try:
            wanted = Match(tags=(FRONT_TAG + self._name,), states=tuple(LIVE))
            states: dict[str, State] = {}
            cursor = None
            while True:
                page = await self._service.jobs(wanted, BATCH, cursor)
                states |= {job.id: job.state for job in page.jobs}
                cursor = page.cursor
                if cursor is None:
                    break
            for at in range(0, len(known), BATCH):
                ids = known[at : at + BATCH]
                found = {job.id: job for job in await self._service.engine.get(ids)}
                for id in ids:
                    if id not in found or found[id].state in ENDED:
                        self._reached(id, Step.DONE)
        except RotaError:
            self._missed = True
            raise
        for id, state in states.items():
            if state is State.RUNNING:
                self._reached(id, Step.STARTED)
            elif id not in self._tasks:
                self._strange.setdefault(id, Step.SCHEDULED)

    async def _adopt(self) -> None:
        """Jobs of the front that somebody brought back, or that ended while all was read."""
        ids = list(self._strange)[:BATCH]
        for job in await self._service.engine.get(ids):
            step = self._strange.get(job.id, Step.DONE)
            if FRONT_TAG + self._name not in job.tags or (task := _task(job)) is None:
                continue
            task.told = task.reached = Step.SCHEDULED
            self._tasks[task.job] = task
            line = self._lines.setdefault(task.id, [])
            self._say("scheduled", [task])
            if task.held and step is Step.SCHEDULED:
                # Stored by another server, behind others of its id.
                line.append(task)
                self._free(line)
            else:
                task.held = False
                line.insert(0, task)
                self._reached(task.job, step)
        for id in ids:
            self._strange.pop(id, None)


def _task(job: Job) -> Task | None:
    """From the store; None when its payload is no task."""
    with contextlib.suppress(msgspec.DecodeError):
        stored = msgspec.json.decode(job.payload or b"", type=Stored)
        told = Step.STARTED if job.state is State.RUNNING else Step.SCHEDULED
        held = job.state is State.SCHEDULED and job.run_at >= HELD
        return Task(job.id, stored.id, stored.ms, held, told)
    return None
