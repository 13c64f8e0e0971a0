"""Failed jobs by fingerprint: what a transaction changes in the groups, and how they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rota.engines.cursors import group_cursor, group_position
from rota.engines.postgres import statements
from rota.engines.postgres.link import Session
from rota.engines.postgres.rows import plain, plain_or_none
from rota.model.clock import HOUR
from rota.model.failure import HOURS, Cause, FailureGroup, FailurePage

_SQL = statements.load("failures")

Slot = tuple[str, str]


class _News:
    """What a transaction adds to a group."""

    def __init__(self, type: str, cause: Cause, id: str, now: int) -> None:
        self.type = type
        self.cause = cause
        self.id = id
        self.first = self.last = now
        self.hours: Counter[int] = Counter()


class Groups:
    """Changes that one statement brings."""

    def __init__(self) -> None:
        self._news: dict[Slot, _News] = {}

    def failed(self, queue: str, type: str, id: str, cause: Cause, now: int) -> None:
        """A job has failed."""
        slot = (cause.fingerprint, queue)
        news = self._news.get(slot)
        if news is None:
            news = self._news[slot] = _News(type, cause, id, now)
        news.cause, news.id = cause, id
        news.first, news.last = min(news.first, now), max(news.last, now)
        news.hours[now // HOUR] += 1

    async def write(self, session: Session) -> None:
        """Write them."""
        if not self._news:
            return
        rows = [
            (
                *slot,
                one.type,
                plain(one.cause.error),
                plain_or_none(one.cause.frame),
                plain(one.cause.message),
                one.id,
                one.hours.total(),
                one.first,
                one.last,
            )
            for slot, one in self._news.items()
        ]
        hours = [(*slot, hour, jobs) for slot, one in self._news.items() for hour, jobs in one.hours.items()]
        columns = [*zip(*rows, strict=True), *zip(*hours, strict=True)]
        await session.fetch(_SQL["add"], *(list(column) for column in columns))


async def gone(session: Session, jobs: Iterable[tuple[str, str | None]]) -> None:
    """Jobs (queue, fingerprint) are not failed any more, or not there any more."""
    slots = Counter((fingerprint, queue) for queue, fingerprint in jobs if fingerprint is not None)
    if slots:
        rows = [(*slot, count) for slot, count in slots.items()]
        await session.fetch(_SQL["gone"], *(list(column) for column in zip(*rows, strict=True)))


async def page(
    session: Session, queue: str | None, type: str | None, now: int, limit: int, cursor: str | None
) -> FailurePage:
    """Groups that still have failed jobs, last seen first."""
    this = now // HOUR
    got = await session.only(
        _SQL["page"],
        plain_or_none(queue),
        plain_or_none(type),
        *group_position(cursor),
        limit + 1,
        this - HOURS,
    )
    groups = []
    for row in got[:limit]:
        counted = dict(zip(row["hours"] or (), row["counted"] or (), strict=True))
        group = FailureGroup(
            fingerprint=row["fingerprint"],
            type=row["type"],
            error=row["error"],
            frame=row["frame"],
            message=row["message"],
            job=row["job"],
            jobs=row["jobs"],
            first_seen=row["first_seen"],
            last_seen=row["last_seen"],
            hours=tuple(counted.get(this - back, 0) for back in reversed(range(HOURS))),
        )
        groups.append(group)
    more = group_cursor(groups[-1].last_seen, groups[-1].fingerprint) if len(got) > limit else None
    return FailurePage(groups, more)
