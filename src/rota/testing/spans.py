"""Spans of time as tests write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from rota.model.clock import to_datetime, to_micros

Span = str | float | timedelta
"""``"3d"``, ``"1h30m"``, seconds, or a timedelta."""

_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[wdhms])", re.ASCII)


def micros(span: Span) -> int:
    """A span in microseconds. ValueError for text that is none, and for going back in time."""
    if isinstance(span, timedelta):
        value = span / timedelta(microseconds=1)
    elif isinstance(span, str):
        value = _read(span) * 1e6
    elif type(span) in (int, float):
        value = span * 1e6
    else:
        raise TypeError(
            f"A span is text such as '3d' or '1h30m', seconds or a timedelta, not {type(span).__name__}."
        )
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"A span must be 0 or more, not {span!r}: time only goes forward.")
    return round(value)


def moment(value: datetime | str) -> int:
    """A datetime with a zone, or one written down (RFC 3339), in microseconds since 1970."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"A time is written as 2026-01-31T08:30:00Z, not {value!r}.") from None
    if read.tzinfo is None or read.utcoffset() is None:
        raise ValueError(f"A time must have a zone, as in 2026-01-31T08:30:00Z; {value!r} has none.")
    return to_micros(read.astimezone(UTC))


def tell(span: int) -> str:
    """Microseconds as people say it: ``3d 4h``."""
    left, parts = span, []
    for unit, seconds in _UNITS.items():
        if unit in ("w", "ms"):
            continue
        count, left = divmod(left, round(seconds * 1e6))
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left / 1000:g}ms")
    return " ".join(parts) or "0s"


def shown(at: int) -> str:
    """A moment, to the second where that says it all."""
    return to_datetime(at).isoformat(sep=" ").removesuffix("+00:00") + " UTC"


def _read(text: str) -> float:
    total, at = 0.0, 0
    while found := _PART.match(text, at):
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if at == 0 or text[at:].strip():
        raise ValueError(f"A span is written as '3d', '1h30m' or '250ms' (w, d, h, m, s, ms), not {text!r}.")
    return total
