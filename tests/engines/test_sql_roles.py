"""Who may call ``rota.enqueue``, and that nothing of theirs has a say in it; on a cluster of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from rota.engines.open import open_engine
from rota.model.clock import HOUR
from rota.model.job import Ask, Fixed
from tests import postgres
from tests.engines.kit import (
    LEASE,
    fresh,
    ids,
    job,
    one,
    put,
)
from tests.engines.sql_kit import clock, connected


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    """With roles and settings of its own."""
    with postgres.Cluster(max_prepared_transactions="4") as cluster:
        yield cluster


async def test_a_role_needs_no_more_than_the_function(cluster: postgres.Cluster) -> None:
    url = cluster.database("roles")
    await (await open_engine(url)).close()
    postgres.ask(
        url,
        "CREATE ROLE nobody_much LOGIN",
        "CREATE SCHEMA evil AUTHORIZATION nobody_much",
    )
    async with connected(cluster.at("roles", "nobody_much")) as sql:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.fetchval("SELECT rota.enqueue('a')")
        postgres.ask(url, "GRANT USAGE ON SCHEMA rota TO nobody_much")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.fetchval("SELECT rota.enqueue('a')")
        postgres.ask(
            url,
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rota TO nobody_much",
        )
        # Whatever it has of its own under names that the function uses, and however it is set.
        for statement in (
            "CREATE FUNCTION evil.octet_length(bytea) RETURNS integer LANGUAGE sql AS 'SELECT 0'",
            "CREATE FUNCTION evil.clock_timestamp() RETURNS date LANGUAGE sql AS $$SELECT 'epoch'::date$$",
            "CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
            "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq)",
            "CREATE TEMP TABLE pg_locks (pid integer)",
            "CREATE TEMP TABLE notes (kind text, key text, body bytea)",
            "SET search_path = evil, pg_catalog",
            "SET standard_conforming_strings = off",
            "SET extra_float_digits = -15",
            "SET TimeZone = 'Asia/Kathmandu'",
            "SET DateStyle = 'SQL, DMY'",
            "SET IntervalStyle = 'sql_standard'",
            "SET bytea_output = 'escape'",
            "SET enable_indexscan = off",
        ):
            await sql.execute(statement)
        before = clock()
        id = await sql.fetchval(
            "SELECT rota.enqueue('a', unique_key => 'k', delay => '1 day 2 hours', "
            "tags => '{x''; DROP TABLE rota.jobs}', "
            'retry => \'{"kind": "fixed", "delay": 0.1234567}\', expires_at => \'2999-02-01 00:00+00\')'
        )
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await sql.execute("SELECT rota.enqueue('a..b')")
        for forbidden in (
            "SELECT * FROM rota.jobs",
            "DELETE FROM rota.notes",
            "INSERT INTO rota.lanes VALUES ('a', 'a', 0)",
            "SELECT rota._insert(ARRAY[NULL::rota.jobs])",
            'SELECT * FROM rota._enqueue(\'[{"type": "a"}]\', true)',
            "CREATE TABLE rota.mine (x integer)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await sql.execute(forbidden)
    engine = await open_engine(url)
    try:
        made = await one(engine, id)
        assert before <= made.created_at <= clock()
        assert made.run_at == made.created_at + 26 * HOUR
        assert made.tags == ("x'; DROP TABLE rota.jobs",)
        assert made.retry == Fixed(0.1234567)
        assert made.expires_at == (
            datetime(2999, 2, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        ) // timedelta(microseconds=1)
    finally:
        await engine.close()


async def test_a_transaction_may_be_prepared_where_nobody_is_told(cluster: postgres.Cluster) -> None:
    url = cluster.database("prepared")
    engine = await open_engine(url)
    try:
        async with connected(url) as sql:
            await sql.execute("BEGIN; SET LOCAL rota.notify = off")
            id = await sql.fetchval("SELECT rota.enqueue('a', unique_key => 'u')")
            await sql.execute("PREPARE TRANSACTION 'one'")
        now = clock()
        assert (await put(engine, job("a", now=now, unique_key="u")))[0].why == "busy"
        async with connected(url) as sql:
            await sql.execute("COMMIT PREPARED 'one'")
        assert ids((await engine.claim([Ask("w", ("default",), None, 5)], now + LEASE, now))[0]) == [id]
    finally:
        await engine.close()
