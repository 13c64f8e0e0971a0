"""Jobs as part of a program's own transaction, through every driver that the SDK knows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
import sqlalchemy.ext.asyncio as sa_async
from sqlalchemy import orm

import rota
from rota.model.errors import BadInput, Conflict, Forbidden, StoreError
from tests import postgres
from tests.sdk.drivers import DRIVERS, Program
from tests.server import environment, running, running_server

app = rota.App("http://127.0.0.1:1")
"""Nothing listens there: no job of these tests goes through a server."""


@app.task(name="ship", queue="post", tags=["shop"])
def ship(order: int, note: str = "") -> int:
    return order


@app.task(name="whole")
def whole(payload: Any) -> None: ...


@app.task(name="bytes")
def raw(payload: bytes) -> None: ...


@app.task(name="wired")
def wired(connection: str) -> None: ...


@pytest.fixture
def store() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture(params=DRIVERS)
async def program(request: pytest.FixtureRequest, store: str) -> AsyncIterator[Program]:
    async with DRIVERS[request.param](store) as program:
        yield program


def jobs(store: str) -> list[Any]:
    """What is there, oldest first."""
    return postgres.ask(
        store, "SELECT id, type, queue, state, payload, tags, content_type FROM rota.jobs ORDER BY seq"
    )


async def test_the_job_is_part_of_the_transaction(store: str, program: Program) -> None:
    postgres.ask(store, "CREATE TABLE public.orders (n integer)", "TRUNCATE public.orders")
    try:
        await program.begin()
        await program.run("INSERT INTO public.orders VALUES (7)")
        handle = await program.enqueue(ship, 7, note="é '\"%s :x $1 \\")
        assert jobs(store) == []
        await program.commit()
        [job] = jobs(store)
        assert tuple(job)[:4] == (handle.id, "ship", "post", "pending")
        assert job["payload"] == '{"order":7,"note":"é \'\\"%s :x $1 \\\\"}'.encode()
        assert (job["tags"], handle.created, handle.why) == (["shop"], True, None)
        await program.begin()
        await program.run("INSERT INTO public.orders VALUES (8)")
        await program.enqueue(ship, 8)
        await program.rollback()
        assert len(jobs(store)) == 1
        assert [row[0] for row in postgres.ask(store, "SELECT n FROM public.orders")] == [7]
    finally:
        postgres.ask(store, "DROP TABLE public.orders")


async def test_a_savepoint_takes_its_jobs_with_it(store: str, program: Program) -> None:
    await program.begin()
    first = await program.enqueue(ship, 1)
    await program.run("SAVEPOINT here")
    await program.enqueue(ship, 2)
    with pytest.raises(Conflict) as refused:
        await program.enqueue(ship.options(idempotency_key="k"), 3)
        await program.enqueue(ship.options(idempotency_key="k"), 4)
    assert (refused.value.code, refused.value.field) == ("idempotency_mismatch", "idempotency_key")
    await program.run("ROLLBACK TO SAVEPOINT here")
    last = await program.enqueue(ship.options(idempotency_key="k"), 5)
    await program.commit()
    assert [job["id"] for job in jobs(store)] == [first.id, last.id]


async def test_a_job_that_cannot_be_leaves_the_transaction_alone(store: str, program: Program) -> None:
    await program.begin()
    with pytest.raises(BadInput, match="queue") as refused:
        await program.enqueue(ship.options(queue="a b"), 1)
    assert (refused.value.code, refused.value.field) == ("invalid_queue", "queue")
    with pytest.raises(TypeError, match="order"):
        await program.enqueue(ship)
    with pytest.raises(TypeError, match="order"):
        await program.enqueue_many(ship, [(1,), ("two",)])
    await program.enqueue(ship, 1)
    await program.commit()
    assert len(jobs(store)) == 1
    await program.begin()
    with pytest.raises(BadInput, match="payload") as refused:
        await program.enqueue(whole, "x" * 2**20)
    assert (refused.value.code, refused.value.status, refused.value.field) == (
        "payload_too_large",
        413,
        "payload",
    )
    await program.rollback()


async def test_many_and_keys(store: str, program: Program) -> None:
    await program.begin()
    made = await program.enqueue_many(ship, [(n,) for n in range(1200)])
    first = await program.enqueue(ship.options(unique_key="u", delay=60), 1)
    second = await program.enqueue(ship.options(unique_key="u", delay=60), 2)
    assert (second.id, second.created, second.why) == (first.id, False, "unique")
    assert await program.enqueue_many(ship, []) == []
    await program.commit()
    there = jobs(store)
    assert [job["id"] for job in there] == [handle.id for handle in made] + [first.id]
    assert [job["payload"] for job in there[:1200]] == [b'{"order":%d}' % n for n in range(1200)]


async def test_payloads_arrive_as_they_are(store: str, program: Program) -> None:
    values: list[Any] = [
        None,
        12345678901234567890123,
        0.1,
        'it\'s "so" \\ \u2028 é 😀 %s :name $1',
        {"a": {"b": [1, {"": []}]}, "é": "{}"},
        "x" * 300_000,
    ]
    await program.begin()
    for value in values:
        await program.enqueue(whole, value)
    await program.enqueue(raw, bytes(range(256)))
    await program.commit()
    *texts, octets = jobs(store)
    assert [text["payload"] for text in texts] == [bytes(rota.job("x", value).payload) for value in values]  # type: ignore[arg-type]
    assert (octets["payload"], octets["content_type"]) == (bytes(range(256)), "application/octet-stream")


async def test_clients_take_a_connection_too(store: str, program: Program) -> None:
    await program.begin()
    spec = rota.job("other", {"a": 1})
    if program.awaited:
        async with rota.AsyncClient("http://127.0.0.1:1") as client:
            one = await client.enqueue(spec, idempotency_key="k", connection=program.connection)
            again, two = await client.enqueue_many(
                [rota.job("other", {"a": 1}, idempotency_key="k"), spec], connection=program.connection
            )
            with pytest.raises(ValueError, match="idempotency_key"):
                await client.enqueue_many([spec], idempotency_key="x", connection=program.connection)
    else:
        with rota.Client("http://127.0.0.1:1") as blocking:
            one = blocking.enqueue(spec, idempotency_key="k", connection=program.connection)
            again, two = blocking.enqueue_many(
                [rota.job("other", {"a": 1}, idempotency_key="k"), spec], connection=program.connection
            )
            with pytest.raises(ValueError, match="idempotency_key"):
                blocking.enqueue_many([spec], idempotency_key="x", connection=program.connection)
    assert (again.id, again.created, again.why) == (one.id, False, "idempotency")
    assert (one.state, one.type, one.queue, one.created) == ("pending", "other", "default", True)
    await program.commit()
    assert [job["id"] for job in jobs(store)] == [one.id, two.id]


async def test_the_other_kind_of_call_is_told(program: Program) -> None:
    with pytest.raises(TypeError, match="awaited"):
        if program.awaited:
            ship.options(connection=program.connection).enqueue(1)
        else:
            await ship.options(connection=program.connection).aenqueue(1)


async def test_a_database_without_a_store_is_told() -> None:
    url = postgres.empty()
    try:
        for driver in DRIVERS.values():
            async with driver(url) as program:
                with pytest.raises(StoreError, match="rota migrate") as told:
                    await program.enqueue(ship, 1)
                assert told.value.code == "no_schema"
                await program.rollback()
    finally:
        postgres.drop(url)


def test_connections_of_other_kinds_and_closed_ones_are_told(store: str) -> None:
    with pytest.raises(TypeError, match=r"psycopg.*not sqlite3\.Connection.*SQLite"):
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            ship.options(connection=connection).enqueue(1)
    with pytest.raises(TypeError, match=r"not builtins\.object"):
        ship.options(connection=object()).enqueue(1)
    engine = sqlalchemy.create_engine("sqlite://")
    with pytest.raises(TypeError, match=r"not sqlalchemy\.engine\.base\.Engine"):
        ship.options(connection=engine).enqueue(1)
    with engine.connect() as wrong, pytest.raises(TypeError, match="PostgreSQL, not sqlite"):
        ship.options(connection=wrong).enqueue(1)
    engine.dispose()
    with psycopg.connect(store) as closed:
        pass
    with pytest.raises(ValueError, match="closed"):
        ship.options(connection=closed).enqueue(1)
    alchemy = sqlalchemy.create_engine(store.replace("postgresql:", "postgresql+psycopg:"))
    with alchemy.connect() as gone:
        pass
    with pytest.raises(ValueError, match="closed"):
        ship.options(connection=gone).enqueue(1)
    alchemy.dispose()


async def test_awaited_connections_that_are_closed_are_told(store: str) -> None:
    one = await asyncpg.connect(store)
    await one.close()
    two = await psycopg.AsyncConnection.connect(store)
    await two.close()
    for connection in (one, two):
        with pytest.raises(ValueError, match="closed"):
            await ship.options(connection=connection).aenqueue(1)


def test_an_argument_of_that_name_stays_an_argument(store: str) -> None:
    with psycopg.connect(store) as connection:
        wired.options(connection=connection).enqueue(connection="here")
        with pytest.raises(TypeError, match="connection"):
            wired.enqueue(connection=connection)  # type: ignore[arg-type]
    assert [job["payload"] for job in jobs(store)] == [b'{"connection":"here"}']


def test_without_a_transaction_it_is_stored_at_once(store: str) -> None:
    with psycopg.connect(store, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        handle = ship.options(connection=connection).enqueue(1)
        assert [job["id"] for job in jobs(store)] == [handle.id]
        with connection.pipeline(), connection.transaction():
            ship.options(connection=connection).enqueue(2)
    assert len(jobs(store)) == 2


def test_a_user_without_rights_is_told(store: str) -> None:
    with psycopg.connect(store) as connection:
        connection.execute("SET LOCAL ROLE pg_monitor")
        with pytest.raises(Forbidden, match="GRANT"):
            ship.options(connection=connection).enqueue(1)


def test_scoped_sessions_and_sessions_inside_of_run_sync(store: str) -> None:
    engine = sqlalchemy.create_engine(store.replace("postgresql:", "postgresql+psycopg:"))
    sessions = orm.scoped_session(orm.sessionmaker(engine))
    ship.options(connection=sessions).enqueue(1)
    sessions.commit()
    sessions.remove()
    engine.dispose()

    async def within() -> None:
        engine = sa_async.create_async_engine(store.replace("postgresql:", "postgresql+asyncpg:"))
        async with sa_async.AsyncSession(engine) as session, session.begin():
            await session.run_sync(lambda inner: ship.options(connection=inner).enqueue(2))
        await engine.dispose()

    asyncio.run(within())
    assert len(jobs(store)) == 2


_DIES = """
import os, signal, sys
import psycopg, rota
app = rota.App()
@app.task
def ship(order: int) -> None: ...
connection = psycopg.connect(sys.argv[1])
handle = ship.options(connection=connection, unique_key="u").enqueue(1)
with psycopg.connect(sys.argv[1], autocommit=True) as other:
    print(handle.id, other.execute("SELECT count(*) FROM rota.jobs").fetchone()[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_program_killed_before_its_commit_leaves_nothing(store: str, tmp_path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", _DIES, store], env=environment(), capture_output=True, text=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    id, seen = died.stdout.split()
    assert seen == "0"
    with psycopg.connect(store) as connection:
        # Its key is free as soon as the database has seen that it is gone.
        handle = ship.options(connection=connection, unique_key="u").enqueue(2)
        assert handle.created
        assert handle.id != id
    assert [job["id"] for job in jobs(store)] == [handle.id]


_SHOP = """
import rota
app = rota.App()
@app.task
def ship(order: int) -> int:
    return order + 1
"""


def test_a_worker_runs_it_after_the_commit(store: str, tmp_path: Path) -> None:
    tmp_path.joinpath("shop.py").write_text(_SHOP)
    with (
        running_server(tmp_path, store=store) as server,
        running(
            tmp_path, "work", "shop:app", "--url", server.url, env={"PYTHONPATH": sources(tmp_path)}
        ) as worker,
        psycopg.connect(store) as connection,
        rota.Client(server.url) as client,
    ):
        worker.wait_for("connected")
        shop = rota.App(server.url)

        @shop.task(name="ship")
        def ship(order: int) -> int:
            return order

        handle = ship.options(connection=connection).enqueue(1)
        assert postgres.ask(store, "SELECT count(*) FROM rota.jobs")[0][0] == 0
        connection.commit()
        assert handle.result(30) == 2
        # The same job through the other door.
        key = ship.options(connection=connection, idempotency_key="k").enqueue(9)
        connection.commit()
        assert ship.options(idempotency_key="k").enqueue(9).id == key.id
        assert client.job(key.id).type == "ship"
        shop.close()
    from rota.engines.open import verify

    assert not verify(store).findings


def sources(folder: Path) -> str:
    return os.pathsep.join((str(folder), environment()["PYTHONPATH"]))


def test_plain_sql_from_psql_is_enough(store: str) -> None:
    psql = postgres._binaries() / "psql"
    script = """
        BEGIN;
        SELECT rota.enqueue('ship', '{"order": 7, "note": "it''s"}', tags => '{shop,new}', delay => '0');
        SELECT rota.enqueue('ship', json_build_object('order', 8));
        COMMIT;
        BEGIN; SELECT rota.enqueue('ship', '{"order": 9}'); ROLLBACK;
        SELECT id FROM rota.enqueue_many('[{"type": "a"}, {"type": "b", "delay": 5}]');
    """
    ran = subprocess.run(
        [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", store],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.split()
    there = jobs(store)
    assert [job["id"] for job in there] == [*said[:2], *said[3:]]
    assert there[0]["payload"] == b'{"order": 7, "note": "it\'s"}'
    assert [job["state"] for job in there] == ["pending", "pending", "pending", "scheduled"]
