"""Clients that wait, and workers that know nothing of leases: the job's present state decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from rota.core import upkeep
from rota.core.exchange import Exchange
from rota.core.service import Service
from rota.model.clock import MINUTE, SECOND, ManualClock
from rota.model.errors import Conflict, NotFound, Unavailable
from rota.model.job import Ask, Claimed, Job, State
from rota.model.spec import JobSpec, request
from tests.core.kit import attach, embedded, put, quiet, state, until

LEASE = 5 * MINUTE


@pytest.fixture
def exchange(service: Service) -> Exchange:
    return Exchange(service, "poll", "q", "poll", LEASE)


async def never() -> None:
    await asyncio.Event().wait()


class Client:
    """Waits for one job."""

    def __init__(
        self, service: Service, exchange: Exchange, gone: Callable[[], Awaitable[None]] = never
    ) -> None:
        spec = JobSpec(type="poll", queue="q", payload=msgspec.Raw(b'{"a":1}'))
        asked = request([spec], service.clock.now(), service.limits, front="poll")
        self.id = asked.jobs[0].id
        self._task = asyncio.ensure_future(exchange.put(asked, gone))
        self._engine = service.engine

    async def stored(self) -> Client:
        await quiet(self._engine)
        return self

    @property
    def waits(self) -> bool:
        return not self._task.done()

    async def answer(self) -> Job | None:
        return await asyncio.wait_for(self._task, 10)


async def client(service: Service, exchange: Exchange) -> Client:
    """One whose job is stored."""
    return await Client(service, exchange).stored()


async def take(exchange: Exchange, address: str = "1.2.3.4") -> Claimed:
    job = await exchange.claim(address)
    assert job is not None
    return job


async def lose(service: Service, clock: ManualClock) -> None:
    """The lease ends."""
    clock.advance(LEASE + 1)
    await upkeep.rescue(service)


@asynccontextmanager
async def leftover(*clients: Client) -> AsyncIterator[None]:
    """These wait to the end."""
    try:
        yield
    finally:
        for one in clients:
            one._task.cancel()
        await asyncio.wait([one._task for one in clients])


async def test_the_client_gets_what_the_worker_said(service: Service, exchange: Exchange) -> None:
    first, second = await client(service, exchange), await client(service, exchange)
    one, two = await take(exchange), await take(exchange, "5.6.7.8")
    assert (one.id, two.id) == (first.id, second.id)
    assert await exchange.claim("1.2.3.4") is None
    await exchange.finish(two.id, b'"two"', None)
    assert first.waits
    await exchange.finish(one.id, b"\xff", "image/png")
    told = [await first.answer(), await second.answer()]
    assert [(job.state, job.result, job.result_type) for job in told if job is not None] == [
        (State.DONE, b"\xff", "image/png"),
        (State.DONE, b'"two"', None),
    ]
    assert told[1] is not None
    assert told[1].worker == "poll 5.6.7.8"


async def test_nobody_looks_for_a_client_that_has_its_answer(service: Service, exchange: Exchange) -> None:
    ended: list[str] = []

    async def gone() -> None:
        try:
            await never()
        finally:
            ended.append("looked")

    waiting = await Client(service, exchange, gone).stored()
    await exchange.finish((await take(exchange)).id, b"1", None)
    await waiting.answer()
    await until(lambda: ended)


async def test_those_who_ask_at_once_get_a_job_each_by_one_claim(
    service: Service, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await client(service, exchange) for _ in range(5)]
    asked: list[Sequence[Ask]] = []
    claim = service.engine.claim

    def noted(asks: Sequence[Ask], lease_until: int, now: int) -> Awaitable[list[list[Claimed]]]:
        asked.append(asks)
        return claim(asks, lease_until, now)

    monkeypatch.setattr(service.engine, "claim", noted)
    polls = [exchange.claim(address) for address in ("a", "b", "a", "c", "b", "a", "c")]
    got = [job.id for job in await asyncio.gather(*polls) if job is not None]
    assert sorted(got) == [one.id for one in clients]
    assert [[(ask.worker, ask.slots) for ask in asks] for asks in asked] == [
        [("poll a", 3), ("poll b", 2), ("poll c", 2)]
    ]
    async with leftover(*clients):
        assert [len(service.workers.roster[f"poll {one}"].taken) for one in "abc"] == [3, 2, 0]
        assert service.workers.roster["poll a"].slots == len(service.workers.roster["poll a"].taken)


async def test_the_lease_is_the_fronts_and_no_beat_is_needed(
    service: Service, exchange: Exchange, clock: ManualClock
) -> None:
    waiting = await client(service, exchange)
    await take(exchange)
    clock.advance(LEASE - SECOND)
    await upkeep.rescue(service)
    await upkeep.tidy(service)
    assert await state(service, waiting.id) is State.RUNNING
    assert "poll 1.2.3.4" in service.workers.roster
    clock.advance(2 * SECOND)
    await upkeep.rescue(service)
    await upkeep.tidy(service)
    assert await state(service, waiting.id) is State.PENDING
    assert "poll 1.2.3.4" not in service.workers.roster
    async with leftover(waiting):
        again = await take(exchange, "5.6.7.8")
        assert (again.id, again.attempt) == (waiting.id, 2)
        await exchange.finish(again.id, b"1", None)
        job = await waiting.answer()
        assert job is not None
        assert job.result == b"1"


async def test_what_was_lost_is_in_nobodys_hand(
    service: Service, exchange: Exchange, clock: ManualClock
) -> None:
    waiting = await client(service, exchange)
    async with leftover(waiting):
        await take(exchange)
        worker = service.workers.roster["poll 1.2.3.4"]
        assert len(worker.taken) == 1
        await lose(service, clock)
        assert worker.taken == {}


async def test_a_report_after_the_lease_counts_while_nobody_else_has_the_job(
    service: Service, exchange: Exchange, clock: ManualClock
) -> None:
    before, waiting = await client(service, exchange), await client(service, exchange)
    async with leftover(before):
        await take(exchange)
        await take(exchange)
        await lose(service, clock)
        assert await state(service, waiting.id) is State.PENDING
        await exchange.finish(waiting.id, b"1", None)
        job = await waiting.answer()
        assert job is not None
        assert (job.state, job.result, job.losses) == (State.DONE, b"1", 1)
        assert [(one.end, one.worker) for one in job.attempts] == [
            ("lost", "poll 1.2.3.4"),
            ("done", "poll 1.2.3.4"),
        ]
        assert await state(service, before.id) is State.PENDING
        assert service.dispatch.paused == set()


async def test_of_two_workers_with_one_job_the_first_to_report_counts(
    service: Service, exchange: Exchange, clock: ManualClock
) -> None:
    waiting = await client(service, exchange)
    await take(exchange, "slow")
    await lose(service, clock)
    await take(exchange, "other")
    await exchange.finish(waiting.id, b'"slow"', None)
    await exchange.finish(waiting.id, b'"other"', None)
    job = await waiting.answer()
    assert job is not None
    assert job.result == b'"slow"'


async def test_two_reports_at_once_are_one(service: Service, exchange: Exchange) -> None:
    waiting = await client(service, exchange)
    await take(exchange)
    await asyncio.gather(*[exchange.finish(waiting.id, b"%d" % n, None) for n in range(5)])
    job = await waiting.answer()
    assert job is not None
    # Which one is first is known only where the store answers in the order of the questions.
    assert job.result in ([b"0"] if embedded(service.engine) else [b"%d" % n for n in range(5)])


async def test_late_reports_at_once_are_one(service: Service, exchange: Exchange, clock: ManualClock) -> None:
    waiting = await client(service, exchange)
    await take(exchange)
    await lose(service, clock)
    await asyncio.gather(*[exchange.finish(waiting.id, b"%d" % n, None) for n in range(5)])
    job = await waiting.answer()
    assert job is not None
    assert job.state is State.DONE


async def test_what_nobody_polled_nobody_can_report(service: Service, exchange: Exchange) -> None:
    waiting = await client(service, exchange)
    async with leftover(waiting):
        with pytest.raises(Conflict, match="not handed out"):
            await exchange.finish(waiting.id, b"1", None)
        # A worker of Rota's own has it: only that one's lease counts.
        hand = await attach(service, queues=["q"])
        await hand.until(1)
        with pytest.raises(Conflict, match="not handed out"):
            await exchange.finish(waiting.id, b"1", None)
        assert await state(service, waiting.id) is State.RUNNING


async def test_there_are_no_other_jobs_here(service: Service, exchange: Exchange) -> None:
    other, elsewhere = await put(service, "work", queue="q"), await put(service, "poll", queue="default")
    assert await exchange.claim("1.2.3.4") is None
    assert await exchange.next() is None
    assert await exchange.counts() == {}
    for id in (other, elsewhere, "nobody"):
        with pytest.raises(NotFound):
            await exchange.finish(id, b"1", None)
    await exchange.clear()
    assert [await state(service, id) for id in (other, elsewhere)] == [State.PENDING] * 2


async def test_after_three_lost_workers_the_client_hears_that_the_job_failed(
    service: Service, exchange: Exchange, clock: ManualClock
) -> None:
    waiting = await client(service, exchange)
    for _ in range(3):
        await take(exchange)
        await lose(service, clock)
    job = await waiting.answer()
    assert job is not None
    assert (job.state, job.reason) == (State.FAILED, "worker_lost")
    with pytest.raises(Conflict, match="failed"):
        await exchange.finish(waiting.id, b"1", None)


async def test_a_result_that_is_refused_fails_the_job(service: Service, exchange: Exchange) -> None:
    waiting = await client(service, exchange)
    await take(exchange)
    await exchange.reject(waiting.id, "Too large.")
    job = await waiting.answer()
    assert job is not None
    assert (job.state, job.error) == (State.FAILED, b'{"type":"ResultRejected","message":"Too large."}')


async def test_a_client_that_leaves_leaves_its_job(service: Service, exchange: Exchange) -> None:
    leaves = asyncio.Event()

    async def gone() -> None:
        await leaves.wait()

    waiting = await Client(service, exchange, gone).stored()
    leaves.set()
    job = await waiting.answer()
    assert job is not None
    assert job.state is State.PENDING
    assert (await take(exchange)).id == waiting.id
    assert not service.bus._waiters
    assert not exchange._clients


async def test_a_paused_queue_hands_nothing_out(service: Service, exchange: Exchange) -> None:
    waiting = await client(service, exchange)
    async with leftover(waiting):
        await service.pause("q")
        assert await exchange.claim("1.2.3.4") is None
        await service.resume("q")
        assert (await take(exchange)).id == waiting.id


async def test_a_worker_that_is_to_leave_gets_no_more(service: Service, exchange: Exchange) -> None:
    assert await exchange.claim("1.2.3.4") is None
    assert service.workers.ask_to_drain("poll 1.2.3.4")
    waiting = await client(service, exchange)
    async with leftover(waiting):
        assert await exchange.claim("1.2.3.4") is None
        assert await exchange.claim("5.6.7.8") is not None


async def test_a_job_that_nobody_got_is_the_next_again_at_no_cost(
    service: Service, exchange: Exchange
) -> None:
    first, second = await client(service, exchange), await client(service, exchange)
    async with leftover(first, second):
        await exchange.release(await take(exchange))
        again = await take(exchange)
        assert (again.id, again.attempt) == (first.id, 1)


async def test_a_look_at_the_next_takes_nothing(service: Service, exchange: Exchange) -> None:
    first, second = await client(service, exchange), await client(service, exchange)
    async with leftover(first, second):
        for _ in range(2):
            job = await exchange.next()
            assert job is not None
            assert (job.id, job.payload) == (first.id, b'{"a":1}')
        await take(exchange)
        job = await exchange.next()
        assert job is not None
        assert job.id == second.id
        assert await exchange.counts() == {State.PENDING: 1, State.RUNNING: 1}


async def test_clear_removes_all_there_is_and_tells_who_waits(service: Service, exchange: Exchange) -> None:
    done, running, waiting = [await client(service, exchange) for _ in range(3)]
    foreign = await put(service, "work", queue="q")
    await take(exchange)
    await take(exchange)
    await exchange.finish(done.id, b"1", None)
    await done.answer()
    await exchange.clear()
    for one in (running, waiting):
        told = await one.answer()
        assert told is None or told.state is State.CANCELLED
    assert await exchange.counts() == {}
    assert await exchange.claim("1.2.3.4") is None
    assert service.workers.roster["poll 1.2.3.4"].taken == {}
    assert await state(service, foreign) is State.PENDING
    with pytest.raises(NotFound):
        await exchange.finish(running.id, b"1", None)


async def test_clear_stops_workers_of_rotas_own(service: Service, exchange: Exchange) -> None:
    waiting = await client(service, exchange)
    hand = await attach(service, queues=["q"])
    await hand.until(1)
    await exchange.clear()
    assert [stop.id for stop in hand.stops] == [waiting.id]
    told = await waiting.answer()
    assert told is None or told.state is State.CANCELLED


async def test_while_the_server_stops_only_those_wait_on_whose_job_is_in_hand(
    service: Service, exchange: Exchange
) -> None:
    running, waiting = await client(service, exchange), await client(service, exchange)
    await take(exchange)
    service.drain()
    [end] = service.endings
    ending = asyncio.ensure_future(end(60))
    told = await waiting.answer()
    assert told is not None
    assert told.state is State.PENDING
    assert await exchange.claim("1.2.3.4") is None
    with pytest.raises(Unavailable):
        await (await client(service, exchange)).answer()
    assert await exchange.counts() == {State.PENDING: 1, State.RUNNING: 1}
    assert not ending.done()
    await exchange.finish(running.id, b"1", None)
    job = await running.answer()
    assert job is not None
    assert job.state is State.DONE
    await asyncio.wait_for(ending, 10)


async def test_when_the_grace_is_over_the_rest_is_left_alone(service: Service, exchange: Exchange) -> None:
    running = await client(service, exchange)
    await take(exchange)
    service.drain()
    [end] = service.endings
    await asyncio.wait_for(end(0.01), 10)
    assert running.waits
    service.bus.close()
    job = await running.answer()
    assert job is not None
    assert job.state is State.RUNNING


async def test_a_restart_shortens_no_lease(service: Service, exchange: Exchange, clock: ManualClock) -> None:
    waiting, older = await client(service, exchange), await put(service)
    hand = await attach(service, "w1")
    await hand.until(1)
    async with leftover(waiting):
        await take(exchange)
        clock.advance(SECOND)
        await upkeep.rescue_inside(service)
        jobs = [await service.job(id) for id in (waiting.id, older)]
        now = clock.now()
        assert [(job.lease_until or 0) - now for job in jobs] == [LEASE - SECOND, service.rules.lease]


async def test_the_figures_know_these_jobs(service: Service, exchange: Exchange) -> None:
    waiting = await client(service, exchange)
    await take(exchange)
    await exchange.finish(waiting.id, b"1", None)
    await waiting.answer()
    assert service.dispatch.started == 1
    assert service.workers.meter.finished == {("q", "poll", "done"): 1}
    await until(lambda: not service.workers.roster["poll 1.2.3.4"].taken)
