"""What operators use: queues, workers, drain, stats, probes."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from rota import __version__
from tests.web.kit import Site, problem


async def test_queues(site: Site) -> None:
    assert await site.get("/v1/queues") == {"queues": []}
    await site.enqueue_many(2, queue="b")
    await site.enqueue("odd", queue="a", delay=60)
    async with site.worker(queues=["b"], types=["work"], slots=1) as worker:
        await worker.job()
        a, b = (await site.get("/v1/queues"))["queues"]
    assert 0 <= b.pop("oldest_age") < 10
    empty = {"scheduled": 0, "pending": 0, "running": 0, "done": 0, "failed": 0, "cancelled": 0}
    assert b == {
        **empty,
        "name": "b",
        "paused": False,
        "pending": 1,
        "running": 1,
        "workers": 1,
        "slots": 1,
        "types_without_worker": [],
    }
    assert a == {
        **empty,
        "name": "a",
        "paused": False,
        "scheduled": 1,
        "oldest_age": None,
        "workers": 0,
        "slots": 0,
        "types_without_worker": ["odd"],
    }


@pytest.mark.parametrize("name", ["default", "images/large", "a.b:c-d_e", "a/pause"])
async def test_pause_resume_and_clear(site: Site, name: str) -> None:
    await site.enqueue(queue="other")
    async with site.worker(queues=[name], slots=5) as worker:
        for path in (name, quote(name, safe="")):
            assert (await site.post(f"/v1/queues/{path}/pause"))["paused"] is True
            [queue] = [one for one in (await site.get("/v1/queues"))["queues"] if one["name"] == name]
            assert queue["paused"] is True
            await site.enqueue_many(3, queue=name)
            await site.enqueue(queue=name, delay=60)
            assert await site.http.delete(f"/v1/queues/{path}/jobs") is not None
            assert (await site.http.delete(f"/v1/queues/{path}/jobs")).json() == {"deleted": 0}
            id = await site.enqueue(queue=name)
            queue = await site.post(f"/v1/queues/{path}/resume")
            assert queue["paused"] is False
            job = await worker.job()
            assert job["id"] == id, "nothing was handed out during the pause"
            await worker.done(job)
    assert await site.stored() == 3


async def test_clear_says_how_many(site: Site) -> None:
    await site.enqueue_many(3)
    await site.enqueue(delay=60)
    answer = await site.http.delete("/v1/queues/default/jobs")
    assert (answer.status_code, answer.json()) == (200, {"deleted": 4})


@pytest.mark.parametrize("name", ["%20", "*", "a%20b", "..", "%C2%A0", "x" * 201])
async def test_impossible_queues(site: Site, name: str) -> None:
    for method, path in (("POST", "pause"), ("POST", "resume"), ("DELETE", "jobs")):
        # As written: a client would take ".." for a step up.
        raw = f"{method} /v1/queues/{name}/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        problem(await site.raw(raw), 422, "invalid_queue", "queue")


async def test_workers(site: Site) -> None:
    programs = {"state": "off", "reason": None, "sandbox": None}
    nobody = {"workers": [], "beat": 5.0, "programs": programs}
    assert await site.get("/v1/workers") == nobody
    await site.enqueue_many(2)
    fields = {"queues": ["default", "b"], "types": ["work"], "slots": 3, "name": "host:1", "version": "9"}
    async with site.worker("w1", **fields) as worker:
        await worker.jobs(2)
        await site.post("/v1/fetch", {"worker": "p1", "queues": ["default"], "wait": 0})
        socket, poll = (await site.get("/v1/workers"))["workers"]
        assert socket.pop("connected_at") <= socket.pop("last_beat")
        assert socket == {
            **fields,
            "worker": "w1",
            "transport": "socket",
            "running": 2,
            "draining": False,
            "sandbox": None,
            "server": None,
        }
        assert (poll["worker"], poll["transport"], poll["types"], poll["running"]) == ("p1", "poll", None, 0)
    await site.quiet()


async def test_drain_a_worker(site: Site) -> None:
    async with site.worker("w1", slots=2) as worker:
        await site.enqueue()
        job = await worker.job()
        answer = await site.post("/v1/workers/w1/drain", status=202)
        assert (answer["worker"], answer["draining"]) == ("w1", True)
        await worker.next("drain")
        waits = await site.enqueue()
        await worker.done(job)
        await site.quiet()
        assert await site.state(waits) == "pending"
        [queue] = (await site.get("/v1/queues"))["queues"]
        assert queue["workers"] == 0
    problem(await site.http.post("/v1/workers/nobody/drain"), 404, "worker_not_found", "worker")


async def test_stats(site: Site) -> None:
    async with site.worker(slots=2) as worker:
        await site.enqueue_many(3)
        one, two = await worker.jobs(2)
        await worker.done(one)
        await worker.job()
        stats = await site.get("/v1/stats")
        assert stats.pop("uptime") >= 0
        states = {"scheduled": 0, "pending": 0, "running": 2, "done": 1, "failed": 0, "cancelled": 0}
        for name, value in {
            "version": __version__,
            "states": states,
            "enqueued": 3,
            "started": 3,
            "finished": {"done": 1, "failed": 0, "cancelled": 0},
            "workers": 1,
            "slots": 2,
            "running": 2,
        }.items():
            assert stats[name] == value, name
        await site.post(f"/v1/jobs/{two['id']}/cancel", status=202)
        await worker.finish({"id": two["id"], "lease": two["lease"], "end": "cancelled"})
        assert (await site.get("/v1/stats"))["finished"]["cancelled"] == 1


async def test_probes(site: Site) -> None:
    for path in ("/livez", "/readyz", "/health"):
        assert await site.get(path) == {"status": "ok"}


async def test_a_draining_server_is_alive_but_not_ready(site: Site) -> None:
    site.service.drain()
    assert await site.get("/livez") == {"status": "ok"}
    answer = await site.http.get("/readyz")
    problem(answer, 503, "draining")
    assert answer.headers["retry-after"] == "1"
    id = await site.enqueue()
    assert (await site.job(id))["waiting_because"] == "No worker serves the queue default."
