"""Events of several servers in one order: by time, and those of a job in the order of its life, for clocks
agree no better than the way between them is short. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rota.core.events import Event
from rota.model.clock import SECOND

HOLD, MOST = SECOND // 10, SECOND
"""For so long an event waits for those of other servers that come before it, in microseconds: at least, and
where those come late at most.
"""
CLOSE = SECOND // 20
"""Of two events of a job that are closer than that, their times do not tell the first."""
_RANKS = {"enqueued": 0, "started": 1, "requeued": 4, "finished": 4, "deleted": 6}
_MEANWHILE, _AGAIN = 2, 5


class Held(NamedTuple):
    """An event that waits. ``at``: its time, but never before that of an earlier one of the same server;
    ``came``: when it got here, by the same clock.
    """

    at: int
    came: int
    server: str
    event: Event


class Merge:
    """Events that wait for their turn."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        self._hold = HOLD
        self._latest: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def put(self, server: str, events: Iterable[Event], now: int) -> None:
        """Events of one server, in its order."""
        latest = self._latest.get(server, 0)
        for event in events:
            latest = min(max(latest, event.at), now)
            self._held.append(Held(latest, now, server, event))
        self._latest[server] = latest

    def late(self, age: int) -> None:
        """Events of others took so long to get here: more is waited for, and less again by and by."""
        self._hold = min(MOST, max(HOLD, self._hold * 9 // 10, age * 3 // 2))

    def ready(self, now: int) -> list[Event]:
        """Those whose time has come, in order."""
        due = now - self._hold
        ready = [one for one in self._held if one.at <= due or one.came <= due or one.came > now]
        if ready:
            self._held = [one for one in self._held if one.at > due and due < one.came <= now]
        return in_order(ready)

    def rest(self) -> list[Event]:
        """All of them."""
        held, self._held = self._held, []
        return in_order(held)


def in_order(held: Sequence[Held]) -> list[Event]:
    """All events by time, those of each job in the order of its life, those of each server in its own."""
    rows = sorted(held, key=lambda one: one.at)
    places: dict[str, list[int]] = {}
    for place, one in enumerate(rows):
        if one.event.id is not None:
            places.setdefault(one.event.id, []).append(place)
    for mine in places.values():
        if len(mine) > 1 and len({rows[place].server for place in mine}) > 1:
            for place, one in zip(mine, _life([rows[place] for place in mine]), strict=True):
                rows[place] = one
    return [one.event for one in rows]


def _life(held: Sequence[Held]) -> list[Held]:
    """Events of one job that several servers tell of, those of each in its order."""
    told: dict[str, list[Held]] = {}
    for one in held:
        told.setdefault(one.server, []).append(one)
    lines = list(told.values())
    merged: list[Held] = []
    while lines:
        first = lines[0]
        for line in lines[1:]:
            if _before(line[0], first[0]):
                first = line
        merged.append(first.pop(0))
        lines = [line for line in lines if line]
    return merged


def _before(one: Held, other: Held) -> bool:
    if one.event.lease != other.event.lease:
        return one.event.lease < other.event.lease
    if abs(one.at - other.at) <= CLOSE and _rank(one.event) != _rank(other.event):
        return _rank(one.event) < _rank(other.event)
    return one.at < other.at


def _rank(event: Event) -> int:
    """The place of an event in what happens under one lease."""
    if event.event == "requeued" and (event.detail or {}).get("reason") == "retry":
        return _AGAIN
    return _RANKS.get(event.event, _MEANWHILE)
