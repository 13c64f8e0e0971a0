"""Workers inside the server that stand in for a front: only as long as nobody else serves the queue."""

from __future__ import annotations

import asyncio

import msgspec

from rota.core import upkeep
from rota.core.explain import able
from rota.core.facts import explain_job
from rota.core.inside import InsideSource, StandIn
from rota.core.service import Service
from rota.model.clock import SECOND, ManualClock
from rota.model.job import State
from rota.model.protocol import Ending, Fetch, Fetched, Hello, Work
from rota.model.spec import JobSpec
from tests.core.kit import PATIENCE, asked, attach, ends, put, put_many, quiet, state, until


class Stand:
    """A worker that stands in for a front, taken by the hand."""

    def __init__(self, service: Service, stand_in: StandIn) -> None:
        self._source = InsideSource(service, stand_in)

    @classmethod
    async def there(
        cls,
        service: Service,
        *,
        slots: int = 10,
        queue: str = "default",
        front: str = "old",
        types: tuple[str, ...] = ("work",),
        fallback: bool = True,
        except_types: tuple[str, ...] = (),
    ) -> Stand:
        stand = cls(service, StandIn(front, types, except_types))
        known = None if fallback else types
        await stand._source.open(Hello(f"stand-{front}", (queue,), slots, known, name="stand-in"))
        return stand

    async def claim(self) -> list[Work]:
        return await asyncio.wait_for(self._source.claim(100), PATIENCE)

    async def next(self) -> Work:
        [work] = await self.claim()
        return work

    async def done(self, work: Work) -> None:
        [answer] = await self._source.finish([Ending(work.id, work.lease)])
        assert answer.applied

    async def drain(self) -> None:
        await self._source.drain()

    @property
    def jobs(self) -> int:
        """Given and not taken yet."""
        return self._source._jobs.qsize()


async def put_front(service: Service, type: str, front: str = "old", queue: str = "default") -> str:
    """A job that came through a front; its id."""
    [kept] = await service.enqueue(asked(service, JobSpec(type=type, queue=queue), front=front))
    return kept.id


async def fetch(service: Service, worker: str, *, wait: float = 0, **fields: object) -> Fetched:
    ask = {"worker": worker, "queues": ["default"], "slots": 1, "wait": wait, **fields}
    return await service.workers.fetch(msgspec.convert(ask, Fetch))


async def test_it_takes_nothing_while_another_worker_serves_the_queue(service: Service) -> None:
    stand = await Stand.there(service)
    hand = await attach(service, slots=1)
    ids = await put_many(service, 3)
    work = await hand.next()
    service.dispatch.wake(["default"])
    await upkeep.tidy(service)
    await quiet(service.engine)
    assert [await state(service, id) for id in ids[1:]] == [State.PENDING] * 2
    await hand.end(work)
    await hand.until(1)
    assert stand.jobs == 0


async def test_it_takes_over_at_once_when_the_last_one_leaves(service: Service) -> None:
    stand = await Stand.there(service)
    first, second = await attach(service, "w1", types=["other"]), await attach(service, "w2", types=["other"])
    id = await put(service)
    await first.leave()
    await quiet(service.engine)
    assert stand.jobs == 0
    await second.leave()
    assert (await stand.next()).id == id


async def test_it_takes_over_at_once_when_the_last_one_drains(service: Service) -> None:
    stand = await Stand.there(service)
    hand = await attach(service)
    id = await put(service)
    work = await hand.next()
    rest = await put(service)
    assert service.workers.ask_to_drain(hand.id)
    assert (await stand.next()).id == rest
    assert work.id == id, "what the other one has in hand is its own"
    await hand.leave()
    assert not service.workers.roster.served("default")


async def test_a_worker_that_joins_gets_jobs_at_once(service: Service) -> None:
    stand = await Stand.there(service, slots=2)
    mine = await put_many(service, 3)
    assert [work.id for work in await stand.claim()] == mine[:2]
    hand = await attach(service, slots=5)
    later = await put_many(service, 3)
    await hand.until(4)
    assert hand.ids == [mine[2], *later]


async def test_a_worker_that_comes_again_counts_once(service: Service) -> None:
    stand = await Stand.there(service)
    before = await attach(service, "same")
    after = await attach(service, "same", queues=("elsewhere",))
    await before.leave()
    assert not service.workers.roster.served("default"), "it serves another queue now"
    id = await put(service)
    assert (await stand.next()).id == id
    await after.leave()
    assert not service.workers.roster.served("elsewhere")
    assert not service.workers.roster._serving


async def test_two_stand_ins_do_not_stop_each_other(service: Service) -> None:
    one = await Stand.there(service, front="one", types=("a",), fallback=False)
    two = await Stand.there(service, front="two", types=("b",), fallback=False)
    a, b = await put(service, "a"), await put(service, "b")
    assert ((await one.next()).id, (await two.next()).id) == (a, b)


