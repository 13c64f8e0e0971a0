"""A worker over plain HTTP: fetch, finish, beat."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rota.model.spec import JobSpec
from rota.web import api
from rota.web.auth import Gate
from tests.core.kit import asked, embedded, moment
from tests.web.kit import NOBODY, Json, Site, lease, leases, problem, until


class Poller:
    """Nothing but JSON over HTTP."""

    def __init__(self, site: Site, id: str = "p1", **ask: Any) -> None:
        self.site = site
        self.id = id
        self.ask = {"worker": id, "queues": ["default"], **ask}

    async def fetch(self, **ask: Any) -> Json:
        answer: Json = await self.site.post("/v1/fetch", {**self.ask, **ask})
        return answer

    async def jobs(self, **ask: Any) -> list[Json]:
        jobs: list[Json] = (await self.fetch(**ask))["jobs"]
        return jobs

    async def finish(self, *outcomes: Json) -> list[Json]:
        body = {"worker": self.id, "outcomes": outcomes}
        answers: list[Json] = (await self.site.post("/v1/finish", body))["answers"]
        return answers

    async def beat(self, *jobs: Json, **more: Any) -> Json:
        body = {"worker": self.id, "leases": leases(jobs), **more}
        answer: Json = await self.site.post("/v1/beat", body)
        return answer


async def waiting(site: Site, id: str = "p1") -> None:
    """Until the fetch of this worker has asked once and waits."""
    await until(lambda: id in site.service.workers.roster)
    await site.quiet()


async def test_from_fetch_to_finish(site: Site) -> None:
    poller = Poller(site)
    ids = await site.enqueue_many(3, payload={"n": 1}, timeout=2.5, headers={"a": "b"}, max_attempts=4)
    fetched = await poller.fetch(slots=2)
    assert {name: fetched[name] for name in ("lease", "beat", "drain")} == {
        "lease": 15.0,
        "beat": 5.0,
        "drain": False,
    }
    assert fetched["jobs"][0] == {
        "id": ids[0],
        "lease": 1,
        "type": "work",
        "queue": "default",
        "attempt": 1,
        "max_attempts": 4,
        "payload": {"n": 1},
        "headers": {"a": "b"},
        "timeout": 2.5,
    }
    one, two = fetched["jobs"]
    assert await poller.beat(one, two) == {"stop": [], "drain": False}
    answers = await poller.finish(
        {**lease(one), "end": "done", "result": [1]}, {**lease(two), "end": "released"}
    )
    assert answers == [
        {**lease(one), "applied": True, "state": "done"},
        {**lease(two), "applied": True, "state": "pending"},
    ]
    assert (await site.job(ids[0]))["result"] == [1]
    assert [job["id"] for job in await poller.jobs(slots=5)] == ids[1:], (
        "the released one is the oldest again"
    )


async def test_bytes_both_ways(site: Site) -> None:
    id = await site.enqueue(payload_base64="AP8=", content_type="image/png")
    poller = Poller(site)
    [job] = await poller.jobs()
    assert (job["payload_base64"], job["content_type"]) == ("AP8=", "image/png")
    assert "payload" not in job
    await poller.finish({**lease(job), "end": "done", "result_base64": "/wA=", "content_type": "image/gif"})
    assert (await site.job(id))["result_base64"] == "/wA="


async def test_a_fetch_waits_for_the_first_job(site: Site) -> None:
    poller = Poller(site)
    assert await poller.jobs(wait=0) == []
    call = asyncio.ensure_future(poller.jobs(wait=30))
    await waiting(site)
    id = await site.enqueue()
    assert [job["id"] for job in await call] == [id]


async def test_types_are_obeyed(site: Site) -> None:
    await site.enqueue("other")
    poller = Poller(site, types=["mine"])
    assert await poller.jobs(wait=0) == []
    id = await site.enqueue("mine")
    assert [job["id"] for job in await poller.jobs(wait=0)] == [id]


async def test_progress_and_lines_travel_with_the_beat(site: Site) -> None:
    id = await site.enqueue()
    poller = Poller(site)
    [job] = await poller.jobs()
    await poller.beat(
        progress=[{**lease(job), "value": 0.5, "message": "half"}], lines=[{"id": id, "text": "hello"}]
    )
    assert (await site.job(id))["progress"] == {"value": 0.5, "message": "half"}
    [line] = (await site.get(f"/v1/jobs/{id}/logs"))["lines"]
    assert (line["text"], line["level"]) == ("hello", "info")


async def test_a_beat_says_what_to_give_up(site: Site) -> None:
    await site.enqueue_many(2)
    poller = Poller(site)
    one, two = await poller.jobs(slots=2)
    await site.post(f"/v1/jobs/{one['id']}/cancel", status=202)
    await poller.finish({**lease(two), "end": "done"})
    assert (await poller.beat(one, two))["stop"] == [
        {**lease(one), "reason": "cancelled"},
        {**lease(two), "reason": "stale_lease"},
    ]


async def test_finish_is_409_only_when_not_one_lease_was_good(site: Site) -> None:
    await site.enqueue_many(2)
    poller = Poller(site)
    one, two = await poller.jobs(slots=2)
    nobody = {"id": NOBODY, "lease": 1, "end": "done"}
    good, bad = await poller.finish({**lease(one), "end": "done"}, nobody)
    assert good["applied"] is True
    assert (bad["applied"], bad["code"]) == (False, "stale_lease")
    assert "state" not in bad
    answer = await site.http.post(
        "/v1/finish", json={"worker": "p1", "outcomes": [{**lease(one), "end": "done"}, nobody]}
    )
    told = problem(answer, 409, "stale_lease")
    assert [(one["id"], one["applied"], one["code"]) for one in told["answers"]] == [
        (one["id"], False, "stale_lease"),
        (NOBODY, False, "stale_lease"),
    ]
    assert await poller.finish() == [], "nothing to report is no fault"
    await poller.finish({**lease(two), "end": "done"})


async def test_drain(site: Site) -> None:
    await site.enqueue_many(2)
    poller = Poller(site)
    [job] = await poller.jobs()
    await site.post("/v1/workers/p1/drain", status=202)
    assert (await poller.beat(job))["drain"] is True
    assert await poller.fetch() == {"jobs": [], "lease": 15.0, "beat": 5.0, "drain": True}
    assert (await poller.finish({**lease(job), "end": "done"}))[0]["applied"] is True


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        ("fetch", {"slots": 0}, "invalid_slots", "slots"),
        ("fetch", {"slots": 10_001}, "invalid_slots", "slots"),
        ("fetch", {"slots": "2"}, "wrong_type", "slots"),
        ("fetch", {"wait": -1}, "invalid_wait", "wait"),
        ("fetch", {"wait": 61}, "invalid_wait", "wait"),
        ("fetch", {"queues": []}, "invalid_queues", "queues"),
        ("fetch", {"queues": ["*"]}, "invalid_queues", "queues"),
        ("fetch", {"worker": ""}, "invalid_worker", "worker"),
        ("fetch", {"op": "fetch"}, "unknown_field", "op"),
        (
            "finish",
            {"outcomes": [{"id": NOBODY, "lease": 1, "end": "exploded"}]},
            "wrong_type",
            "outcomes[0].end",
        ),
        ("finish", {"outcomes": [{"id": NOBODY, "lease": "1"}]}, "wrong_type", "outcomes[0].lease"),
        ("finish", {"outcomes": [{"id": NOBODY}]}, "missing_field", "outcomes[0].lease"),
        ("finish", {}, "missing_field", "outcomes"),
        ("beat", {"progress": [{"id": NOBODY, "lease": 1, "value": 1.5}]}, "invalid_progress", "value"),
        (
            "beat",
            {"progress": [{"id": NOBODY, "lease": 1, "value": "half"}]},
            "wrong_type",
            "progress[0].value",
        ),
        ("beat", {"lines": [{"id": NOBODY, "text": "x", "level": "loud"}]}, "invalid_level", "level"),
    ],
)
async def test_faulty_requests(site: Site, path: str, body: Json, code: str, field: str) -> None:
    base: Json = {"worker": "p1", **({"queues": ["default"], "wait": 0} if path == "fetch" else {})}
    answer = await site.http.post(f"/v1/{path}", json=base | body)
    problem(answer, 422, code, field)
    assert site.service.workers.roster == {}


# clients that go away


async def raw_fetch(site: Site, **ask: Any) -> asyncio.StreamWriter:
    """A fetch whose answer nobody will read."""
    body = json.dumps({"worker": "p1", "queues": ["default"], "wait": 30, **ask}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST /v1/fetch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    return writer


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_client_that_leaves_while_it_waits_loses_no_job(site: Site, how: str) -> None:
    for n in range(5):
        writer = await raw_fetch(site, slots=3)
        await waiting(site)
        if how == "abort":
            writer.transport.abort()
        else:
            writer.close()
        await until(lambda: not site.service.dispatch._takers, "the end of the fetch")
        id = await site.enqueue(payload=n)
        await site.quiet()
        job = await site.job(id)
        assert (job["state"], job["attempt"], job["attempts"]) == ("pending", 0, [])
        [work] = await Poller(site, "p2").jobs(wait=0)
        assert (work["id"], work["attempt"]) == (id, 1)
        await Poller(site, "p2").finish({**lease(work), "end": "done"})


class Leaver:
    """The server's side of a fetch: a request, and a disconnect whenever the test says so."""

    def __init__(self, slots: int) -> None:
        ask = {"worker": "p1", "queues": ["default"], "wait": 30, "slots": slots}
        self.requests: list[Json] = [{"type": "http.request", "body": json.dumps(ask).encode()}]
        self.gone = asyncio.Event()
        self.told = False
        self.answered: list[Json] = []

    async def receive(self) -> Json:
        if self.requests:
            return self.requests.pop()
        await self.gone.wait()
        self.told = True
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if not self.told:
            self.answered.append(message)

    async def call(self, site: Site) -> None:
        scope: Any = {
            "type": "http",
            "method": "POST",
            "path": "/v1/fetch",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        }
        await api.build(site.service, Gate(None, None), 1 << 20)(scope, self.receive, self.send)


