"""promote, cancel, retry, delete, log and save: each call by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rota.engines.postgres import failures, sift, statements
from rota.engines.postgres.enqueue import holders, lock_keys
from rota.engines.postgres.link import Session
from rota.engines.postgres.match import overdue, where
from rota.engines.postgres.rows import plain
from rota.model.job import Applied, LogLine, Match, Note, State

_PROMOTE = statements.load("promote")
_CANCEL = statements.load("cancel")
_RETRY = statements.load("retry")
_DELETE = statements.load("delete")
_LOG = statements.load("log")
_NOTES = statements.load("notes")


async def promote(session: Session, calls: list[tuple[int, int]]) -> list[list[tuple[str, int]]]:
    [(now, limit)] = calls
    rows = await session.only(_PROMOTE["due"], now, limit)
    return [[(queue, jobs) for queue, jobs in rows]]


async def cancel(session: Session, calls: list[tuple[Match, str, int, int]]) -> list[list[Applied]]:
    [(match, reason, now, limit)] = calls
    match = await sift.chosen(session, match)
    condition, values = where(match, 4)
    sql = _CANCEL["cancel"].format(match=condition, skip=_skip(match))
    rows = await session.fetch(sql, plain(reason), now, limit, *values)
    answers = []
    for id, lease, queue, type, state in rows:
        after = State.RUNNING if state == State.RUNNING else State.CANCELLED
        answers.append(Applied(id, lease, after, queue, type))
    return [answers]


async def cancelled(
    session: Session, calls: list[tuple[Match, str, int, int]], before: Sequence[Any] | None
) -> Sequence[Any]:
    """cancel, when the same call may have been kept just before with these answers."""
    [(_, _, now, _)] = calls
    for one in before[0] if before else ():
        there = await session.fetch(_CANCEL["there"], one.id)
        if there and (there[0][0] if one.state is State.RUNNING else there[0][1] == now):
            return before or []
    return await cancel(session, calls)


async def retry(session: Session, calls: list[tuple[Match, int, int]]) -> list[list[Applied]]:
    [(match, now, limit)] = calls
    match = await sift.chosen(session, match)
    condition, values = where(match, 2)
    chosen = await session.fetch(_RETRY["chosen"].format(match=condition), limit, *values)
    wanted = {
        key for _, _, _, _, _, state, key, held, _ in chosen if key and not held and state != State.SCHEDULED
    }
    taken: set[str] = set()
    if wanted:
        busy = await lock_keys(session, {f"u{key}" for key in wanted})
        taken = set(await holders(session, wanted)) | {key[1:] for key in busy}
    answers: list[Applied] = []
    again: list[int] = []
    recovered: list[tuple[str, str | None]] = []
    for seq, id, lease, queue, type, state, key, held, fingerprint in chosen:
        if key and not held and state != State.SCHEDULED:
            if key in taken:
                answers.append(Applied(id, lease, None, queue, type))
                continue
            taken.add(key)
        again.append(seq)
        recovered.append((queue, fingerprint))
        answers.append(Applied(id, lease, State.PENDING, queue, type))
    if again:
        await session.fetch(_RETRY["again"], again, now)
        await failures.gone(session, recovered)
    return [answers]


async def retried(
    session: Session, calls: list[tuple[Match, int, int]], before: Sequence[Any] | None
) -> Sequence[Any]:
    """retry, when the same call may have been kept just before with these answers."""
    [(_, now, _)] = calls
    for one in before[0] if before else ():
        there = await session.fetch(_RETRY["there"], one.id) if one.state is not None else []
        if there and there[0][0] == now:
            return before or []
    return await retry(session, calls)


async def delete(session: Session, calls: list[tuple[Match, int, int | None]]) -> list[list[Applied]]:
    [(match, limit, now)] = calls
    match = await sift.chosen(session, match)
    condition, values = where(match, 3)
    sql = _DELETE["delete"].format(match=condition, skip=_skip(match))
    rows = await session.fetch(sql, limit, now, *values)
    await failures.gone(session, ((row[2], row[5]) for row in rows))
    return [[Applied(id, lease, State(state), queue, type) for id, lease, queue, type, state, _ in rows]]


async def deleted(
    session: Session, calls: list[tuple[Match, int, int | None]], before: Sequence[Any] | None
) -> Sequence[Any]:
    """delete, when the same call may have been kept just before with these answers."""
    if before and before[0] and not await session.fetch(_DELETE["there"], before[0][0].id):
        return before
    return await delete(session, calls)


async def log(session: Session, calls: list[tuple[Sequence[LogLine], int]]) -> list[int]:
    [(lines, cap)] = calls
    last = {id: (seq, n) for id, seq, n in await _last(session, lines)}
    rows: list[tuple[Any, ...]] = []
    kept = 0
    for id, group in groupby(lines, key=lambda line: line.id):
        if id not in last:
            continue
        seq, n = last[id]
        for line in group:
            if n >= cap:
                break
            n += 1
            full = n == cap
            text = f"Log full: {cap} lines are kept, later ones are dropped." if full else plain(line.text)
            rows.append((seq, n, line.at, "warning" if full else line.level, text))
            kept += not full
        last[id] = (seq, n)
    if rows:
        await session.fetch(_LOG["lines"], *(list(column) for column in zip(*rows, strict=True)))
    return [kept]


async def logged(
    session: Session, calls: list[tuple[Sequence[LogLine], int]], before: Sequence[Any] | None
) -> Sequence[Any]:
    """log, when the same call may have been kept just before with these answers."""
    [(lines, cap)] = calls
    if before and before[0]:
        last = {line.id: line for line in lines}
        for one in last.values():
            there = await session.fetch(_LOG["there"], plain(one.id), one.at, plain(one.text), cap)
            if there[0][0]:
                return before
    return await log(session, calls)


async def _last(session: Session, lines: Sequence[LogLine]) -> list[Any]:
    return await session.fetch(_LOG["last"], sorted({plain(line.id) for line in lines})) if lines else []


async def save(session: Session, calls: list[Sequence[Note]]) -> list[None]:
    last = {(note.kind, note.key): note.body for notes in calls for note in notes}
    if last:
        kept = [(*slot, body) for slot, body in last.items() if body is not None]
        gone = [slot for slot, body in last.items() if body is None]
        values = [*_columns(gone, 2), *_columns(kept, 3)]
        await session.only(_NOTES["save"], *values)
    return [None] * len(calls)


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


def _skip(match: Match) -> str:
    return " SKIP LOCKED" if overdue(match) else ""
