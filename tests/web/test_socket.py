"""The worker socket, spoken to with nothing but a WebSocket and JSON."""

from __future__ import annotations

import asyncio
import random

import pytest

from rota import __version__
from rota.config import Settings
from rota.model.job import State
from tests.web.kit import NOBODY, Json, Site, lease, leases, serving, until


async def test_any_language_can_be_a_worker(site: Site) -> None:
    """The whole life of a worker as docs/protocol.md tells it: a socket, JSON, and a loop."""
    await site.enqueue_many(20, "square", payload={"x": 7})
    async with site.socket() as worker:
        await worker.send("hello", worker="any", queues=["default"], types=["square"], slots=3)
        assert await worker.receive() == {"op": "welcome", "lease": 15.0, "beat": 5.0, "version": __version__}
        finished = 0
        running: list[Json] = []
        while finished < 20:
            frame = await worker.receive()
            match frame["op"]:
                case "jobs":
                    running += frame["jobs"]
                    assert len(running) <= 3
                    outcomes = [
                        {**lease(job), "end": "done", "result": job["payload"]["x"] ** 2} for job in running
                    ]
                    running = []
                    await worker.send("finish", outcomes=outcomes)
                case "finished":
                    assert all(answer["applied"] for answer in frame["answers"])
                    finished += len(frame["answers"])
                case op:
                    raise AssertionError(op)
    jobs = (await site.get("/v1/jobs"))["jobs"]
    assert {(job["state"], job["worker"]) for job in jobs} == {("done", "any")}
    assert (await site.job(jobs[0]["id"]))["result"] == 49


async def test_work_as_it_arrives(site: Site) -> None:
    async with site.worker(slots=2) as worker:
        id = await site.enqueue(
            "t", payload={"a": [1]}, timeout=2.5, headers={"h": "v"}, max_attempts=3, queue="default"
        )
        assert await worker.job() == {
            "id": id,
            "lease": 1,
            "type": "t",
            "queue": "default",
            "attempt": 1,
            "max_attempts": 3,
            "payload": {"a": [1]},
            "headers": {"h": "v"},
            "timeout": 2.5,
        }
        await site.enqueue("t", payload_base64="AP8=", content_type="image/png")
        job = await worker.job()
        assert (job["payload_base64"], job["content_type"]) == ("AP8=", "image/png")
        assert "payload" not in job


async def test_never_more_than_the_free_slots(site: Site) -> None:
    """Three workers of different size, jobs in bursts, endings at random; counted at every frame."""
    chance = random.Random(7)
    total = 300
    seen: list[str] = []

    async def work(id: str, slots: int) -> None:
        async with site.worker(id, slots=slots) as worker:
            held: list[Json] = []
            while len(seen) < total:
                try:
                    frame = await asyncio.wait_for(worker.receive(), 0.2)
                except TimeoutError:
                    frame = {"op": "nothing"}
                if frame["op"] == "jobs":
                    held += frame["jobs"]
                    seen.extend(job["id"] for job in frame["jobs"])
                    assert len(held) <= slots, "more than the free slots"
                if held and chance.random() < 0.8:
                    ending = [held.pop() for _ in range(chance.randint(1, len(held)))]
                    await worker.send("finish", outcomes=[{**lease(job), "end": "done"} for job in ending])
            if held:
                await worker.send("finish", outcomes=[{**lease(job), "end": "done"} for job in held])
                await site.quiet()

    async def feed() -> None:
        left = total
        while left:
            burst = min(left, chance.choice((1, 1, 3, 40)))
            await site.enqueue_many(burst)
            left -= burst

    await asyncio.gather(work("w1", 1), work("w2", 2), work("w3", 9), feed())
    assert len(seen) == len(set(seen)) == total
    await until(lambda: site.service.workers.meter.totals()[State.DONE] == total)


async def test_batches_both_ways(site: Site) -> None:
    ids = await site.enqueue_many(500)
    async with site.worker(slots=500) as worker:
        frame = await worker.next("jobs")
        assert [job["id"] for job in frame["jobs"]] == ids, "all of them in one frame"
        answers = await worker.finish(*({**lease(job), "end": "done"} for job in frame["jobs"]))
        assert [answer["id"] for answer in answers] == ids
        assert {(answer["applied"], answer["state"]) for answer in answers} == {(True, "done")}


async def test_a_stale_lease_is_answered(site: Site) -> None:
    id = await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        stale = {"id": id, "lease": job["lease"] + 1, "end": "done"}
        nobody = {"id": NOBODY, "lease": 1, "end": "done"}
        good = {**lease(job), "end": "done", "result": 1}
        answers = await worker.finish(stale, good, nobody, {**good, "result": 2})
        assert [answer["applied"] for answer in answers] == [False, True, False, False]
        assert [answer.get("code") for answer in answers] == [
            "stale_lease",
            None,
            "stale_lease",
            "stale_lease",
        ]
        assert [(answer["id"], answer["lease"]) for answer in answers] == [
            (id, 2),
            (id, 1),
            (NOBODY, 1),
            (id, 1),
        ]
    assert (await site.job(id))["result"] == 1