async def test_a_client_that_leaves_at_the_very_moment_loses_no_job(site: Site) -> None:
    """The jobs and the end of the connection come at the same time, in every order the loop can see them."""
    handed_back = turns = 0
    near = embedded(site.service.engine)
    for turns in range(14 if near else 200):
        if not near and 0 < handed_back < turns:
            break
        leaver = Leaver(slots=2)
        call = asyncio.ensure_future(leaver.call(site))
        await waiting(site)
        enqueued = asyncio.ensure_future(
            site.service.enqueue(asked(site.service, JobSpec(type="a"), JobSpec(type="b")))
        )
        await moment(site.service.engine, turns)
        leaver.gone.set()
        ids = [kept.id for kept in await enqueued]
        await call
        await site.quiet()
        jobs = [await site.job(id) for id in ids]
        if leaver.answered:
            assert len(json.loads(leaver.answered[1]["body"])["jobs"]) == 2
            await Poller(site).finish(*({**lease(job), "end": "done"} for job in jobs))
        else:
            handed_back += 1
            assert [(job["state"], job["attempt"]) for job in jobs] == [("pending", 0)] * 2, f"{turns} turns"
            await site.http.delete("/v1/queues/default/jobs")
    assert 0 < handed_back < turns + 1, "both sides of the moment were seen"


