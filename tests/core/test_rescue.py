"""rescue: the jobs of lost workers are taken back, no sooner and no later than their leases end."""

from __future__ import annotations

import asyncio

from rota.core import upkeep
from rota.core.inside import InsideSource
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import SECOND, ManualClock
from rota.model.job import Match, State
from rota.model.protocol import Hello
from tests.core.kit import attach, ends, error_of, put, put_many, state, taken


async def test_rescue_takes_a_job_back_the_moment_its_lease_ended(
    service: Service, clock: ManualClock
) -> None:
    _, work = await taken(service)
    other = await attach(service, "w2")
    clock.advance(service.rules.lease)
    await upkeep.rescue(service)
    assert await state(service, work.id) is State.RUNNING, "the lease holds until its last microsecond"
    clock.advance(1)
    await upkeep.rescue(service)
    job = await service.job(work.id)
    assert (job.losses, job.attempts[0].end) == (1, "lost")
    assert (await error_of(service, work.id)).type == "WorkerLost"
    again = await other.next()
    assert (again.lease, again.attempt) == (work.lease + 1, 2), "and gives it to the next worker at once"


async def test_three_lost_workers_fail_a_job_for_good(service: Service, clock: ManualClock) -> None:
    id = await put(service, max_attempts=10)
    beside = await put(service)
    for n in range(3):
        hand = await attach(service, f"w{n}", slots=2)
        works = {work.id: work for work in await hand.until(2 if n == 0 else 1)}
        if n == 0:
            assert (await hand.end(works[beside])).applied
        await hand.leave()
        assert (await service.job(id)).losses == n
        clock.advance(service.rules.lease + 1)
        await upkeep.rescue(service)
    job = await service.job(id)
    assert (job.state, job.reason, job.losses, job.attempt) == (State.FAILED, "worker_lost", 3, 3)
    assert [one.end for one in job.attempts] == ["lost"] * 3
    assert {one.worker for one in job.attempts} == {"w0", "w1", "w2"}
    await service.retry(id)
    assert (await service.job(id)).losses == 0


async def test_losses_do_not_outlast_the_attempts(service: Service, clock: ManualClock) -> None:
    _, work = await taken(service, max_attempts=1)
    clock.advance(service.rules.lease + 1)
    await upkeep.rescue(service)
    job = await service.job(work.id)
    assert (job.state, job.reason) == (State.FAILED, "worker_lost")


async def test_a_lost_job_that_was_to_stop_is_cancelled(service: Service, clock: ManualClock) -> None:
    _, work = await taken(service)
    await service.cancel(work.id)
    clock.advance(service.rules.lease + 1)
    await upkeep.rescue(service)
    job = await service.job(work.id)
    assert (job.state, job.reason) == (State.CANCELLED, "cancelled")


async def test_rescue_takes_back_any_number(service: Service, clock: ManualClock) -> None:
    ids = await put_many(service, 1200)
    held = await attach(service, "held", slots=1)
    kept = await held.next()
    hand = await attach(service, slots=1199)
    await hand.until(1199)
    clock.advance(service.rules.lease)
    await held.beat(kept)
    service.dispatch.paused.add("default")
    clock.advance(1)
    await upkeep.rescue(service)
    states = [job.state for job in await service.engine.get(ids)]
    assert (states.count(State.PENDING), states.count(State.RUNNING)) == (1199, 1)


async def test_a_rescuer_that_is_late_changes_nothing(service: Service, clock: ManualClock) -> None:
    """It has read that the lease ended; before it writes, a beat arrives, and the job comes to its end."""
    hand, work = await taken(service)
    clock.advance(service.rules.lease + 1)
    page = await service.engine.find(Match(lease_before=clock.now()), 10)
    assert (await hand.end(work)).applied
    await upkeep._lose(service, page.jobs, clock.now())
    job = await service.job(work.id)
    assert (job.state, job.losses) == (State.DONE, 0)


async def test_rescue_inside_takes_back_only_what_an_earlier_server_ran_itself(
    service: Service, clock: ManualClock
) -> None:
    inner, outer = await put_many(service, 2)
    source = InsideSource(service)
    await source.open(Hello("abc", ("default",), 1))
    [work] = await source.claim(5)
    hand = await attach(service, "outside")
    other = await hand.next()
    assert {work.id, other.id} == {inner, outer}
    assert ((await service.job(work.id)).worker or "").startswith("inside-")
    restarted = Service(service.engine, clock=clock)
    await upkeep.rescue_inside(restarted)
    assert await state(service, work.id) is State.PENDING
    assert await ends(service, work.id) == ["lost"]
    assert await state(service, other.id) is State.RUNNING


async def test_workers_elsewhere_have_a_whole_lease_after_a_restart(
    service: Service, clock: ManualClock
) -> None:
    """However long the server was away: nobody could beat."""
    ids = await put_many(service, 600)
    await (await attach(service, slots=600)).until(600)
    clock.advance(100 * service.rules.lease)
    restarted = Service(service.engine, clock=clock)
    await upkeep.rescue_inside(restarted)
    clock.advance(service.rules.lease)
    await upkeep.rescue(restarted)
    assert {job.state for job in await service.engine.get(ids)} == {State.RUNNING}
    clock.advance(1)
    await upkeep.rescue(restarted)
    assert {job.state for job in await service.engine.get(ids)} == {State.PENDING}


async def test_a_worker_lost_right_after_the_start_is_noticed(engine: Engine) -> None:
    """Rescue runs from the first moment: what holders get back is in their leases, not in a late start."""
    service = Service(engine, rules=Rules(lease=60 * SECOND, socket_grace=SECOND // 10))
    await service.load()
    timers = asyncio.ensure_future(upkeep.run(service))
    id = await put(service)
    hand = await attach(service, "gone")
    await hand.until(1)
    await hand.leave()
    assert (await (await attach(service, "next")).next()).id == id
    timers.cancel()
    await asyncio.wait([timers])
