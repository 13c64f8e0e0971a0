"""upkeep: every timer of the server, each step alone on a clock that stands still, then all on a real one."""

from __future__ import annotations

import asyncio
import time

import pytest

from rota.core import bulk, upkeep
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import SECOND, ManualClock, SystemClock
from rota.model.job import Match, State
from rota.model.spec import JobSpec
from tests.core.kit import asked, attach, error_of, put, put_many, quiet, state, taken, until

# promote


async def test_promote_exactly_when_it_is_due(service: Service, clock: ManualClock) -> None:
    id = await put(service, delay=10)
    hand = await attach(service)
    clock.advance(10 * SECOND - 1)
    await service.engine.promote(clock.now(), 5000)
    assert await state(service, id) is State.SCHEDULED
    clock.advance(1)
    await asyncio.wait_for(upkeep.promote(service), 5)
    assert (await hand.next()).id == id, "and the worker that waits is given it"


async def test_promote_takes_them_in_the_order_of_their_time(service: Service, clock: ManualClock) -> None:
    ids = {delay: await put(service, delay=delay) for delay in (30, 10, 20, 40)}
    clock.advance(30 * SECOND)
    await upkeep.promote(service)
    states = {delay: await state(service, id) for delay, id in ids.items()}
    assert states == {10: State.PENDING, 20: State.PENDING, 30: State.PENDING, 40: State.SCHEDULED}


async def real(engine: Engine) -> Service:
    service = Service(engine, clock=SystemClock())
    await service.load()
    return service


async def test_a_sleeping_promoter_wakes_for_the_time_it_was_told(engine: Engine) -> None:
    service = await real(engine)
    await put(service, delay=0.15)
    begun = time.monotonic()
    await asyncio.wait_for(service.until_due(30), 5)
    assert 0.1 <= time.monotonic() - begun < 2


async def test_a_nearer_job_wakes_it_earlier(engine: Engine) -> None:
    service = await real(engine)
    await put(service, delay=3600)
    waiting = asyncio.ensure_future(service.until_due(3600))
    await quiet(engine)
    begun = time.monotonic()
    await put(service, delay=0.15)
    await asyncio.wait_for(waiting, 5)
    assert 0.1 <= time.monotonic() - begun < 2


async def test_a_retry_wakes_it_earlier(engine: Engine) -> None:
    service = await real(engine)
    hand, work = await taken(service)
    waiting = asyncio.ensure_future(service.until_due(3600))
    await quiet(engine)
    await hand.end(work, "failed", delay=0.15)
    await asyncio.wait_for(waiting, 5)


async def test_a_farther_job_does_not(engine: Engine) -> None:
    service = await real(engine)
    await put(service, delay=60)
    waiting = asyncio.ensure_future(service.until_due(0.2))
    await quiet(engine)
    begun = time.monotonic()
    await put(service, delay=3600)
    await asyncio.wait_for(waiting, 5)
    assert time.monotonic() - begun < 3


async def test_a_job_that_is_stored_while_the_promoter_looks_is_not_overlooked(engine: Engine) -> None:
    """The store does not show the job yet when the promoter asks for the next time, at whatever turn."""
    for turns in range(8):
        service = await real(engine)
        enqueued = asyncio.ensure_future(put(service, delay=0.05))
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(service.until_due(30), 5)
        await enqueued
        await bulk.clear(service, "default")


async def test_an_empty_store_is_looked_at_now_and_then(engine: Engine) -> None:
    service = await real(engine)
    await asyncio.wait_for(service.until_due(0.05), 5)


# time out


@pytest.mark.parametrize(("timeout", "grace"), [(0.5, 1.0), (3, 3.0), (60, 5.0)])
async def test_a_job_is_taken_from_a_worker_that_does_not_stop_it(
    service: Service, clock: ManualClock, timeout: float, grace: float
) -> None:
    """The worker has a moment to stop by itself: as long as the timeout, but 1 to 5 seconds."""
    hand, work = await taken(service, timeout=timeout, max_attempts=2)
    limit = round((timeout + grace) * SECOND)
    clock.advance(limit)
    await upkeep.time_out(service)
    assert await state(service, work.id) is State.RUNNING
    clock.advance(1)
    await upkeep.time_out(service)
    job = await service.job(work.id)
    assert (job.state, [one.end for one in job.attempts]) == (State.SCHEDULED, ["timeout"])
    assert job.losses == 0, "the worker is not lost"
    assert (await error_of(service, work.id)).type == "Timeout"
    assert not (await hand.end(work)).applied


async def test_the_last_timeout_is_the_reason(service: Service, clock: ManualClock) -> None:
    _, work = await taken(service, timeout=1, max_attempts=1)
    clock.advance(3 * SECOND)
    await upkeep.time_out(service)
    job = await service.job(work.id)
    assert (job.state, job.reason) == (State.FAILED, "timeout")


