"""An event loop whose time is that of a clock in our hands: timers fire when the clock moves, not before."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from typing import TypeVarTuple, Unpack

from rota.model.clock import SECOND, Clock

Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Everything but time is as in any other loop."""

    def __init__(self, clock: Clock) -> None:
        self._virtual = clock
        self._zero = clock.now()
        self._alarms: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._alarm = 0
        super().__init__()

    def time(self) -> float:
        return (self._virtual.now() - self._zero) / SECOND

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        self._alarm += 1
        heappush(self._alarms, (when, self._alarm, handle))
        return handle

    def next_alarm(self) -> int | None:
        """When the next timer fires, in microseconds of the clock."""
        alarms, now = self._alarms, self.time()
        while alarms and (alarms[0][2].cancelled() or alarms[0][0] <= now):
            heappop(alarms)
        return self._zero + math.ceil(alarms[0][0] * SECOND) if alarms else None
