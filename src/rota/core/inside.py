"""The service as a worker inside the same process sees it: the same verbs as over a socket, without one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec

from rota.core.inside_files import InsideFiles
from rota.core.service import Service
from rota.core.worker import INSIDE, Worker
from rota.model.clock import SECOND
from rota.model.errors import StoreError
from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work
from rota.model.spec import FRONT_TAG

log = logging.getLogger("rota.inside")


class StandIn(NamedTuple):
    """Works for a front as long as no other worker serves the queue.

    ``types``: those that it has tasks for. With a fallback it takes any other type too, which another program
    may mean something by: of those it runs only jobs of its own front, and leaves a type that also comes from
    elsewhere to whoever knows it, for a job that waits can be mended, and one that only seems done cannot.
    ``except_types``: those that it never takes.
    """

    front: str
    types: Collection[str] = ()
    except_types: tuple[str, ...] = ()


class InsideSource:
    """Where a worker in the server's own process gets its jobs (see ``rota.sdk.source.Source``)."""

    def __init__(self, service: Service, stand_in: StandIn | None = None) -> None:
        self._service = service
        self._stand_in = stand_in
        self._files = InsideFiles(service.files)
        self._worker: Worker | None = None
        self._jobs: asyncio.Queue[Work] = asyncio.Queue()
        self._sorting: set[asyncio.Task[None]] = set()
        self._stops: asyncio.Queue[list[Stop]] = asyncio.Queue()
        self.drained = asyncio.Event()

    async def open(self, hello: Hello) -> Welcome:
        workers, stand_in = self._service.workers, self._stand_in

        def give(jobs: list[Work]) -> None:
            doubtful = []
            for job in jobs:
                if stand_in is None or job.type in stand_in.types:
                    self._jobs.put_nowait(job)
                else:
                    doubtful.append(job)
            if stand_in is not None and doubtful:
                task = asyncio.create_task(self._sort(stand_in.front, doubtful))
                self._sorting.add(task)
                task.add_done_callback(self._sorting.discard)

        id = f"{INSIDE}{self._service.id}-{hello.worker.removeprefix(INSIDE)}"
        hello = msgspec.structs.replace(hello, worker=id)
        self._worker = await workers.attach(
            hello,
            "inside",
            give,
            self._stops.put_nowait,
            self.drained.set,
            except_types=() if stand_in is None else stand_in.except_types,
            stand_in=stand_in is not None,
        )
        if self._service.dispatch.stopped:
            # It came too late to be told with the others.
            self.drained.set()
        return Welcome(workers.rules.lease / SECOND, workers.rules.beat / SECOND, hello.version)

    async def claim(self, slots: int) -> list[Work]:
        jobs = [await self._jobs.get()]
        while len(jobs) < slots and not self._jobs.empty():
            jobs.append(self._jobs.get_nowait())
        return jobs

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        return await self._service.workers.finish(self._id, outcomes)

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        return await self._service.workers.extend(self._id, leases, progress)

    async def log(self, lines: list[Line]) -> None:
        await self._service.workers.log(lines, self._id)

    async def read_upload(self, lease: Lease, path: Path) -> None:
        await self._files.read_upload(lease, path)

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        await self._files.keep_artifact(self._id, lease, path)

    async def stops(self) -> list[Stop]:
        return await self._stops.get()

    async def drain(self) -> None:
        if self._worker is not None:
            self._service.workers.draining(self._worker)
        if self._sorting:
            await asyncio.wait(self._sorting)

    async def close(self) -> None:
        if self._worker is not None:
            await self._service.workers.leave(self._worker)
            self._worker = None

    async def _sort(self, front: str, jobs: list[Work]) -> None:
        """Take those of the front, and hand back the others, once for each type."""
        while True:
            try:
                found = await self._service.engine.get([job.id for job in jobs])
                break
            except StoreError:
                await asyncio.sleep(1)
        ours = {job.id for job in found if FRONT_TAG + front in job.tags}
        others = [job for job in jobs if job.id not in ours]
        for job in jobs:
            if job.id in ours:
                self._jobs.put_nowait(job)
        if others and self._worker is not None:
            types = sorted({job.type for job in others})
            told = {"front": front, "types": types}
            log.warning("types that are not only this front's are left to other workers", extra=told)
            self._service.workers.leave_out(self._worker, types)
            await self.finish([Ending(job.id, job.lease, "released") for job in others])

    @property
    def _id(self) -> str:
        return "" if self._worker is None else self._worker.id
