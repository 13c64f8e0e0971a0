"""quantiles: within the stated error of the exact ones, and merging equals adding all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.core.quantiles import (
    BOUNDS,
    ERROR,
    LONGEST,
    Buckets,
    add_sorted,
    bucket,
    merge,
    merged,
    pack,
    quantiles,
    unpack,
)
from rota.model.clock import SECOND

# Even over the magnitudes, and around the bounds, where mistakes would be.
durations = st.one_of(
    st.integers(1, LONGEST),
    st.integers(0, 44).flatmap(lambda bits: st.integers(2**bits, min(2 ** (bits + 1), LONGEST))),
    st.sampled_from(BOUNDS),
    st.sampled_from(BOUNDS[:-1]).map(lambda bound: bound + 1),
)
PERCENTS = (1, 50, 90, 95, 99, 100)


def histogram(values: list[int]) -> Buckets:
    buckets: Buckets = {}
    add_sorted(buckets, sorted(values))
    return buckets


def exact(values: list[int], percent: int) -> int:
    """The smallest value that at least so many percent are not above."""
    ordered = sorted(values)
    return next(value for count, value in enumerate(ordered, 1) if count * 100 >= percent * len(ordered))


@settings(max_examples=400, deadline=None)
@given(st.lists(durations, min_size=1, max_size=300))
def test_quantiles_are_within_the_stated_error(values: list[int]) -> None:
    for percent, told in zip(PERCENTS, quantiles(histogram(values), PERCENTS), strict=True):
        wanted = exact(values, percent) / SECOND
        assert told is not None
        assert abs(told - wanted) <= ERROR * wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(durations, max_size=60), max_size=6))
def test_merging_is_adding_all(parts: list[list[int]]) -> None:
    added: Buckets = {}
    unpacked: Buckets = {}
    for part in parts:
        merge(added, histogram(part))
        unpack(unpacked, pack(histogram(part)))
    together = histogram([value for part in parts for value in part])
    assert added == merged(map(histogram, parts)) == together
    assert {number: count for number, count in unpacked.items() if count} == together
    assert quantiles(unpacked, PERCENTS) == quantiles(together, PERCENTS)


@given(st.dictionaries(st.integers(0, len(BOUNDS) - 1), st.integers(1, 10**9)))
def test_packed_and_unpacked_is_the_same(buckets: Buckets) -> None:
    read: Buckets = {}
    unpack(read, pack(buckets))
    assert {number: count for number, count in read.items() if count} == buckets


def test_bounds_rise_by_a_tenth_at_most() -> None:
    assert list(BOUNDS) == sorted(BOUNDS)
    assert all(after <= before * 1.1 + 1 for before, after in pairwise(BOUNDS))


@pytest.mark.parametrize(("value", "counted"), [(0, 1), (-5, 1), (LONGEST * 10, LONGEST)])
def test_what_is_out_of_bounds_counts_as_the_nearest(value: int, counted: int) -> None:
    assert bucket(value) == bucket(counted)
    assert histogram([value]) == histogram([counted])


def test_nothing_has_no_quantiles() -> None:
    assert quantiles({}, (50, 99)) == [None, None]
