"""An old transaction that stays open keeps every dead row: what servers do all the time must not go through
those again and again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from rota.engines.open import open_engine
from rota.engines.postgres import floors, statements, tally
from rota.engines.postgres.engine import PostgresEngine
from rota.engines.postgres.migrate import LOCK
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


async def looked_at(engine: PostgresEngine, jobs: int) -> dict[str, int]:
    """Pages that each statement looks at which servers run all the time. Steps of a plan count with those
    above them, too.
    """
    await put(engine, *(job() for _ in range(2 * jobs)))
    works = await take(engine, jobs)
    lanes = engine._floors.of(["default"])
    places = [["w"] * jobs, [NOW] * jobs, [NOW] * jobs]
    claim = [["default"], *lanes, None, [], NOW, jobs, jobs + 32, *places]
    columns = list(zip(*((work.id, work.lease, NOW, b"1", None, "done") for work in works), strict=True))
    counted = engine._care.counted
    asked: dict[str, tuple[str, str, Sequence[Any]]] = {
        "claim": ("claim", "best", claim),
        "finish": ("finish", "done", [list(column) for column in columns]),
        "fold": ("count", "fold", [LOCK, counted, 5000]),
        "count": ("count", "read", [counted]),
        "oldest": ("count", "oldest", [["default"], *lanes]),
    }
    found = {}
    for name, (file, part, values) in asked.items():
        session = await engine._writer._link.session()
        rows = await session.fetch("EXPLAIN (ANALYZE, BUFFERS) " + statements.load(file)[part], *values)
        await session.rollback()
        said = "\n".join(row[0] for row in rows)
        found[name] = sum(map(int, re.findall(r"shared hit=(\d+)", said)))
        found[name] += sum(map(int, re.findall(r"Buffers: shared.* read=(\d+)", said)))
    await engine.finish([done(work) for work in works], NOW)
    await engine.finish([done(work) for work in await take(engine, jobs)], NOW)
    return found


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
    first = await looked_at(engine, 50)
    await looking.execute(
        "INSERT INTO rota.changes (queue, type, state, jobs) "
        "SELECT 'default', 'work', 'done', n % 2 * 2 - 1 FROM generate_series(1, 60000) AS n"
    )
    for _ in range(120):
        await turn(engine, 50)
    last = await looked_at(engine, 50)
    for name, pages in first.items():
        assert pages > 0
        # An index of many jobs is a step deeper than one of few.
        assert last[name] < 2 * pages + 50, f"{name} behind 12,000 dead jobs and 60,000 dead changes"
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
