"""The worker inside the server: the same verbs as over a socket, without one."""

from __future__ import annotations

import asyncio

import msgspec

from rota.core.inside import InsideSource
from rota.core.service import Service
from rota.model.clock import ManualClock
from rota.model.job import State
from rota.model.protocol import Answer, Ending, Hello, Lease, Line, Progress, Stop
from tests.core.kit import put, put_many, quiet, state


async def opened(service: Service, slots: int = 2) -> InsideSource:
    source = InsideSource(service)
    welcome = await source.open(Hello("abc", ("default",), slots, name="built-in"))
    assert (welcome.lease, welcome.beat) == (15.0, 5.0)
    return source


async def test_a_job_from_claim_to_finish(service: Service) -> None:
    source = await opened(service)
    id = await put(service, payload={"a": 1})
    [work] = await asyncio.wait_for(source.claim(5), 5)
    assert isinstance(work.payload, msgspec.Raw)
    assert (work.id, bytes(work.payload)) == (id, b'{"a":1}')
    assert await source.extend([Lease(id, work.lease)], [Progress(id, work.lease, 0.5)]) == []
    await source.log([Line(id, "half")])
    assert (await service.job(id)).progress is not None
    answers = await source.finish([Ending(id, work.lease, result=msgspec.Raw(b"2"))])
    assert answers == [Answer(id, work.lease, True, State.DONE)]
    assert (await service.job(id)).result == b"2"
    assert [line.text for _, line in await service.logs(id, 0, 10)] == ["half"]


async def test_claim_waits_and_gives_no_more_than_wanted(service: Service) -> None:
    source = await opened(service, slots=3)
    call = asyncio.ensure_future(source.claim(2))
    await quiet(service.engine)
    assert not call.done()
    ids = await put_many(service, 4)
    assert [work.id for work in await asyncio.wait_for(call, 5)] == ids[:2]
    assert [work.id for work in await source.claim(2)] == ids[2:3], "three slots, three jobs"
    assert await state(service, ids[3]) is State.PENDING


async def test_stops_and_drain_reach_it(service: Service) -> None:
    source = await opened(service)
    id = await put(service)
    [work] = await source.claim(1)
    await service.cancel(id)
    assert await asyncio.wait_for(source.stops(), 5) == [Stop(id, work.lease, "cancelled")]
    assert not source.drained.is_set()
    service.drain()
    assert source.drained.is_set()


async def test_drain_and_close(service: Service, clock: ManualClock) -> None:
    source = await opened(service)
    await put(service)
    [work] = await source.claim(1)
    await source.drain()
    left = await put(service)
    await quiet(service.engine)
    assert await state(service, left) is State.PENDING
    await source.finish([Ending(work.id, work.lease, "released")])
    job = await service.job(work.id)
    assert (job.state, job.attempt) == (State.PENDING, 0)
    await source.close()
    await source.close()
    assert service.workers.roster == {}


async def test_it_shows_on_the_roster_as_inside(service: Service) -> None:
    await opened(service)
    [worker] = service.workers.roster.values()
    assert (worker.id, worker.transport, worker.name) == (f"inside-{service.id}-abc", "inside", "built-in")
