"""fetch: the long poll of a worker that has no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from rota.core import bulk, upkeep
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import SECOND, ManualClock
from rota.model.errors import BadInput
from rota.model.job import Kept, State
from rota.model.protocol import Ending, Fetch, Fetched, Lease, Stop, Work
from rota.model.spec import JobSpec
from tests.core.kit import asked, attach, embedded, ends, moment, put, put_many, quiet, state, until


def fetching(
    service: Service,
    id: str = "p1",
    *,
    slots: int = 1,
    wait: float = 30,
    queues: Sequence[str] = ("default",),
    types: Sequence[str] | None = None,
) -> asyncio.Task[Fetched]:
    ask = Fetch(id, tuple(queues), slots, wait, None if types is None else tuple(types))
    return asyncio.ensure_future(service.workers.fetch(ask))


async def waiting(service: Service, id: str = "p1") -> None:
    """Until the fetch of this worker has asked once and waits."""
    await until(lambda: id in service.workers.roster)
    await quiet(service.engine)


async def got(call: asyncio.Task[Fetched]) -> list[Work]:
    return (await asyncio.wait_for(call, 10)).jobs


async def test_what_is_there_comes_at_once(service: Service) -> None:
    ids = await put_many(service, 3)
    fetched = await fetching(service, slots=2)
    assert [job.id for job in fetched.jobs] == ids[:2]
    assert (fetched.lease, fetched.beat, fetched.drain) == (15.0, 5.0, False)
    assert await state(service, ids[2]) is State.PENDING
    assert (await service.job(ids[0])).worker == "p1"


async def test_a_fetch_waits_for_the_first_job(service: Service) -> None:
    call = fetching(service, slots=5)
    await waiting(service)
    id = await put(service)
    assert [job.id for job in await got(call)] == [id]


@pytest.mark.parametrize("wait", [0, 0.05])
async def test_time_is_up(service: Service, wait: float) -> None:
    started = time.monotonic()
    assert await got(fetching(service, wait=wait)) == []
    assert wait <= time.monotonic() - started < wait + 2
    id = await put(service)
    assert await state(service, id) is State.PENDING, "the fetch is over; nobody has this job"


@pytest.mark.parametrize("wait", [-0.1, 60.1, float("nan")])
async def test_a_bad_wait_is_refused(service: Service, wait: float) -> None:
    with pytest.raises(BadInput) as caught:
        await fetching(service, wait=wait)
    assert (caught.value.code, caught.value.field) == ("invalid_wait", "wait")


async def test_without_waiting_a_fetch_still_gets_what_is_there(service: Service) -> None:
    """The claim is under way when the time is up; its jobs must not be lost."""
    ids = await put_many(service, 2)
    assert [job.id for job in await got(fetching(service, slots=2, wait=0))] == ids


async def test_types_and_queues_are_obeyed(service: Service) -> None:
    await put(service, "other")
    await put(service, "mine", queue="elsewhere")
    call = fetching(service, types=["mine"])
    await waiting(service)
    id = await put(service, "mine")
    assert [job.id for job in await got(call)] == [id]


async def test_jobs_that_come_one_after_another_are_never_lost(service: Service, engine: Engine) -> None:
    """Whatever is claimed for a fetch either goes into its answer or back to the queue: nothing in between.

    The second and third job arrive while the first is on its way to the fetch.
    """
    for gap in range(12):
        call = fetching(service, slots=5)
        await waiting(service)
        enqueued = []
        for _ in range(3):
            enqueued.append(asyncio.ensure_future(service.enqueue(asked(service, JobSpec(type="work")))))
            for _ in range(gap):
                await asyncio.sleep(0)
        ids = {kept[0].id for kept in await asyncio.gather(*enqueued)}
        held = {job.id: job.lease for job in await got(call)}
        await quiet(engine)
        for id in ids - set(held):
            job = await service.job(id)
            assert (job.state, job.attempt) == (State.PENDING, 0), (
                f"claimed and dropped, with {gap} turns between"
            )
        await service.workers.finish("p1", [Ending(id, lease) for id, lease in held.items()])
        await bulk.clear(service, "default")


async def test_a_fetch_given_up_while_it_waits_takes_nothing_with_it(service: Service) -> None:
    call = fetching(service)
    await waiting(service)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    id = await put(service)
    await quiet(service.engine)
    job = await service.job(id)
    assert (job.state, job.attempt, job.attempts) == (State.PENDING, 0, ())


async def test_a_fetch_given_up_at_any_moment_hands_its_jobs_back(service: Service) -> None:
    """Cancelled at every turn of the loop between the enqueue and the answer."""
    moments: set[object] = set()

    async def enqueue() -> list[Kept]:
        return await service.enqueue(asked(service, *[JobSpec(type="work")] * 2))

    wanted = {(), ("released",), "answered"}
    near = embedded(service.engine)
    for turns in range(12 if near else 200):
        if not near and wanted <= moments:
            break
        call = fetching(service, slots=2)
        await waiting(service)
        enqueued = asyncio.ensure_future(enqueue())
        await moment(service.engine, turns)
        call.cancel()
        ids = [kept.id for kept in await enqueued]
        result = (await asyncio.gather(call, return_exceptions=True))[0]
        await quiet(service.engine)
        if isinstance(result, Fetched):
            moments.add("answered")
            assert [job.id for job in result.jobs] == ids
            await service.workers.finish("p1", [Ending(job.id, job.lease) for job in result.jobs])
            continue
        for id in ids:
            job = await service.job(id)
            assert (job.state, job.attempt, job.losses) == (State.PENDING, 0, 0), f"after {turns} turns"
            moments.add(tuple(await ends(service, id)))
        other = await attach(service, f"other{turns}", slots=2)
        assert sorted(other.ids or [job.id for job in await other.until(2)]) == ids
        await other.end(other.jobs[0])
        await other.end(other.jobs[1])
        await other.leave()
    assert wanted <= moments, "before the claim, after it, and too late"


async def test_a_stopping_server_answers_everybody(service: Service) -> None:
    calls = [fetching(service, f"p{n}") for n in range(3)]
    for n in range(3):
        await waiting(service, f"p{n}")
    service.drain()
    service.workers.answer_fetches()
    for call in calls:
        assert await got(call) == []


async def test_a_poller_is_on_the_roster_until_it_is_silent_for_long(
    service: Service, clock: ManualClock
) -> None:
    await got(fetching(service, wait=0, slots=3))
    worker = service.workers.roster["p1"]
    assert (worker.transport, worker.slots, worker.queues) == ("poll", 3, ("default",))
    clock.advance(4 * service.rules.lease)
    await upkeep.tidy(service)
    assert "p1" in service.workers.roster
    clock.advance(1)
    await upkeep.tidy(service)
    assert "p1" not in service.workers.roster
    socket = await attach(service, "w1")
    clock.advance(100 * service.rules.lease)
    await upkeep.tidy(service)
    assert service.workers.roster == {"w1": socket.worker}, "a socket is there for as long as it is open"


async def test_a_poller_learns_of_a_cancel_with_its_beat(service: Service, clock: ManualClock) -> None:
    id = await put(service)
    [work] = await got(fetching(service))
    await service.cancel(id)
    clock.advance(SECOND)
    stops = await service.workers.extend("p1", [Lease(work.id, work.lease)], ())
    assert stops == [Stop(id, work.lease, "cancelled")]
    assert service.workers.roster["p1"].last_beat == clock.now()


async def test_a_poller_is_asked_to_drain(service: Service) -> None:
    await put_many(service, 2)
    [work] = await got(fetching(service))
    assert service.workers.beaten("p1") is False
    assert service.workers.ask_to_drain("p1") is True
    assert service.workers.beaten("p1") is True
    fetched = await fetching(service)
    assert (fetched.jobs, fetched.drain) == ([], True)
    [answer] = await service.workers.finish("p1", [Ending(work.id, work.lease)])
    assert answer.applied


async def test_what_a_poller_has_in_hand_is_counted(service: Service) -> None:
    await put_many(service, 3)
    jobs = await got(fetching(service, slots=2)) + await got(fetching(service, slots=1))
    worker = service.workers.roster["p1"]
    assert len(worker.taken) == 3
    await service.workers.finish("p1", [Ending(jobs[0].id, jobs[0].lease)])
    assert len(worker.taken) == 2
