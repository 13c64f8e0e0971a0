"""How far each lane is gone, so that a claim does not look through all that was there before.

While somebody holds a transaction open, no row that was taken since can be cleaned away, and a claim that
begins at the beginning steps over all of them. The jobs that have just come have numbers that only grow, so
a claim may begin behind the last one that was taken; but a transaction that began earlier may commit later.
So the floor follows the claims at a distance, and a look below it, now and then, finds what came later
still.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

Lane = tuple[str, str, int]
"""Queue, type and priority."""

DISTANCE = 0.25
"""Seconds behind the claims."""
_MOST = 10_000
"""Lanes that are remembered."""


class _Floor:
    __slots__ = ("at", "floor", "since")

    def __init__(self, at: int, since: float) -> None:
        self.floor = 0
        self.at = at
        self.since = since


class Floors:
    """What this server has seen of the lanes."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, _Floor] = {}

    def taken(self, lane: Lane, place: int) -> None:
        """A claim took the job at this place, and none before it was left that it could see."""
        now = time.monotonic()
        one = self._lanes.get(lane)
        if one is None:
            if len(self._lanes) >= _MOST:
                self._lanes.clear()
            self._lanes[lane] = _Floor(place, now)
        elif now - one.since >= DISTANCE:
            one.floor, one.at, one.since = max(one.floor, one.at), place, now

    def of(self, queues: Sequence[str]) -> tuple[list[str], list[str], list[int], list[int]]:
        """The floors of the lanes of some queues, as columns."""
        return _columns((lane, one) for lane, one in self._lanes.items() if lane[0] in queues)

    def all(self) -> tuple[list[Lane], list[int]]:
        """Every lane that has a floor, and the floors."""
        known = [(lane, one.floor) for lane, one in self._lanes.items() if one.floor]
        return [lane for lane, _ in known], [floor for _, floor in known]

    def forget(self) -> None:
        """What was taken may not have been kept."""
        self._lanes.clear()

    def lower(self, lane: Lane, place: int) -> None:
        """A job waits at this place."""
        one = self._lanes.get(lane)
        if one is not None and one.floor >= place:
            one.floor = place - 1
            one.at = min(one.at, place - 1)


def _columns(lanes: Any) -> tuple[list[str], list[str], list[int], list[int]]:
    known = [(*lane, one.floor) for lane, one in lanes if one.floor]
    if not known:
        return [], [], [], []
    queues, types, priorities, floors = (list(column) for column in zip(*known, strict=True))
    return queues, types, priorities, floors
