"""How far logs elsewhere were read, of which jobs are made."""

from __future__ import annotations

import apsw

from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import run
from rota.model.job import POSITIONS, Position

_ENQUEUE = statements.load("enqueue")


def move(db: apsw.Connection, place: Position, jobs: bool) -> bool:
    """Note that a source was read up to there. False, and nothing changes: of the beginning of the stretch
    there are jobs already, and it has some.
    """
    rows = run(db, _ENQUEUE["position"], (POSITIONS, place.source))
    read = int(rows[0][0]) if rows else place.first
    if read > place.first and jobs:
        return False
    run(db, _ENQUEUE["keep_position"], (POSITIONS, place.source, b"%d" % max(read, place.next)))
    return True
