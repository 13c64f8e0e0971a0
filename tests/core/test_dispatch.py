"""dispatch: free slots, one claim, hand out."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from rota.core.dispatch import Dispatch, Taker
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import ManualClock
from rota.model.job import Claimed, Request, State
from tests.core.kit import Watch, attach, ends, put, put_many, quiet, state, until
from tests.engines import kit


class Place:
    """A taker and what it was given; fails the moment it is given more than it has room for."""

    def __init__(
        self, dispatch: Dispatch, name: str, slots: int, *queues: str, types: tuple[str, ...] | None = None
    ):
        self.dispatch = dispatch
        self.slots = slots
        self.held: list[Claimed] = []
        self.got: list[Claimed] = []
        self.taker = Taker(name, queues or ("default",), types, slots, self.give)

    def give(self, jobs: list[Claimed]) -> None:
        self.held += jobs
        self.got += jobs
        assert len(self.held) <= self.slots, "given more than the free slots"

    async def until(self, jobs: int) -> None:
        await until(lambda: len(self.got) >= jobs, f"job {jobs}")

    def free(self, jobs: int = 1) -> None:
        del self.held[:jobs]
        self.dispatch.freed(self.taker, jobs)


async def test_never_more_than_the_free_slots_and_every_job_once(service: Service) -> None:
    """Many takers, jobs in batches of all sizes, slots freed at random; checked at every single hand-out."""
    chance = random.Random(1)
    dispatch = service.dispatch
    places = [Place(dispatch, f"w{n}", n, "a", "b") for n in (1, 2, 3, 7)]
    for place in places:
        dispatch.add(place.taker)
    ids: list[str] = []

    def received() -> list[str]:
        return [job.id for place in places for job in place.got]

    while len(ids) < 400:
        ids += await put_many(service, chance.choice((1, 1, 2, 5, 20)), queue=chance.choice("ab"))
        for place in places:
            if place.held and chance.random() < 0.7:
                place.free(chance.randint(1, len(place.held)))
        if chance.random() < 0.5:
            await quiet(service.engine)

    def drained() -> bool:
        for place in places:
            if place.held:
                place.free(len(place.held))
        return len(received()) >= len(ids)

    await until(drained, "every job")
    await quiet(service.engine)
    assert sorted(received()) == sorted(ids)
    assert all(place.taker.free + len(place.held) == place.slots for place in places), (
        "a slot was lost or made up"
    )


async def test_priority_then_age_through_two_takers(service: Service) -> None:
    wanted: list[tuple[int, int]] = []
    numbers: dict[str, tuple[int, int]] = {}
    for number, priority in enumerate((0, 5, -3, 5, 0, 100, -100, 0, 5)):
        numbers[await put(service, priority=priority)] = (-priority, number)
        wanted.append((-priority, number))
    places = [Place(service.dispatch, name, 1) for name in ("w1", "w2")]
    started: list[tuple[int, int]] = []
    for place in places:
        service.dispatch.add(place.taker)
    for turn in range(1, 6):
        # What is in hand at one time may be in either hand; both are the best two of those that were left.
        total = min(2 * turn, len(wanted))
        await until(lambda total=total: sum(len(place.got) for place in places) == total, "the next two")  # type: ignore[misc]
        started += sorted(numbers[place.held[0].id] for place in places if place.held)
        for place in places:
            place.free(len(place.held))
    assert started == sorted(wanted)


async def test_one_claim_gives_its_jobs_in_order(service: Service) -> None:
    ids = {await put(service, priority=priority): priority for priority in (0, 9, -9, 3)}
    hand = await attach(service, slots=4)
    assert [ids[job.id] for job in await hand.until(4)] == [9, 3, 0, -9]


async def test_takers_get_only_the_types_they_know(service: Service) -> None:
    knows = await attach(service, "knows", slots=5, types=["a", "b"])
    other = await attach(service, "other", slots=5, types=["c"])
    nothing = await attach(service, "nothing", slots=5, types=[])
    for type in ("a", "b", "c", "d", "a"):
        await put(service, type)
    await quiet(service.engine)
    assert sorted(job.type for job in knows.jobs) == ["a", "a", "b"]
    assert [job.type for job in other.jobs] == ["c"]
    assert nothing.jobs == []
    anything = await attach(service, "anything", slots=5)
    assert [job.type for job in await anything.until(1)] == ["d"]


async def test_a_paused_queue_gives_nothing_until_it_is_resumed(service: Service) -> None:
    await service.pause("stopped")
    hand = await attach(service, slots=5, queues=["stopped", "open"])
    held = await put(service, queue="stopped")
    free = await put(service, queue="open")
    assert [job.id for job in await hand.until(1)] == [free]
    await hand.end(hand.jobs.pop())
    service.dispatch.wake(["stopped", "open"])
    await quiet(service.engine)
    assert hand.jobs == []
    assert await state(service, held) is State.PENDING
    await service.resume("stopped")
    assert [job.id for job in await hand.until(1)] == [held]


async def test_a_taker_that_closes_during_a_claim_gives_the_jobs_back_untouched(service: Service) -> None:
    place = Place(service.dispatch, "leaver", 5)
    service.dispatch.add(place.taker)
    await quiet(service.engine)
    enqueued = asyncio.gather(*(put(service) for _ in range(3)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert place.taker.free < 5, "a claim is under way"
    service.dispatch.remove(place.taker)
    ids = await enqueued
    await quiet(service.engine)
    assert place.got == []
    for id in ids:
        job = await service.job(id)
        assert (job.state, job.attempt, job.losses, job.lease) == (State.PENDING, 0, 0, 1)
        assert await ends(service, id) == ["released"]
    stayer = await attach(service, "stayer", slots=5)
    assert sorted(job.id for job in await stayer.until(3)) == sorted(ids)
    assert {job.attempt for job in stayer.jobs} == {1}


async def test_jobs_given_back_go_straight_to_somebody_else(service: Service) -> None:
    """The one who closes has the only claim; the other one, full at that time, must still get the job."""
    busy = await attach(service, "busy")
    await put(service)
    work = await busy.next()
    leaver = Place(service.dispatch, "leaver", 1)
    service.dispatch.add(leaver.taker)
    await quiet(service.engine)
    enqueued = asyncio.ensure_future(put(service))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert leaver.taker.free == 0, "a claim is under way"
    service.dispatch.remove(leaver.taker)
    await busy.end(work)
    id = await enqueued
    assert (await busy.next()).id == id


async def test_what_is_enqueued_while_a_claim_is_under_way_is_not_forgotten(service: Service) -> None:
    """The claim sees an empty store, the job comes right behind it, the taker counts as full meanwhile."""
    place = Place(service.dispatch, "w1", 1)
    service.dispatch.add(place.taker)
    assert place.taker.free == 0, "a claim is under way"
    new = kit.job()
    enqueued = asyncio.ensure_future(service.engine.enqueue([Request((new,))], kit.NOW))
    service.dispatch.arrived("default", {"work": 1})
    await enqueued
    await until(lambda: place.got)
    assert [job.id for job in place.got] == [new.id]


async def test_a_thousand_idle_takers_and_one_job_make_one_ask(
    service: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [Place(service.dispatch, f"w{n}", 1) for n in range(1000)]
    for place in places:
        service.dispatch.add(place.taker)
    await quiet(engine)
    watch = Watch(engine, monkeypatch)
    new = kit.job()
    await engine.enqueue([Request((new,))], kit.NOW)
    service.dispatch.arrived("default", {"work": 1})
    await quiet(engine)
    assert (watch.calls, [ask.worker for ask in watch.asks]) == (1, ["w0"])
    assert [place.got[0].id for place in places if place.got] == [new.id]


async def test_arrivals_ask_for_as_many_takers_as_they_need(
    service: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [Place(service.dispatch, f"w{n}", 2) for n in range(50)]
    odd = Place(service.dispatch, "odd", 2, types=("odd",))
    for place in (*places, odd):
        service.dispatch.add(place.taker)
    await quiet(engine)
    watch = Watch(engine, monkeypatch)
    await engine.enqueue([Request((*(kit.job() for _ in range(5)), kit.job("odd")))], kit.NOW)
    service.dispatch.arrived("default", {"work": 5, "odd": 1})
    await quiet(engine)
    assert watch.calls == 1
    assert len(watch.asks) == 3, "two slots each: three takers for five jobs and one more"
    assert sum(len(place.got) for place in (*places, odd)) == 6


async def test_an_idle_fleet_takes_turns(service: Service, engine: Engine) -> None:
    hands = [await attach(service, f"w{n}") for n in range(4)]
    for _ in range(2):
        for _ in hands:
            await put(service)
            await quiet(engine)
        assert [len(hand.jobs) for hand in hands] == [1, 1, 1, 1]
        for hand in hands:
            await hand.end(hand.jobs.pop())
        await quiet(engine)


async def test_an_enqueue_asks_few_of_many(
    service: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        await attach(service, f"w{n}")
    await quiet(engine)
    watch = Watch(engine, monkeypatch)
    await put(service)
    await quiet(engine)
    assert len(watch.given) == 1
    # One ask in the commit of the enqueue, and one behind it for engines where the first may come too early.
    assert len(watch.asks) <= 2


async def test_no_queue_starves_another(service: Service) -> None:
    """One slot, three queues, one of them with far more and far better jobs."""
    await put_many(service, 50, queue="flood", priority=100)
    await put_many(service, 3, queue="brook")
    await put_many(service, 3, queue="spring", priority=-100)
    hand = await attach(service, queues=["flood", "brook", "spring"])
    order = []
    for _ in range(9):
        job = await hand.next()
        order.append(job.queue)
        await hand.end(job)
    assert order.count("brook") == order.count("spring") == order.count("flood") == 3


async def test_a_taker_of_an_empty_and_a_full_queue_fills_all_slots(service: Service) -> None:
    await put_many(service, 5, queue="full")
    for n, queues in enumerate((["empty", "full"], ["full", "empty"])):
        hand = await attach(service, f"w{n}", slots=2, queues=queues)
        assert {job.queue for job in await hand.until(2)} == {"full"}


async def test_nothing_is_claimed_once_stopped(service: Service) -> None:
    hand = await attach(service, slots=2)
    service.drain()
    id = await put(service)
    service.dispatch.wake(["default"])
    late = await attach(service, "late")
    await quiet(service.engine)
    assert hand.jobs == late.jobs == []
    assert await state(service, id) is State.PENDING


async def test_slots_come_back_when_the_store_refuses_a_claim(engine: Engine, clock: ManualClock) -> None:
    dispatch = Dispatch(engine, clock, kit.LEASE)
    place = Place(dispatch, "w1", 3)
    await engine.close()
    dispatch.add(place.taker)
    assert place.taker.free == 0, "a claim is under way"
    await until(lambda: place.taker.free == 3, "the slots")


async def test_nobody_complains_when_the_store_closes_before_jobs_are_given_back(service: Service) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    await put(service)
    leaver = Place(service.dispatch, "leaver", 1)
    service.dispatch.add(leaver.taker)
    service.dispatch.remove(leaver.taker)
    await service.engine.close()
    await service.dispatch.settled()
    gc.collect()
    assert service.dispatch.started == 1, "the claim went through"
    assert complaints == []


async def test_free_takers_get_single_jobs_in_turn(service: Service) -> None:
    """Each is free again before the next job comes: nobody is passed over, and nobody gets all of them."""
    places = [Place(service.dispatch, name, 1) for name in "abc"]
    for place in places:
        service.dispatch.add(place.taker)
    for number in range(9):
        await put(service)
        await quiet(service.engine)
        [taken] = [place for place in places if place.held]
        assert taken is places[number % 3]
        taken.free()
    assert [len(place.got) for place in places] == [3, 3, 3]
