"""Servers on one database, in one process: services with everything that they do by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rota.core import upkeep
from rota.core.peers import Peers
from rota.core.service import Service
from rota.core.store_clock import StoreClock
from rota.engines.open import open_engine
from rota.model.clock import Clock
from tests.core.kit import until


class Server:
    """A service, and its peers."""

    def __init__(self, service: Service, peers: Peers) -> None:
        self.service = service
        self.peers = peers
        self.tasks: list[asyncio.Task[None]] = []

    async def freeze(self) -> None:
        """It does nothing any more and says nothing, as if killed."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def server(store: str, *, clock: Clock | None = None, timers: bool = True) -> AsyncIterator[Server]:
    """``timers``: whether it does its upkeep."""
    engine = await open_engine(store)
    if clock is None:
        clock = StoreClock(engine.time)
        await clock.measure()
    service = Service(engine, clock=clock)
    await service.load()
    peers = Peers(service, "http://here")
    await peers.load()
    one = Server(service, peers)
    one.tasks = [asyncio.create_task(peers.run())]
    if timers:
        one.tasks.append(asyncio.create_task(upkeep.run(service)))
    try:
        yield one
    finally:
        service.bus.close()
        frozen = one.tasks[0].done()
        await one.freeze()
        if not frozen:
            await peers.leave()
        await service.dispatch.settled()
        await engine.close()


@contextlib.asynccontextmanager
async def two(store: str) -> AsyncIterator[tuple[Server, Server]]:
    """Two that know each other."""
    async with server(store) as one, server(store) as other, asyncio.timeout(60):
        await acquainted(one, other)
        yield one, other


async def acquainted(*servers: Server) -> None:
    """Wait until all of these know each other."""
    ids = {one.service.id for one in servers}
    await until(lambda: all({note.id for note in one.peers.servers} == ids for one in servers))
