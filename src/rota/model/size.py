"""Sizes as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(b|kb|kib|mb|mib|gb|gib)?", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 10**3, "kib": 2**10, "mb": 10**6, "mib": 2**20, "gb": 10**9, "gib": 2**30}


def parse_size(text: str) -> int | None:
    """Bytes from a text such as ``500 kB`` or ``16MiB``; None for what is no size or no whole number of
    bytes.
    """
    match = _SIZE.fullmatch(text.strip()) if len(text) < 40 else None
    if match is None:
        return None
    exact = float(match[1]) * _UNITS[(match[2] or "b").lower()]
    return int(exact) if exact.is_integer() else None


def size_text(count: int) -> str:
    """Bytes in the largest unit that leaves no fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if count >= _UNITS[unit.lower()] and count % _UNITS[unit.lower()] == 0:
            return f"{count // _UNITS[unit.lower()]} {unit}"
    return f"{count} B"
