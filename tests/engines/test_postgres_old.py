"""An old transaction that stays open keeps every dead row: what servers do all the time must not go through
those again and again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from rota.engines.open import open_engine
from rota.engines.postgres import floors, tally
from rota.engines.postgres.engine import PostgresEngine
from rota.engines.postgres.tally import Folded
from tests import postgres
from tests.engines.kit import NOW, check_counts, done, job, put, take


@pytest.fixture
def database() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[PostgresEngine]:
    """One that does nothing by itself."""
    engine = await open_engine(database)
    assert isinstance(engine, PostgresEngine)
    for task in engine._tasks:
        task.cancel()
    yield engine
    await engine.close()


async def pages(connection: asyncpg.Connection) -> int:
    """Pages of tables and indexes that were looked at so far."""
    rows = await connection.fetch(
        "SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0)) "
        "FROM pg_statio_user_tables WHERE schemaname = 'rota'"
    )
    return int(rows[0][0] or 0)


async def turn(engine: PostgresEngine, jobs: int) -> None:
    """A job's whole life, and a round of what is done besides."""
    await put(engine, *(job() for _ in range(jobs)))
    await engine.finish([done(work, b"1") for work in await take(engine, jobs)], NOW)
    session = await engine._care._link.session()
    await engine._care.fold(session)
    await engine._care.look_below(session)
    await session.commit()
    await engine.count()
    await engine.oldest(["default"])


async def looked_at(engine: PostgresEngine, connection: asyncpg.Connection, jobs: int) -> int:
    """Pages that a turn costs."""
    for link in (engine._writer._link, engine._care._link, *engine._readers._all):
        link.drop()
    # A session tells what it did when it ends, at the latest.
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    before = await settled(connection)
    await turn(engine, jobs)
    for link in (engine._writer._link, engine._care._link, *engine._readers._all):
        link.drop()
    return await settled(connection) - before


async def settled(connection: asyncpg.Connection) -> int:
    """All sessions but this one have told what they did."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND backend_xmin IS NULL AND pid <> pg_backend_pid()"
    )
    while await connection.fetchval(others):
        await connection.execute("SELECT pg_stat_clear_snapshot()")
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    return await pages(connection)


async def test_no_more_pages_are_read_as_dead_rows_pile_up(
    database: str, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "DISTANCE", 0.0)
    monkeypatch.setattr(tally, "MARGIN", 0.0)
    looking = await asyncpg.connect(database)
    old = await asyncpg.connect(database)
    for _ in range(3):
        await turn(engine, 50)
    await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await old.execute("SELECT count(*) FROM rota.jobs")
    first = await looked_at(engine, looking, 50)
    await looking.execute(
        "INSERT INTO rota.changes (queue, type, state, jobs) "
        "SELECT 'default', 'work', 'done', n % 2 * 2 - 1 FROM generate_series(1, 60000) AS n"
    )
    for _ in range(120):
        await turn(engine, 50)
    last = await looked_at(engine, looking, 50)
    assert first > 0
    assert last < 1.5 * first + 100, "pages of a turn, before and behind 12,000 dead jobs and 60,000 changes"
    await old.close()
    await looking.close()
    await check_counts(engine)


def test_the_floor_of_changes_waits_for_whoever_may_still_bring_one() -> None:
    folded = Folded()
    folded.note(10, 100, 105, now=0.0)
    assert folded.upto == 0
    # 107 was given a number before the first round, and began after it.
    folded.note(None, 107, 108, now=tally.MARGIN)
    assert folded.upto == 0
    folded.note(20, 107, 120, now=9.0)
    folded.note(None, 108, 130, now=10.0)
    assert folded.upto == 10
    folded.note(None, 129, 130, now=19.0)
    assert folded.upto == 10
    folded.note(None, 130, 130, now=20.0)
    assert folded.upto == 20
    assert folded.begin(130) == 20


def test_who_takes_long_is_passed_and_looked_after() -> None:
    folded = Folded()
    folded.note(10, 50, 100, now=0.0)
    folded.note(None, 50, 100, now=tally.LATE - 1)
    assert (folded.upto, folded.begin(50)) == (0, 0)
    folded.note(None, 50, 200, now=tally.LATE)
    assert folded.upto == 10
    assert folded.begin(50) == 10
    assert folded.begin(199) == 10
    assert folded.begin(200) == 0, "it has ended: what it changed may lie below"
    assert folded.begin(200) == 10


async def test_a_change_that_came_late_is_counted(
    database: str, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MARGIN", 0.0)
    monkeypatch.setattr(tally, "LATE", 0.0)
    late = await asyncpg.connect(database)
    await late.execute("BEGIN")
    await late.execute("INSERT INTO rota.changes (queue, type, state, jobs) VALUES ('late', 't', 'done', 7)")
    for _ in range(4):
        await turn(engine, 3)
    assert engine._care.counted > 1, "this test needs a floor above the change"
    await late.execute("COMMIT")
    await late.close()
    for _ in range(2):
        await turn(engine, 3)
    assert {row.queue: row.jobs for row in await engine.count() if row.jobs}["late"] == 7