async def test_a_cancel_is_pushed(site: Site) -> None:
    one, two = await site.enqueue_many(2)
    async with site.worker(slots=2) as worker:
        jobs = {job["id"]: job for job in await worker.jobs(2)}
        await site.post(f"/v1/jobs/{two}/cancel", status=202)
        assert await worker.receive() == {
            "op": "cancel",
            "jobs": [{**lease(jobs[two]), "reason": "cancelled"}],
        }
        [answer] = await worker.finish({**lease(jobs[two]), "end": "cancelled"})
        assert answer["state"] == "cancelled"
        assert await site.state(one) == "running"


async def test_beats_are_answered_only_by_what_is_to_stop(site: Site) -> None:
    await site.enqueue_many(2)
    async with site.worker(slots=2) as worker:
        one, two = await worker.jobs(2)
        before = (await site.job(one["id"]))["lease_until"]
        await worker.send("beat", leases=leases([one, two]))
        await worker.send("beat", leases=[lease(one), {"id": two["id"], "lease": 99}])
        assert (await worker.receive())["jobs"] == [{"id": two["id"], "lease": 99, "reason": "stale_lease"}]
        assert (await site.job(one["id"]))["lease_until"] > before


async def test_the_worker_drains(site: Site) -> None:
    first = await site.enqueue()
    async with site.worker(slots=2) as worker:
        job = await worker.job()
        await worker.send("drain")
        await until(lambda: site.service.workers.roster["w1"].draining)
        second = await site.enqueue()
        assert (await worker.done(job))["applied"] is True
        await site.quiet()
    assert [await site.state(id) for id in (first, second)] == ["done", "pending"]


async def test_reconnecting_with_jobs_in_hand(site: Site) -> None:
    """The connection breaks; the worker comes back, keeps one job, and learns what it has lost."""
    await site.enqueue_many(3)
    async with site.worker("w1", slots=2) as worker:
        one, two = await worker.jobs(2)
        worker.connection.transport.abort()
    await until(lambda: "w1" not in site.service.workers.roster)
    gone = {"id": NOBODY, "lease": 3}
    async with site.worker("w1", slots=2, held=[lease(one), lease(two), gone]) as worker:
        assert await worker.receive() == {"op": "cancel", "jobs": [{**gone, "reason": "stale_lease"}]}
        await site.quiet()
        assert worker.frames == []
        for job in (one, two):
            assert (await worker.done(job))["applied"] is True
        third = await worker.job()
        assert third["attempt"] == 1
    for job in (one, two):
        assert (await site.job(job["id"]))["attempt"] == 1


async def test_the_leases_of_a_broken_connection_shrink(store: str) -> None:
    """With timers: what it held goes to another worker soon, not when the long lease ends."""
    settings = Settings(lease=0.6, beat=0.1, socket_grace=0.1)
    async with serving(store, settings, timers=True) as site:
        await site.enqueue()
        async with site.worker("w1") as worker:
            job = await worker.job()
            worker.connection.transport.abort()
        async with site.worker("w2") as other:
            again = await other.job()
            assert (again["id"], again["lease"], again["attempt"]) == (job["id"], 2, 2)
            assert (await other.done(again))["applied"] is True
        attempts = (await site.job(job["id"]))["attempts"]
        assert [(one["worker"], one["end"]) for one in attempts] == [("w1", "lost"), ("w2", "done")]


async def test_two_connections_of_one_worker(site: Site) -> None:
    async with site.worker("w1") as old, site.worker("w1") as new:
        await site.enqueue()
        job = await new.job()
        assert (await old.finish({**lease(job), "end": "done"}))[0]["applied"] is True, "a lease is a lease"
        await old.connection.close()
        await site.enqueue()
        await new.job()
        assert len((await site.get("/v1/workers"))["workers"]) == 1


async def test_a_worker_that_leaves_is_gone_at_once(site: Site) -> None:
    async with site.worker("w1"):
        assert len((await site.get("/v1/workers"))["workers"]) == 1
    await until(lambda: not site.service.workers.roster)


async def test_many_frames_in_flight_are_answered_in_full(site: Site) -> None:
    await site.enqueue_many(100)
    async with site.worker(slots=100) as worker:
        jobs = await worker.jobs(100)
        for job in jobs:
            await worker.send("finish", outcomes=[{**lease(job), "end": "done"}])
        answered: list[Json] = []
        while len(answered) < 100:
            answered += (await worker.next("finished"))["answers"]
        assert sorted(answer["id"] for answer in answered) == [job["id"] for job in jobs]


@pytest.mark.parametrize("slots", [1, 10_000])
async def test_the_bounds_of_slots(site: Site, slots: int) -> None:
    async with site.worker(slots=slots) as worker:
        assert worker.welcome["lease"] == 15.0
