"""How the PostgreSQL engine goes about things: locks in order, answers behind commits, one notification for a
batch, lists by an index, vacuuming that was thought about.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from rota.engines.open import open_engine
from rota.engines.postgres import plan, statements
from rota.engines.postgres.engine import PostgresEngine
from rota.engines.postgres.migrate import LOCK
from rota.engines.postgres.voice import CHANNEL
from rota.model.clock import HOUR
from rota.model.errors import StoreError
from rota.model.job import Match, Note, Request, State
from tests import postgres
from tests.core.kit import until
from tests.engines.kit import again, done, found, ids, job, put, run, state_of, take


@pytest.fixture
def database() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[PostgresEngine]:
    engine = await open_engine(database)
    assert isinstance(engine, PostgresEngine)
    yield engine
    await engine.close()


@pytest.fixture
async def other(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.mark.parametrize("place", [0, 9, 20])
async def test_locks_of_keys_are_taken_in_order(
    database: str, engine: PostgresEngine, other: asyncpg.Connection, place: int
) -> None:
    """Whoever waits for one of its locks holds those before it, and none behind: nobody waits in a ring."""
    keys = [f"key {n}" for n in range(30)]
    await put(engine, *(job(unique_key=key) for key in keys))
    taken = (
        "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
    )
    waited = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    buckets = [row[0] for row in await other.fetch(BUCKETS, [f"u{key}" for key in keys])]
    await other.execute("BEGIN")
    await other.execute("SELECT pg_advisory_xact_lock($1::integer, $2::integer)", LOCK, buckets[place])
    request = Request(tuple(job(unique_key=key) for key in reversed(keys)))
    asking = asyncio.ensure_future(engine.enqueue([request], 0))
    await until(lambda: bool(postgres.ask(database, waited)))
    assert sorted(row[0] for row in await other.fetch(taken)) == buckets[:place]
    await other.execute("COMMIT")
    [kept] = await asking
    assert {one.why for one in kept} == {"unique"}


BUCKETS = (
    "SELECT DISTINCT hashtextextended(k, 0) & 1023 AS bucket FROM unnest($1::text[]) AS k ORDER BY bucket"
)
"""The locks of keys, in order."""


REFUSE = """
CREATE FUNCTION rota.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'not today' USING ERRCODE = 'check_violation';
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON rota.jobs DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.tags = ARRAY['refused']) EXECUTE FUNCTION rota.refuse();
"""


async def test_nothing_is_acknowledged_before_its_commit(
    database: str, engine: PostgresEngine, other: asyncpg.Connection
) -> None:
    """A commit that is refused is told to everybody whose call was in it."""
    works = [await run(engine, job(tags=tags)) for tags in ((), ("refused",))]
    await other.execute(REFUSE)
    new, never = job(), job(tags=("refused",))
    calls = await asyncio.gather(
        put(engine, job()),
        put(engine, never),
        engine.finish([done(works[1])], 0),
        engine.save([Note("k", "k", b"x")]),
        put(engine, new),
        engine.finish([done(works[0])], 0),
        return_exceptions=True,
    )
    assert [isinstance(answer, StoreError) for answer in calls] == [False, True, True, False, False, False]
    assert await state_of(engine, new.id, never.id, works[0].id, works[1].id) == [
        State.PENDING,
        None,
        State.DONE,
        State.RUNNING,
    ]
    await other.execute("DROP TRIGGER refuse ON rota.jobs; DROP FUNCTION rota.refuse()")


async def test_a_batch_is_one_notification(database: str, engine: PostgresEngine) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    ear = await asyncpg.connect(database)
    await ear.add_listener(CHANNEL, lambda _c, _p, _h, text: heard.put_nowait(text))
    await engine.announce([f"q{n % 50}" for n in range(1000)], [b"news"] * 20)
    await engine.announce(["the end"])
    told = []
    while "the end" not in (text := await heard.get()):
        told.append(text)
    assert len(told) == 1
    assert {f"q{n}" for n in range(50)} <= set(json.loads(told[0])[3:])
    await ear.close()


async def test_what_verbs_write_notifies_nobody(
    database: str, engine: PostgresEngine, other: asyncpg.Connection
) -> None:
    """Only announcing does, once for all that was stored meanwhile: a commit with a notification waits for
    every other one.
    """
    heard: asyncio.Queue[str] = asyncio.Queue()
    await other.add_listener(CHANNEL, lambda _c, _p, _h, text: heard.put_nowait(text))
    await put(engine, *(job() for _ in range(50)))
    await engine.finish([done(work) for work in await take(engine, 50)], 0)
    await engine.announce(["the end"])
    assert "the end" in await heard.get()


async def test_every_table_says_when_it_is_vacuumed(other: asyncpg.Connection) -> None:
    rows = await other.fetch(
        "SELECT relname, coalesce(reloptions, '{}') AS options FROM pg_class "
        "WHERE relnamespace = 'rota'::regnamespace AND relkind = 'r'"
    )
    assert {row["relname"] for row in rows} >= {"jobs", "changes", "counts", "notes", "files"}
    for row in rows:
        options = dict(option.split("=") for option in row["options"])
        assert {"autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold"} <= options.keys(), row[
            "relname"
        ]
        # Never a share of a big table that would take forever to come together.
        assert float(options["autovacuum_vacuum_scale_factor"]) <= 0.05, row["relname"]


async def buffers(engine: PostgresEngine, sql: str, *values: Any) -> int:
    """Pages that a statement looks at."""
    async with engine._readers.session() as session:
        rows = await session.fetch("EXPLAIN (ANALYZE, BUFFERS) " + sql, *values)
    [pages] = re.findall(r"^ *Buffers: shared hit=(\d+)", "\n".join(row[0] for row in rows), re.MULTILINE)[:1]
    return int(pages)


@pytest.mark.parametrize("order", ["ASC", "DESC"])
async def test_a_page_of_waiting_jobs_is_read_from_an_index_by_age(
    engine: PostgresEngine, order: str
) -> None:
    for delay in (0, HOUR):
        await put(engine, *(job(f"t{n % 3}", delay=delay) for n in range(6000)))
    # The database has served other tests, whose dead entries are in the way of the oldest jobs.
    vacuum = await asyncpg.connect(engine._gate.place.dsn)
    await vacuum.execute("VACUUM rota.jobs")
    await vacuum.close()
    parts = statements.load("plan")
    span = (1, 2**60, 20)
    assert await buffers(engine, parts["pending"].format(order=order), None, None, *span) < 200
    assert await buffers(engine, parts["pending"].format(order=order), ["default"], ["t1"], *span) < 40
    assert await buffers(engine, parts["scheduled"].format(order=order), *span) < 100
    for states in ({State.PENDING}, {State.SCHEDULED}, {State.PENDING, State.FAILED}):
        async with engine._readers.session() as session:
            match = Match(states=tuple(states))
            way = await plan.plan(session, match, await engine._slots(session))
        assert way is not None
        assert {source.part for source in way} <= {"pending", "scheduled", "failed"}


async def test_pending_jobs_of_more_lanes_than_are_merged(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(f"t{n % 9}", queue=f"q{n % 2}", priority=n % 3) for n in range(60)]
    await put(engine, *jobs)
    [work] = await take(engine, 1, "q0")
    await engine.finish([again(work)], 0)
    everything = ids(jobs[::-1])
    for most in (plan.LANES, 0):
        monkeypatch.setattr(plan, "LANES", most)
        assert await found(engine, Match(states=(State.PENDING,)), 7) == everything
        mine = ids([one for one in jobs[::-1] if (one.queue, one.type) == ("q1", "t4")])
        assert await found(engine, Match(states=(State.PENDING,), queues=("q1",), types=("t4",)), 2) == mine
        selected = await engine.select(Match(states=(State.PENDING,), queues=("q1",), types=("t4",)), 50)
        assert selected.ids == mine[::-1]
