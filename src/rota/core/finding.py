"""One thing that is to be known about a server and its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """A stable code, how bad it is, a sentence, what it rests on, what it is about, and a command that
    helps.
    """

    code: str
    level: Level
    sentence: str
    numbers: Mapping[str, Any] = {}
    queue: str | None = None
    type: str | None = None
    command: str | None = None


def many(count: int, what: str) -> str:
    """``1 job``, ``42 jobs``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
