"""``rota work --store``: a worker straight on a database, without a server between.

It is a source of jobs like those over the network; behind it stands the same service as in a server, with the
same upkeep, and without any door.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from rota import __version__
from rota.core import peers, upkeep
from rota.core.inside import InsideSource
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines import places
from rota.engines.open import open_engine
from rota.model.errors import BadInput
from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work
from rota.model.spec import Limits

log = logging.getLogger("rota.direct")


def check(url: str) -> None:
    """BadInput for a store that a worker cannot be on."""
    if not places.is_postgres(url):
        raise BadInput(
            f"--store must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, not {places.shown(url)!r}: "
            "a SQLite file belongs to one server, so give that one's address with --url.",
            code="invalid_store",
            field="store",
        )
    places.postgres(url)


class StoreSource:
    """Where such a worker gets its jobs (see ``rota.sdk.source.Source``). The store is opened where and when
    the worker opens its source, and again after it was away at the start.
    """

    def __init__(self, url: str, rules: Rules, limits: Limits) -> None:
        self._url = url
        self._rules = rules
        self._limits = limits
        self._service: Service | None = None
        self._among: peers.Peers | None = None
        self._inside: InsideSource | None = None
        self._timers: list[asyncio.Task[None]] = []
        self.drained = asyncio.Event()

    async def open(self, hello: Hello) -> Welcome:
        if self._service is None:
            await self._begin()
        return await self._source.open(hello)

    async def claim(self, slots: int) -> list[Work]:
        return await self._source.claim(slots)

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        return await self._source.finish(outcomes)

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        return await self._source.extend(leases, progress)

    async def log(self, lines: list[Line]) -> None:
        await self._source.log(lines)

    async def read_upload(self, lease: Lease, path: Path) -> None:
        await self._source.read_upload(lease, path)

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        await self._source.keep_artifact(lease, path)

    async def stops(self) -> list[Stop]:
        return await self._source.stops()

    async def drain(self) -> None:
        await self._source.drain()

    async def close(self) -> None:
        service, self._service = self._service, None
        if service is None:
            return
        try:
            await self._source.close()
        finally:
            service.drain()
            for timer in self._timers:
                timer.cancel()
            await asyncio.gather(*self._timers, return_exceptions=True)
            await service.series.stop()
            if self._among is not None:
                await self._among.leave()
            await service.engine.close()

    @property
    def _source(self) -> InsideSource:
        assert self._inside is not None, "open comes first"
        return self._inside

    async def _begin(self) -> None:
        engine = await open_engine(self._url)
        try:
            service, among = await peers.join(engine, self._rules, self._limits, version=__version__)
        except BaseException:
            await engine.close()
            raise
        self._service, self._among = service, among
        self._inside = InsideSource(service)
        self.drained = self._inside.drained
        self._timers = [asyncio.create_task(upkeep.run(service))]
        if among is not None:
            self._timers.append(asyncio.create_task(among.run()))
        log.info("working on the store", extra={"store": places.shown(self._url)})
