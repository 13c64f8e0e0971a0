"""Several servers on one database: whatever happens at one shows at the others."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from rota.core import bound, drains, peers, servers, upkeep
from rota.core.explain import able
from rota.core.facts import explain_job
from rota.core.inside import InsideSource, StandIn
from rota.model.clock import HOUR, SECOND, to_text
from rota.model.errors import StoreError
from rota.model.job import Ask, Beat, Match, Note, State
from rota.model.protocol import Ending, Fetch, Hello, Work
from rota.model.spec import JobSpec
from tests import postgres
from tests.core.kit import Hand, asked, attach, ends, put, put_many, state, until
from tests.core.peers_kit import Server, acquainted, server, two


@pytest.fixture
def shared() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


def deaf(url: str) -> str:
    """The same store for somebody who cannot listen."""
    return url + "?listen=no"


async def known(at: Server, worker: str) -> None:
    """Wait until a server knows of another one's worker."""
    await until(lambda: worker in at.service.workers.roster.elsewhere, f"the worker {worker}")


async def inside(at: Server, queue: str = "default", stand_in: StandIn | None = None) -> InsideSource:
    """A worker within a server."""
    source = InsideSource(at.service, stand_in)
    await source.open(Hello("i", (queue,), 5, None, name="inside"))
    return source


# --- who is there ---


async def test_servers_know_each_other_and_see_who_stops(shared: str) -> None:
    async with server(shared) as one:
        async with server(shared) as other:
            await acquainted(one, other)
            assert one.peers.servers[1].pid == os.getpid()
            assert not one.peers.alone
        await until(lambda: one.peers.alone)
        assert [note.key for note in await one.service.engine.notes(servers.NOTES)] == [one.service.id]
    async with server(shared) as last:
        assert last.peers.alone


async def test_workers_of_all_servers_show_and_count(shared: str) -> None:
    async with two(shared) as (one, other):
        hand = await attach(other.service, "w1", slots=3, queues=["q"], types=["known"])
        await known(one, "w1")
        busy = await put(one.service, "known", queue="q")
        job = await hand.next()
        assert job.id == busy
        await put(one.service, "odd", queue="q")
        await until(lambda: one.service.workers.roster.elsewhere["w1"].in_hand == 1)
        worker = one.service.workers.roster.elsewhere["w1"]
        assert (worker.server, worker.slots, list(worker.taken)) == (
            other.service.id,
            3,
            [(job.id, job.lease)],
        )
        told = await one.service.condition.look()
        assert [(thing.code, thing.type) for thing in told.findings] == []
        other.service.workers.meter.expired_leases += 2
        await until(lambda: [figures.lost for figures in one.service.others.figures()] == [2])
        [thing] = (await one.service.condition.look(fresh=True)).findings
        assert (thing.code, thing.numbers) == ("workers_lost", {"jobs": 2})
        info = await one.service.queue("q")
        assert (info.workers, info.slots, info.types_without_worker) == (1, 3, ["odd"])
        await one.service.pause("q")
        waiting = await one.service.job(await put(one.service, "known", queue="q"))
        assert [one.id for one in able(waiting, one.service.line(waiting))] == ["w1"]
        found = await explain_job(one.service, busy)
        assert "w1" in found.causes[0].sentence
        other.service.workers.draining(hand.worker)
        await until(lambda: one.service.workers.roster.elsewhere["w1"].draining)
        assert (await one.service.queue("q")).workers == 0
        await hand.leave()
        await until(lambda: not one.service.workers.roster.elsewhere)


async def test_a_stand_in_steps_back_for_a_worker_of_another_server(shared: str) -> None:
    async with server(shared, timers=False) as one, server(shared, timers=False) as other:
        await acquainted(one, other)
        stand = await inside(one, "q", StandIn("old", ("work",)))
        hand = await attach(other.service, "w1", queues=["q"])
        await known(one, "w1")
        for _ in range(10):
            id = await put(one.service, queue="q")
            job = await hand.next()
            assert job.id == id
            await hand.end(job)
        await put(one.service, queue="q")
        await hand.next()
        # Its only slot is taken, and yet the stand-in does not help.
        second = await put(one.service, queue="q")
        hand.worker.taken.clear()
        await hand.leave()
        [given] = await stand.claim(5)
        assert given.id == second
        await stand.close()


async def test_how_long_runs_take_elsewhere_counts(shared: str) -> None:
    async with two(shared) as (one, other):
        hand = await attach(other.service, "w1")
        await put(other.service)
        job = await hand.next()
        await hand.end(job)
        await until(lambda: one.service.others.mean_run("default", "work")[0] == 1)
        [counted] = one.service.others.figures()
        assert (counted.enqueued, counted.started, counted.finished[State.DONE]) == (1, 1, 1)


