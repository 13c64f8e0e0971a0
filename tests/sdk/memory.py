"""A server in memory for worker tests: real leases on a real clock, endings kept as they came, connections
that can be cut. Jobs, leases and stops are its own; nothing of the worker's is replaced.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rota.model.errors import NotFound, StaleLease
from rota.model.job import State
from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work
from rota.sdk.source import Disconnected

END = {
    "done": State.DONE,
    "failed": State.FAILED,
    "timeout": State.FAILED,
    "cancelled": State.CANCELLED,
    "released": State.PENDING,
    "snoozed": State.SCHEDULED,
}


class Job:
    def __init__(self, type: str, upload: bytes | None = None, **fields: Any) -> None:
        self.id = str(uuid.uuid4())
        self.type = type
        self.fields = fields
        self.state = State.PENDING
        self.lease = 0
        self.attempt = 0
        self.lease_until = 0.0
        self.extended = 0
        self.stop = False
        self.endings: list[Ending] = []
        self.refused: list[Ending] = []
        self.progress: list[Progress] = []
        self.lines: list[Line] = []
        self.upload = upload
        self.artifact: bytes | None = None
        self.transfers = 0

    def work(self) -> Work:
        fields = {"queue": "default", "max_attempts": 3, **self.fields}
        return Work(id=self.id, lease=self.lease, type=self.type, attempt=self.attempt, **fields)

    @property
    def ending(self) -> Ending:
        return self.endings[-1]


class Server:
    """Threads of the test and of the worker meet here."""

    def __init__(self, lease: float = 5.0, beat: float = 1.0) -> None:
        self.lease = lease
        self.beat = beat
        self.lock = threading.RLock()
        self.jobs: dict[str, Job] = {}
        self.pending: deque[Job] = deque()
        self.sources: list[Source] = []
        self.hellos: list[Hello] = []
        self.reports: list[list[Ending]] = []
        self.drains = 0
        self.beats = 0
        self.up = True
        self.answers = True
        self.sends_files = True
        self.given_up = 0

    def put(self, type: str, payload: Any = msgspec.UNSET, **fields: Any) -> Job:
        if payload is not msgspec.UNSET:
            fields["payload"] = msgspec.Raw(msgspec.json.encode(payload))
        job = Job(type, **fields)
        with self.lock:
            self.jobs[job.id] = job
            self.pending.append(job)
        self.wake()
        return job

    def claim(self, slots: int) -> list[Work]:
        with self.lock:
            found: list[Work] = []
            while self.pending and len(found) < slots:
                job = self.pending.popleft()
                job.state, job.lease, job.attempt = State.RUNNING, job.lease + 1, job.attempt + 1
                job.lease_until = time.monotonic() + self.lease
                found.append(job.work())
            return found

    def rescue(self) -> list[Job]:
        """Jobs whose lease has ended go back."""
        with self.lock:
            lost = [
                job
                for job in self.jobs.values()
                if job.state is State.RUNNING and job.lease_until < time.monotonic()
            ]
            for job in lost:
                self.again(job)
        return lost

    def again(self, job: Job) -> None:
        """The job is pending, its lease is nobody's."""
        with self.lock:
            job.state = State.PENDING
            job.lease += 1
            self.pending.append(job)
        self.wake()

    def finish(self, endings: list[Ending]) -> list[Answer]:
        with self.lock:
            self.reports.append(endings)
            return [self._end(ending) for ending in endings]

    def _end(self, ending: Ending) -> Answer:
        job = self.jobs[ending.id]
        if job.state is not State.RUNNING or job.lease != ending.lease:
            job.refused.append(ending)
            return Answer(ending.id, ending.lease, False, None, "stale_lease", "Not yours.")
        job.state = END[ending.end]
        job.endings.append(ending)
        return Answer(ending.id, ending.lease, True, job.state)

    def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        stops = []
        with self.lock:
            self.beats += 1
            for one in progress:
                if self._holds(one.id, one.lease):
                    self.jobs[one.id].progress.append(one)
            for lease in leases:
                job = self.jobs[lease.id]
                if not self._holds(lease.id, lease.lease):
                    stops.append(Stop(lease.id, lease.lease, "stale_lease"))
                    continue
                job.lease_until = time.monotonic() + self.lease
                job.extended += 1
                if job.stop:
                    stops.append(Stop(lease.id, lease.lease, "cancelled"))
        return stops

    def cancel(self, job: Job) -> None:
        """Ask for a stop of a running job, by push."""
        job.stop = True
        for source in self.sources:
            source.push([Stop(job.id, job.lease, "cancelled")])

    def take_away(self, job: Job) -> None:
        """Somebody else has the job now; the holder is told."""
        old = job.lease
        with self.lock:
            job.lease += 1
        for source in self.sources:
            source.push([Stop(job.id, old, "stale_lease")])

    def cut(self) -> None:
        """All connections break."""
        for source in self.sources:
            source.call(source.cut)

    def wake(self) -> None:
        for source in self.sources:
            source.call(source.some.set)

    def _holds(self, id: str, lease: int) -> bool:
        job = self.jobs[id]
        return job.state is State.RUNNING and job.lease == lease


