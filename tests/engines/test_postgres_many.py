"""Several engines on one database: nothing is done twice, nothing is forgotten."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.postgres import care, floors, listen, statements
from rota.engines.postgres.engine import PostgresEngine
from rota.model.clock import HOUR
from rota.model.failure import cause
from rota.model.job import Kept, Match, Request, State
from tests import postgres
from tests.engines.kit import (
    ANY,
    LEASE,
    NOW,
    again,
    check_counts,
    done,
    failed,
    fresh,
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
def store(tmp_path: Any) -> Any:
    url = fresh("postgres", tmp_path)
    yield url
    postgres.give_back(url)


@pytest.fixture
async def other(store: str) -> AsyncIterator[Engine]:
    """A second server's engine on the same database."""
    engine = await open_engine(store)
    yield engine
    await engine.close()


async def test_every_job_goes_to_one_of_them(engine: Engine, other: Engine) -> None:
    jobs = [job(f"t{n % 3}", priority=n % 2) for n in range(400)]
    await put(engine, *jobs)

    async def work(engine: Engine, name: str) -> list[str]:
        got: list[str] = []
        while works := await take(engine, 7, worker=name):
            got += ids(works)
            await engine.finish([done(work) for work in works], NOW)
        return got

    taken = await asyncio.gather(work(engine, "a"), work(other, "b"))
    assert Counter(taken[0] + taken[1]) == Counter(ids(jobs))
    assert taken[0]
    assert taken[1]
    for each in (engine, other):
        await check_counts(each)


async def test_one_holder_of_a_key_however_many_ask(engine: Engine, other: Engine) -> None:
    for n in range(20):
        calls = [put(each, job(unique_key=f"u{n}")) for each in (engine, other) * 3]
        kept: list[list[Kept]] = await asyncio.gather(*calls)
        assert Counter(one[0].why for one in kept) == {None: 1, "unique": 5}
        assert len({one[0].id for one in kept}) == 1
        calls = [put_keyed(each, f"i{n}", b"x", job()) for each in (engine, other) * 3]
        kept = await asyncio.gather(*calls)
        assert Counter(one[0].why for one in kept) == {None: 1, "idempotency": 5}
        assert len({one[0].id for one in kept}) == 1


async def test_keys_in_any_order_make_nobody_wait_for_ever(engine: Engine, other: Engine) -> None:
    names = [f"k{n}" for n in range(40)]

    async def store(engine: Engine, names: list[str]) -> None:
        request = Request(tuple(job(unique_key=name) for name in names))
        await engine.enqueue([request], NOW)

    for _ in range(10):
        await asyncio.gather(store(engine, names), store(other, names[::-1]))
    assert sum(row.jobs for row in await engine.count()) == len(names)


async def test_reports_of_one_job_to_several_servers(engine: Engine, other: Engine) -> None:
    for _ in range(20):
        work = await run(engine, job())
        answers = await asyncio.gather(*(each.finish([done(work)], NOW) for each in (engine, other) * 2))
        assert Counter(answer[0].state for answer in answers) == {State.DONE: 1, None: 3}
    await check_counts(engine)


async def test_failures_on_both_add_up(engine: Engine, other: Engine) -> None:
    why = cause("t", b'{"type":"E","message":"x"}', None)
    await put(engine, *(job("t") for _ in range(60)))

    async def fail(engine: Engine) -> None:
        while works := await take(engine, 3):
            await engine.finish([failed(work, cause=why) for work in works], NOW)

    await asyncio.gather(fail(engine), fail(other))
    [group] = (await engine.failures(None, None, NOW, 10)).groups
    assert (group.jobs, group.hours[-1]) == (60, 60)
    await asyncio.gather(engine.delete(ANY, 30), other.retry(ANY, NOW, 30))
    groups = (await engine.failures(None, None, NOW, 10)).groups
    left = len((await engine.find(Match(states=(State.FAILED,)), 100)).jobs)
    assert sum(group.jobs for group in groups) == left