async def test_no_timeout_no_end(service: Service, clock: ManualClock) -> None:
    hand, work = await taken(service)
    for _ in range(100):
        clock.advance(10 * SECOND)
        assert await hand.beat(work) == []
        await upkeep.time_out(service)
        await upkeep.rescue(service)
    assert await state(service, work.id) is State.RUNNING


# expire


async def test_waiting_jobs_expire_and_running_ones_do_not(service: Service, clock: ManualClock) -> None:
    at = "2027-01-15T08:00:30Z"
    assert clock.now() == 1_800_000_000 * SECOND, "30 seconds before"
    _, runs = await taken(service, expires_at=at)
    waits = await put(service, expires_at=at)
    later = await put(service, expires_at=at, delay=29)
    longer = await put(service, expires_at="2027-01-15T08:00:30.000001Z")
    clock.advance(30 * SECOND - 1)
    await upkeep.expire(service)
    assert await state(service, waits) is State.PENDING
    clock.advance(1)
    await upkeep.expire(service)
    assert [await state(service, id) for id in (waits, later, longer, runs.id)] == [
        State.CANCELLED,
        State.CANCELLED,
        State.PENDING,
        State.RUNNING,
    ]
    job = await service.job(waits)
    assert (job.reason, job.finished_at, job.attempts) == ("expired", clock.now(), ())


async def test_an_expired_job_is_never_handed_out(service: Service, clock: ManualClock) -> None:
    """Also when the step that cancels it has not run yet."""
    id = await put(service, expires_at="2027-01-15T08:00:30Z")
    clock.advance(30 * SECOND)
    hand = await attach(service)
    good = await put(service)
    assert (await hand.next()).id == good
    assert (await service.job(id)).attempt == 0


# prune and tidy


async def test_prune_by_the_retention_of_each_job(service: Service, clock: ManualClock) -> None:
    hand = await attach(service)
    ids = {}
    for retention in (0, 10, 20, None):
        ids[retention] = await put(service, retention=retention)
        await hand.end(await hand.next())
    waits = await put(service, "unknown", retention=0, queue="other")
    await hand.leave()
    left = []
    for _ in range(3):
        await upkeep.prune(service)
        left.append([key for key, id in ids.items() if await service.engine.get([id])])
        clock.advance(10 * SECOND)
    assert left == [[10, 20, None], [20, None], [None]]
    assert await state(service, waits) is State.PENDING, "retention counts from the end"
    clock.advance(7 * 86400 * SECOND)
    await upkeep.prune(service)
    assert await service.engine.get([*ids.values()]) == []


async def test_prune_removes_any_number_and_leaves_no_counts(service: Service) -> None:
    await put_many(service, 1100, retention=0)
    cancelled = 0
    while applied := await service.cancel_all(Match(queues=("default",)), "cancelled"):
        cancelled += len(applied)
    await upkeep.prune(service)
    assert (cancelled, await service.engine.count()) == (1100, [])


async def test_tidy_asks_again_for_idle_workers(service: Service) -> None:
    """Should a hint have been lost: the job is in the store, and nobody was told."""
    hand = await attach(service)
    await quiet(service.engine)
    await service.engine.enqueue([asked(service, JobSpec(type="work"))], service.clock.now())
    await quiet(service.engine)
    assert hand.jobs == []
    await upkeep.tidy(service)
    await hand.until(1)


# all timers


async def test_all_timers_together_on_a_real_clock(engine: Engine) -> None:
    """One job of each kind, and nobody but the timers to move it."""
    rules = Rules(lease=SECOND // 2, beat=SECOND // 10)
    service = Service(engine, rules=rules)
    await service.load()
    soon = await put(service, "soon", delay=0.2)
    lost = await put(service, "lost", max_attempts=1)
    pruned = await put(service, "pruned", retention=0)
    await attach(service, "gone", types=["lost"])
    await service.cancel(pruned)
    hand = await attach(service, "here", types=["soon"])
    timers = asyncio.ensure_future(upkeep.run(service))
    begun = time.monotonic()
    assert (await hand.next()).id == soon
    assert time.monotonic() - begun < 1, "to the moment, not by a coarse tick"
    await hand.leave()
    job = await service.wait(lost, 10)
    assert job is not None
    assert job.reason == "worker_lost"
    while await engine.get([pruned]):
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.01)
    assert not timers.done()
    timers.cancel()
    await asyncio.wait([timers])


async def test_a_step_that_fails_stops_no_timer(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    rounds = {"bug": 0, "store": 0}

    async def bug() -> None:
        rounds["bug"] += 1
        if rounds["bug"] == 1:
            raise RuntimeError("a bad round")

    async def store() -> None:
        rounds["store"] += 1
        if rounds["store"] == 1:
            await engine.close()
            await engine.save([])

    timers = [asyncio.ensure_future(upkeep._each(step, 0)) for step in (bug, store)]
    await until(lambda: min(rounds.values()) >= 3, "the third round of both")
    for timer in timers:
        timer.cancel()
    await asyncio.wait(timers)
    told = [record.getMessage() for record in caplog.records if record.name == "rota.upkeep"]
    assert told == ["upkeep step failed"] * 2
