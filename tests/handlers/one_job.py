"""One job for a real worker: where it comes from, and where its news go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from rota.handlers import HandlerSettings, build
from rota.model.errors import NotFound
from rota.model.job import State
from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work
from rota.sdk.worker import Worker
from tests.handlers.record import JOB_ID


class OneJob:
    """A source with a single job; with ``cancel`` its end is asked for at the first news of progress."""

    def __init__(self, work: Work, *, cancel: bool = False) -> None:
        self.drained = asyncio.Event()
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.progress: list[float] = []
        self.artifact: bytes | None = None
        self._work = [work]
        self._cancel = cancel

    async def open(self, hello: Hello) -> Welcome:
        return Welcome(lease=10.0, beat=0.05, version="test")

    async def claim(self, slots: int) -> list[Work]:
        if self._work:
            return [self._work.pop()]
        await asyncio.Event().wait()
        raise AssertionError

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        self.ending.set_result(outcomes[0])
        return [Answer(one.id, one.lease, True, State.DONE) for one in outcomes]

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        self.progress += [one.value for one in progress]
        if self._cancel and self.progress:
            return [Stop(lease.id, lease.lease, "cancelled") for lease in leases]
        return []

    async def log(self, lines: list[Line]) -> None: ...

    async def stops(self) -> list[Stop]:
        await asyncio.Event().wait()
        raise AssertionError

    async def read_upload(self, lease: Lease, path: Path) -> None:
        raise NotFound("The job came without an upload.", code="no_upload")

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        self.artifact = path.read_bytes()

    async def drain(self) -> None: ...

    async def close(self) -> None: ...


async def work_off(
    settings: HandlerSettings,
    type: str,
    payload: Any,
    *,
    content_type: str | None = None,
    cancel: bool = False,
) -> Ending:
    """What a worker with these handlers reports for a job; with ``content_type`` its payload is base64."""
    if content_type is None:
        raw = msgspec.Raw(msgspec.json.encode(payload))
        work = Work(JOB_ID, 1, type, "default", 1, 3, payload=raw)
    else:
        work = Work(JOB_ID, 1, type, "default", 1, 3, payload_base64=payload, content_type=content_type)
    source = OneJob(work, cancel=cancel)
    worker = Worker(build(settings), source, slots=1, same_loop=True)
    running = asyncio.ensure_future(worker.run())
    async with asyncio.timeout(20):
        waiting: set[asyncio.Future[Any]] = {running, source.ending}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        worker.drain()
        await running
    return await source.ending
