"""What upkeep asks every second goes by an index, however full the store is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.engines.open import open_engine
from rota.engines.sqlite import statements
from rota.engines.sqlite.engine import SqliteEngine
from rota.engines.sqlite.match import MOST_DUE, where
from rota.model.clock import SECOND
from rota.model.job import Match, State
from tests.engines.kit import NOW, fresh, job, put


@pytest.mark.parametrize(
    ("verb", "match", "index"),
    [("cancel", Match(expired_at=NOW), "jobs_expiry"), ("delete", Match(delete_at=NOW), "jobs_delete")],
)
async def test_what_is_overdue_is_not_looked_for_among_all_jobs(
    tmp_path: Path, verb: str, match: Match, index: str
) -> None:
    engine = await open_engine(fresh("sqlite", tmp_path))
    assert isinstance(engine, SqliteEngine)
    condition, values = where(match)
    sql = statements.load(verb)["chosen"].format(match=condition)
    rows = engine._store.db.execute(f"EXPLAIN QUERY PLAN {sql}", (*values, 500)).fetchall()
    plan = [str(row[3]) for row in rows]
    assert any(f"INDEX {index} " in step for step in plan), plan
    assert any("USING INTEGER PRIMARY KEY (rowid=?)" in step for step in plan), plan
    assert not any(step.startswith("SCAN jobs") for step in plan), plan
    await engine.close()


async def test_more_than_are_looked_at_in_one_go_expire_all_the_same(store: str) -> None:
    engine = await open_engine(store)
    jobs = [job(expires_at=NOW + n % 7) for n in range(MOST_DUE + 300)]
    await put(engine, *jobs)
    gone = 0
    while step := await engine.cancel(Match(expired_at=NOW + SECOND), "expired", NOW + SECOND, 500):
        assert {one.state for one in step} == {State.CANCELLED}
        gone += len(step)
    assert gone == len(jobs)
    await engine.close()
