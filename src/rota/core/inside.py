"""The service as a worker inside the same process sees it: the same verbs as over a socket, without one."""

from __future__ import annotations

import asyncio

import msgspec

from rota.core.service import Service
from rota.core.worker import Worker
from rota.core.workers import INSIDE
from rota.model.clock import SECOND
from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work


class InsideSource:
    """Where a worker in the server's own process gets its jobs (see ``rota.sdk.source.Source``)."""

    def __init__(
        self, service: Service, *, except_types: tuple[str, ...] = (), stand_in: bool = False
    ) -> None:
        """For ``except_types`` and ``stand_in`` see :class:`rota.core.dispatch.Taker`."""
        self._service = service
        self._except_types = except_types
        self._stand_in = stand_in
        self._worker: Worker | None = None
        self._jobs: asyncio.Queue[Work] = asyncio.Queue()
        self._stops: asyncio.Queue[list[Stop]] = asyncio.Queue()
        self.drained = asyncio.Event()

    async def open(self, hello: Hello) -> Welcome:
        def give(jobs: list[Work]) -> None:
            for job in jobs:
                self._jobs.put_nowait(job)

        workers = self._service.workers
        hello = msgspec.structs.replace(hello, worker=INSIDE + hello.worker.removeprefix(INSIDE))
        self._worker = await workers.attach(
            hello,
            "inside",
            give,
            self._stops.put_nowait,
            self.drained.set,
            except_types=self._except_types,
            stand_in=self._stand_in,
        )
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

    async def stops(self) -> list[Stop]:
        return await self._stops.get()

    async def drain(self) -> None:
        if self._worker is not None:
            self._service.workers.draining(self._worker)

    async def close(self) -> None:
        if self._worker is not None:
            await self._service.workers.leave(self._worker)
            self._worker = None

    @property
    def _id(self) -> str:
        return "" if self._worker is None else self._worker.id
