"""The time of the store, for servers that share one: their own clocks may differ by minutes, what they write
down must not.

The machine's steady clock, plus a distance that is measured now and then: the store is asked for the time,
and its answer belongs to the middle between question and answer. Of several answers the quickest counts. A
small difference is made up for bit by bit, so that time never goes back; a large one means that the store's
clock was set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from rota.model.clock import SECOND
from rota.model.errors import StoreError

log = logging.getLogger("rota.peers")

EVERY = 10.0
"""Seconds between two measurements."""
ASKED = 5
"""Questions in one measurement."""
LARGE = SECOND
"""A difference that is not made up for bit by bit."""
RATE = 0.01
"""So much quicker or slower the clock goes while it makes up for a difference."""


class StoreClock:
    """See :class:`rota.model.clock.Clock`. Of no use before the first :meth:`measure`."""

    def __init__(
        self, ask: Callable[[], Awaitable[int]], steady: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """``ask``: the store's time in microseconds; ``steady``: nanoseconds of a clock that nobody sets."""
        self._ask = ask
        self._steady = steady
        self._offset = 0
        self._since = 0
        self._owed = 0
        self._last = 0
        self._measured = False

    def now(self) -> int:
        at = self._steady() // 1000
        now = at + self._offset
        if self._owed:
            now += self._paid(at)
        if now < self._last:
            return self._last
        self._last = now
        return now

    async def measure(self) -> None:
        """Find out how far the store's clock is from ours. Raises StoreError."""
        best: tuple[int, int] | None = None
        for _ in range(ASKED):
            before = self._steady() // 1000
            told = await self._ask()
            after = self._steady() // 1000
            if best is None or after - before < best[0]:
                best = (after - before, told - (before + after) // 2)
        assert best is not None
        self._correct(best[1], best[0] // 2)

    async def run(self) -> None:
        """Measure again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.measure()
            except StoreError as error:
                log.debug("the store does not tell the time", extra={"detail": error.detail})

    def _correct(self, offset: int, error: int) -> None:
        at = self._steady() // 1000
        if self._owed:
            paid = self._paid(at)
            self._offset, self._owed = self._offset + paid, self._owed - paid
        difference = offset - self._offset
        if not self._measured or abs(difference) > LARGE:
            if self._measured:
                seconds = round(difference / SECOND, 3)
                log.warning("the store's clock was set", extra={"seconds": seconds})
            self._measured = True
            self._offset, self._owed, self._last = offset, 0, 0
        elif abs(difference) > error:
            self._since, self._owed = at, difference
        else:
            # As good as can be told from that distance.
            self._owed = 0

    def _paid(self, at: int) -> int:
        """How much of the difference was made up for by now."""
        most = int((at - self._since) * RATE)
        return min(most, self._owed) if self._owed > 0 else max(-most, self._owed)