async def test_a_poller_counts_while_it_polls_and_for_a_lease(service: Service, clock: ManualClock) -> None:
    stand = await Stand.there(service)
    call = asyncio.ensure_future(fetch(service, "poller", wait=30, types=["other"]))
    await until(lambda: "poller" in service.workers.roster)
    id = await put(service)
    clock.advance(20 * SECOND)
    await upkeep.tidy(service)
    await quiet(service.engine)
    assert stand.jobs == 0, "its poll is open, however long ago it began"
    service.workers.answer_fetches()
    await call
    clock.advance(14 * SECOND)
    await upkeep.tidy(service)
    await quiet(service.engine)
    assert stand.jobs == 0
    clock.advance(2 * SECOND)
    await upkeep.tidy(service)
    work = await stand.next()
    assert work.id == id
    # It comes back, and is the one that serves.
    await fetch(service, "poller", types=["other"])
    await put(service)
    await quiet(service.engine)
    assert stand.jobs == 0


async def test_a_poller_that_says_goodbye_or_turns_to_other_queues(service: Service) -> None:
    stand = await Stand.there(service)
    await fetch(service, "poller", types=["other"])
    first = await put(service)
    await quiet(service.engine)
    assert stand.jobs == 0
    await fetch(service, "poller", queues=["elsewhere"])
    assert (await stand.next()).id == first
    await fetch(service, "poller", types=["other"])
    second = await put(service)
    await quiet(service.engine)
    assert stand.jobs == 0
    service.workers.leaving("poller")
    assert (await stand.next()).id == second


async def test_a_type_that_no_other_worker_knows_waits_and_says_so(service: Service) -> None:
    """Who serves a queue decides what happens in it: the stand-in does not pick what is left over."""
    stand = await Stand.there(service, types=("email", "webhook"))
    hand = await attach(service, types=["email"])
    waiting = await put(service, "webhook")
    await put(service, "email")
    await hand.until(1)
    await quiet(service.engine)
    assert stand.jobs == 0
    queue = await service.queue("default")
    assert (queue.workers, queue.slots, queue.types_without_worker) == (1, 1, ["webhook"])
    [cause] = (await explain_job(service, waiting)).causes
    assert cause.code == "unknown_type"
    assert cause.numbers["names"] == [hand.worker.name]
    await hand.leave()
    assert (await stand.next()).id == waiting
    queue = await service.queue("default")
    assert (queue.workers, queue.slots, queue.types_without_worker) == (1, 10, [])


async def test_types_left_out_wait_and_say_so(service: Service) -> None:
    stand = await Stand.there(service, except_types=("program", "url"))
    left = [await put_front(service, type) for type in ("program", "url")]
    mine = await put_front(service, "anything")
    assert (await stand.next()).id == mine
    await quiet(service.engine)
    assert [await state(service, id) for id in left] == [State.PENDING] * 2
    assert (await service.queue("default")).types_without_worker == ["program", "url"]
    for id in left:
        [cause] = (await explain_job(service, id)).causes
        assert cause.code == "unknown_type"
    assert able(await service.job(mine), service.line(await service.job(mine)))
    hand = await attach(service, slots=2)
    await hand.until(2)
    assert hand.ids == left


async def test_of_other_types_it_runs_only_those_of_its_front(service: Service) -> None:
    stand = await Stand.there(service)
    known = await put(service, "work")
    assert (await stand.next()).id == known, "a type that it has a task for is no pretence"
    ours = await put_front(service, "report")
    assert (await stand.next()).id == ours
    others = [await put(service, "resize"), await put_front(service, "crop", "another")]
    await until(lambda: next(iter(service.workers.roster.values())).except_types == ("crop", "resize"))
    await quiet(service.engine)
    assert [await state(service, id) for id in others] == [State.PENDING] * 2
    assert (await ends(service, others[0]), (await service.job(others[0])).attempt) == (["released"], 0)
    # It was handed back once, and is not claimed again.
    lease = (await service.job(others[0])).lease
    await upkeep.tidy(service)
    more = await put(service, "resize")
    await quiet(service.engine)
    assert ((await service.job(others[0])).lease, (await service.job(more)).lease) == (lease, 0)
    assert (await service.queue("default")).types_without_worker == ["crop", "resize"]
    again = await put_front(service, "report")
    assert (await stand.next()).id == again
    hand = await attach(service, slots=5)
    await hand.until(3)
    assert sorted(hand.ids) == sorted([*others, more])


async def test_it_drains_with_nothing_in_doubt(service: Service) -> None:
    """Whose job it is, is looked up; a drain in that moment loses none."""
    stand = await Stand.there(service)
    id = await put_front(service, "report")
    while not stand._source._sorting:  # noqa: ASYNC110  # in that very moment
        await asyncio.sleep(0)
    await stand.drain()
    assert stand.jobs == 1
    await stand.done(await stand.next())
    assert await state(service, id) is State.DONE


async def test_who_serves_is_counted(service: Service) -> None:
    """Every claim of a stand-in asks for it, whatever the number of workers."""
    roster = service.workers.roster
    hands = [await attach(service, f"w{number}", queues=("shared", f"q{number % 3}")) for number in range(9)]
    assert roster._serving == {"shared": 9, "q0": 3, "q1": 3, "q2": 3}
    for hand in hands[::3]:
        service.workers.ask_to_drain(hand.id)
        service.workers.ask_to_drain(hand.id)
    assert roster._serving == {"shared": 6, "q1": 3, "q2": 3}
    for hand in hands:
        await hand.leave()
        await hand.leave()
    assert not roster._serving
