"""A worker at work for the length of a block, or for one job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

import rota
from rota.model.protocol import Ending
from rota.sdk.worker import Worker
from tests.sdk.memory import Server, Source, until


class Working:
    """The worker, and the task that runs it."""

    def __init__(self, worker: Worker, task: asyncio.Task[None], source: Source) -> None:
        self.worker = worker
        self.task = task
        self.source = source

    async def drained(self, seconds: float = 10.0) -> None:
        """Wait for ``run`` to return."""
        async with asyncio.timeout(seconds):
            await self.task


@asynccontextmanager
async def working(app: rota.App, server: Server, **options: Any) -> AsyncIterator[Working]:
    """Run a worker; at the end of the block it is stopped at once if it still runs."""
    options = {"queues": ["default"], "slots": 8, **options}
    source = Source(server)
    worker = Worker(app, source, **options)
    task = asyncio.create_task(worker.run())
    try:
        yield Working(worker, task, source)
    finally:
        if not task.done():
            worker.drain()
            worker.drain()
            await asyncio.wait({task}, timeout=10)
        assert task.done(), "The worker does not end."
        if not task.cancelled():
            task.exception()


async def ended(app: rota.App, type: str, payload: Any = msgspec.UNSET, **options: Any) -> Ending:
    """The ending of a job of this type."""
    server = Server()
    async with working(app, server, **options):
        job = server.put(type, payload)
        await until(lambda: job.endings)
    assert len(job.endings) == 1
    assert not job.refused
    return job.ending


def value_of(ending: Ending) -> Any:
    assert ending.end == "done", ending
    assert isinstance(ending.result, msgspec.Raw)
    return msgspec.json.decode(ending.result)
