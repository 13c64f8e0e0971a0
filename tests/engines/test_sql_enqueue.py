"""Jobs stored by the SQL function ``rota.enqueue``: there when the transaction is committed, and as meant."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from rota.core import limits
from rota.engines.base import Engine
from rota.engines.open import verify
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.errors import StoreError
from rota.model.job import Exponential, Fixed, State
from rota.model.spec import Limits
from tests import postgres
from tests.engines.kit import (
    check_counts,
    done,
    found,
    fresh,
    job,
    one,
    put,
    take,
    turn_on,
)
from tests.engines.sql_kit import MANY, clock, connected, dsn, sound


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


async def test_a_job_exists_when_the_transaction_is_committed(store: str, engine: Engine, sql: Any) -> None:
    transaction = sql.transaction()
    await transaction.start()
    id = await sql.fetchval("SELECT rota.enqueue('work')")
    assert (await engine.get([id]), await take(engine), await engine.count()) == ([], [], [])
    await transaction.commit()
    [claimed] = await take(engine)
    assert (claimed.id, claimed.payload, claimed.content_type, claimed.attempt) == (id, b"null", None, 1)
    await engine.finish([done(claimed)], clock())
    await check_counts(engine)
    await sound(store)


async def test_the_event_log_knows_of_it_in_the_same_transaction(engine: Engine, sql: Any) -> None:
    async def events() -> list[tuple[str, str]]:
        read = await engine.read_events("out", "me", clock() + SECOND, 10, clock())
        return [(event.event, event.id) for event in read.events]

    await turn_on(engine, "out")
    transaction = sql.transaction()
    await transaction.start()
    ids = [await sql.fetchval("SELECT rota.enqueue('work')") for _ in range(2)]
    assert await events() == []
    await transaction.commit()
    assert await events() == [("enqueued", id) for id in ids]
    with pytest.raises(ZeroDivisionError):
        async with sql.transaction():
            await sql.fetchval("SELECT rota.enqueue('work')")
            raise ZeroDivisionError
    assert len(await events()) == 2


async def test_neither_a_rollback_nor_a_savepoint_leaves_anything(
    store: str, engine: Engine, sql: Any
) -> None:
    spec = json.dumps([{"type": "a", "tags": ["t"], "unique_key": "u", "idempotency_key": "i"}])
    with pytest.raises(ZeroDivisionError):
        async with sql.transaction():
            await sql.fetch(MANY, spec)
            raise ZeroDivisionError
    async with sql.transaction():
        with pytest.raises(ZeroDivisionError):
            async with sql.transaction():
                await sql.fetch(MANY, spec)
                raise ZeroDivisionError
        [kept] = await sql.fetch(MANY, spec)
    assert await found(engine) == [kept["id"]]
    assert kept["created"]
    await check_counts(engine)
    await sound(store)


async def test_every_argument_means_what_it_says(engine: Engine, sql: Any) -> None:
    before = clock()
    id = await sql.fetchval(
        """SELECT rota.enqueue('mail', '{"n": 123456789012345678901234567890.10}'::jsonb, queue => 'post',
             priority => -7, delay => '1 hour', expires_at => 'tomorrow'::timestamptz + interval '1 day',
             timeout => '90 seconds', max_attempts => 3, retry => '{"kind": "fixed", "delay": 1.5}',
             tags => '{a,b,a}', headers => '{"X-A": "b"}', unique_key => 'u',
             unique_states => '{scheduled,pending}', idempotency_key => 'i', retention => '2 days')"""
    )
    made = await one(engine, id)
    assert before <= made.created_at <= clock()
    assert made.run_at == made.created_at + HOUR
    assert made.expires_at is not None
    assert made.expires_at > made.run_at
    assert (made.type, made.queue, made.priority, made.state) == ("mail", "post", -7, State.SCHEDULED)
    assert made.payload == b'{"n": 123456789012345678901234567890.10}'
    assert (made.timeout, made.max_attempts, made.retention) == (90 * SECOND, 3, 2 * DAY)
    assert (made.retry, made.tags, made.headers) == (Fixed(1.5), ("a", "b"), {"X-A": "b"})
    assert (made.unique_key, made.unique_states) == ("u", (State.SCHEDULED, State.PENDING))
    at = datetime(2999, 1, 31, 8, 30, 0, 123456, UTC)
    id = await sql.fetchval(
        "SELECT rota.enqueue('bytes', $1::bytea, content_type => 'image/png', run_at => $2, retry => $3)",
        b"\0\xff'\"",
        at,
        '{"kind": "exponential", "base": 0.1}',
    )
    made = await one(engine, id)
    assert (made.payload, made.content_type) == (b"\0\xff'\"", "image/png")
    assert made.run_at == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert made.retry == Exponential(base=0.1)
    text = ' {"a":  1, "ü": "\\u00e9 😀"} '
    for kind in ("text", "json"):
        made = await one(engine, await sql.fetchval(f"SELECT rota.enqueue('x', $1::{kind})", text))
        assert made.payload == text.strip().encode()


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        ("NULL", "invalid_type", "type"),
        ("'a', '{'", "invalid_json", "payload"),
        ("'a', 'hello'", "invalid_json", "payload"),
        ("""'a', '1,"queue":"evil"'""", "invalid_json", "payload"),
        ("""'a', '1}'""", "invalid_json", "payload"),
        ("""'a","queue":"evil'""", "invalid_type", "type"),
        ("'a', queue => $$x','y$$", "invalid_queue", "queue"),
        ("'a', priority => 101", "invalid_priority", "priority"),
        ("'a', delay => '-1 second'", "invalid_duration", "delay"),
        ("'a', delay => '1 second', run_at => now()", "conflicting_fields", "delay"),
        ("'a', run_at => 'infinity'", "invalid_time", "run_at"),
        ("'a', run_at => '4000-01-01 BC'", "invalid_time", "run_at"),
        ("'a', run_at => '10000-01-01'", "invalid_time", "run_at"),
        ("'a', expires_at => '-infinity'", "invalid_time", "expires_at"),
        ("'a', timeout => '0'", "invalid_timeout", "timeout"),
        ("'a', tags => '{a,NULL}'", "invalid_tags", "tags"),
        ("'a', tags => '{{a},{b}}'", "invalid_tags", "tags"),
        ("'a', tags => '{front:rest}'", "invalid_tags", "tags"),
        ("'a', headers => '[]'", "invalid_headers", "headers"),
        ("'a', unique_states => '{pending}'", "invalid_unique_states", "unique_states"),
        ("'a', repeat('1', 5000)::jsonb", "number_too_large", "payload"),
        ("'a', to_json(repeat('x', 1048575))", "payload_too_large", "payload"),
    ],
)
async def test_bad_input_names_the_field_and_stores_nothing(
    engine: Engine, sql: Any, arguments: str, code: str, field: str
) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
        await sql.execute(f"SELECT rota.enqueue({arguments})")
    error: Any = caught.value
    assert (error.sqlstate, error.constraint_name, error.column_name) == ("22023", code, field)
    assert field in error.message
    assert await found(engine) == []


async def test_of_many_all_or_none_are_stored(engine: Engine, sql: Any) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="priority") as caught:
        await sql.fetch(MANY, '[{"type": "a"}, {"type": "b", "priority": 1000}]')
    assert caught.value.column_name == "jobs[1].priority"
    for bad in ("[]", "{}", "null", '[{"type": "a"}]' + "]", json.dumps([{"type": "a"}] * 10_001)):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="jobs"):
            await sql.fetch(MANY, bad)
    keys = json.dumps([{"type": "a", "unique_key": f"{n}"} for n in range(1001)])
    with pytest.raises(asyncpg.InvalidParameterValueError, match="1000 keys"):
        await sql.fetch(MANY, keys)
    assert await found(engine) == []
    kept = await sql.fetch(MANY, json.dumps([{"type": f"t{n % 3}", "payload": n} for n in range(3000)]))
    given = [row["id"] for row in kept]
    assert given == sorted(given)
    assert {uuid.UUID(id).version for id in given} == {7}
    assert await found(engine) == given[::-1]
    assert [claimed.payload for claimed in await take(engine, 3000, types=("t1",))] == [
        str(n).encode() for n in range(1, 3000, 3)
    ]
    await check_counts(engine)


async def test_servers_hear_of_it_once_per_transaction(engine: Engine, sql: Any) -> None:
    changes = engine.changes()
    await anext(changes) if (await put(engine, job(queue="before"))) else None
    heard: list[str] = []
    async with connected(dsn(sql)) as watch:
        await watch.add_listener("rota_queues", lambda _c, _p, _h, text: heard.append(text))
        async with sql.transaction():
            for _ in range(50):
                await sql.execute("SELECT rota.enqueue('work', queue => 'q')")
            await sql.execute("SELECT rota.enqueue('work', queue => 'later', delay => '1 hour')")
        async with sql.transaction():
            await sql.execute("SET LOCAL rota.notify = off")
            await sql.execute("SELECT rota.enqueue('work', queue => 'silent')")
        change: Any = await anext(changes)
        assert "q" in getattr(change, "queues", change)
        await sql.execute("NOTIFY rota_queues, 'end'")
        while heard[-1:] != ["end"]:
            await watch.execute("SELECT 1")
    assert heard == ['["sql",null,null,"q"]', "end"]


async def test_limits_of_the_servers_hold_for_the_function(engine: Engine, sql: Any) -> None:
    await limits.publish(engine, Limits(payload_bytes=10, max_attempts=4, retention=HOUR))
    made = await one(engine, await sql.fetchval("SELECT rota.enqueue('a', '12345678')"))
    assert (made.max_attempts, made.retention) == (4, HOUR)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="11 bytes; at most 10"):
        await sql.execute("SELECT rota.enqueue('a', '12345678901')")
    await limits.publish(engine, Limits())
    assert await engine.notes("limits") == []
    assert (await one(engine, await sql.fetchval("SELECT rota.enqueue('a')"))).max_attempts == 10


async def test_repair_does_not_hold_up_servers_behind_an_open_transaction(
    store: str, engine: Engine, sql: Any
) -> None:
    await put(engine, job())
    await sql.execute("INSERT INTO rota.changes (queue, type, state, jobs) VALUES ('q', 't', 'done', 1)")
    async with sql.transaction():
        await sql.execute("SELECT rota.enqueue('a')")
        with pytest.raises(StoreError, match="transaction that is still open"):
            await asyncio.to_thread(verify, store, repair=True)
        await put(engine, job())
    assert (await asyncio.to_thread(verify, store, repair=True)).repaired == 1
    await sound(store)
