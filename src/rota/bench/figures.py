"""What was measured: figures with stable names, and how long things took, as a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

SHARES = (50.0, 90.0, 99.0, 99.9)
_BINS_PER_DECADE = 20


class Kind(msgspec.Struct, frozen=True):
    """``better``: whether more or less of it is good."""

    title: str
    unit: str
    better: str


KINDS = {
    "start_seconds": Kind("server starts", "s", "less"),
    "idle_memory": Kind("idle server", "MB", "less"),
    "enqueue_1_rate": Kind("enqueue, 1 connection", "jobs/s", "more"),
    "enqueue_1_p50": Kind("enqueue, 1 connection, p50", "ms", "less"),
    "enqueue_1_p99": Kind("enqueue, 1 connection, p99", "ms", "less"),
    "enqueue_64_rate": Kind("enqueue, 64 connections", "jobs/s", "more"),
    "enqueue_64_p50": Kind("enqueue, 64 connections, p50", "ms", "less"),
    "enqueue_64_p99": Kind("enqueue, 64 connections, p99", "ms", "less"),
    "enqueue_bulk_rate": Kind("enqueue in hundreds", "jobs/s", "more"),
    "pickup_p50": Kind("request to handler, p50", "ms", "less"),
    "pickup_p99": Kind("request to handler, p99", "ms", "less"),
    "both_rate": Kind("enqueue and run at once", "jobs/s", "more"),
    "drain_rate": Kind("drain a backlog", "jobs/s", "more"),
    "across_p50": Kind("request to handler at another server, p50", "ms", "less"),
    "across_p99": Kind("request to handler at another server, p99", "ms", "less"),
}
"""Every figure there is, in the order of the table."""


class Figure(msgspec.Struct, frozen=True):
    """``value`` is the median of ``rounds``."""

    value: float
    unit: str
    better: str
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, name: str, rounds: Sequence[float]) -> Figure:
        kind = KINDS[name]
        kept = tuple(_short(one) for one in rounds)
        return cls(median(kept), kind.unit, kind.better, kept)


class Spread(msgspec.Struct, frozen=True):
    """How long it took, in milliseconds. ``histogram``: pairs of an upper limit and how many were at most
    that long and longer than the limit before.
    """

    samples: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    histogram: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        times = sorted(max(one * 1000, 0.001) for one in seconds)
        bins: dict[int, int] = {}
        for one in times:
            number = math.ceil(math.log10(one) * _BINS_PER_DECADE - 1e-9)
            bins[number] = bins.get(number, 0) + 1
        histogram = tuple((_short(10 ** (n / _BINS_PER_DECADE)), count) for n, count in bins.items())
        p50, p90, p99, p999 = (_short(at(times, share)) for share in SHARES)
        return cls(len(times), p50, p90, p99, p999, _short(times[-1]), histogram)


def at(times: Sequence[float], percent: float) -> float:
    """The value that so many percent of the sorted values do not exceed."""
    return times[min(len(times) - 1, max(0, math.ceil(len(times) * percent / 100) - 1))]


def median(values: Sequence[float]) -> float:
    """The middle one, or the lower one of the two in the middle: always a value that was measured."""
    return sorted(values)[(len(values) - 1) // 2]


def _short(value: float) -> float:
    """Four digits are more than a measurement is worth."""
    return float(f"{value:.4g}") if value < 1000 else round(value, 1)