async def test_a_job_that_returns_elsewhere_is_taken_at_its_old_place(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "DISTANCE", 0.0)
    await put(engine, *(job() for _ in range(9)))
    [first] = await take(engine)
    # The floor of this engine is far beyond the first job by now.
    for _ in range(4):
        await take(engine)
    await other.finish([again(first)], NOW)
    assert ids(await take(engine)) == [first.id]


async def late(store: str, id: str) -> asyncpg.Connection:
    """A transaction that has stored a job, and is not committed."""
    connection = await asyncpg.connect(store)
    await connection.execute("BEGIN")
    await connection.execute(
        "INSERT INTO rota.jobs (id, queue, type, state, priority, max_attempts, created_at, run_at, "
        "retention, payload) VALUES ($1, 'default', 'work', 'pending', 0, 1, $2, $2, 0, 'null')",
        id,
        NOW,
    )
    return connection


async def test_a_job_whose_commit_came_late_is_found(
    store: str, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "DISTANCE", 0.0)
    slow = await late(store, "late")
    await put(engine, *(job() for _ in range(9)))
    for _ in range(5):
        await take(engine)
    await slow.execute("COMMIT")
    await slow.close()
    before = ids(await take(engine, 3))
    assert "late" not in before, "this test needs a floor above the job"
    async with engine._readers.session() as session:
        await engine._care.look_below(session)
    assert ids(await take(engine)) == ["late"]


