"""When the jobs of each block were stored, so that a time leads to its blocks."""

from __future__ import annotations

from collections.abc import Collection

import apsw

from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import run
from rota.model.clock import MINUTE

_AGES = statements.load("ages")
_SHIFT = 12
_ROUND = MINUTE
"""Times are kept so coarsely, outwards: a block is written again once a minute at most."""
_KNOWN = 1000
"""Blocks remembered as written."""


class Ages:
    """What an enqueue adds. Jobs that go away leave a block's times too wide, never too narrow."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}

    def stored(self, db: apsw.Connection, seqs: Collection[int], first: int, last: int) -> None:
        """Jobs were stored, the earliest made at ``first`` and the latest at ``last``."""
        if not seqs:
            return
        first -= first % _ROUND
        last += _ROUND - last % _ROUND
        for block in range(min(seqs) >> _SHIFT, (max(seqs) >> _SHIFT) + 1):
            low, high = self._known.get(block, (last, first))
            if first < low or last > high:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[block] = (min(first, low), max(last, high))
                run(db, _AGES["add"], (block, first, last))

    def forget(self) -> None:
        """What was written may not have been kept."""
        self._known.clear()


def span(db: apsw.Connection, since: int | None, until: int | None) -> tuple[int, int] | None:
    """The first and the last seq that a job of this time can have; None when there can be none."""
    since, until = (0 if since is None else since), (2**62 if until is None else until)
    first, last = run(db, _AGES["between"], (since, until))[0]
    return None if first is None else (first << _SHIFT, ((last + 1) << _SHIFT) - 1)
