"""Durations in log-scaled buckets: small, mergeable, and honest about their error.

A bucket reaches from a bound to the next one, which is a tenth larger. A quantile is the exact nearest-rank
one with the middle of its bucket in its place: at most 5 % off (:data:`ERROR`), whatever the distribution.
Histograms with the same bounds are added bucket by bucket, so that a quantile over many types, intervals or
servers is as good as one over all their values.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from rota.model.clock import DAY, SECOND

GROWTH = 1.1
"""Each bound by the one before."""
ERROR = 0.05
"""How far a quantile may be from the exact one, as a share of it. Times below 1 µs count as 1 µs."""
LONGEST = 400 * DAY
"""What takes longer counts as this."""

Buckets = dict[int, int]
"""How many values by number of the bucket; empty ones are left out."""


def _bounds() -> tuple[int, ...]:
    bounds, bound = [], 1.0
    while bound < LONGEST:
        bounds.append(int(bound))
        bound *= GROWTH
    return (*bounds, LONGEST)


BOUNDS = _bounds()
"""The largest value of each bucket, in microseconds. Near the start some buckets can hold no whole number."""
MIDDLES = tuple(float(f"{2 * GROWTH**n / (1 + GROWTH) / SECOND:.4g}") for n in range(len(BOUNDS)))
"""What stands for a bucket's values, in seconds: no value of the bucket is further than the error from it."""


def bucket(value: int) -> int:
    """The number of the bucket of a duration in microseconds."""
    return bisect_left(BOUNDS, min(value, LONGEST))


def add_sorted(buckets: Buckets, values: Sequence[int]) -> None:
    """Add durations in microseconds, which rise: one step per bucket, not one per value."""
    at, end = 0, len(values)
    while at < end:
        number = bucket(values[at])
        after = end if number == len(BOUNDS) - 1 else bisect_right(values, BOUNDS[number], at)
        buckets[number] = buckets.get(number, 0) + after - at
        at = after


def merge(into: Buckets, other: Mapping[int, int]) -> None:
    """Add all values of ``other``."""
    for number, count in other.items():
        into[number] = into.get(number, 0) + count


def merged(parts: Iterable[Mapping[int, int]]) -> Buckets:
    """All values of all parts; quicker than one by one where they are many."""
    counts = [0] * len(BOUNDS)
    for part in parts:
        for number, count in part.items():
            counts[number] += count
    return {number: count for number, count in enumerate(counts) if count}


def quantiles(buckets: Mapping[int, int], percents: Sequence[int]) -> list[float | None]:
    """Seconds below or at which that many percent of the values are. None without values."""
    if not buckets:
        return [None] * len(percents)
    numbers = sorted(buckets)
    reached = list(accumulate(map(buckets.__getitem__, numbers)))
    total = reached[-1]
    ranks = [max(1, -(-percent * total // 100)) for percent in percents]
    return [MIDDLES[numbers[bisect_left(reached, rank)]] for rank in ranks]


def pack(buckets: Mapping[int, int]) -> list[int]:
    """As a short list: the first bucket's number, then counts; -n stands for n empty buckets."""
    packed: list[int] = []
    after = -1
    for number in sorted(buckets):
        if not packed:
            packed.append(number)
        else:
            # A few zeros are quicker to read.
            packed += [0] * (number - after) if number - after < 8 else [after - number]
        packed.append(buckets[number])
        after = number + 1
    return packed


def unpack(into: Buckets, packed: Sequence[int]) -> None:
    """Add what :func:`pack` made."""
    if not into and packed and min(packed) >= 0:
        into.update(zip(range(packed[0], packed[0] + len(packed)), packed[1:], strict=False))
        return
    number = -1
    for count in packed:
        if number < 0:
            number = count
        elif count >= 0:
            into[number] = into.get(number, 0) + count
            number += 1
        else:
            number -= count
