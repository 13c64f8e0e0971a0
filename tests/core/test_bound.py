"""Workers that are as good as their connection."""

from __future__ import annotations

import asyncio

from rota.core import bound, upkeep
from rota.core.bound import Bound
from rota.core.reports import Rules
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import SECOND, ManualClock
from rota.model.job import Job
from rota.model.protocol import Ending, Work
from tests.core.kit import PATIENCE, attach, put, quiet, until


class Held:
    """One such worker, and what it was given."""

    def __init__(self) -> None:
        self.jobs: list[Work] = []
        self.drains = 0
        self.bound: Bound

    async def next(self) -> Work:
        await until(lambda: self.jobs, "a job")
        return self.jobs.pop(0)

    def drain(self) -> None:
        self.drains += 1


async def join(service: Service) -> Held:
    held = Held()
    held.bound = await bound.join(service, "old", "default", "old 1", held.jobs.extend, held.drain)
    return held


async def known(service: Service, id: str) -> tuple[str, int, int, str | None]:
    job: Job = await service.job(id)
    return job.state, job.attempt, job.losses, job.reason


async def test_it_takes_one_job_of_any_type_at_a_time(service: Service) -> None:
    one = await join(service)
    ids = [await put(service, type) for type in ("a", "b")]
    first = await one.next()
    await quiet(service.engine)
    assert one.jobs == []
    lease = one.bound.lease_of(ids[0])
    assert lease is not None
    assert one.bound.lease_of(ids[1]) is None
    await one.bound.finish(Ending(lease.id, lease.lease))
    assert (first.id, (await one.next()).id) == tuple(ids)
    [worker] = service.workers.roster.values()
    assert (worker.transport, worker.name, worker.slots, worker.types) == ("front", "old 1", 1, None)


async def test_its_end_gives_the_job_on_at_once_and_costs_no_attempt(service: Service) -> None:
    id = await put(service, max_attempts=1)
    for losses in (1, 2):
        one = await join(service)
        await one.next()
        await one.bound.leave(untouched=False)
        assert await known(service, id) == ("pending", 0, losses, None)
    one = await join(service)
    await one.next()
    await one.bound.leave(untouched=False)
    assert await known(service, id) == ("failed", 0, 3, "worker_lost")
    assert service.workers.roster == {}


async def test_a_job_that_never_got_there_was_not_lost(service: Service) -> None:
    id = await put(service)
    one = await join(service)
    await one.next()
    await one.bound.leave(untouched=True)
    assert await known(service, id) == ("pending", 0, 0, None)


async def test_a_job_in_hand_when_the_server_stops_was_not_lost(service: Service) -> None:
    id = await put(service)
    one = await join(service)
    await one.next()
    service.drain()
    await one.bound.leave(untouched=False)
    assert await known(service, id) == ("pending", 0, 0, None)


async def test_a_cancelled_job_is_not_given_on(service: Service) -> None:
    id = await put(service)
    one = await join(service)
    await one.next()
    await service.cancel(id)
    await one.bound.leave(untouched=False)
    assert (await known(service, id))[0] == "cancelled"


async def test_what_it_had_when_the_server_died_goes_on_at_the_start(
    service: Service, clock: ManualClock
) -> None:
    """Of a worker that can come back the jobs are held for a lease."""
    ids = [await put(service, max_attempts=1) for _ in range(2)]
    one = await join(service)
    await one.next()
    other = await attach(service, "w1")
    await other.next()
    later = Service(service.engine, clock=clock)
    await upkeep.rescue_inside(later)
    assert await known(later, ids[0]) == ("pending", 0, 1, None)
    assert (await known(later, ids[1]))[:2] == ("running", 1)


async def test_its_leases_are_extended_as_long_as_it_is_held(engine: Engine, clock: ManualClock) -> None:
    service = Service(engine, clock=clock, rules=Rules(beat=1000))
    id = await put(service)
    one = await join(service)
    await one.next()
    clock.advance(10 * SECOND)
    end = clock.now() + service.rules.lease
    holding = asyncio.create_task(upkeep.run(service))

    async def extended() -> None:
        while (await service.job(id)).lease_until != end:
            await quiet(engine)

    await asyncio.wait_for(extended(), PATIENCE)
    [worker] = service.workers.roster.values()
    assert worker.last_beat == clock.now()
    holding.cancel()


async def test_at_rest_waits_for_results_and_no_longer_than_allowed(service: Service) -> None:
    await bound.at_rest(service, 60)
    one = await join(service)
    await bound.at_rest(service, 60)
    id = await put(service)
    await one.next()
    await bound.at_rest(service, 0.01)
    resting = asyncio.create_task(bound.at_rest(service, 60))
    await quiet(service.engine)
    assert not resting.done()
    lease = one.bound.lease_of(id)
    assert lease is not None
    await one.bound.finish(Ending(lease.id, lease.lease))
    await resting


async def test_who_is_asked_to_leave_is_told(service: Service) -> None:
    one = await join(service)
    [id] = service.workers.roster
    assert service.workers.ask_to_drain(id)
    assert one.drains == 1
    assert one.bound.idle
