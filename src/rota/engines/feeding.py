"""What both engines agree on about feeds of events."""

from __future__ import annotations

from rota.model.clock import SECOND

BYTES = 8 * 1024 * 1024
"""Of results and errors in one reading, unless it is one event alone."""
EXACT = 10_000
"""Events of a backlog that are counted; of more the numbers tell about how many they are."""
SPARE = 2 * SECOND
"""A hold is written down anew when it would be so much longer, not with every reading."""


def still_held(held: int, until: int, now: int) -> bool:
    """Whether a hold until ``held`` will do for somebody who asks for one until ``until``."""
    return now < held and until - SPARE <= held and until > now
