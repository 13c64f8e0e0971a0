"""What the engine reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rota.engines.cursors import between, cursor, position
from rota.engines.postgres import rows, statements
from rota.engines.postgres.floors import Floors
from rota.engines.postgres.link import Session
from rota.engines.postgres.plan import Slots
from rota.engines.postgres.rows import plain
from rota.engines.postgres.walk import Span, Walk, walk
from rota.model.job import Count, Job, LogLine, Match, Note, Page, Selection, State, Tally

_FIND = statements.load("find")
_LOG = statements.load("log")
_NOTES = statements.load("notes")
_COUNT = statements.load("count")
_PROMOTE = statements.load("promote")
_TAGS = statements.load("tags")
_AHEAD = statements.load("ahead")
_ALL = 2**62


async def get(session: Session, ids: Sequence[str]) -> list[Job]:
    sql = _FIND["jobs"].format(columns=rows.JOB_COLUMNS)
    got = await session.only(sql, list({plain(id) for id in ids}))
    found = {job.id: job for job in map(rows.whole_job, got)}
    return [found[id] for id in ids if id in found]


async def find(session: Session, match: Match, slots: Slots, limit: int, after: str | None) -> Page:
    going = await walk(session, match, slots, Span(1, position(after) - 1), newest_first=True)
    got = await going.rows(rows.JOB_COLUMNS, limit + 1)
    more = None
    if len(got) > limit:
        more = cursor(got[limit - 1][0])
    elif going.left is not None:
        more = cursor(going.left.high + 1)
    return Page([rows.job(row) for row in got[:limit]], more)


async def select(session: Session, match: Match, slots: Slots, limit: int, after: str | None) -> Selection:
    going = await walk(session, match, slots, await _span(session, after), newest_first=False)
    ids = [row[1] for row in await going.rows("jobs.seq, jobs.id", limit)]
    return Selection(ids, _more(going))


async def tally(session: Session, match: Match, slots: Slots, after: str | None) -> Tally:
    going = await walk(session, match, slots, await _span(session, after), newest_first=False)
    jobs = await going.tally()
    return Tally(jobs, _more(going))


async def _span(session: Session, after: str | None) -> Span:
    """What a cursor left over; without one, the jobs that are there now."""
    if after is not None:
        return Span(*between(after))
    return Span(1, (await session.only(_FIND["newest"]))[0][0] or 0)


def _more(going: Walk) -> str | None:
    return None if going.left is None else cursor(*going.left)


async def logs(session: Session, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
    got = await session.only(_LOG["read"], plain(id), min(after, 2**31 - 1), limit)
    return [(n, LogLine(id, at, level, text)) for n, at, level, text in got]


async def notes(session: Session, kind: str, since: str, until: str | None, limit: int | None) -> list[Note]:
    got = await session.only(_NOTES["range"], kind, since, until, _ALL if limit is None else limit)
    return [Note(*row) for row in got]


async def next_due(session: Session) -> int | None:
    got = await session.only(_PROMOTE["next"])
    return got[0][0] if got else None


async def slots(session: Session, floor: int) -> dict[tuple[str, str, str], int]:
    """Jobs by queue, type and state; ``floor``: changes that are counted already."""
    return {(row[0], row[1], row[2]): row[3] for row in await session.only(_COUNT["read"], floor)}


async def count(session: Session, floor: int) -> list[Count]:
    return [Count(q, t, State(s), n) for (q, t, s), n in (await slots(session, floor)).items()]


async def tags(session: Session, begins: str, names: int, jobs: int) -> dict[str, int]:
    return {row[0]: row[1] for row in await session.only(_TAGS["begin"], plain(begins), names, jobs)}


async def oldest(session: Session, queues: Sequence[str], floors: Floors) -> dict[str, int]:
    if not queues:
        return {}
    names = list(queues)
    return {row[0]: row[1] for row in await session.only(_COUNT["oldest"], names, *floors.of(names))}


async def ahead(
    session: Session, ids: Sequence[str], types: Sequence[str] | None, now: int, limit: int
) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    wanted: Any = None if types is None else list(types)
    for id, type, jobs in await session.only(_AHEAD["before"], [plain(id) for id in ids], wanted, now, limit):
        here = found.setdefault(id, {})
        if type is not None:
            here[type] = jobs
    return found


async def time(session: Session) -> int:
    rows = await session.only("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    at: int = rows[0][0]
    return at
