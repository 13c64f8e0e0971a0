"""What the engine reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw
import msgspec

from rota.engines.cursors import between, cursor, position
from rota.engines.sqlite import rows, statements
from rota.engines.sqlite.plan import Slots
from rota.engines.sqlite.statements import run
from rota.engines.sqlite.walk import Span, Walk
from rota.model.job import Attempt, Job, LogLine, Match, Note, Page, Selection, State, Tally

_FIND = statements.load("find")
_LOG = statements.load("log")
_NOTES = statements.load("notes")
_COUNT = statements.load("count")
_PROMOTE = statements.load("promote")
_TAGS = statements.load("tags")
_AHEAD = statements.load("ahead")


def get(db: apsw.Connection, ids: Sequence[str]) -> list[Job]:
    sql = _FIND["jobs"].format(columns=rows.JOB_COLUMNS)
    found: dict[str, Job] = {}
    for row in run(db, sql, (msgspec.json.encode(ids).decode(),)):
        payload, content_type, headers, result, result_type = run(db, _FIND["body"], (row[0],))[0]
        attempts = [Attempt(*one) for one in run(db, _FIND["attempts"], (row[0],))]
        job = rows.job(
            row,
            payload=payload,
            content_type=content_type,
            headers=rows.headers(headers),
            result=result,
            result_type=result_type,
            error=_last_error(attempts) if row[4] != State.DONE else None,
        )
        if job.state in (State.RUNNING, State.DONE) and job.started_at is not None:
            end = "done" if job.state is State.DONE else None
            attempts.append(
                Attempt(job.attempt, job.lease, job.worker, job.started_at, job.finished_at, end, None)
            )
        found[job.id] = msgspec.structs.replace(job, attempts=tuple(attempts))
    return [found[id] for id in ids if id in found]


def _last_error(attempts: Sequence[Attempt]) -> bytes | None:
    return next((attempt.error for attempt in reversed(attempts) if attempt.error is not None), None)


def find(db: apsw.Connection, match: Match, slots: Slots, limit: int, after: str | None) -> Page:
    walk = Walk(db, match, slots, Span(1, position(after) - 1), newest_first=True)
    got = walk.rows(rows.JOB_COLUMNS, limit + 1)
    more = None
    if len(got) > limit:
        more = cursor(got[limit - 1][0])
    elif walk.left is not None:
        more = cursor(walk.left.high + 1)
    return Page([rows.job(row) for row in got[:limit]], more)


def select(db: apsw.Connection, match: Match, slots: Slots, limit: int, after: str | None) -> Selection:
    walk = Walk(db, match, slots, _span(db, after), newest_first=False)
    ids = [row[1] for row in walk.rows("seq, id", limit)]
    return Selection(ids, _more(walk))


def tally(db: apsw.Connection, match: Match, slots: Slots, after: str | None) -> Tally:
    walk = Walk(db, match, slots, _span(db, after), newest_first=False)
    jobs = walk.tally()
    return Tally(jobs, _more(walk))


def _span(db: apsw.Connection, after: str | None) -> Span:
    """What a cursor left over; without one, the jobs that are there now."""
    return Span(1, run(db, _FIND["newest"])[0][0] or 0) if after is None else Span(*between(after))


def _more(walk: Walk) -> str | None:
    return None if walk.left is None else cursor(*walk.left)


def logs(db: apsw.Connection, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
    got = run(db, _LOG["read"], (id, after, limit))
    return [(n, LogLine(id, at, level, text)) for n, at, level, text in got]


def notes(db: apsw.Connection, kind: str) -> list[Note]:
    return [Note(*row) for row in run(db, _NOTES["read"], (kind,))]


def some_notes(
    db: apsw.Connection, kind: str, since: str, until: str | None, limit: int | None
) -> list[Note]:
    return [
        Note(*row) for row in run(db, _NOTES["range"], (kind, since, until, -1 if limit is None else limit))
    ]


def next_due(db: apsw.Connection) -> int | None:
    got = run(db, _PROMOTE["next"])
    return got[0][0] if got else None


def counts(db: apsw.Connection) -> list[tuple[str, str, str, int]]:
    return run(db, _COUNT["read"])


def tags(db: apsw.Connection, begins: str, names: int, jobs: int) -> dict[str, int]:
    return dict(run(db, _TAGS["begin"], (begins, names, jobs)))


def oldest(db: apsw.Connection, types: Mapping[str, Sequence[str]]) -> dict[str, int]:
    since: dict[str, int] = {}
    for queue, names in types.items():
        for type in names:
            below = 1 << 30
            while got := run(db, _COUNT["oldest"], (queue, type, below)):
                below, run_at = got[0]
                since[queue] = min(since.get(queue, run_at), run_at)
    return since


def places(db: apsw.Connection, ids: Sequence[str]) -> list[tuple[str, int, str, int]]:
    """Where pending jobs stand in the claim order: id, seq, queue, priority."""
    return run(db, _AHEAD["place"], (msgspec.json.encode(ids).decode(),))


def ahead(
    db: apsw.Connection,
    asked: Sequence[tuple[str, int, str, int]],
    types: Mapping[str, Sequence[str]],
    now: int,
    limit: int,
) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for id, seq, queue, priority in asked:
        names = msgspec.json.encode(types[queue]).decode()
        found[id] = dict(run(db, _AHEAD["before"], (names, queue, priority, seq, now, limit)))
    return found
