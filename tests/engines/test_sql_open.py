"""Transactions that have stored jobs and stay open: nobody waits, and what they stored is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from rota.engines.base import Engine
from rota.engines.postgres import enqueue, floors
from rota.engines.postgres.engine import PostgresEngine
from rota.engines.postgres.link import Session, Wire
from rota.model.clock import MINUTE
from rota.model.job import Kept, Match, Request, State
from tests import postgres
from tests.engines.kit import (
    again,
    check_counts,
    done,
    ended,
    found,
    fresh,
    ids,
    job,
    put,
    put_keyed,
    run,
    state_of,
    take,
)
from tests.engines.sql_kit import MANY, clock, connected, dsn, sound, waits


@pytest.fixture
def store(tmp_path: Any) -> Iterator[str]:
    url = fresh("postgres", tmp_path)
    yield url
    postgres.give_back(url)


@pytest.fixture
async def sql(store: str) -> AsyncIterator[Any]:
    """A program's own connection."""
    async with connected(store) as connection:
        yield connection


@pytest.fixture
async def other(store: str) -> AsyncIterator[Any]:
    async with connected(store) as connection:
        yield connection


async def test_an_open_transaction_is_in_nobodys_way(store: str, engine: PostgresEngine, sql: Any) -> None:
    """Servers work in the same line, block and minute, and nothing of theirs waits: it would be 10 s."""
    # Of another minute: nothing of theirs is there yet.
    await put(engine, job("old"))
    async with sql.transaction():
        mine = [
            row["id"]
            for row in await sql.fetch(
                MANY,
                json.dumps(
                    [{"type": "work", "queue": queue, "tags": ["t"]} for queue in ("default", "new")]
                    + [{"type": "work", "unique_key": "u"}, {"type": "work", "idempotency_key": "i"}]
                ),
            )
        ]
        now = clock()
        for _ in range(3):
            await put(engine, *(job(tags=("t",), now=now) for _ in range(200)), now=now)
        await put(engine, job(queue="new", now=now, unique_key="elsewhere"), now=now)
        await put_keyed(engine, "other", b"x", job(now=now), now=now)
        taken = await take(engine, 400, now=now)
        assert len(taken) == 400
        await engine.finish([done(work) for work in taken[:200]], now)
        await engine.finish([again(work, back=True) for work in taken[200:]], now)
        await engine.cancel(Match(types=("old",)), "cancelled", now, 10)
        await engine.retry(Match(types=("old",)), now, 10)
        await engine.delete(Match(types=("work",), states=(State.DONE,)), 50)
        async with engine._readers.session() as session:
            await engine._care.fold(session)
        await check_counts(engine)
    assert await state_of(engine, *mine) == [State.PENDING] * 4
    listed = await found(engine, Match(types=("work",)))
    assert set(mine) <= set(listed)
    assert len(set(listed)) == len(listed)
    assert mine[1] in await found(engine, Match(queues=("new",)))
    assert mine[0] in await found(engine, Match(since=now - MINUTE, tags=("t",)))
    async with engine._readers.session() as session:
        await engine._care.look_below(session)
    left = {claimed.id for claimed in await take(engine, 1000, "default", "new", now=clock())}
    assert set(mine) <= left
    await check_counts(engine)
    await sound(store)


async def test_a_late_commit_is_found_behind_the_floor(
    store: str, engine: PostgresEngine, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "DISTANCE", 0.0)
    async with sql.transaction():
        id = await sql.fetchval("SELECT rota.enqueue('work')")
        await put(engine, *(job() for _ in range(9)))
        for _ in range(5):
            await take(engine)
        async with engine._readers.session() as session:
            await engine._care.fold(session)
        # All changes that are numbered by now count as counted, as they do after a minute.
        engine._care._folded.upto = postgres.ask(store, "SELECT last_value FROM rota.changes_n_seq")[0][0]
    assert id not in ids(await take(engine, 3)), "this test needs a floor above the job"
    assert (await engine.count())[0].jobs
    await check_counts(engine)
    assert id in await found(engine, Match(states=(State.PENDING,), types=("work",)))
    async with engine._readers.session() as session:
        await engine._care.look_below(session)
    assert ids(await take(engine)) == [id]
    async with engine._readers.session() as session:
        await engine._care.fold(session)
        await engine._care.forget(session)
    await check_counts(engine)
    await sound(store)