# --- jobs ---


@pytest.mark.parametrize("options", ["", "?listen=no"], ids=["listening", "polling"])
async def test_a_job_is_handed_out_by_another_server_and_its_client_answered(
    shared: str, options: str
) -> None:
    # Without timers: nothing but what the servers tell each other wakes the worker.
    async with server(shared + options, timers=False) as one, server(shared + options, timers=False) as other:
        await acquainted(one, other)
        hand = await attach(other.service, "w1")
        await known(one, "w1")
        for _ in range(3):
            spec = asked(one.service, JobSpec(type="work"))
            asking = asyncio.ensure_future(one.service.enqueue_and_wait(spec, 60))
            job = await hand.next()
            await hand.end(job, result=msgspec.Raw(b"7"))
            kept, ended = await asking
            assert ended is not None
            assert (kept.id, ended.state, ended.result) == (job.id, State.DONE, b"7")


async def test_what_was_stored_before_a_worker_was_known_is_announced_when_it_is(shared: str) -> None:
    async with server(shared, timers=False) as one, server(shared, timers=False) as other:
        await acquainted(one, other)
        hand = await attach(other.service, "w1")
        await other.service.dispatch.settled()
        assert "w1" not in one.service.workers.roster.elsewhere
        id = await put(one.service)
        assert (await hand.next()).id == id


async def test_jobs_that_come_back_are_announced_too(shared: str) -> None:
    async with server(shared, timers=False) as one, server(shared, timers=False) as other:
        await acquainted(one, other)
        hand = await attach(other.service, "w1")
        await known(one, "w1")
        await put(one.service)
        job = await hand.next()
        await hand.end(job, "failed", retry=False)
        await one.service.retry(job.id)
        assert (await hand.next()).id == job.id
        later = await put(one.service, delay=60)
        await hand.end(await attached(hand, job.id))
        await one.service.run_now(later)
        assert (await hand.next()).id == later


async def attached(hand: Hand, id: str) -> Work:
    """What the hand's worker has of this job, by its lease."""
    [(_, lease)] = [one for one in hand.worker.taken if one[0] == id]
    return Work(id, lease, "", "", 1, 1)


async def test_who_waits_for_a_job_that_is_deleted_elsewhere_is_answered(shared: str) -> None:
    async with two(shared) as (one, other):
        id = await put(one.service)
        waiting = asyncio.ensure_future(one.service.wait(id, 60))
        await until(lambda: id in one.peers._lookout._there)
        await other.service.delete(id)
        assert await waiting is None


