"""verify on PostgreSQL: every fault that a store can have is found, and told with what it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine, reach, verify
from rota.model.errors import StoreError
from rota.model.job import LogLine
from tests import postgres
from tests.engines.kit import NOW, again, counts, done, job, put, recount, run, turn_on

STATEMENTS = {
    "wrong_event": "UPDATE rota.events SET event = 'finished' WHERE n = 1",
    "event_without_feed": "DELETE FROM rota.feeds",
    "wrong_count": "INSERT INTO rota.changes (queue, type, state, jobs) VALUES ('q', 'x', 'pending', 2)",
    "attempt_without_job": "INSERT INTO rota.attempts VALUES (99999, 1, 2, 1, 1, 'w', 'failed', NULL)",
    "log_without_job": "INSERT INTO rota.logs VALUES (99999, 1, 1, 'info', 'x')",
    "tag_without_job": "INSERT INTO rota.tags VALUES ('t', 99999)",
    "wrong_tags": "UPDATE rota.tags SET tag = 'other' WHERE tag = 'a'",
    "unknown_state": "UPDATE rota.jobs SET state = 'odd', finished_at = NULL, delete_at = NULL "
    "WHERE state = 'done'; "
    "UPDATE rota.counts SET state = 'odd' WHERE state = 'done'; "
    "UPDATE rota.changes SET state = 'odd' WHERE state = 'done'",
    "running_without_lease": "UPDATE rota.jobs SET lease_until = NULL WHERE state = 'running'",
    "wrong_end": "UPDATE rota.jobs SET delete_at = NULL WHERE state = 'done'",
    "wrong_unique_key": "UPDATE rota.jobs SET unique_held = 'other' WHERE unique_held IS NOT NULL",
    "wrong_lane": "DELETE FROM rota.lanes WHERE type = 'first'",
    "wrong_kind": "DELETE FROM rota.kinds WHERE type = 'first'",
}
"""How each fault is made."""


@pytest.fixture
def store() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture
async def filled(store: str) -> AsyncIterator[str]:
    """A store with a job in every state, and everything that belongs to jobs."""
    engine = await open_engine(store)
    await turn_on(engine, "out", events=("started",))
    await put(engine, job(type="first"), job(delay=5), job(tags=("a", "b"), unique_key="k", type="tagged"))
    ended = await run(engine, job(type="ends"))
    await engine.finish([done(ended, b"1")], NOW)
    failed = await run(engine, job(type="fails"))
    await engine.finish([again(failed)], NOW)
    await run(engine, job(type="runs"))
    await engine.log([LogLine(ended.id, NOW, "info", "x")], 10)
    yield store
    await engine.close()


def change(store: str, statements: str) -> None:
    postgres.ask(store, *statements.split("; "))


async def test_a_sound_store(filled: str) -> None:
    verdict = await asyncio.to_thread(verify, filled)
    assert verdict.sound, verdict.findings
    assert verdict.jobs == {"done": 1, "pending": 3, "running": 1, "scheduled": 1}
    assert (verdict.live, verdict.schema) == (True, verdict.known)
    assert verdict.size > 0


@pytest.mark.parametrize("code", STATEMENTS)
async def test_a_fault_is_found(filled: str, code: str) -> None:
    change(filled, STATEMENTS[code])
    verdict = await asyncio.to_thread(verify, filled)
    assert [finding.code for finding in verdict.findings] == [code]
    assert verdict.findings[0].repairable == (code == "wrong_count")
    assert verdict.findings[0].examples


async def test_repair_sets_the_counters_right_while_a_server_is_at_work(store: str) -> None:
    engine: Engine = await open_engine(store)
    await put(engine, *(job(f"t{n % 3}") for n in range(9)))
    change(store, STATEMENTS["wrong_count"])
    change(store, "DELETE FROM rota.changes WHERE type = 't1'; DELETE FROM rota.counts WHERE type = 't1'")
    verdict = await asyncio.to_thread(lambda: verify(store, repair=True))
    assert verdict.sound, verdict.findings
    assert verdict.repaired == 2
    assert await counts(engine) == await recount(engine)
    await engine.close()


def test_a_database_without_a_store() -> None:
    url = postgres.empty()
    with pytest.raises(StoreError, match="no server has begun one"):
        verify(url)
    assert (reach(url) or "").endswith("; the next start makes or updates the schema")
    assert postgres.ask(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'rota'")[0][0] == 0
    postgres.drop(url)


def test_what_can_be_reached(store: str) -> None:
    assert (reach(store) or "").startswith("PostgreSQL ")
    assert (reach(store) or "").endswith("; the schema is up to date")
    with pytest.raises(StoreError, match="nobody listens there"):
        reach("postgresql://rota@127.0.0.1:1/rota")
    assert reach("sqlite:///rota.db") is None
