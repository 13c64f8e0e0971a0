"""The event log with several servers: nothing is passed over or out of order, and nothing piles up."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.postgres import acts, enqueue, events, finish, statements
from rota.engines.postgres.claim import Claims
from rota.engines.postgres.engine import PostgresEngine
from rota.engines.postgres.floors import Floors
from rota.engines.postgres.link import Session, Wire
from rota.model.clock import SECOND
from rota.model.event import LoggedEvent
from rota.model.job import Ask, Claimed, Match, Request
from tests.engines.kit import NOW, done, done_with, failed, fresh, job, put, run, take, turn_on

LONG = NOW + 3600 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Any:
    url = fresh("postgres", tmp_path)
    yield url
    done_with(url)


@pytest.fixture
async def outside(store: str) -> AsyncIterator[Any]:
    """A connection of somebody else."""
    connection = await asyncpg.connect(store)
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LOOK", 0.0)


async def read(engine: Engine, limit: int = 1000) -> list[LoggedEvent]:
    return (await engine.read_events("out", "me", LONG, limit, NOW)).events


async def pass_on(engine: Engine) -> list[LoggedEvent]:
    """Read and drop what is there."""
    got = await read(engine)
    assert await engine.drop_events("out", "me", [one.n for one in got])
    return got


ENQUEUED = """
WITH feed AS MATERIALIZED (SELECT feed, held FROM rota.feeding WHERE events ? 'enqueued')
INSERT INTO rota.events (feed, at, event, id, type, queue, state)
SELECT feed, 1, 'enqueued', $1, 't', 'q', 'pending' FROM feed
"""
"""What every statement does that changes jobs."""


async def test_an_event_that_is_committed_late_is_not_passed_over(engine: Engine, outside: Any) -> None:
    await turn_on(engine, "out")
    await put(engine, job())
    assert len(await pass_on(engine)) == 1
    async with outside.transaction():
        await outside.execute(ENQUEUED, "late")
        later = job()
        await put(engine, later)
        for _ in range(5):
            await put(engine, job())
            assert "late" not in {one.id for one in await pass_on(engine)}
            await read(engine)
        await put(engine, job())
        before = await read(engine)
    # It is there now, with a lower number than those that are being sent.
    assert await engine.drop_events("out", "me", [one.n for one in before])
    [event] = await read(engine)
    assert event.id == "late"
    assert event.n < before[0].n
    await pass_on(engine)
    # Nobody writes now: soon it is known that nothing more will come below.
    assert await read(engine) == []
    assert await read(engine) == []
    assert floors(engine)["out"].number >= event.n + 7


def floors(engine: Engine) -> Any:
    assert isinstance(engine, PostgresEngine)
    return engine._log._floors


VERBS: dict[str, Callable[[Session, dict[str, Claimed]], Awaitable[Any]]] = {
    "enqueue": lambda session, _: enqueue.enqueue(session, [([Request((job(), job()))], NOW)]),
    "enqueue each": lambda session, _: enqueue.enqueue(session, [([Request((job("a"), job("b")))], NOW)]),
    "claim": lambda session, _: Claims(Floors()).claim(
        session, [([Ask("w", ("default",), None, 1)], LONG, NOW)]
    ),
    "claim these": lambda session, at: Claims(Floors()).claim(
        session, [([Ask("w", ("default",), None, 1, ids=(at["waits"].id,))], LONG, NOW)]
    ),
    "finish done": lambda session, at: finish.finish(session, [([done(at["runs"])], NOW)], {}),
    "finish otherwise": lambda session, at: finish.finish(session, [([failed(at["runs"])], NOW)], {}),
    "cancel": lambda session, at: acts.cancel(session, [(Match(ids=(at["waits"].id,)), "x", NOW, 1)]),
    "retry": lambda session, at: acts.retry(session, [(Match(ids=(at["ended"].id,)), NOW, 1)]),
    "delete": lambda session, at: acts.delete(session, [(Match(ids=(at["waits"].id,)), 1, NOW)]),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_whoever_changes_jobs_is_seen_to_be_writing(engine: Engine, outside: Any, verb: str) -> None:
    """Were one of the statements not to say so, an event of it could be passed over."""
    await turn_on(engine, "out")
    at: dict[str, Any] = {name: await run(engine, job(name)) for name in ("ended", "runs")}
    await engine.finish([done(at["ended"])], NOW)
    at["waits"] = job()
    await put(engine, at["waits"])
    assert isinstance(engine, PostgresEngine)
    before = len(await read(engine))
    session = Session(engine._gate, Wire(outside))
    # As behind a pooler: what is not committed by the statement itself can be looked at.
    await session.begin()
    await VERBS[verb](session, at)
    mine = await outside.fetchval(
        "SELECT virtualtransaction FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'"
    )
    writing = await engine._log._run(lambda one: one.fetch(statements.load("events")["writing"]))
    assert mine in {row[0] for row in writing}
    await session.commit()
    assert len(await read(engine)) > before


async def test_with_two_servers_every_job_has_its_events_once_and_in_order(
    engine: Engine, store: str
) -> None:
    other = await open_engine(store)
    await turn_on(engine, "out")
    chance = random.Random(7)
    passed: list[LoggedEvent] = []
    over = asyncio.Event()

    async def work(engine: Engine, name: str) -> None:
        for _ in range(60):
            await put(engine, *(job() for _ in range(chance.randint(1, 5))))
            works = await take(engine, 4, worker=name)
            await engine.finish([done(one) for one in works], NOW)

    async def publish() -> None:
        while not over.is_set():
            got = await read(engine, 17)
            passed.extend(got)
            assert await engine.drop_events("out", "me", [one.n for one in got])

    publishing = asyncio.create_task(publish())
    await asyncio.gather(*(work(one, f"w{n}") for n, one in enumerate((engine, other))))
    while works := await take(other, 100):
        await other.finish([done(one) for one in works], NOW)
    over.set()
    await publishing
    while got := await pass_on(engine):
        passed += got
    by_job: dict[str, list[str]] = {}
    for one in passed:
        by_job.setdefault(one.id, []).append(one.event)
    assert by_job
    assert set(map(tuple, by_job.values())) == {("enqueued", "started", "finished")}
    [row] = await engine.backlog()
    assert row.waiting == 0
    await other.close()


async def test_what_went_through_does_not_pile_up_before_what_comes(
    engine: Engine, outside: Any, store: str
) -> None:
    """While somebody holds an old transaction open, nothing that was dropped can go."""
    await turn_on(engine, "out")
    old = outside.transaction(isolation="repeatable_read")
    await old.start()
    await outside.fetch("SELECT count(*) FROM rota.notes")
    for _ in range(20):
        await put(engine, *(job() for _ in range(1000)))
        assert len(await pass_on(engine)) == 1000
    await put(engine, job())
    assert len(await read(engine)) == 1
    floor = floors(engine)["out"].number
    sql = statements.load("read_events")["oldest"]

    async def pages(floor: int) -> int:
        async def explain(session: Session) -> int:
            [row] = await session.fetch(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", "out", floor, 1000, 10**6
            )
            plan = json.loads(row[0])[0]["Plan"]
            return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

        assert isinstance(engine, PostgresEngine)
        return await engine._log._run(explain)

    assert await pages(floor) < 60
    assert await pages(0) > 200, "this is what there would be to read"
    # Whoever takes over knows it, too.
    other = await open_engine(store)
    await engine.read_events("out", "me", NOW - 1, 0, NOW)
    assert len((await other.read_events("out", "you", LONG, 9, NOW)).events) == 1
    assert floors(other)["out"].number >= floor - 1000
    await other.close()
    await old.rollback()