async def test_while_nobody_waits_nobody_looks(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with two(shared) as (one, _):
        find, asked_for = one.service.engine.find, []

        async def watched(match: Match, limit: int, cursor: str | None = None) -> Any:
            asked_for.append(match.ids)
            return await find(match, limit, cursor)

        monkeypatch.setattr(one.service.engine, "find", watched)
        id = await put(one.service)
        waiting = asyncio.ensure_future(one.service.wait(id, 60))
        await until(lambda: asked_for.count((id,)) > 3)
        await one.service.cancel(id)
        await waiting
        await until(lambda: not one.service.bus.waited_for)
        await asyncio.sleep(0.1)
        asked_for.clear()
        await asyncio.sleep(0.2)
        assert set(asked_for) <= {None}


# --- acting on what is elsewhere ---


async def test_cancel_reaches_the_worker_of_another_server(shared: str) -> None:
    async with two(shared) as (one, other):
        hand = await attach(other.service, "w1")
        id = await put(one.service)
        job = await hand.next()
        await one.service.cancel(id)
        await until(lambda: hand.stops)
        assert [(stop.id, stop.lease) for stop in hand.stops] == [(id, job.lease)]


WAYS = pytest.mark.parametrize("way", ["listening", "polling", "unheard"])
"""How one gets to know what is done at another: it is told, sees what it was told, or looks by itself."""


def options(way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the store's URL; no other way than this one is open then."""
    if way == "unheard":
        monkeypatch.setattr(peers.Peers, "_say", lambda self, message: None)
    else:
        monkeypatch.setattr(peers, "MARKS", 3600.0)
    return "?listen=no" if way == "polling" else ""


@WAYS
async def test_pause_and_resume_hold_everywhere(
    shared: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shared + options(way, monkeypatch)
    async with server(store) as one, server(store, timers=False) as other:
        await acquainted(one, other)
        hand = await attach(other.service, "w1")
        await known(one, "w1")
        await one.service.pause("default")
        await until(lambda: other.service.dispatch.paused == {"default"})
        id = await put(other.service)
        await asyncio.sleep(0.1)
        assert not hand.jobs
        await one.service.resume("default")
        assert (await hand.next()).id == id
        assert not other.service.dispatch.paused


async def test_what_one_is_about_to_pause_is_not_undone_by_an_old_look(shared: str) -> None:
    async with two(shared) as (one, _):
        for _ in range(20):
            looks = [asyncio.ensure_future(one.service.read_paused()) for _ in range(3)]
            pausing = asyncio.ensure_future(one.service.pause("default"))
            await asyncio.gather(*looks, pausing)
            assert one.service.dispatch.paused == {"default"}
            looks = [asyncio.ensure_future(one.service.read_paused()) for _ in range(3)]
            await asyncio.gather(one.service.resume("default"), *looks)
            assert not one.service.dispatch.paused


@WAYS
async def test_a_worker_of_another_server_is_drained(
    shared: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shared + options(way, monkeypatch)
    async with server(store) as one, server(store) as other:
        await acquainted(one, other)
        hand = await attach(other.service, "w1")
        await known(one, "w1")
        assert not await one.service.others.drain("nobody")
        assert await one.service.others.drain("w1")
        await until(lambda: hand.drains)
        assert hand.worker.draining
        # One that comes under the same name later is another one.
        await hand.leave()
        again = await attach(other.service, "w1")
        await drains.look(other.service)
        assert (hand.drains, again.drains) == (1, 0)


# --- servers that are lost ---


async def test_the_jobs_inside_a_lost_server_go_on_once(shared: str) -> None:
    async with two(shared) as (one, other), server(shared) as third:
        await acquainted(one, other, third)
        source = await inside(third)
        id = await put(third.service)
        [job] = await source.claim(1)
        assert (job.id, await state(one.service, id)) == (id, State.RUNNING)
        await known(one, f"inside-{third.service.id}-i")
        hands = [await attach(at.service, f"w{n}") for n, at in enumerate((one, other))]
        await third.freeze()
        await until(lambda: any(hand.jobs for hand in hands), "the job of the lost server")
        assert await ends(one.service, id) == ["lost", None]
        assert sum(at.service.workers.meter.expired_leases for at in (one, other)) == 1
        await until(lambda: all(len(at.peers.servers) == 2 for at in (one, other)))
        assert not any(at.service.workers.roster.elsewhere.get(job.id) for at in (one, other))


async def test_a_server_that_starts_leaves_the_jobs_inside_others_alone(shared: str) -> None:
    async with server(shared) as one:
        source = await inside(one)
        front = await bound.join(one.service, "jqgo", "old", "f", lambda jobs: None, lambda: None)
        ids = [await put(one.service), await put(one.service, queue="old")]
        [job] = await source.claim(1)
        await until(lambda: not front.idle)
        hand = await attach(one.service, "w1", queues=["out"])
        outside = await put(one.service, queue="out")
        await hand.next()
        before = (await one.service.job(outside)).lease_until
        async with server(shared, timers=False) as other:
            assert [await state(other.service, id) for id in ids] == [State.RUNNING] * 2
            # There was a server all the time to which its worker could have spoken.
            assert (await other.service.job(outside)).lease_until == before
        await source.finish([Ending(job.id, job.lease)])
        assert await state(one.service, ids[0]) is State.DONE


async def test_what_a_dead_process_of_this_machine_held_is_free_at_once(shared: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    async with server(shared, timers=False) as one:
        await one.freeze()
        engine, now = one.service.engine, one.service.clock.now()
        note = servers.new("0123abcd", None, "", now)
        note.pid, note.seen, note.beat = process.pid, now, 1
        await engine.save([Note(servers.NOTES, note.id, servers.pack(note))])
        id = await put(one.service)
        [[_]] = await engine.claim([Ask("inside-0123abcd-i", ("default",), None, 1)], now + HOUR, now)
        async with server(shared, timers=False) as other:
            assert [await state(other.service, id), await ends(other.service, id)] == [
                State.PENDING,
                ["lost"],
            ]
            assert {note.key for note in await engine.notes(servers.NOTES)} == {
                one.service.id,
                other.service.id,
            }


async def test_silence_means_nothing_to_who_could_not_look(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "SILENT", 0.4)
    monkeypatch.setattr(peers, "_UNSEEN", 0.2)
    async with server(shared) as one, server(shared) as other:
        await other.freeze()
        one.tasks[0].cancel()
        await asyncio.gather(one.tasks[0], return_exceptions=True)
        await one.peers.look()
        await asyncio.sleep(0.5)
        assert await one.peers.look() == []
        assert not one.peers.alone
        gone: list[str] = []
        while not gone:
            await asyncio.sleep(0.02)
            gone = await one.peers.look()
        assert gone == [other.service.id]


# --- upkeep ---


async def test_upkeep_by_two_does_nothing_twice(shared: str) -> None:
    async with server(shared, timers=False) as one, server(shared, timers=False) as other:
        await acquainted(one, other)
        services = [one.service, other.service]
        with one.service.bus.events.listen() as told:
            await one.peers.heard()
            await put_many(one.service, 50, "due", delay=0.05)
            soon = to_text(one.service.clock.now() + SECOND // 20)
            await put_many(one.service, 50, "old", queue="nobody", expires_at=soon)
            done = await put_many(one.service, 50, "kept", queue="kept", retention=0.05)
            hand = await attach(one.service, "w1", slots=50, queues=["kept"])
            for job in list(await hand.until(50)):
                await hand.end(job)
            lost = await attach(other.service, "w2", slots=50, queues=["lost"])
            losing = await put_many(other.service, 50, "lost", queue="lost", max_attempts=1)
            await lost.until(50)
            leases = [(job.id, job.lease) for job in lost.jobs]
            now = one.service.clock.now()
            await other.service.engine.extend([Beat(*lease) for lease in leases], now, now)
            await asyncio.sleep(0.1)
            for _ in range(2):
                await asyncio.gather(*(upkeep.once(service) for service in services for _ in range(2)))
            heard: list[Any] = []
            while sum(event.event == "deleted" or event.queue == "marker" for event in heard) < 1:
                await put(other.service, queue="marker")
                heard += await asyncio.wait_for(told.next(), 10)
        due = sum(event.detail["jobs"] for event in heard if event.event == "due")
        finished = [(event.id, event.state) for event in heard if event.event == "finished"]
        assert due == 50
        assert len(finished) == len(set(finished)) == 150
        assert sum(service.workers.meter.expired_leases for service in services) == 50
        totals = [service.workers.meter.totals() for service in services]
        assert {name: sum(one[name] for one in totals) for name in totals[0]} == {
            State.DONE: 50,
            State.FAILED: 50,
            State.CANCELLED: 50,
        }
        assert await one.service.engine.get(done) == []
        assert [await ends(one.service, id) for id in losing[:3]] == [["lost"]] * 3


async def test_what_is_lost_is_told_by_who_was_quicker(shared: str) -> None:
    async with server(shared, timers=False) as one, server(shared, timers=False) as other:
        hand = await attach(one.service, "w1")
        await put(one.service)
        await hand.next()
        job = (await one.service.jobs(Match(states=(State.RUNNING,)), 1, None)).jobs[0]
        now = one.service.clock.now()
        await upkeep._lose(one.service, [job], now)
        await upkeep._lose(other.service, [job], now)
        assert one.service.workers.meter.expired_leases == 1
        assert other.service.workers.meter.expired_leases == 0


async def test_an_announcement_that_fails_is_none_of_the_callers_business(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(shared) as (one, other):
        hand = await attach(other.service, "w1")
        await known(one, "w1")
        calls = 0

        async def refuse(queues: Any, news: Any = ()) -> None:
            nonlocal calls
            calls += 1
            raise StoreError("no")

        with monkeypatch.context() as patch:
            patch.setattr(one.service.engine, "announce", refuse)
            await put(one.service)
            await until(lambda: calls)
        # The other one finds it by looking.
        await hand.next()


async def test_what_a_polling_worker_reports_elsewhere_leaves_its_hands(shared: str) -> None:
    async with two(shared) as (one, other):
        fetching = asyncio.ensure_future(one.service.workers.fetch(Fetch("p", ("default",), wait=20)))
        await put(one.service)
        [job] = (await fetching).jobs
        worker = one.service.workers.roster["p"]
        assert list(worker.taken) == [(job.id, job.lease)]
        await other.service.workers.finish("p", [Ending(job.id, job.lease)])
        await until(lambda: not worker.taken)


async def test_a_worker_that_went_to_another_server_keeps_its_jobs(shared: str) -> None:
    async with two(shared) as (one, other):
        hand = await attach(one.service, "w1", slots=2)
        ids = [await put(one.service) for _ in range(2)]
        moved, left = await hand.until(2)
        # The first server notices only now that the connection is gone.
        await attach(other.service, "w1", held=[moved])
        await hand.leave()
        until_ = {job.id: job.lease_until or 0 for job in await one.service.engine.get(ids)}
        now = one.service.clock.now()
        assert until_[moved.id] > now + 5 * SECOND > until_[left.id]
