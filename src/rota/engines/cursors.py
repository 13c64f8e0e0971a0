"""Where a walk through jobs by age ended, opaque to clients; the same for every engine."""

from __future__ import annotations

import base64
import binascii

from rota.model.errors import BadInput

LAST = 2**63 - 1
"""Later than every job."""


def cursor(*numbers: int) -> str:
    """Where a walk ended."""
    text = "s" + "-".join(map(str, numbers))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position(text: str | None) -> int:
    """The seq below which the next page starts; BadInput for anything that :func:`cursor` did not make."""
    return LAST if text is None else _numbers(text, 1)[0]


def between(text: str) -> tuple[int, int]:
    """The first and the last seq that are left; BadInput for anything that :func:`cursor` did not make."""
    low, high = _numbers(text, 2)
    return low, high


def group_cursor(last_seen: int, fingerprint: str) -> str:
    """After which group of failures the next page starts."""
    return base64.urlsafe_b64encode(f"f{last_seen}:{fingerprint}".encode()).decode().rstrip("=")


def group_position(text: str | None) -> tuple[int, str]:
    """What :func:`group_cursor` was made of, later than all without one; BadInput for any other text."""
    if text is None:
        return LAST, "~"
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        seen, _, fingerprint = raw[1:].partition(":")
        if raw[:1] != "f" or not seen.isdigit() or not 0 <= int(seen) <= LAST or not fingerprint:
            raise ValueError
    except (ValueError, binascii.Error):
        raise _none() from None
    return int(seen), fingerprint


def _numbers(text: str, count: int) -> list[int]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        numbers = [int(part) for part in raw[1:].split("-")]
        good = len(numbers) == count and all(0 < number <= LAST for number in numbers)
        if not good or cursor(*numbers) != text:
            raise ValueError
    except (ValueError, binascii.Error):
        raise _none() from None
    return numbers


def _none() -> BadInput:
    return BadInput(
        "cursor must be one that this list gave before.", code="invalid_cursor", status=400, field="cursor"
    )
