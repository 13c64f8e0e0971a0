"""service: what people do with jobs. (Queues are in test_queues.py, waiting in test_wait.py.)"""

from __future__ import annotations

import asyncio

import pytest

from rota.core.service import Service
from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import DAY, SECOND, ManualClock
from rota.model.errors import BadInput, Conflict, NotFound
from rota.model.job import ENDED, Match, State
from rota.model.protocol import Line, Stop
from rota.model.spec import JobSpec
from tests.core.kit import asked, attach, ends, put, put_many, quiet, state

NOBODY = "00000000-0000-7000-8000-000000000000"


async def ended(service: Service, want: State, **fields: object) -> str:
    """A job that has come to this end."""
    id = await put(service, f"to-{want}", max_attempts=1, **fields)
    hand = await attach(service, "ender", types=[f"to-{want}"])
    work = await hand.next()
    await hand.end(work, {"done": "done", "failed": "failed", "cancelled": "cancelled"}[want])  # type: ignore[arg-type]
    await hand.leave()
    assert await state(service, id) is want
    return id


async def running(service: Service) -> str:
    id = await put(service, "busy")
    hand = await attach(service, "runner", types=["busy"])
    assert (await hand.next()).id == id
    return id


# enqueue


async def test_ids_come_in_the_order_of_the_request(service: Service) -> None:
    specs = [JobSpec(type=f"t{n}") for n in range(100)]
    kept = await service.enqueue(asked(service, *specs))
    jobs = await service.engine.get([one.id for one in kept])
    assert [job.type for job in jobs] == [spec.type for spec in specs]
    assert {one.state for one in kept} == {State.PENDING}
    assert service.workers.meter.enqueued.total() == 100


async def test_an_idempotency_key_gives_the_same_jobs_or_a_conflict(
    service: Service, clock: ManualClock
) -> None:
    specs = [JobSpec(type="a"), JobSpec(type="b")]
    first = await service.enqueue(asked(service, *specs, key="k", body=b"body"))
    again = await service.enqueue(asked(service, *specs, key="k", body=b"body"))
    assert [one.id for one in again] == [one.id for one in first]
    assert [(one.state, one.why) for one in again] == [(State.PENDING, "idempotency")] * 2
    with pytest.raises(Conflict) as caught:
        await service.enqueue(asked(service, *specs, key="k", body=b"other"))
    assert (caught.value.code, caught.value.field) == ("idempotency_mismatch", "idempotency_key")
    assert sum(row.jobs for row in await service.engine.count()) == 2
    clock.advance(DAY)
    later = await service.enqueue(asked(service, *specs, key="k", body=b"other"))
    assert [one.why for one in later] == [None, None], "a key is kept for a day"


async def test_equal_requests_at_the_same_time_make_one_job(service: Service) -> None:
    hand = await attach(service, slots=10)
    calls = [service.enqueue(asked(service, JobSpec(type="a"), key="k", body=b"x")) for _ in range(50)]
    kept = [one for [one] in await asyncio.gather(*calls)]
    assert len({one.id for one in kept}) == 1
    assert [one.why for one in kept].count(None) == 1
    await quiet(service.engine)
    assert len(hand.jobs) == 1


async def test_a_unique_key_names_its_holder(service: Service) -> None:
    first = await put(service, unique_key="k")
    [kept] = await service.enqueue(asked(service, JobSpec(type="other", unique_key="k")))
    assert (kept.id, kept.why, kept.state) == (first, "unique", State.PENDING)
    hand = await attach(service)
    await hand.end(await hand.next())
    assert await put(service, unique_key="k") != first


# reading


async def test_a_job_that_is_not_there(service: Service) -> None:
    for call in (service.job, service.cancel, service.retry, service.run_now, service.delete):
        for id in (NOBODY, "", "x" * 1000, "' OR 1=1 --"):
            with pytest.raises(NotFound) as caught:
                await call(id)
            assert (caught.value.code, caught.value.field) == ("job_not_found", "id")
            assert len(caught.value.detail) < 200
    with pytest.raises(NotFound):
        await service.logs(NOBODY, 0, 10)


async def test_bounds_of_pages(service: Service) -> None:
    id = await put(service)
    await service.workers.log([Line(id, str(n)) for n in range(5)])
    assert [n for n, _ in await service.logs(id, 0, 2)] == [1, 2]
    assert [line.text for _, line in await service.logs(id, 3, 10_000)] == ["3", "4"]
    for limit in (0, -1, 501):
        with pytest.raises(BadInput) as caught:
            await service.jobs(Match(), limit, None)
        assert caught.value.code == "invalid_limit"
    for limit in (0, 10_001):
        with pytest.raises(BadInput) as caught:
            await service.logs(id, 0, limit)
        assert caught.value.code == "invalid_limit"


# cancel


async def test_waiting_jobs_are_cancelled_at_once(service: Service) -> None:
    for id in (await put(service), await put(service, delay=60)):
        job = await service.cancel(id)
        assert (job.state, job.reason, job.attempt) == (State.CANCELLED, "cancelled", 0)
    hand = await attach(service, slots=5)
    await quiet(service.engine)
    assert hand.jobs == []
    assert service.workers.meter.totals() == {"done": 0, "failed": 0, "cancelled": 2}


