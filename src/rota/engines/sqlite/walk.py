"""Going through the jobs that match by age, a bounded piece at a time.

No filter can be so unlucky that it keeps the reader for long: after :data:`BUDGET` seconds a walk stops
where it is and says so, and whoever wants more goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import apsw
import msgspec

from rota.engines.sqlite import ages, sift, statements
from rota.engines.sqlite.match import where
from rota.engines.sqlite.plan import Slots, candidates, plan
from rota.engines.sqlite.statements import Row, run
from rota.model.job import Match
from rota.model.search import Sift

_FIND = statements.load("find")
_encode = msgspec.json.Encoder().encode

BUDGET = 0.04
"""Seconds of work after which a walk stops; on a busy machine these may take longer than on the clock."""
PATIENCE = 0.25
"""Seconds on the clock after which it stops."""
SIFTING = 0.05
"""The same where jobs are looked into, which is work in this process, too."""
_FIRST, _MOST = 512, 4096
"""Jobs looked at in the first statement, and at most in one."""


class Span(NamedTuple):
    """Jobs by age, both ends included."""

    low: int
    high: int


NOTHING = Span(1, 0)


class Walk:
    """Through the jobs of a span, in one direction; :attr:`left` is what was not looked at yet."""

    def __init__(
        self, db: apsw.Connection, match: Match, slots: Slots, span: Span, *, newest_first: bool
    ) -> None:
        self._db = db
        self._newest_first = newest_first
        self._order = "DESC" if newest_first else "ASC"
        self._condition, self._values = where(match)
        self._sift = match.sift()
        self._plan = plan(db, match, slots)
        if match.since is not None or match.until is not None:
            when = ages.span(db, match.since, match.until)
            span = NOTHING if when is None else Span(max(span.low, when[0]), min(span.high, when[1]))
        self.left: Span | None = None if self._plan == [] or span.low > span.high else span

    def rows(self, columns: str, limit: int) -> list[Row]:
        """The next matching jobs, ``seq`` first among the columns. Fewer than ``limit`` while something is
        left: the time is over.
        """
        if self._sift is not None:
            return self._sifted(self._sift, columns, limit)
        found: list[Row] = []
        size, over = max(_FIRST, 2 * limit), _budget()
        while self.left is not None and len(found) < limit:
            size = min(size, _MOST)
            got, after = self._piece(columns, self.left, size, limit - len(found))
            found += got
            if len(found) == limit:
                after = self._behind(self.left, got[-1][0])
            self.left, size = after, 2 * size
            if over():
                break
        return found

    def tally(self) -> int:
        """How many match, as far as the time reaches."""
        jobs, over = 0, _budget(PATIENCE if self._sift is None else SIFTING)
        while self.left is not None:
            if self._sift is None:
                got, self.left = self._piece("count(*)", self.left, _MOST, 1)
                jobs += sum(row[0] for row in got)
            else:
                jobs += len(self._inside(self._sift, sift.MOST, sift.MOST, over))
            if over():
                break
        return jobs

    def _sifted(self, wanted: Sift, columns: str, limit: int) -> list[Row]:
        """The same where jobs have to be looked into."""
        found: list[int] = []
        size, over = sift.FIRST, _budget(SIFTING)
        while self.left is not None and len(found) < limit:
            found += self._inside(wanted, size, limit - len(found), over)
            size = min(2 * size, sift.MOST)
            if over():
                break
        sql = _FIND["these"].format(columns=columns, match=self._condition, order=self._order)
        return run(self._db, sql, (_encode(found).decode(), *self._values, limit)) if found else []

    def _inside(self, wanted: Sift, size: int, limit: int, over: Callable[[], bool]) -> list[int]:
        """Those of the next ``size`` jobs that match, up to ``limit``, as far as the time reaches."""
        assert self.left is not None
        got, after = self._piece(sift.columns(wanted), self.left, size, size)
        found, end = sift.kept(self._db, wanted, got, limit, over)
        self.left = after if end is None else self._behind(self.left, end)
        return found

    def _piece(self, columns: str, span: Span, size: int, limit: int) -> tuple[list[Row], Span | None]:
        """Look at the next ``size`` jobs: those that match, and what is left behind them."""
        order = self._order
        if self._plan is None:
            sql = _FIND["edge"].format(end="min" if self._newest_first else "max", order=order)
            edge = run(self._db, sql, (*span, size))[0][0]
            if edge is None:
                return [], None
            part = Span(edge, span.high) if self._newest_first else Span(span.low, edge)
            sql = _FIND["range"].format(columns=columns, match=self._condition, order=order)
            got = run(self._db, sql, (*part, *self._values, limit))
        else:
            seqs, edge = candidates(self._db, self._plan, *span, self._newest_first, size)
            sql = _FIND["these"].format(columns=columns, match=self._condition, order=order)
            got = run(self._db, sql, (_encode(seqs).decode(), *self._values, limit)) if seqs else []
        return got, None if edge is None else self._behind(span, edge)

    def _behind(self, span: Span, seq: int) -> Span | None:
        rest = Span(span.low, seq - 1) if self._newest_first else Span(seq + 1, span.high)
        return rest if rest.low <= rest.high else None


def _budget(patience: float = PATIENCE) -> Callable[[], bool]:
    """Says when it is time to stop."""
    worked, began = time.thread_time(), time.monotonic()
    return lambda: time.thread_time() - worked > BUDGET or time.monotonic() - began > patience
