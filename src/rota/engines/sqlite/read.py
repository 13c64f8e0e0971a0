"""What the engine reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw
import msgspec

from rota.engines.sqlite import rows, statements
from rota.engines.sqlite.match import cursor, position, where
from rota.engines.sqlite.statements import run
from rota.model.job import Attempt, Job, LogLine, Match, Note, Page, State

_FIND = statements.load("find")
_LOG = statements.load("log")
_NOTES = statements.load("notes")
_COUNT = statements.load("count")
_PROMOTE = statements.load("promote")
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


def find(db: apsw.Connection, match: Match, limit: int, after: str | None) -> Page:
    condition, values = where(match)
    sql = _FIND["page"].format(columns=rows.JOB_COLUMNS, match=condition)
    got = run(db, sql, (*values, position(after), limit + 1))
    more = cursor(got[limit - 1][0]) if len(got) > limit else None
    return Page([rows.job(row) for row in got[:limit]], more)


def logs(db: apsw.Connection, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
    got = run(db, _LOG["read"], (id, after, limit))
    return [(n, LogLine(id, at, level, text)) for n, at, level, text in got]


def notes(db: apsw.Connection, kind: str) -> list[Note]:
    return [Note(*row) for row in run(db, _NOTES["read"], (kind,))]


def next_due(db: apsw.Connection) -> int | None:
    got = run(db, _PROMOTE["next"])
    return got[0][0] if got else None


def counts(db: apsw.Connection) -> list[tuple[str, str, str, int]]:
    return run(db, _COUNT["read"])


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
