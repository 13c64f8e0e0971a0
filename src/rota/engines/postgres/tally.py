"""How far the changes of the counters are folded for certain, so that nobody looks through those again.

Changes are numbered when they are made, not when they are committed, and whoever holds an old transaction
keeps the dead rows of all that were folded since; so folding, and reading the counters, begin behind what
cannot come any more: changes up to a number that was the last one when transactions were under way all of
which have ended. One that lasts longer than that is passed, and looked after when it has ended.
"""

from __future__ import annotations

import time
from collections import deque

MARGIN = 2.0
"""Seconds between a number that is given to a change and the first that others see of its transaction."""
LATE = 60.0
"""Seconds after which nobody is waited for."""


class _Mark:
    __slots__ = ("at", "last", "next")

    def __init__(self, at: float, last: int) -> None:
        self.at = at
        self.last = last
        self.next: int | None = None


class Folded:
    """What is known of it. ``last``, ``oldest`` and ``next`` are the number of the newest change that was
    folded, the oldest transaction that may still write, and the next one to begin.
    """

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque()
        self._passed: int | None = None
        self.upto = 0
        """Changes up to this one are in the counters."""

    def note(self, last: int | None, oldest: int, next: int, now: float | None = None) -> None:
        """A round is over, ``now`` (seconds, steady)."""
        now = time.monotonic() if now is None else now
        if last is not None:
            self._marks.append(_Mark(now, last))
        for mark in self._marks:
            if mark.next is None and now - mark.at >= MARGIN:
                # Whoever was given a number at that time has begun by now.
                mark.next = next
        while self._marks and (begun := self._marks[0].next) is not None:
            mark = self._marks[0]
            if oldest < begun:
                if now - mark.at < LATE:
                    return
                self._passed = next
            self._marks.popleft()
            self.upto = max(self.upto, mark.last)

    def begin(self, oldest: int) -> int:
        """Where to begin: mostly behind all that was folded, from the start once somebody has ended who was
        passed.
        """
        if self._passed is not None and oldest >= self._passed:
            self._passed = None
            return 0
        return self.upto