async def test_a_stopping_server_answers_waiting_fetches(site: Site) -> None:
    call = asyncio.ensure_future(Poller(site).jobs(wait=30))
    await waiting(site)
    site.service.drain()
    site.service.workers.answer_fetches()
    assert await call == []


async def test_a_worker_that_says_it_drains_gets_its_waiting_fetch_back_and_no_more_jobs(site: Site) -> None:
    ask = {"worker": "w1", "queues": ["default"], "wait": 30}
    fetching = asyncio.create_task(site.post("/v1/fetch", ask))
    await until(lambda: site.service.workers.roster)
    await site.post("/v1/beat", {"worker": "w1", "drain": True})
    assert (await asyncio.wait_for(fetching, 5))["jobs"] == []
    id = await site.enqueue()
    answer = await site.post("/v1/fetch", ask)
    assert (answer["jobs"], answer["drain"]) == ([], True)
    assert await site.state(id) == "pending"


async def test_a_refused_line_does_not_cost_a_job(site: Site) -> None:
    id = await site.enqueue()
    [job] = (await site.post("/v1/fetch", {"worker": "w1", "queues": ["default"]}))["jobs"]
    before = (await site.job(id))["lease_until"]
    line = {"id": id, "text": "x", "level": "loud"}
    beat = {"worker": "w1", "leases": [lease(job)], "lines": [line]}
    problem(await site.http.post("/v1/beat", json=beat), 422, "invalid_level", "level")
    assert (await site.job(id))["lease_until"] > before


async def test_nobody_outside_passes_for_a_worker_inside(site: Site) -> None:
    ask = {"worker": "inside-1", "queues": ["default"], "wait": 0}
    problem(await site.http.post("/v1/fetch", json=ask), 422, "invalid_worker", "worker")
    async with site.socket() as worker:
        await worker.send("hello", worker="inside-1", queues=["default"], slots=1)
        assert (await worker.refused())["code"] == "invalid_worker"
