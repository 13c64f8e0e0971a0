"""A connection that is cut right at the commit, one that falls silent, a standby that does not confirm."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from rota.engines.open import open_engine
from rota.engines.postgres import guard, link, writer
from rota.engines.postgres.engine import READERS, PostgresEngine
from rota.model.errors import StoreError
from rota.model.file import Attachment, File, Part
from rota.model.job import Ask, LogLine, Match, State
from tests import postgres
from tests.core.kit import until
from tests.engines.between import Between, between
from tests.engines.kit import (
    LEASE,
    NOW,
    again,
    check_counts,
    done,
    ended,
    failed,
    ids,
    job,
    one,
    put,
    put_keyed,
    run,
    take,
)
from tests.pooler import pooler


@pytest.fixture
def database() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


@pytest.fixture
async def way(database: str) -> AsyncIterator[Between]:
    async with between(database) as way:
        yield way


@pytest.fixture
async def engine(way: Between) -> AsyncIterator[PostgresEngine]:
    engine = await open_engine(way.url + "?pooler=no")
    assert isinstance(engine, PostgresEngine)
    # Nobody but the test commits anything.
    for task in engine._tasks:
        task.cancel()
    yield engine
    await engine.close()


Verb = Callable[[PostgresEngine], Awaitable[Any]]
"""Prepares, and gives what is called; that gives what must be true."""


async def _finish(engine: PostgresEngine, report: Any, state: State) -> Any:
    work = await run(engine, job(max_attempts=3))

    async def call() -> None:
        [applied] = await engine.finish([report(work)], NOW + 1)
        assert (applied.state, applied.queue, applied.type) == (state, "default", "work")
        assert (await one(engine, work.id)).state is state
        [applied] = await engine.finish([report(work)], NOW + 2)
        assert applied.state is None

    return call


async def _cancel(engine: PostgresEngine) -> Any:
    running, waiting = await run(engine, job("a")), job("b")
    await put(engine, waiting)

    async def call() -> None:
        applied = await engine.cancel(Match(ids=(running.id, waiting.id)), "x", NOW, 9)
        assert {one.id: one.state for one in applied} == {
            running.id: State.RUNNING,
            waiting.id: State.CANCELLED,
        }

    return call


async def _retry(engine: PostgresEngine) -> Any:
    gone = await ended(engine, State.DONE)

    async def call() -> None:
        [applied] = await engine.retry(Match(ids=(gone.id,)), NOW + 5, 9)
        assert applied.state is State.PENDING
        assert (await one(engine, gone.id)).attempt == 1

    return call


async def _delete(engine: PostgresEngine) -> Any:
    gone = await ended(engine, State.DONE)

    async def call() -> None:
        [applied] = await engine.delete(Match(ids=(gone.id,)), 9)
        assert (applied.id, applied.state) == (gone.id, State.DONE)
        assert await engine.get([gone.id]) == []

    return call


async def _log(engine: PostgresEngine) -> Any:
    work = await run(engine, job())

    async def call() -> None:
        lines = [LogLine(work.id, NOW + n, "info", f"line {n}") for n in range(3)]
        assert await engine.log(lines, 100) == 3
        assert [line for _, line in await engine.logs(work.id, 0, 9)] == lines

    return call


async def _attach(engine: PostgresEngine) -> Any:
    work, data = await run(engine, job()), b"artifact"
    await engine.put_parts([Part("f", 0, data)])

    async def call() -> None:
        file = File("f", len(data), hashlib.sha256(data).hexdigest())
        assert await engine.attach([Attachment(work.id, work.lease, "w1", file)]) == [True]
        assert await engine.files([work.id], "artifact") == {work.id: file}

    return call


async def _claim(engine: PostgresEngine) -> Any:
    jobs = [job() for _ in range(4)]
    await put(engine, *jobs)

    async def call() -> None:
        asks = [Ask("a", ("default",), None, 2), Ask("b", ("default",), None, 1)]
        taken = await engine.claim(asks, NOW + LEASE, NOW)
        assert [ids(works) for works in taken] == [ids(jobs[:2]), ids(jobs[2:3])]
        assert [work.lease for works in taken for work in works] == [1, 1, 1]
        assert ids(await take(engine, 9, now=NOW + 1)) == ids(jobs[3:])

    return call


async def _enqueue(engine: PostgresEngine) -> Any:
    async def call() -> None:
        new = job(unique_key="u")
        [kept] = await put_keyed(engine, "k", b"1", new)
        assert (kept.id, kept.state, kept.why) == (new.id, State.PENDING, None)

    return call


VERBS: dict[str, Verb] = {
    "done": lambda engine: _finish(engine, done, State.DONE),
    "failed": lambda engine: _finish(engine, failed, State.FAILED),
    "later": lambda engine: _finish(engine, lambda work: again(work, NOW + 9), State.SCHEDULED),
    "again": lambda engine: _finish(engine, again, State.PENDING),
    "cancel": _cancel,
    "retry": _retry,
    "delete": _delete,
    "log": _log,
    "attach": _attach,
    "claim": _claim,
    "enqueue": _enqueue,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("how", ["kept", "lost"])
@pytest.mark.parametrize("beside", ["alone", "beside others"])
async def test_a_cut_at_the_commit_is_seen_by_nobody(
    way: Between, engine: PostgresEngine, verb: str, how: str, beside: str
) -> None:
    call = await VERBS[verb](engine)

    def arm(_: object = None) -> None:
        way.next_commit = how

    if beside == "alone":
        arm()
    else:
        # While the first one is stored the others queue up, and become one transaction.
        engine.promote(NOW, 1).add_done_callback(arm)  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        engine.promote(NOW, 1)
    await call()
    assert way.cuts == 1
    await check_counts(engine)


async def test_a_report_that_comes_again_is_told_what_became_of_the_first(
    way: Between, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PATIENCE", 0.0)
    works = [await run(engine, job()) for _ in range(3)]
    way.next_commit, way.refusing = "kept", True
    with pytest.raises(StoreError):
        await engine.finish([done(works[0], b"1"), failed(works[1])], NOW)
    way.refusing = False
    reports = [done(works[0], b"1"), failed(works[1]), done(works[2])]
    applied = await engine.finish(reports, NOW + 5)
    assert [one.state for one in applied] == [State.DONE, State.FAILED, State.DONE]
    # What says something else is no repetition.
    [other] = await engine.finish([failed(works[0])], NOW + 6)
    assert other.state is None
    await check_counts(engine)


async def test_connections_that_fall_silent_are_given_up(
    way: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SILENCE", 0.2)
    engine = await open_engine(way.url + "?pooler=no")
    await put(engine, job())
    await engine.count()
    way.fall_silent()
    async with asyncio.timeout(20):
        await asyncio.gather(put(engine, job()), engine.count(), engine.find(Match(), 1))
        assert sum(row.jobs for row in await engine.count()) == 2
    await engine.close()


async def test_what_takes_its_time_is_left_alone(
    database: str, way: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SILENCE", 0.1)
    engine = await open_engine(way.url + "?pooler=no")
    assert isinstance(engine, PostgresEngine)
    await put(engine, job())
    async with engine._readers.session() as session:
        [[waited]] = await session.fetch("SELECT pg_sleep(2)::text")
    assert waited == ""
    await engine.close()


@pytest.fixture(scope="module")
def waiting() -> Iterator[postgres.Cluster]:
    with postgres.Cluster(durable=True) as cluster:
        yield cluster


async def test_what_no_standby_confirmed_is_not_acknowledged(waiting: postgres.Cluster) -> None:
    url = waiting.database("alone")
    engine = await open_engine(url)
    await put(engine, job())
    there = (
        "SELECT pid FROM pg_stat_activity WHERE datname = 'alone' AND wait_event = 'SyncRep' "
        "AND query NOT LIKE '%turn%'"
    )
    reload = "SELECT pg_reload_conf()"
    postgres.ask(waiting.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", reload)
    new = job(unique_key="u")
    storing = asyncio.ensure_future(put(engine, new))
    stored = "SELECT 1 FROM rota.jobs WHERE unique_key = 'u'"
    cancelled = 0
    for _ in range(2):
        await until(lambda: bool(postgres.ask(waiting.url, there)))
        # Its commit is done, and waits; somebody ends the waiting.
        cancelled += len(postgres.ask(waiting.url, f"SELECT pg_cancel_backend(pid) FROM ({there}) AS one"))
        await until(lambda: bool(postgres.ask(url, stored)))
    await until(lambda: bool(postgres.ask(waiting.url, there)))
    assert not storing.done()
    postgres.ask(waiting.url, "ALTER SYSTEM RESET synchronous_standby_names", reload)
    [kept] = await storing
    assert (kept.id, kept.why) == (new.id, None)
    assert cancelled >= 2
    await engine.close()


async def test_what_is_said_to_others_waits_for_no_standby(waiting: postgres.Cluster) -> None:
    url = waiting.database("said")
    engine = await open_engine(url)
    stuck = "SELECT 1 FROM pg_stat_activity WHERE datname = 'said' AND wait_event = 'SyncRep'"
    reload = "SELECT pg_reload_conf()"
    postgres.ask(waiting.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", reload)
    storing = asyncio.ensure_future(put(engine, job()))
    try:
        await until(lambda: bool(postgres.ask(waiting.url, stuck)))
        await asyncio.wait_for(engine.announce(["a"]), 10)
        await asyncio.wait_for(engine.announce(["a"], [b"news"]), 10)
        assert not storing.done()
    finally:
        postgres.ask(waiting.url, "ALTER SYSTEM RESET synchronous_standby_names", reload)
    await storing
    await engine.close()


@pytest.mark.parametrize("opened", ["still", "again"])
async def test_what_was_given_up_unconfirmed_is_not_acknowledged_when_it_is_asked_for_again(
    waiting: postgres.Cluster, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    url = waiting.database(opened)
    engine = await open_engine(url)
    await put(engine, job())
    monkeypatch.setattr(writer, "_LONG", 0.0)
    there = f"SELECT pid FROM pg_stat_activity WHERE datname = '{opened}' AND wait_event = 'SyncRep'"
    stuck, reload = there + " AND query NOT LIKE '%turn%'", "SELECT pg_reload_conf()"
    postgres.ask(waiting.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", reload)
    new = job(unique_key="u")
    storing = asyncio.ensure_future(put_keyed(engine, "k", b"1", new))
    await until(lambda: bool(postgres.ask(waiting.url, stuck)))
    postgres.ask(waiting.url, f"SELECT pg_cancel_backend(pid) FROM ({there}) AS one")
    with pytest.raises(StoreError):
        await storing
    assert postgres.ask(url, "SELECT 1 FROM rota.jobs WHERE unique_key = 'u'"), "it is there, on one machine"
    if opened == "again":
        await engine.close()
        engine = await open_engine(url)
    storing = asyncio.ensure_future(put_keyed(engine, "k", b"1", job(unique_key="u")))
    await until(lambda: storing.done() or bool(postgres.ask(waiting.url, stuck)))
    assert not storing.done()
    postgres.ask(waiting.url, "ALTER SYSTEM RESET synchronous_standby_names", reload)
    [kept] = await storing
    assert (kept.id, kept.why) == (new.id, "idempotency")
    await engine.close()


async def test_a_server_that_takes_no_writes_any_more_is_left(database: str, engine: PostgresEngine) -> None:
    await put(engine, job())
    await engine.count()
    pids = {wire.pid for wire in engine._gate.wires}
    assert len(pids) >= 2
    await engine._writer._link._wire.connection.execute(  # type: ignore[union-attr]
        "SET default_transaction_read_only = on"
    )
    await asyncio.gather(put(engine, job()), put(engine, job()))
    assert sum(row.jobs for row in await engine.count()) == 3
    gc.collect()
    now = {wire.pid for wire in engine._gate.wires if not wire.connection.is_closed()}
    assert not now & pids, "nobody stays connected to it, readers included"


async def test_a_host_that_does_not_answer_is_not_waited_for(database: str) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    url = database.replace("@", f"@127.0.0.1:{port},", 1)
    engine = await open_engine(url)
    await put(engine, job())
    postgres.ask(
        database,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    await put(engine, job())
    assert sum(row.jobs for row in await engine.count()) == 2
    await engine.close()
    silent.close()


async def test_every_connection_has_its_timeouts(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await open_engine(database)
    assert isinstance(engine, PostgresEngine)
    await put(engine, job())
    await engine.count()
    connect, ears = engine._gate.connect, []

    async def noted(dsn: str | None = None, *, bare: bool = False) -> Any:
        ears.append(await connect(dsn, bare=bare))
        return ears[-1]

    monkeypatch.setattr(engine._gate, "connect", noted)
    changes = engine.changes()
    await anext(changes)
    monkeypatch.undo()
    assert ears
    for task in engine._tasks:
        task.cancel()
    await asyncio.wait(engine._tasks)
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in link.TIMEOUTS)
    told = [tuple(await ear.fetchrow(asked)) for ear in ears]
    for way in (engine._writer._link, engine._care._link, engine._voice._link, *engine._readers._all):
        told += [tuple(row) for row in await (await way.session()).only(asked)]
    assert told == [("30s", "10s", "5s")] * (len(ears) + 3 + READERS)
    await changes.aclose()  # type: ignore[attr-defined]
    await engine.close()


async def test_behind_a_pooler_every_transaction_has_them(database: str) -> None:
    async with pooler(database) as there:
        engine = await open_engine(there.url)
        assert isinstance(engine, PostgresEngine)
        asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in link.TIMEOUTS)
        async with engine._readers.session() as session:
            assert tuple((await session.only(asked))[0]) == ("30s", "10s", "5s")
        session = await engine._writer._link.session()
        assert tuple((await session.fetch(asked))[0]) == ("30s", "10s", "5s")
        await session.rollback()
        await engine.close()
