"""When the next scheduled job is due, as far as this server knows."""

from __future__ import annotations

import asyncio

from rota.engines.base import Engine
from rota.model.clock import SECOND, Clock


class Due:
    """What was told, and what the store says."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._told = asyncio.Event()
        self._next: int | None = None

    async def load(self) -> None:
        self._next = await self._engine.next_due()

    def at(self, at: int) -> None:
        """A job is scheduled for then."""
        if self._next is None or at < self._next:
            self._next = at
            self._told.set()

    async def wait(self, longest: float) -> None:
        """Wait until a scheduled job is due, at most ``longest`` seconds."""
        # The store may not show yet what was told a moment ago.
        # What is told while it is being read counts, too.
        self._next = self._next if self._told.is_set() else None
        self._told.clear()
        stored = await self._engine.next_due()
        self._next = min((at for at in (self._next, stored) if at is not None), default=None)
        wait = longest if self._next is None else (self._next - self._clock.now()) / SECOND
        while wait > 0:
            try:
                async with asyncio.timeout(min(wait, longest)):
                    await self._told.wait()
            except TimeoutError:
                return
            self._told.clear()
            if self._next is not None:
                wait = (self._next - self._clock.now()) / SECOND