async def test_lanes_of_transactions_become_everybodys(
    store: str, engine: PostgresEngine, sql: Any, other: Any
) -> None:
    async with sql.transaction(), other.transaction():
        for connection in (sql, other):
            await connection.execute("SELECT rota.enqueue('first'), rota.enqueue('first', priority => 1)")
    assert len(await engine._read(lambda session: session.only("SELECT 1 FROM rota.lanes"))) == 4
    assert len(await take(engine, 3)) == 3, "each job once, for all its lanes"
    async with engine._readers.session() as session:
        await engine._care.forget(session)
    lanes = await sql.fetch("SELECT priority, tx FROM rota.lanes ORDER BY priority")
    assert [tuple(row) for row in lanes] == [(0, 0), (1, 0)]
    await sql.execute("SELECT rota.enqueue('first')")
    assert await sql.fetchval("SELECT count(*) FROM rota.lanes") == 2
    assert len(await take(engine, 3)) == 2
    await sound(store)


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_a_server_does_not_wait_for_keys_of_an_open_transaction(
    engine: Engine, sql: Any, ending: str
) -> None:
    gone = await ended(engine, State.DONE, now=clock(), unique_key="retried")
    transaction = sql.transaction()
    await transaction.start()
    mine = [
        row["id"]
        for row in await sql.fetch(
            MANY,
            '[{"type": "a", "unique_key": "u"}, {"type": "a", "unique_key": "retried"},'
            ' {"type": "a", "idempotency_key": "i"}]',
        )
    ]
    now = clock()
    for _ in range(2):
        [kept] = await put(engine, job("a", now=now, unique_key="u"), now=now)
        assert (kept.why, kept.state) == ("busy", None)
        kept, also = await put_keyed(engine, "i", b"x", job("a", now=now), job("b", now=now), now=now)
        assert (kept.why, also.why) == ("busy", "busy")
    [applied] = await engine.retry(Match(ids=(gone.id,)), now, 1)
    assert applied.state is None
    # Others of the same request or batch are stored or not, each as it is.
    answers = await asyncio.gather(
        engine.enqueue([Request((job("c", now=now, unique_key="free"),))], now),
        engine.enqueue([Request((job("c", now=now), job("a", now=now, unique_key="u")))], now),
    )
    assert [[one.why for one in kept] for [kept] in answers] == [[None], ["busy", "busy"]]
    await getattr(transaction, ending)()
    new = job("a", now=now, unique_key="u")
    [kept] = await put(engine, new, now=now)
    again = (await put_keyed(engine, "i", b"x", job("a", now=now), now=now))[0]
    if ending == "commit":
        assert (kept, again.why) == (Kept(mine[0], State.PENDING, "unique"), "mismatch")
    else:
        assert (kept, again.why) == (Kept(new.id, State.PENDING), None)
    await check_counts(engine)


async def test_of_two_transactions_the_second_waits_for_the_key(engine: Engine, sql: Any, other: Any) -> None:
    call = "SELECT * FROM rota.enqueue_many($1)"
    for key, ending, why in (
        ("unique_key", "commit", "unique"),
        ("idempotency_key", "commit", "idempotency"),
        ("unique_key", "rollback", None),
    ):
        spec = json.dumps([{"type": "a", key: f"{key} {ending}"}])
        transaction = sql.transaction()
        await transaction.start()
        [mine] = await sql.fetch(call, spec)
        [twice] = await sql.fetch(call, spec)
        assert (twice["id"], twice["created"]) == (mine["id"], False)
        second = asyncio.ensure_future(other.fetch(call, spec))
        async with connected(dsn(sql)) as watch:
            await waits(watch, other.get_server_pid())
        await getattr(transaction, ending)()
        [theirs] = await second
        assert (theirs["id"] == mine["id"], theirs["why"]) == (why is not None, why)
    await check_counts(engine)


async def test_a_transaction_waits_for_a_server_that_is_storing_the_key(
    store: str, engine: PostgresEngine, sql: Any, other: Any
) -> None:
    """The server looked whether the key was taken before it was, and has not committed yet."""
    session = Session(engine._gate, Wire(other))
    new = job("a", now=clock(), unique_key="u")
    [[[kept]]] = await enqueue.enqueue(session, [([Request((new,))], clock())])
    assert kept.why is None
    asked = asyncio.ensure_future(sql.fetchrow(MANY, '[{"type": "a", "unique_key": "u"}]'))
    async with connected(store) as watch:
        await waits(watch, sql.get_server_pid())
    await session.commit()
    row = await asked
    assert (row["id"], row["created"], row["why"]) == (new.id, False, "unique")
    assert await sql.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_key_held_by_a_stored_job_answers_with_it(engine: Engine, sql: Any) -> None:
    work = await run(engine, job("a", now=clock(), unique_key="u"), clock())
    row = await sql.fetchrow(MANY, '[{"type": "a", "unique_key": "u", "idempotency_key": "i"}]')
    assert tuple(row) == (work.id, "running", False, "unique")
    assert await sql.fetchval("SELECT rota.enqueue('a', unique_key => 'u')") == work.id
    await engine.finish([done(work)], clock())
    row = await sql.fetchrow(MANY, '[{"type": "a", "unique_key": "u", "idempotency_key": "i"}]')
    assert tuple(row) == (work.id, "done", False, "idempotency")
    assert await sql.fetchval("SELECT rota.enqueue('a', unique_key => 'u')") != work.id
    await sql.execute("UPDATE rota.keys SET until = 0")
    assert (await sql.fetchrow(MANY, '[{"type": "b", "idempotency_key": "i"}]'))["created"]


async def test_a_snapshot_that_is_too_old_is_told_so(engine: Engine, sql: Any) -> None:
    async with sql.transaction(isolation="repeatable_read"):
        await sql.fetch("SELECT 1 FROM rota.jobs")
        await put(engine, job("a", now=clock(), unique_key="u"))
        with pytest.raises(asyncpg.SerializationError):
            async with sql.transaction():
                await sql.execute("SELECT rota.enqueue('a', unique_key => 'u')")
        await sql.execute("SELECT rota.enqueue('a', unique_key => 'v')")
    assert len(await found(engine)) == 2
