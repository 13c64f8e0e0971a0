"""Log lines of jobs, as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import apsw

from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import Row, run, run_many
from rota.model.job import LogLine

_LOG = statements.load("log")


def log(db: apsw.Connection, lines: Sequence[LogLine], cap: int) -> int:
    kept = 0
    for id, group in groupby(lines, key=lambda line: line.id):
        got = run(db, _LOG["last"], (id,))
        if not got:
            continue
        seq, n = got[0]
        values: list[Row] = []
        for line in group:
            if n >= cap:
                break
            n += 1
            full = n == cap
            text = f"Log full: {cap} lines are kept, later ones are dropped." if full else line.text
            values.append((seq, n, line.at, "warning" if full else line.level, text))
            kept += not full
        run_many(db, _LOG["line"], values)
    return kept
