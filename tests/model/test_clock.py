"""Microseconds to text and back."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.model import clock

LAST = clock.to_micros(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))


def test_units() -> None:
    assert (clock.SECOND, clock.MINUTE, clock.HOUR, clock.DAY) == (10**6, 6 * 10**7, 36 * 10**8, 864 * 10**8)


def test_the_system_clock_tells_whole_microseconds_utc() -> None:
    before = time.time()
    now = clock.SystemClock().now()
    assert isinstance(now, int)
    assert before * 1e6 - 1 <= now <= time.time() * 1e6 + 1


def test_a_manual_clock_moves_only_when_told() -> None:
    hand = clock.ManualClock(5)
    assert [hand.now(), hand.now()] == [5, 5]
    assert hand.advance(7) == 12
    assert hand.now() == 12


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_769_848_200_000_001, "2026-01-31T08:30:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (LAST, "9999-12-31T23:59:59.999999Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_text_is_rfc_3339_with_six_digits(at: int, text: str) -> None:
    assert clock.to_text(at) == text


@given(st.datetimes())
def test_every_moment_survives_the_way_there_and_back(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    text = clock.to_text(clock.to_micros(moment))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert msgspec.convert(text, datetime) == moment


def test_other_zones_mean_the_same_moment() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert clock.to_micros(datetime(2026, 1, 31, 14, 0, tzinfo=east)) == clock.to_micros(
        datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("given_", "micros"),
    [(1, 1_000_000), (0.1, 100_000), (1e-6, 1), (4e-7, 0), (2.5, 2_500_000), (86400, clock.DAY)],
)
def test_seconds_are_rounded_to_the_nearest_microsecond(given_: float, micros: int) -> None:
    assert clock.seconds(given_) == micros
    assert isinstance(clock.seconds(given_), int)