async def test_a_running_job_is_asked_to_stop(service: Service) -> None:
    id = await put(service)
    hand = await attach(service)
    work = await hand.next()
    job = await service.cancel(id)
    assert (job.state, job.cancel_requested) == (State.RUNNING, True)
    assert hand.stops == [Stop(id, work.lease, "cancelled")]
    assert (await service.cancel(id)).state is State.RUNNING, "asking twice is no fault"
    assert (await hand.end(work, "cancelled")).state is State.CANCELLED


@pytest.mark.parametrize("want", sorted(ENDED))
async def test_an_ended_job_cannot_be_cancelled(service: Service, want: State) -> None:
    id = await ended(service, want)
    with pytest.raises(Conflict) as caught:
        await service.cancel(id)
    assert (caught.value.code, caught.value.extra) == ("invalid_state", {"state": want.value})
    assert await state(service, id) is want


# retry and run now


@pytest.mark.parametrize("want", sorted(ENDED))
async def test_an_ended_job_is_brought_back(service: Service, want: State) -> None:
    id = await ended(service, want)
    job = await service.retry(id)
    assert (job.state, job.attempt, job.reason, job.result) == (State.PENDING, 1, None, None)
    hand = await attach(service)
    work = await hand.next()
    assert (work.id, work.attempt) == (id, 2), "it goes on counting"
    assert (await hand.end(work)).applied
    assert await ends(service, id) == [str(want), "done"]


async def test_a_retried_job_goes_to_a_worker_that_waits(service: Service) -> None:
    id = await ended(service, State.FAILED)
    hand = await attach(service)
    await quiet(service.engine)
    await service.retry(id)
    assert (await hand.next()).id == id


async def test_only_ended_jobs_are_retried(service: Service) -> None:
    for id, now in (
        (await put(service), State.PENDING),
        (await put(service, delay=9), State.SCHEDULED),
        (await running(service), State.RUNNING),
    ):
        with pytest.raises(Conflict) as caught:
            await service.retry(id)
        assert (caught.value.code, caught.value.extra) == ("invalid_state", {"state": now.value})
        assert await state(service, id) is now


async def test_a_retry_does_not_break_a_unique_key(service: Service) -> None:
    id = await ended(service, State.FAILED, unique_key="k")
    holder = await put(service, unique_key="k")
    with pytest.raises(Conflict) as caught:
        await service.retry(id)
    assert caught.value.code == "duplicate_job"
    assert await state(service, id) is State.FAILED
    await service.delete(holder)
    assert (await service.retry(id)).state is State.PENDING


async def test_run_now(service: Service, clock: ManualClock) -> None:
    id = await put(service, delay=3600)
    hand = await attach(service)
    await quiet(service.engine)
    assert hand.jobs == []
    job = await service.run_now(id)
    assert job.run_at == clock.now()
    assert (await hand.next()).id == id
    ended_id = await ended(service, State.DONE)
    for other, now in ((id, State.RUNNING), (await put(service, "x"), State.PENDING), (ended_id, State.DONE)):
        with pytest.raises(Conflict) as caught:
            await service.run_now(other)
        assert (caught.value.code, caught.value.extra) == ("invalid_state", {"state": now.value})


# delete


async def test_delete(service: Service) -> None:
    for id in (await put(service), await put(service, delay=9), await ended(service, State.DONE)):
        await service.delete(id)
        with pytest.raises(NotFound):
            await service.job(id)
    id = await running(service)
    with pytest.raises(Conflict) as caught:
        await service.delete(id)
    assert caught.value.code == "invalid_state"
    assert await state(service, id) is State.RUNNING


# many


async def test_cancel_all_takes_the_oldest_first_and_no_more_than_the_limit(service: Service) -> None:
    ids = await put_many(service, 5, queue="q")
    other = await put(service)
    applied = await service.cancel_all(Match(queues=("q",)), "spring-cleaning", 3)
    assert [one.id for one in applied] == ids[:3]
    assert (await service.job(ids[0])).reason == "spring-cleaning"
    assert [await state(service, id) for id in (*ids[3:], other)] == [State.PENDING] * 3


# the life of the server


async def test_everything_is_there_again_after_a_restart(store: str, clock: ManualClock) -> None:
    engine: Engine = await open_engine(store)
    service = Service(engine, clock=clock)
    ids = [await put(service), await put(service, delay=60), await ended(service, State.DONE)]
    running_id = await running(service)
    await engine.close()
    engine = await open_engine(store)
    service = Service(engine, clock=clock)
    await service.load()
    assert [await state(service, id) for id in (*ids, running_id)] == [
        State.PENDING,
        State.SCHEDULED,
        State.DONE,
        State.RUNNING,
    ]
    hand = await attach(service)
    assert (await hand.next()).id == ids[0]
    clock.advance(60 * SECOND)
    await engine.close()
