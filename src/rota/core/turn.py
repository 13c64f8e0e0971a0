"""When the turn of a pending job comes, as far as one can tell from who is ahead and how long runs take."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from rota.model.clock import SECOND, seconds

STEPS = 1000
"""Jobs ahead that are played through one by one; with more of them the average does."""


class Places(Protocol):
    """What is asked of a worker."""

    slots: int
    taken: dict[tuple[str, int], tuple[str, str, int]]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the line. ``more``: at least so many are ahead. ``run``: mean seconds of the runs it waits
    for, None when nothing is known of them; then there is no ``at`` either (but for a free slot).
    """

    ahead: int
    more: bool
    workers: int
    slots: int
    free: int
    run: float | None
    at: int | None


def estimate(
    able: Sequence[Places], ahead: Mapping[str, int], limit: int, runs: Mapping[str, float], now: int
) -> Turn:
    """The turn of a job that the workers ``able`` may get, behind the jobs ``ahead``.

    Supposes that each of those runs as long as its type did so far, and that these workers do nothing else.
    """
    slots = sum(worker.slots for worker in able)
    free = sum(max(0, worker.slots - len(worker.taken)) for worker in able)
    taken = [(type, since) for worker in able for _, type, since in worker.taken.values()]
    count = sum(ahead.values())
    more = count > limit
    count = min(count, limit)
    usual = _mean(runs.values())
    run: float | None = None
    at = now if free > count else None
    if at is None and usual is not None:
        left = [max(0.0, runs.get(type, usual) - (now - since) / SECOND) for type, since in taken]
        work = sum(runs.get(type, usual) * jobs for type, jobs in ahead.items())
        run = work / sum(ahead.values()) if count else _mean([runs.get(type, usual) for type, _ in taken])
        at = now + seconds(_wait(left + [0.0] * free, count, run or 0.0))
    return Turn(ahead=count, more=more, workers=len(able), slots=slots, free=free, run=run, at=at)


def _wait(places: list[float], jobs: int, run: float) -> float:
    """Seconds until one of the places, each free after so long, is free once ``jobs`` have had their turn."""
    if not places:
        return jobs * run
    if jobs > STEPS:
        return (sum(places) + jobs * run) / len(places)
    heapq.heapify(places)
    for _ in range(jobs):
        heapq.heappush(places, heapq.heappop(places) + run)
    return places[0]


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None
