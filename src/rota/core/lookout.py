"""Looks for the ends of jobs that somebody waits for here and that another server may see ending."""

from __future__ import annotations

import asyncio

from rota.core.bus import Bus
from rota.engines.base import Engine
from rota.model.errors import StoreError
from rota.model.job import ENDED, Match

FIRST, EVERY = 0.005, 0.02
"""Seconds before the first look, and between two."""
WHOLE = 1.0
"""Seconds between two looks for jobs that are gone."""
MOST = 1000
"""Jobs in one question."""


class Lookout:
    """One question for everybody who waits; none while nobody does, or while there is no other server."""

    def __init__(self, engine: Engine, bus: Bus) -> None:
        self._engine = engine
        self._bus = bus
        self._there: set[str] = set()
        self.alone = True
        bus.waited = self._waited = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        whole = 0.0
        while True:
            await self._waited.wait()
            self._waited.clear()
            await asyncio.sleep(FIRST)
            while ids := self._bus.waited_for:
                began = loop.time()
                if not self.alone:
                    try:
                        await self._look(ids, began - whole >= WHOLE)
                    except StoreError:
                        # Whoever waits is told by what it does next.
                        await asyncio.sleep(EVERY)
                    if began - whole >= WHOLE:
                        whole = began
                # A question that takes long is put more rarely.
                await asyncio.sleep(max(EVERY, loop.time() - began))

    async def _look(self, ids: list[str], gone: bool) -> None:
        for at in range(0, len(ids), MOST):
            piece = tuple(ids[at : at + MOST])
            self._bus.wake(await self._found(Match(ids=piece, states=tuple(ENDED))))
            if gone:
                there = set(await self._found(Match(ids=piece)))
                # One that was never there may be about to be stored.
                self._bus.wake(id for id in piece if id in self._there and id not in there)
                self._there |= there
        if gone:
            self._there &= set(ids)

    async def _found(self, match: Match) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await self._engine.find(match, MOST, cursor)
            found += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                return found
