"""Time as whole microseconds since 1970-01-01 UTC, and a clock that tests can move."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Anything that can tell the time."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> int:
        return time.time_ns() // 1000


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: int = 1_800_000_000 * SECOND) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, microseconds: int) -> int:
        """Move forward and return the new time."""
        self._now += microseconds
        return self._now


def to_text(at: int) -> str:
    """RFC 3339 in UTC with six fractional digits, e.g. ``2026-01-31T08:30:00.000000Z``."""
    return to_datetime(at).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def to_datetime(at: int) -> datetime:
    """An aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def to_micros(moment: datetime) -> int:
    """The reverse of :func:`to_text` for an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def seconds(value: float) -> int:
    """Seconds, as people write them, in microseconds."""
    return round(value * SECOND)
