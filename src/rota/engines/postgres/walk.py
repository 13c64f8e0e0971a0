"""Going through the jobs that match by age, a bounded piece at a time.

No filter can be so unlucky that it keeps a connection for long: after :data:`PATIENCE` seconds a walk stops
where it is and says so, and whoever wants more goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rota.engines.cursors import LAST
from rota.engines.postgres import sift, statements
from rota.engines.postgres.link import Session
from rota.engines.postgres.match import where
from rota.engines.postgres.plan import Plan, Slots, candidates, plan
from rota.model.clock import MINUTE
from rota.model.job import Match
from rota.model.search import Sift

_FIND = statements.load("find")
_AGES = statements.load("ages")

PATIENCE = 0.1
"""Seconds after which a walk stops."""
SIFTING = 0.04
"""Where jobs are looked into, which is work for this process, too."""
_FEW, _FIRST, _MOST = 32, 512, 4096
"""Jobs looked at in the first statement, with a plan and without one, and at most in one."""
_EARLIEST, _LATEST = -(2**62), 2**62


class Span(NamedTuple):
    """Jobs by age, both ends included."""

    low: int
    high: int


class Walk:
    """Through the jobs of a span, in one direction; :attr:`left` is what was not looked at yet."""

    def __init__(self, session: Session, match: Match, way: Plan, span: Span, newest_first: bool) -> None:
        self._session = session
        self._newest_first = newest_first
        self._order = "DESC" if newest_first else "ASC"
        self._match = match
        self._sift = match.sift()
        self._plan = way
        self.left: Span | None = None if way == [] or span.low > span.high else span

    async def rows(self, columns: str, limit: int) -> list[Any]:
        """The next matching jobs, ``seq`` first among the columns. Fewer than ``limit`` while something is
        left: the time is over.
        """
        if self._sift is not None:
            return await self._sifted(self._sift, columns, limit)
        found: list[Any] = []
        # Where an index leads to the jobs, mostly every candidate is one.
        size, over = max(_FIRST, 2 * limit) if self._plan is None else max(_FEW, limit), _budget()
        while self.left is not None and len(found) < limit:
            size = min(size, _MOST)
            got, after = await self._piece(columns, self.left, size, limit - len(found))
            found += got
            if len(found) == limit:
                after = self._behind(self.left, got[-1][0])
            self.left, size = after, 2 * size
            if over():
                break
        return found

    async def tally(self) -> int:
        """How many match, as far as the time reaches."""
        jobs, over = 0, _budget(PATIENCE if self._sift is None else SIFTING)
        while self.left is not None:
            if self._sift is None:
                got, self.left = await self._piece(None, self.left, _MOST, 0)
                jobs += sum(row[0] for row in got)
            else:
                jobs += len(await self._inside(self._sift, sift.MOST, sift.MOST, over))
            if over():
                break
        return jobs

    async def _sifted(self, wanted: Sift, columns: str, limit: int) -> list[Any]:
        """The same where jobs have to be looked into."""
        found: list[int] = []
        size, over = sift.FIRST, _budget(SIFTING)
        while self.left is not None and len(found) < limit:
            found += await self._inside(wanted, size, limit - len(found), over)
            size = min(2 * size, sift.MOST)
            if over():
                break
        return await self._these(columns, found, limit) if found else []

    async def _inside(self, wanted: Sift, size: int, limit: int, over: Callable[[], bool]) -> list[int]:
        """Those of the next ``size`` jobs that match, up to ``limit``, as far as the time reaches."""
        assert self.left is not None
        got, after = await self._piece(sift.columns(wanted), self.left, size, size)
        found, end = await sift.kept(self._session, wanted, got, limit, over)
        self.left = after if end is None else self._behind(self.left, end)
        return found

    async def _these(self, columns: str, seqs: list[int], limit: int) -> list[Any]:
        condition, values = where(self._match, 3)
        sql = _FIND["these"].format(columns=columns, match=condition, order=self._order)
        return await self._session.only(sql, seqs, limit, *values)

    async def _piece(
        self, columns: str | None, span: Span, size: int, limit: int
    ) -> tuple[list[Any], Span | None]:
        """Look at the next ``size`` jobs: those that match, and what is left behind them. Without columns
        they are counted.
        """
        order = self._order
        if self._plan is None:
            sql = _FIND["edge"].format(end="min" if self._newest_first else "max", order=order)
            edge = (await self._session.only(sql, *span, size))[0][0]
            if edge is None:
                return [], None
            part: tuple[Any, ...] = (edge, span.high) if self._newest_first else (span.low, edge)
            name, counted = "range", "tally"
        else:
            seqs, edge = await candidates(self._session, self._plan, *span, self._newest_first, size)
            part = (seqs,)
            name, counted = "these", "tally_these"
            if not seqs:
                return [], None if edge is None else self._behind(span, edge)
        if columns is None:
            condition, values = where(self._match, len(part) + 1)
            got = await self._session.only(_FIND[counted].format(match=condition), *part, *values)
        else:
            condition, values = where(self._match, len(part) + 2)
            sql = _FIND[name].format(columns=columns, match=condition, order=order)
            got = await self._session.only(sql, *part, limit, *values)
        return got, None if edge is None else self._behind(span, edge)

    def _behind(self, span: Span, seq: int) -> Span | None:
        rest = Span(span.low, seq - 1) if self._newest_first else Span(seq + 1, span.high)
        return rest if rest.low <= rest.high else None


async def walk(session: Session, match: Match, slots: Slots, span: Span, *, newest_first: bool) -> Walk:
    """A walk through the jobs of a span."""
    if match.since is not None or match.until is not None:
        since = _EARLIEST if match.since is None else match.since
        until = _LATEST if match.until is None else match.until
        row = (await session.only(_AGES["between"], since // MINUTE, until // MINUTE))[0]
        first, last = (1, 0) if row[0] is None else row
        span = Span(max(span.low, first << 12), min(span.high, ((last + 1) << 12) - 1, LAST))
    way = await plan(session, match, slots) if span.low <= span.high else []
    return Walk(session, match, way, span, newest_first)


def _budget(seconds: float = PATIENCE) -> Callable[[], bool]:
    """Says when it is time to stop."""
    began = time.monotonic()
    return lambda: time.monotonic() - began > seconds
