"""Failed jobs by fingerprint: what the transactions change in the groups, and how they are read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import apsw

from rota.engines.cursors import group_cursor, group_position
from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import run, run_many
from rota.model.clock import DAY, HOUR
from rota.model.failure import HOURS, Cause, FailureGroup, FailurePage

_FAILURES = statements.load("failures")

Slot = tuple[str, str]


class _News:
    """What the open transaction adds to a group."""

    def __init__(self, type: str, cause: Cause, id: str, now: int) -> None:
        self.type = type
        self.cause = cause
        self.id = id
        self.first = self.last = now
        self.hours: Counter[int] = Counter()


class Groups:
    """Changes of the open transaction, written just before its commit."""

    def __init__(self) -> None:
        self._news: dict[Slot, _News] = {}
        self._gone: Counter[Slot] = Counter()

    def failed(self, queue: str, type: str, id: str, cause: Cause, now: int) -> None:
        """A job has failed."""
        slot = (cause.fingerprint, queue)
        news = self._news.get(slot)
        if news is None:
            news = self._news[slot] = _News(type, cause, id, now)
        news.cause, news.id = cause, id
        news.first, news.last = min(news.first, now), max(news.last, now)
        news.hours[now // HOUR] += 1

    def gone(self, queue: str, fingerprint: str | None) -> None:
        """A job is not failed any more, or not there any more."""
        if fingerprint is not None:
            self._gone[fingerprint, queue] += 1

    def write(self, db: apsw.Connection) -> None:
        """Write the changes."""
        if self._news:
            self._add(db)
        if self._gone:
            run_many(db, _FAILURES["gone"], [(jobs, *slot) for slot, jobs in self._gone.items()])

    def clear(self) -> None:
        """The transaction is over."""
        self._news.clear()
        self._gone.clear()

    def _add(self, db: apsw.Connection) -> None:
        rows = []
        for (fingerprint, queue), one in self._news.items():
            why = one.cause
            jobs = one.hours.total()
            said = (one.type, why.error, why.frame, why.message, one.id, jobs, one.first, one.last)
            rows.append((fingerprint, queue, *said))
        run_many(db, _FAILURES["add"], rows)
        hours = [(*slot, hour, jobs) for slot, one in self._news.items() for hour, jobs in one.hours.items()]
        run_many(db, _FAILURES["hour"], hours)
        now = max(one.last for one in self._news.values())
        old = now // HOUR - HOURS
        run_many(db, _FAILURES["forget_hours"], [(*slot, old) for slot in self._news])
        over = run(db, _FAILURES["over"], (now - DAY,))
        if over:
            run_many(db, _FAILURES["forget_hours"], [(*slot, now) for slot in over])
            run_many(db, _FAILURES["forget"], over)


def page(
    db: apsw.Connection, queue: str | None, type: str | None, now: int, limit: int, cursor: str | None
) -> FailurePage:
    """Groups that still have failed jobs, last seen first."""
    named = {"f.queue = ?": queue, "f.type = ?": type}
    given = {term: value for term, value in named.items() if value is not None}
    sql = _FAILURES["page"].format(match=" AND ".join(given) or "true")
    values = (*given.values(), *group_position(cursor), queue is not None, limit + 1)
    got = run(db, sql, values)
    groups = [_group(db, row, queue, now) for row in got[:limit]]
    more = group_cursor(groups[-1].last_seen, groups[-1].fingerprint) if len(got) > limit else None
    return FailurePage(groups, more)


def _group(db: apsw.Connection, row: tuple[Any, ...], queue: str | None, now: int) -> FailureGroup:
    fingerprint, _, type, error, frame, message, last_seen, job = row
    jobs, first_seen = run(db, _FAILURES["sum"], (fingerprint, queue))[0]
    this = now // HOUR
    counted: dict[int, int] = dict(run(db, _FAILURES["hours"], (fingerprint, queue, this - HOURS)))
    return FailureGroup(
        fingerprint=fingerprint,
        type=type,
        error=error,
        frame=frame,
        message=message,
        job=job,
        jobs=jobs,
        first_seen=first_seen,
        last_seen=last_seen,
        hours=tuple(counted.get(this - back, 0) for back in reversed(range(HOURS))),
    )
