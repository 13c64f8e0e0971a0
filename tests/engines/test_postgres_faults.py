"""A database that is killed, restarted, or cuts connections: what was acknowledged stays, work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.postgres import link
from rota.model.errors import StoreError
from rota.model.job import Ask, Beat, Match, Note, State
from tests import postgres
from tests.core.kit import until
from tests.engines.kit import ANY, LEASE, NOW, check_counts, done, found, ids, job, one, put, run, take


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    """One that keeps what it acknowledged, whatever is done to it."""
    with postgres.Cluster(durable=True) as cluster:
        yield cluster


@pytest.fixture
def store(cluster: postgres.Cluster, request: pytest.FixtureRequest) -> str:
    return cluster.database(f"faults_{abs(hash(request.node.name))}")


@pytest.fixture
async def engine(store: str) -> AsyncIterator[Engine]:
    engine = await open_engine(store)
    yield engine
    await engine.close()


def cut(store: str) -> int:
    """End every connection to a database; how many there were."""
    rows = postgres.ask(
        store,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    return len(rows)


async def until_stored(engine: Engine, new: Any) -> None:
    """Enqueue one job, however often it takes."""
    async with asyncio.timeout(20):
        while True:
            try:
                await put(engine, new)
                return
            except StoreError:
                await asyncio.sleep(0.01)


READS: dict[str, Callable[[Engine], Awaitable[Any]]] = {
    "get": lambda engine: engine.get(["x"]),
    "find": lambda engine: engine.find(ANY, 1),
    "count": lambda engine: engine.count(),
    "notes": lambda engine: engine.notes("x"),
}
WRITES: dict[str, Callable[[Engine], Awaitable[Any]]] = {
    "enqueue": lambda engine: put(engine, job()),
    "claim": lambda engine: engine.claim([Ask("w", ("default",), None, 1)], NOW + LEASE, NOW),
    "extend": lambda engine: engine.extend([Beat("x", 1)], NOW, NOW),
    "promote": lambda engine: engine.promote(NOW, 1),
    "cancel": lambda engine: engine.cancel(ANY, "x", NOW, 1),
    "retry": lambda engine: engine.retry(ANY, NOW, 1),
    "delete": lambda engine: engine.delete(ANY, 1),
    "save": lambda engine: engine.save([Note("k", "k", b"x")]),
}


async def test_connections_that_were_cut_are_made_again_and_nobody_notices(
    store: str, engine: Engine
) -> None:
    await put(engine, job())
    for call in (*READS.values(), *WRITES.values()):
        assert cut(store) >= 1
        await call(engine)


async def test_a_storm_of_cuts_loses_nothing_and_does_nothing_twice(store: str, engine: Engine) -> None:
    stored: list[str] = []
    finished: list[str] = []
    refused = 0
    over = asyncio.Event()

    async def producer() -> None:
        nonlocal refused
        for _ in range(150):
            new = job()
            try:
                await put(engine, new)
                stored.append(new.id)
            except StoreError:
                refused += 1

    async def worker(name: str) -> None:
        while not (over.is_set() and await idle()):
            try:
                for work in await take(engine, 5, worker=name):
                    [applied] = await engine.finish([done(work)], NOW)
                    if applied.state is State.DONE:
                        finished.append(work.id)
            except StoreError:
                continue

    async def idle() -> bool:
        return not any(row.state is State.PENDING for row in await engine.count())

    async with asyncio.TaskGroup() as group:
        producing = group.create_task(producer())
        working = [group.create_task(worker(f"w{n}")) for n in range(2)]
        while not producing.done():
            await asyncio.to_thread(cut, store)
        over.set()
        await asyncio.wait(working)
    assert len(finished) == len(set(finished))
    kept = {job.id: job for job in await engine.get(stored)}
    assert set(kept) == set(stored), "what was acknowledged is there"
    # A worker that was not told whether its report came through, or got no answer to its claim, left these.
    open_ones = [id for id in stored if kept[id].state is not State.DONE]
    assert all(kept[id].state is State.RUNNING for id in open_ones)
    assert set(finished) <= set(await found(engine, Match(states=(State.DONE,))))
    await check_counts(engine)


@pytest.mark.parametrize("how", ["kill", "restart"])
async def test_after_a_restart_everything_goes_on_by_itself(
    cluster: postgres.Cluster, store: str, engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PATIENCE", 0.1)
    running, waiting = await run(engine, job("a")), job("b")
    await put(engine, waiting)
    cluster.kill() if how == "kill" else cluster.stop()
    for call in (*READS.values(), *WRITES.values()):
        with pytest.raises(StoreError) as caught:
            await call(engine)
        assert caught.value.status == 503
    cluster.start()
    await until_stored(engine, job("c"))
    [applied] = await engine.finish([done(running)], NOW)
    assert applied.state is State.DONE
    assert waiting.id in ids(await take(engine, 9))
    await check_counts(engine)


async def test_a_short_absence_is_waited_for(
    cluster: postgres.Cluster, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PATIENCE", 20.0)
    await put(engine, job())
    cluster.kill()
    calls = [asyncio.ensure_future(call(engine)) for call in (*READS.values(), *WRITES.values())]
    await asyncio.to_thread(cluster.start)
    await asyncio.gather(*calls)


async def test_what_was_acknowledged_survives_a_kill(cluster: postgres.Cluster, store: str) -> None:
    for _ in range(3):
        engine = await open_engine(store)
        acknowledged: list[str] = []

        async def producer(engine: Engine, acknowledged: list[str]) -> None:
            while True:
                new = [job() for _ in range(3)]
                try:
                    await put(engine, *new)
                except StoreError:
                    return
                acknowledged += ids(new)

        producers = [asyncio.ensure_future(producer(engine, acknowledged)) for _ in range(4)]
        stored = acknowledged
        await until(lambda stored=stored: len(stored) >= 200)  # type: ignore[misc]
        await asyncio.to_thread(cluster.kill)
        await asyncio.wait(producers)
        await engine.close()
        await asyncio.to_thread(cluster.start)
        engine = await open_engine(store)
        assert len(await engine.get(acknowledged)) == len(acknowledged)
        await check_counts(engine)
        await engine.close()


async def test_a_database_that_stands_still_is_given_up(
    cluster: postgres.Cluster, store: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ANSWER", 0.3)
    monkeypatch.setattr(link, "CONNECT", 0.3)
    monkeypatch.setattr(link, "PATIENCE", 0.1)
    cut(store)
    await put(engine, job())
    await one(engine, (await engine.find(ANY, 1)).jobs[0].id)
    with cluster.standing_still():
        for call in (READS["get"], WRITES["enqueue"]):
            with pytest.raises(StoreError):
                await call(engine)
    await until_stored(engine, job())
