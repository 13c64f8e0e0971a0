"""Moments at which something is due, for any number of runs: one heap, one timer of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Calls ``due(item)`` when its time has come, unless ``over(item)`` says that it does not matter any
    more.

    Times are those of ``loop.time()``. Items that are over are not looked for, they are dropped when they
    come up or when they have become the larger part of the heap.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, due: Callable[[T], None], over: Callable[[T], bool]
    ) -> None:
        self._loop = loop
        self._due = due
        self._over = over
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0
        self._limit = 1_000
        self._next: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, item: T) -> None:
        """``item`` is due at ``at``."""
        self._number += 1
        heappush(self._heap, (at, self._number, item))
        if len(self._heap) > self._limit:
            self._heap = [entry for entry in self._heap if not self._over(entry[2])]
            heapify(self._heap)
            self._limit = max(1_000, 2 * len(self._heap))
        self._arm()

    def close(self) -> None:
        """Nothing is due any more."""
        self._heap.clear()
        if self._next is not None:
            self._next.cancel()

    def _arm(self) -> None:
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._next is not None:
            if self._next.when() <= at and not self._next.cancelled():
                return
            self._next.cancel()
        self._next = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._next = None
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            item = heappop(self._heap)[2]
            if not self._over(item):
                self._due(item)
        self._arm()