async def test_a_claim_does_not_step_over_what_was_taken_before(
    store: str, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an old transaction keeps every dead row, a claim from the beginning would meet them all."""
    monkeypatch.setattr(floors, "DISTANCE", 0.0)
    await put(engine, *(job() for _ in range(2000)))
    old = await asyncpg.connect(store)
    await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rota.jobs")
    for _ in range(15):
        works = await take(engine, 100)
        await engine.finish([done(work) for work in works], NOW)
    explained = await explain(engine, 100)
    await old.close()
    # Rows that a scan steps over are not counted in the plan, but the pages that they lie on are.
    scan = explained[explained.index("Index Scan using jobs_pending") :]
    buffers = re.search(r"Buffers: shared hit=(\d+)", scan)
    assert buffers is not None
    assert int(buffers[1]) < 25, explained


async def explain(engine: PostgresEngine, slots: int) -> str:
    """How a claim is run."""
    ask: tuple[Any, ...] = (["default"], *engine._floors.of(["default"]), None, [], NOW, slots, slots + 32)
    given = [*ask, ["w"] * slots, [NOW] * slots, [NOW] * slots]
    session = await engine._writer._link.session()
    sql = "EXPLAIN (ANALYZE, BUFFERS) " + statements.load("claim")["best"]
    rows = await session.fetch(sql, *given)
    await session.rollback()
    return "\n".join(row[0] for row in rows)


async def test_folding_changes_no_count(engine: PostgresEngine, other: PostgresEngine) -> None:
    for n in range(5):
        await put(engine, *(job(f"t{n}") for _ in range(10)))
        await engine.finish([done(work) for work in await take(other, 4)], NOW)
        await check_counts(engine)
    async with engine._readers.session() as session:
        await engine._care.fold(session)
    await check_counts(engine)
    await check_counts(other)
    async with other._readers.session() as session:
        await other._care.fold(session)
        left = await session.fetch("SELECT count(*) FROM rota.changes")
    assert left[0][0] == 0
    await check_counts(engine)
    await check_counts(other)


async def test_what_names_jobs_that_are_gone_is_forgotten(
    store: str, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care, "BEHIND", 0)
    monkeypatch.setattr(care, "UNUSED", 0)
    await put(engine, job("other"))
    await engine.delete(ANY, 1)
    await put(engine, *(job() for _ in range(3000)))
    await engine.delete(Match(ids=tuple(ids((await engine.find(ANY, 5000)).jobs)[5:])), 5000)
    engine._care.wall = lambda: NOW
    async with engine._readers.session() as session:
        await engine._care.forget(session)
    blocks = postgres.ask(store, "SELECT count(*) FROM rota.kinds")[0][0]
    assert 1 <= blocks <= 2
    assert len((await engine.find(Match(types=("work",)), 10)).jobs) == 5
    assert [row[0] for row in postgres.ask(store, "SELECT type FROM rota.lanes")] == ["work"]
    await put(engine, job("other"))
    assert [work.type for work in await take(engine, types=("other",))] == ["other"]


async def next_of(changes: AsyncIterator[Any], wanted: set[str]) -> None:
    """Until all these were named."""
    seen: set[str] = set()
    async with asyncio.timeout(20):
        async for change in changes:
            seen.update(change.queues)
            if wanted <= seen:
                return


async def listening(store: str) -> None:
    """Until somebody listens."""
    there = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    for _ in range(1000):
        if postgres.ask(store, there):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody listens")


async def test_what_one_announces_the_other_hears(store: str, engine: Engine, other: Engine) -> None:
    heard = asyncio.ensure_future(next_of(other.changes(), {"a", "b", "q" * 200}))
    await listening(store)
    await engine.announce(["a", "b", "q" * 200, *(f"{n:0200}" for n in range(100))])
    await heard


async def test_a_listener_goes_on_after_its_connection_was_cut(
    store: str, engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_AGAIN", 0.0)
    heard = asyncio.ensure_future(next_of(other.changes(), {"after"}))
    await listening(store)
    postgres.ask(
        store,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    await listening(store)
    await engine.announce(["after"])
    await heard


async def test_where_nothing_can_be_listened_to_waiting_jobs_are_seen(store: str, engine: Engine) -> None:
    deaf = await open_engine(store + "?listen=no")
    heard = asyncio.ensure_future(next_of(deaf.changes(), {"a"}))
    await put(engine, job(queue="a"))
    await heard
    await deaf.close()


async def life(engine: Engine) -> None:
    """A bit of everything."""
    await put(engine, *(job(tags=("x",)) for _ in range(20)), job(delay=HOUR))
    await put(engine, job(unique_key="u"))
    assert [kept.why for kept in await put(engine, job(unique_key="u"))] == ["unique"]
    await put_keyed(engine, "k", b"1", job())
    works = await take(engine, 10)
    assert len(works) == 10
    await asyncio.gather(
        engine.finish([done(work) for work in works[:5]], NOW),
        engine.finish([failed(work) for work in works[5:]], NOW),
        engine.extend([], NOW + LEASE, NOW),
        engine.promote(NOW + HOUR, 5),
    )
    assert (await one(engine, works[0].id)).state is State.DONE
    await engine.retry(Match(states=(State.FAILED,)), NOW, 2)
    await engine.cancel(Match(tags=("x",)), "x", NOW, 3)
    await engine.delete(Match(states=(State.DONE,)), 2)
    await check_counts(engine)
    await engine.announce(["a"])


async def test_behind_a_pooler_nothing_depends_on_the_session(store: str) -> None:
    async with pooler(store) as between:
        engines = [await open_engine(between.url) for _ in range(2)]
        await life(engines[0])
        await asyncio.gather(*(put(engine, *(job() for _ in range(9))) for engine in engines * 5))
        await check_counts(engines[1])
        for engine in engines:
            await engine.close()
        assert between.transactions > 20


async def test_behind_a_pooler_changes_are_seen_or_heard(store: str, engine: Engine) -> None:
    async with pooler(store) as between:
        for option in ("", f"?listen={store.partition('@')[2].partition('/')[0]}"):
            behind = await open_engine(between.url + option)
            heard = asyncio.ensure_future(next_of(behind.changes(), {"a" + option}))
            if option:
                await listening(store)
                await engine.announce(["a" + option])
            while not option and not heard.done():
                # The first look may come after a change, and only tells later ones.
                await put(engine, job(queue="a"))
                await asyncio.wait({heard}, timeout=1)
            await heard
            await behind.close()
