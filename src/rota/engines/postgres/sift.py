"""Jobs whose payload or error has to be looked into: their bytes go to the Sift of the match, which knows
what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from rota.engines.postgres import statements
from rota.engines.postgres.link import Session
from rota.engines.postgres.match import ERROR, PAYLOAD, where
from rota.model.job import Match
from rota.model.search import Sift

_FIND = statements.load("find")

FIRST, MOST = 128, 512
"""Jobs looked into with the first statement, and at most with one."""


TURN = 32
"""Jobs looked into before others have their turn on the loop."""


def columns(sift: Sift) -> str:
    """What :func:`kept` needs of a job."""
    payload = PAYLOAD if sift.looks_at_payload else "NULL::bytea"
    return f"jobs.seq, {payload}, {ERROR if sift.looks_at_error else 'NULL::bytea'}"


async def kept(
    session: Session, sift: Sift, rows: list[Any], limit: int, over: Callable[[], bool]
) -> tuple[list[int], int | None]:
    """Those of these jobs that fit, up to ``limit``, and where it ended when that was before the last one."""
    found: list[int] = []
    for n, (seq, payload, error) in enumerate(rows, 1):
        if sift.keeps(await _payload(session, sift, seq, payload), error):
            found.append(seq)
        if n % TURN == 0:
            await asyncio.sleep(0)
        if len(found) == limit or over():
            return found, seq
    return found, None


async def chosen(session: Session, match: Match) -> Match:
    """The same jobs by their ids, within a transaction that holds them until its end. To be used with ids,
    or with filters that few jobs pass.
    """
    sift = match.sift()
    if sift is None:
        return match
    condition, values = where(match, 3)
    found: list[str] = []
    last = 0
    while rows := await session.fetch(_FIND["held"].format(match=condition), last, MOST, *values):
        last = rows[-1][0]
        # Another statement, which sees what those did that had them before.
        inside = _FIND["inside"].format(payload=PAYLOAD, error=ERROR)
        for seq, id, payload, error in await session.fetch(inside, [row[0] for row in rows]):
            if sift.keeps(await _payload(session, sift, seq, payload), error):
                found.append(id)
    return msgspec.structs.replace(match.without_sift(), ids=tuple(found))


async def _payload(session: Session, sift: Sift, seq: int, payload: bytes | None) -> bytes | None:
    if payload is None and sift.looks_at_payload:
        return next((row[0] for row in await session.only(_FIND["payload"], seq)), None)
    return payload