class Source:
    """A connection to the server in memory."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.drained = asyncio.Event()
        self.some = asyncio.Event()
        self.told: asyncio.Queue[list[Stop]] = asyncio.Queue()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lost: asyncio.Future[None] | None = None
        self.draining = False
        server.sources.append(self)

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        if self.loop is not None:
            try:
                self.loop.call_soon_threadsafe(function, *args)
            except RuntimeError:
                self.loop = None

    def push(self, stops: list[Stop]) -> None:
        self.call(self.told.put_nowait, stops)

    def cut(self) -> None:
        if self.lost is not None and not self.lost.done():
            self.lost.set_exception(Disconnected("cut"))
            self.lost.exception()

    async def open(self, hello: Hello) -> Welcome:
        self.loop = asyncio.get_running_loop()
        if not self.server.up:
            raise Disconnected("The server is down.")
        self.drained.clear()
        self.lost = self.loop.create_future()
        self.server.hellos.append(hello)
        self.told = asyncio.Queue()
        stops = self.server.extend(list(hello.held), [])
        if stops:
            self.told.put_nowait(stops)
        return Welcome(self.server.lease, self.server.beat, "test")

    async def claim(self, slots: int) -> list[Work]:
        while True:
            self._check()
            found = [] if self.draining else self.server.claim(slots)
            if found:
                return found
            self.some.clear()
            await self._or_lost(self.some.wait())

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        self._check()
        answers = self.server.finish(outcomes)
        await self._or_lost(asyncio.sleep(0 if self.server.answers else 3600))
        return answers

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        self._check()
        return self.server.extend(leases, progress)

    async def log(self, lines: list[Line]) -> None:
        self._check()
        for line in lines:
            self.server.jobs[line.id].lines.append(line)

    async def stops(self) -> list[Stop]:
        return await self._or_lost(self.told.get())

    async def read_upload(self, lease: Lease, path: Path) -> None:
        job = self.server.jobs[lease.id]
        await self._transfer(job)
        if job.upload is None:
            raise NotFound("The job came alone.", code="no_upload")
        with path.open("xb") as file:
            file.write(job.upload)

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        job = self.server.jobs[lease.id]
        await self._transfer(job)
        if job.lease != lease.lease:
            raise StaleLease("Not yours.")
        job.artifact = path.read_bytes()

    async def _transfer(self, job: Job) -> None:
        assert asyncio.get_running_loop() is self.loop
        job.transfers += 1
        if not self.server.sends_files:
            try:
                await asyncio.Event().wait()
            finally:
                self.server.given_up += 1

    async def drain(self) -> None:
        self._check()
        self.draining = True
        self.server.drains += 1

    async def close(self) -> None:
        self.cut()

    def _check(self) -> None:
        if self.lost is not None and self.lost.done():
            raise Disconnected("cut")

    async def _or_lost(self, wish: Any) -> Any:
        assert self.lost is not None
        wanted = asyncio.ensure_future(wish)
        try:
            await asyncio.wait({wanted, self.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise Disconnected("cut")
            return wanted.result()
        finally:
            wanted.cancel()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is so; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It did not happen in time."
        await asyncio.sleep(0.002)
