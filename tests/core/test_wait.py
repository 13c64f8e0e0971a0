"""Waiting for the end of a job."""

from __future__ import annotations

import asyncio
import time

from rota.core import bulk, upkeep
from rota.core.service import Service
from rota.model.clock import SECOND, ManualClock
from rota.model.job import Job, Kept, State
from rota.model.spec import JobSpec
from tests.core.kit import asked, attach, put, quiet, until


def waiting(service: Service, id: str, seconds: float = 30) -> asyncio.Task[Job | None]:
    return asyncio.ensure_future(service.wait(id, seconds))


async def started(service: Service) -> None:
    await until(lambda: service.bus._waiters)
    await quiet(service.engine)


async def test_waiting_ends_with_the_job(service: Service) -> None:
    hand = await attach(service)
    for end, state in (("done", State.DONE), ("cancelled", State.CANCELLED)):
        call = waiting(service, await put(service))
        await started(service)
        assert not call.done()
        await hand.end(await hand.next(), end)  # type: ignore[arg-type]
        job = await asyncio.wait_for(call, 5)
        assert job is not None
        assert job.state is state


async def test_a_retry_is_no_end(service: Service, clock: ManualClock) -> None:
    id = await put(service, max_attempts=2)
    hand = await attach(service)
    call = waiting(service, id)
    await started(service)
    await hand.end(await hand.next(), "failed", delay=0)
    again = await hand.next()
    await quiet(service.engine)
    assert not call.done()
    await hand.end(again, "failed")
    job = await asyncio.wait_for(call, 5)
    assert job is not None
    assert job.state is State.FAILED


async def test_waiting_for_what_has_ended_or_is_not_there_is_over_at_once(service: Service) -> None:
    id = await put(service)
    await service.cancel(id)
    job = await asyncio.wait_for(service.wait(id, 60), 5)
    assert job is not None
    assert job.state is State.CANCELLED
    assert await asyncio.wait_for(service.wait("nothing", 60), 5) is None


async def test_time_is_up(service: Service) -> None:
    id = await put(service)
    begun = time.monotonic()
    job = await service.wait(id, 0.05)
    assert 0.05 <= time.monotonic() - begun < 3
    assert job is not None
    assert job.state is State.PENDING
    assert service.bus._waiters == {}


async def test_a_deleted_job_ends_the_wait(service: Service) -> None:
    for remove in (service.delete, lambda _: bulk.clear(service, "default")):
        id = await put(service)
        call = waiting(service, id)
        await started(service)
        await remove(id)
        assert await asyncio.wait_for(call, 5) is None


async def test_expiry_loss_and_timeout_end_the_wait(service: Service, clock: ManualClock) -> None:
    expires = await put(service, "later", expires_at="2027-01-15T08:00:30Z", delay=10)
    lost = await put(service, max_attempts=1)
    late = await put(service, timeout=2, max_attempts=1)
    await attach(service, slots=2, types=["work"])
    calls = [waiting(service, id) for id in (expires, lost, late)]
    await until(lambda: len(service.bus._waiters) == 3)
    await quiet(service.engine)
    clock.advance(10 * SECOND)
    await upkeep.time_out(service)
    clock.advance(50 * SECOND)
    await upkeep.rescue(service)
    await upkeep.expire(service)
    reasons = [job and job.reason for job in await asyncio.wait_for(asyncio.gather(*calls), 5)]
    assert reasons == ["expired", "worker_lost", "timeout"]


async def test_enqueue_and_wait(service: Service) -> None:
    hand = await attach(service)
    call = asyncio.ensure_future(service.enqueue_and_wait(asked(service, JobSpec(type="work")), 30))
    await hand.end(await hand.next())
    kept, job = await asyncio.wait_for(call, 5)
    assert job is not None
    assert (job.id, job.state, kept.why) == (kept.id, State.DONE, None)


async def test_enqueue_and_wait_for_a_job_that_was_there(service: Service) -> None:
    """The holder of the unique key is waited for, not the job that was never made."""
    holder = await put(service, unique_key="k")
    hand = await attach(service)
    again = JobSpec(type="work", unique_key="k")
    call = asyncio.ensure_future(service.enqueue_and_wait(asked(service, again), 30))
    await started(service)
    work = await hand.next()
    assert not call.done()
    await hand.end(work)
    kept, job = await asyncio.wait_for(call, 5)
    assert kept == Kept(holder, State.RUNNING, "unique") or kept == Kept(holder, State.PENDING, "unique")
    assert job is not None
    assert (job.id, job.state) == (holder, State.DONE)


async def test_enqueue_and_wait_again_after_the_end(service: Service) -> None:
    spec = JobSpec(type="work", idempotency_key="k")
    first = (await service.enqueue(asked(service, spec)))[0].id
    hand = await attach(service)
    await hand.end(await hand.next())
    kept, job = await asyncio.wait_for(service.enqueue_and_wait(asked(service, spec), 60), 5)
    assert (kept.id, kept.why) == (first, "idempotency")
    assert job is not None
    assert job.state is State.DONE
    await service.delete(first)
    kept, job = await asyncio.wait_for(service.enqueue_and_wait(asked(service, spec), 60), 5)
    assert (kept.id, kept.state, job) == (first, None, None)


async def test_who_stops_waiting_leaves_the_job_alone(service: Service) -> None:
    call = asyncio.ensure_future(service.enqueue_and_wait(asked(service, JobSpec(type="work")), 60))
    await started(service)
    call.cancel()
    await asyncio.wait([call])
    assert service.bus._waiters == {}
    hand = await attach(service)
    assert (await hand.end(await hand.next())).applied


async def test_a_stopping_server_answers_those_who_wait(service: Service) -> None:
    call = waiting(service, await put(service))
    await started(service)
    service.bus.close()
    job = await asyncio.wait_for(call, 5)
    assert job is not None
    assert job.state is State.PENDING
