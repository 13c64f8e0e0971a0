"""Queues: their numbers, pause, resume, clear, and why a job waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from rota.core import bulk
from rota.core.queues import QueueInfo
from rota.core.service import Service
from rota.engines.open import open_engine
from rota.model.clock import SECOND, ManualClock
from rota.model.errors import BadInput
from rota.model.job import State
from tests.core.kit import attach, put, put_many, quiet, state, until


async def named(service: Service, name: str) -> QueueInfo:
    return {info.name: info for info in await service.queues()}[name]


def claimed(info: QueueInfo) -> int:
    return info.counts.get(State.RUNNING, 0) + info.counts.get(State.DONE, 0)


async def why(service: Service, id: str) -> str | None:
    return service.waits_for(await service.job(id))


async def test_numbers(service: Service, clock: ManualClock) -> None:
    assert await service.queues() == []
    await put_many(service, 2, queue="b")
    await put(service, queue="b", delay=60)
    clock.advance(3 * SECOND)
    await put(service, queue="b", priority=9)
    await put(service, queue="a")
    await attach(service, "w1", slots=3, queues=["b", "idle"])
    await quiet(service.engine)
    await put_many(service, 2, queue="b")
    clock.advance(SECOND)
    infos = await service.queues()
    assert [info.name for info in infos] == ["a", "b", "idle"]
    b = infos[1]
    assert {state: n for state, n in b.counts.items() if n} == {
        State.PENDING: 2,
        State.SCHEDULED: 1,
        State.RUNNING: 3,
    }
    assert (b.oldest_age, b.workers, b.slots, b.paused) == (1.0, 1, 3, False)
    assert (infos[0].oldest_age, infos[0].workers, infos[0].slots) == (1.0, 0, 0)
    assert (infos[2].counts, infos[2].oldest_age, infos[2].workers) == ({}, None, 1)


async def test_the_oldest_is_the_one_that_waits_longest_whatever_its_priority(
    service: Service, clock: ManualClock
) -> None:
    await put(service, priority=-5)
    clock.advance(10 * SECOND)
    await put(service, "other", priority=5)
    assert (await named(service, "default")).oldest_age == 10.0


async def test_types_that_no_worker_knows(service: Service) -> None:
    for type in ("known", "odd", "later"):
        await put(service, type, delay=60 if type == "later" else None)
    await put(service, "elsewhere", queue="other")
    hand = await attach(service, types=["known"])
    await hand.next()
    assert (await named(service, "default")).types_without_worker == ["later", "odd"]
    assert (await named(service, "other")).types_without_worker == ["elsewhere"]
    odd = await attach(service, "w2", types=["odd", "later"])
    assert (await named(service, "default")).types_without_worker == []
    await odd.next()
    service.workers.draining(odd.worker)
    assert (await named(service, "default")).types_without_worker == ["later"]
    await attach(service, "w3", slots=9, queues=["default", "other"])
    await quiet(service.engine)
    assert [info.types_without_worker for info in await service.queues()] == [[], []]


async def test_one_queue_that_nobody_knows_yet(service: Service) -> None:
    info = await service.queue("new")
    assert (info.name, info.paused, info.counts, info.workers) == ("new", False, {}, 0)


@pytest.mark.parametrize("name", ["", "*", "a b", "ä", "../x", "-a", "x" * 201, "a\x00"])
async def test_an_impossible_name_is_refused(service: Service, name: str) -> None:
    calls: list[Callable[[str], Awaitable[object]]] = [service.queue, service.pause, service.resume]
    calls.append(partial(bulk.clear, service))
    for call in calls:
        with pytest.raises(BadInput) as caught:
            await call(name)
        assert (caught.value.code, caught.value.field) == ("invalid_queue", "queue")
    assert service.dispatch.paused == set()


async def test_a_pause_and_a_resume_outlive_the_server(store: str, clock: ManualClock) -> None:
    ids: list[str] = []
    for paused in (False, True, True, False):
        engine = await open_engine(store)
        service = Service(engine, clock=clock)
        await service.load()
        assert (await service.queue("default")).paused is paused
        ids.append(await put(service))
        hand = await attach(service)
        await quiet(engine)
        assert hand.ids == ([] if paused else ids[:1])
        for job in hand.jobs:
            await hand.end(job)
            ids.remove(job.id)
        match len(ids):
            case 0:
                await service.pause("default")
            case 2:
                await hand.leave()
                await service.resume("default")
        await engine.close()


async def test_no_claim_after_the_pause_is_acknowledged(service: Service) -> None:
    """With a crowd of hungry workers and a stream of jobs: what starts, started before the answer."""
    hands = [await attach(service, f"w{n}", slots=3) for n in range(5)]
    stop = False

    async def stream() -> None:
        while not stop:
            await put(service)

    async def more(jobs: int) -> None:
        await until(lambda: service.dispatch.started > jobs, "more jobs")

    async def work() -> None:
        while not stop:
            for hand in hands:
                while hand.jobs:
                    await hand.end(hand.jobs.pop())
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(stream())
        group.create_task(work())
        for _ in range(10):
            before = service.dispatch.started
            await more(before + 20)
            info = await service.pause("default")
            assert info.paused
            await quiet(service.engine)
            assert claimed(await service.queue("default")) == claimed(info)
            settled = service.dispatch.started
            await quiet(service.engine)
            assert service.dispatch.started == settled
            await service.resume("default")
        stop = True


async def test_a_paused_queue_takes_jobs_and_results(service: Service) -> None:
    first = await put(service)
    hand = await attach(service)
    work = await hand.next()
    await service.pause("default")
    second = await put(service)
    assert (await hand.end(work)).applied
    await quiet(service.engine)
    assert [await state(service, id) for id in (first, second)] == [State.DONE, State.PENDING]
    await service.pause("default")
    await service.resume("default")
    assert (await hand.next()).id == second
    assert (await service.resume("default")).paused is False


async def test_clear_deletes_what_waits_and_nothing_else(service: Service) -> None:
    runs = await put(service)
    hand = await attach(service)
    await hand.until(1)
    waits = await put_many(service, 1200)
    later = await put(service, delay=60)
    other = await put(service, queue="other")
    done = await put(service, queue="done")
    await service.cancel(done)
    assert await bulk.clear(service, "default") == 1201
    assert await bulk.clear(service, "default") == 0
    assert await service.engine.get([waits[0], waits[-1], later]) == []
    assert [await state(service, id) for id in (runs, other, done)] == [
        State.RUNNING,
        State.PENDING,
        State.CANCELLED,
    ]


async def test_why_a_job_waits(service: Service) -> None:
    id = await put(service, "odd")
    assert await why(service, id) == "No worker serves the queue default."
    hand = await attach(service, types=["even"])
    assert await why(service, id) == "No connected worker of the queue default knows the type odd."
    await service.pause("default")
    assert await why(service, id) == "The queue default is paused."
    await service.resume("default")
    service.workers.draining(hand.worker)
    assert await why(service, id) == "All workers of the queue default are draining."
    other = await attach(service, "w2")
    await other.until(1)
    assert await why(service, id) is None, "it runs"
    second = await put(service, "odd")
    await quiet(service.engine)
    assert await why(service, second) == "All slots are taken, or other jobs are ahead of it."
    service.drain()
    assert await why(service, second) == "The server is draining."
    assert await why(service, await put(service, delay=9)) is None
