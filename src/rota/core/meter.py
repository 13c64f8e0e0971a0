"""What has happened since the start, in plain numbers: cheap enough for the hot path."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rota.model.clock import SECOND
from rota.model.job import Claimed, State

BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    3600.0,
)
"""Upper bounds in seconds, for waits and runs alike; one more bucket takes the rest."""
MAX_KINDS = 500
"""Pairs of queue and type that are told apart; further ones are counted together."""
OTHERS = ("other", "other")

Kind = tuple[str, str]


class Histogram:
    """How long something took, by bucket."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class Meter:
    """Counts by (queue, type), and waits and runs."""

    def __init__(self) -> None:
        self.enqueued: Counter[Kind] = Counter()
        self.finished: Counter[tuple[str, str, str]] = Counter()
        """By queue, type and final state."""
        self.requeued: Counter[tuple[str, str, str]] = Counter()
        """By queue, type and the end of the try after which the job waits again."""
        self.waits: dict[Kind, Histogram] = {}
        self.runs: dict[Kind, Histogram] = {}
        self.expired_leases = 0
        self.lag = 0.0
        """Seconds by which the event loop's timers came late, at the last look."""
        self.jump: tuple[int, float] | None = None
        """When the wall clock was set last (by its new time), and by how many seconds."""
        self._kinds: dict[Kind, Kind] = {}

    def stored(self, kinds: Mapping[Kind, int]) -> None:
        """So many jobs of these kinds were enqueued."""
        for (queue, type), jobs in kinds.items():
            self.enqueued[self._kind(queue, type)] += jobs

    def started(self, jobs: Sequence[Claimed], now: int) -> None:
        """Jobs were handed out."""
        for job in jobs:
            self._of(self.waits, job.queue, job.type).add(max(0, now - job.run_at) / SECOND)

    def ran(self, runs: Iterable[tuple[str, str, int]], now: int) -> None:
        """Workers reported the end of tries: (queue, type, started at)."""
        for queue, type, since in runs:
            self._of(self.runs, queue, type).add(max(0, now - since) / SECOND)

    def finish(self, queue: str | None, type: str | None, state: str) -> None:
        """A job has ended."""
        self.finished[*self._kind(queue or "", type or ""), state] += 1

    def requeue(self, queue: str | None, type: str | None, end: str) -> None:
        """A job waits again."""
        self.requeued[*self._kind(queue or "", type or ""), end] += 1

    def mean_run(self, queue: str, type: str) -> float | None:
        """How long a run took so far, in seconds, on average; None when none has ended."""
        found = self.runs.get((queue, type)) or self.runs.get(OTHERS)
        tries = 0 if found is None else sum(found.counts)
        return found.sum / tries if found is not None and tries else None

    def totals(self) -> dict[State, int]:
        """Jobs that ended, by final state."""
        totals = dict.fromkeys((State.DONE, State.FAILED, State.CANCELLED), 0)
        for (_, _, state), jobs in self.finished.items():
            totals[State(state)] += jobs
        return totals

    def _of(self, histograms: dict[Kind, Histogram], queue: str, type: str) -> Histogram:
        kind = self._kind(queue, type)
        found = histograms.get(kind)
        if found is None:
            found = histograms[kind] = Histogram()
        return found

    def _kind(self, queue: str, type: str) -> Kind:
        kind = (queue, type)
        known = self._kinds.get(kind)
        if known is None:
            # Types are made by users, and a page of metrics must stay readable whatever they do.
            known = self._kinds[kind] = kind if len(self._kinds) < MAX_KINDS else OTHERS
            if known is OTHERS:
                del self._kinds[kind]
        return known
