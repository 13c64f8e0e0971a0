"""What has happened since the start, in plain numbers: cheap enough for the hot path."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from rota.core.quantiles import Buckets, add_sorted
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
MOST = 10_000
"""Durations that may wait to be sorted into buckets."""

Kind = tuple[str, str]


_BOUNDS = tuple(int(bound * SECOND) for bound in BUCKETS)


class Histogram:
    """How long something took, by bucket, since the start."""

    __slots__ = ("counts", "fine", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        self.fine: Buckets = {}
        """By log-scaled bucket, since these were taken last."""

    def add(self, values: list[int]) -> None:
        """Durations in microseconds; the list is sorted in place. Many together cost a fraction of each
        alone.
        """
        values.sort()
        below = 0
        for n, bound in enumerate(_BOUNDS):
            reached = bisect_right(values, bound, below)
            self.counts[n] += reached - below
            below = reached
        self.counts[-1] += len(values) - below
        self.sum += sum(values) / SECOND
        add_sorted(self.fine, values)


class Tally(msgspec.Struct, gc=False):
    """What happened to the jobs of one kind in a while; waits and runs by log-scaled bucket."""

    enqueued: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    requeued: int = 0
    waits: Buckets = {}
    runs: Buckets = {}


class Meter:
    """Counts by (queue, type), and waits and runs."""

    def __init__(self) -> None:
        self.enqueued: Counter[Kind] = Counter()
        self.finished: Counter[tuple[str, str, str]] = Counter()
        """By queue, type and final state."""
        self.requeued: Counter[tuple[str, str, str]] = Counter()
        """By queue, type and the end of the try after which the job waits again."""
        self.expired_leases = 0
        self.lag = 0.0
        """Seconds by which the event loop's timers came late, at the last look."""
        self.jump: tuple[int, float] | None = None
        """When the wall clock was set last (by its new time), and by how many seconds."""
        self._waits: dict[Kind, Histogram] = {}
        self._runs: dict[Kind, Histogram] = {}
        # Durations are only noted where they come up, and sorted into buckets many at a time.
        self._new_waits: dict[Kind, list[int]] = {}
        self._new_runs: dict[Kind, list[int]] = {}
        self._new = 0
        self._kinds: dict[Kind, Kind] = {}
        self._taken = (self.enqueued.copy(), self.finished.copy(), self.requeued.copy())

    @property
    def waits(self) -> Mapping[Kind, Histogram]:
        """From due to handed out."""
        self._sort()
        return self._waits

    @property
    def runs(self) -> Mapping[Kind, Histogram]:
        """From handed out to reported."""
        self._sort()
        return self._runs

    def stored(self, kinds: Mapping[Kind, int]) -> None:
        """So many jobs of these kinds were enqueued."""
        for (queue, type), jobs in kinds.items():
            self.enqueued[self._kind(queue, type)] += jobs

    def started(self, jobs: Sequence[Claimed], now: int) -> None:
        """Jobs were handed out."""
        new, queue, type, values = self._new_waits, None, None, _NOWHERE
        for job in jobs:
            if job.type != type or job.queue != queue:
                queue, type = job.queue, job.type
                values = new.setdefault(self._kind(queue, type), [])
            values.append(now - job.run_at)
        self._noted(len(jobs))

    def ran(self, runs: Sequence[tuple[str, str, int]], now: int) -> None:
        """Workers reported the end of tries: (queue, type, started at)."""
        new, queue, type, values = self._new_runs, None, None, _NOWHERE
        for run in runs:
            if run[1] != type or run[0] != queue:
                queue, type, _ = run
                values = new.setdefault(self._kind(queue, type), [])
            values.append(now - run[2])
        self._noted(len(runs))

    def finish(self, queue: str | None, type: str | None, state: str) -> None:
        """A job has ended."""
        self.finished[*self._kind(queue or "", type or ""), state] += 1

    def requeue(self, queue: str | None, type: str | None, end: str) -> None:
        """A job waits again."""
        self.requeued[*self._kind(queue or "", type or ""), end] += 1

    def run_total(self, queue: str, type: str) -> tuple[int, float]:
        """How many runs have ended, and the seconds they took together."""
        found = self.runs.get((queue, type)) or self.runs.get(OTHERS)
        return (0, 0.0) if found is None else (sum(found.counts), found.sum)

    def totals(self) -> dict[State, int]:
        """Jobs that ended, by final state."""
        totals = dict.fromkeys((State.DONE, State.FAILED, State.CANCELLED), 0)
        for (_, _, state), jobs in self.finished.items():
            totals[State(state)] += jobs
        return totals

    def take(self) -> dict[Kind, Tally]:
        """What has happened since this was called last; kinds without news are left out."""
        self._sort()
        tallies: defaultdict[Kind, Tally] = defaultdict(Tally)
        enqueued, finished, requeued = self._taken
        for kind, jobs in self.enqueued.items():
            if more := jobs - enqueued[kind]:
                tallies[kind].enqueued = more
        for (queue, type, state), jobs in self.finished.items():
            if more := jobs - finished[queue, type, state]:
                setattr(tallies[queue, type], state, more)
        for (queue, type, end), jobs in self.requeued.items():
            if more := jobs - requeued[queue, type, end]:
                tallies[queue, type].requeued += more
        self._taken = (self.enqueued.copy(), self.finished.copy(), self.requeued.copy())
        for kind, histogram in self._waits.items():
            if histogram.fine:
                tallies[kind].waits, histogram.fine = histogram.fine, {}
        for kind, histogram in self._runs.items():
            if histogram.fine:
                tallies[kind].runs, histogram.fine = histogram.fine, {}
        return dict(tallies)

    def _noted(self, durations: int) -> None:
        self._new += durations
        if self._new >= MOST:
            self._sort()

    def _sort(self) -> None:
        if not self._new:
            return
        for new, histograms in ((self._new_waits, self._waits), (self._new_runs, self._runs)):
            for kind, values in new.items():
                if kind not in histograms:
                    histograms[kind] = Histogram()
                # The clock may have been set back meanwhile.
                histograms[kind].add([max(0, value) for value in values])
            new.clear()
        self._new = 0

    def _kind(self, queue: str, type: str) -> Kind:
        kind = (queue, type)
        known = self._kinds.get(kind)
        if known is None:
            # Types are made by users, and a page of metrics must stay readable whatever they do.
            known = self._kinds[kind] = kind if len(self._kinds) < MAX_KINDS else OTHERS
            if known is OTHERS:
                del self._kinds[kind]
        return known


_NOWHERE: list[int] = []
