"""Jobs whose payload or error has to be looked into: their bytes go to the Sift of the match, which knows
what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from rota.engines.sqlite import statements
from rota.engines.sqlite.match import ERROR, PAYLOAD
from rota.engines.sqlite.statements import Row, run
from rota.model.search import Sift

_FIND = statements.load("find")

FIRST, MOST = 128, 512
"""Jobs looked into with the first statement, and at most with one."""


def columns(sift: Sift) -> str:
    """What :func:`kept` needs of a job."""
    return f"seq, {PAYLOAD if sift.looks_at_payload else 'NULL'}, {ERROR if sift.looks_at_error else 'NULL'}"


def kept(
    db: apsw.Connection, sift: Sift, rows: list[Row], limit: int, over: Callable[[], bool]
) -> tuple[list[int], int | None]:
    """Those of these jobs that fit, up to ``limit``, and where it ended when that was before the last one."""
    found: list[int] = []
    for seq, payload, error in rows:
        if sift.keeps(_payload(db, sift, seq, payload), error):
            found.append(seq)
        if len(found) == limit or over():
            return found, seq
    return found, None


def fitting(db: apsw.Connection, sift: Sift, sql: str, values: tuple[Any, ...], limit: int) -> list[Row]:
    """The first rows of a statement, ``seq`` first among their columns, whose jobs fit."""
    found: list[Row] = []
    going = db.cursor()
    try:
        for row in going.execute(sql, values):
            payload, error = run(db, _FIND["inside"].format(payload=PAYLOAD, error=ERROR), (row[0],))[0]
            if sift.keeps(_payload(db, sift, row[0], payload), error):
                found.append(row)
            if len(found) == limit:
                break
    finally:
        going.close()
    return found


def _payload(db: apsw.Connection, sift: Sift, seq: int, payload: bytes | None) -> bytes | None:
    if payload is None and sift.looks_at_payload:
        return next((row[0] for row in run(db, _FIND["payload"], (seq,))), None)
    return payload
