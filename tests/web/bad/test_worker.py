"""What workers ask for and report, over plain HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest

from rota.config import Settings
from tests.web.bad.kit import unharmed
from tests.web.kit import NOBODY, Json, Site, problem, serving

FETCH = {"worker": "w", "queues": ["default"], "wait": 0}
BIG = 2**63


@pytest.mark.bad(72, 73)
@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"slots": 0}, "invalid_slots", "slots"),
        ({"slots": -1}, "invalid_slots", "slots"),
        ({"slots": 10**6}, "invalid_slots", "slots"),
        ({"slots": 10**30}, "invalid_slots", "slots"),
        ({"slots": 1.5}, "wrong_type", "slots"),
        ({"wait": -1}, "invalid_wait", "wait"),
        ({"wait": 10**6}, "invalid_wait", "wait"),
        ({"wait": "long"}, "wrong_type", "wait"),
        ({"queues": []}, "invalid_queues", "queues"),
        ({"queues": [f"q{n}" for n in range(1000)]}, "invalid_queues", "queues"),
        ({"queues": ["a b"]}, "invalid_queues", "queues"),
        ({"queues": ["*"]}, "invalid_queues", "queues"),
        ({"queues": "default"}, "wrong_type", "queues"),
        ({"types": ["a b"]}, "invalid_types", "types"),
        ({"types": ["\u202e"]}, "invalid_types", "types"),
        ({"types": [f"t{n}" for n in range(10_001)]}, "invalid_types", "types"),
        ({"worker": ""}, "invalid_worker", "worker"),
        ({"worker": "x" * 201}, "invalid_worker", "worker"),
        ({"worker": "a\u0007"}, "invalid_worker", "worker"),
        ({"worker": "inside-1"}, "invalid_worker", "worker"),
        ({"name": "x" * 201}, "invalid_worker", "name"),
        ({"name": "\u001b[31mred"}, "invalid_worker", "name"),
        ({"version": "\u202e1"}, "invalid_worker", "version"),
        ({"lease": 3600}, "unknown_field", "lease"),
    ],
)
async def test_who_asks_for_the_impossible(site: Site, change: Json, code: str, field: str) -> None:
    id = await site.enqueue()
    told = problem(await site.http.post("/v1/fetch", json=FETCH | change), 422, code, field)
    assert len(told["detail"]) < 500
    assert await site.state(id) == "pending"
    assert (await site.get("/v1/workers"))["workers"] == []
    async with site.socket() as worker:
        hello = {"slots": 1, **FETCH, **change}
        del hello["wait"]
        if field != "wait":
            await worker.send("hello", **hello)
            assert await worker.closed() == 1008
            assert [(one["code"], one["field"]) for one in worker.frames] == [(code, field)]
    await unharmed(site, 1)


@pytest.mark.bad(73)
async def test_the_same_queue_twice_is_once(site: Site) -> None:
    await site.enqueue_many(2)
    jobs = (await site.post("/v1/fetch", FETCH | {"queues": ["default"] * 3, "wait": 1}))["jobs"]
    assert len(jobs) == 1


async def running(site: Site) -> Json:
    await site.enqueue(max_attempts=5)
    [job] = (await site.post("/v1/fetch", FETCH | {"wait": 5}))["jobs"]
    return {"id": job["id"], "lease": job["lease"]}


@pytest.mark.bad(40, 75)
@pytest.mark.parametrize("lease", [BIG, 10**30, -1, -BIG - 1])
async def test_leases_that_no_store_holds(site: Site, lease: int) -> None:
    """One of them must not spoil the transaction that others share."""
    job = await running(site) | {"lease": lease}
    for path, body, field in (
        ("/v1/finish", {"outcomes": [job]}, "outcomes[0].lease"),
        ("/v1/beat", {"leases": [job]}, "leases[0].lease"),
        ("/v1/beat", {"progress": [{**job, "value": 0.5}]}, "progress[0].lease"),
    ):
        problem(await site.http.post(path, json={"worker": "w", **body}), 422, "out_of_range", field)
    async with site.worker("s") as worker:
        await worker.send("finish", outcomes=[job])
        assert (await worker.refused())["code"] == "out_of_range"
    assert await site.state(job["id"]) == "running"
    await unharmed(site, 1)


@pytest.mark.bad(75, 77)
async def test_reports_that_do_not_fit(site: Site) -> None:
    job = await running(site)
    for outcome in (
        {**job, "lease": 0},
        {**job, "lease": 7},
        {**job, "id": NOBODY},
        {**job, "id": "x' OR 1=1"},
    ):
        answer = await site.http.post("/v1/finish", json={"worker": "w", "outcomes": [outcome]})
        told = problem(answer, 409, "stale_lease")
        assert [one["applied"] for one in told["answers"]] == [False]
    assert await site.state(job["id"]) == "running"
    pending = await site.enqueue()
    answer = await site.http.post(
        "/v1/finish", json={"worker": "w", "outcomes": [{"id": pending, "lease": 0}]}
    )
    problem(answer, 409, "stale_lease")
    assert await site.state(pending) == "pending"
    await site.post(f"/v1/jobs/{pending}/cancel")
    answer = await site.http.post(
        "/v1/finish", json={"worker": "w", "outcomes": [{"id": pending, "lease": 0}]}
    )
    problem(answer, 409, "stale_lease")
    assert await site.state(pending) == "cancelled"


@pytest.mark.bad(76)
async def test_the_same_report_twice(site: Site) -> None:
    job = await running(site)
    for result, status in (("first", 200), ("first", 409), ("second", 409)):
        answer = await site.http.post(
            "/v1/finish", json={"worker": "w", "outcomes": [{**job, "result": result}]}
        )
        assert answer.status_code == status
    twice = await running(site)
    answers = (
        await site.post("/v1/finish", {"worker": "w", "outcomes": [twice, {**twice, "end": "failed"}]})
    )["answers"]
    assert [one["applied"] for one in answers] == [True, False]
    assert (await site.job(job["id"]))["result"] == "first"
    assert await site.state(twice["id"]) == "done"


@pytest.mark.bad(77)
@pytest.mark.parametrize(
    ("outcome", "code", "field"),
    [
        ({}, "missing_field", "outcomes[0].id"),
        ({"id": 5}, "wrong_type", "outcomes[0].id"),
        ({"id": "x"}, "missing_field", "outcomes[0].lease"),
        ({"id": "x", "lease": "1"}, "wrong_type", "outcomes[0].lease"),
        ({"id": "x", "lease": 1, "end": "vanished"}, "wrong_type", "outcomes[0].end"),
        ({"id": "x", "lease": 1, "resutl": 1}, "unknown_field", "outcomes[0].resutl"),
        ({"id": "x", "lease": 1, "end": "failed", "error": "oops"}, "wrong_type", "outcomes[0].error"),
        ({"id": "x", "lease": 1, "retry": "no"}, "wrong_type", "outcomes[0].retry"),
        ({"id": "x", "lease": 1, "delay": "5s"}, "wrong_type", "outcomes[0].delay"),
    ],
)
async def test_reports_that_are_none(site: Site, outcome: Json, code: str, field: str) -> None:
    answer = await site.http.post("/v1/finish", json={"worker": "w", "outcomes": [outcome]})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, code), told
    assert told["field"] == field
    await unharmed(site)


@pytest.mark.bad(78)
@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"result": "x" * 999}, "1001 bytes"),
        ({"result_base64": "AAAA*"}, "base64"),
        ({"result_base64": "AA==", "content_type": "text/html\r\nSet-Cookie: a=b"}, "media type"),
        ({"result_base64": "AA==", "content_type": "\u00e4/b"}, "media type"),
        ({"result_base64": "AAAA" * 334}, "1002 bytes"),
    ],
)
async def test_results_that_are_rejected(store: str, result: Json, words: str) -> None:
    async with serving(store, Settings(result_limit=1000)) as site:
        job = await running(site)
        answer = await site.post("/v1/finish", {"worker": "w", "outcomes": [{**job, **result}]})
        assert answer["answers"][0]["state"] == "failed"
        error = (await site.job(job["id"]))["error"]
        assert error["type"] == "ResultRejected"
        assert words in error["message"]
        problem(await site.http.get(f"/v1/jobs/{job['id']}/result"), 409, "job_failed")
        await unharmed(site, 1)


@pytest.mark.bad(79)
@pytest.mark.parametrize("value", [1.5, -0.1, 1e308, "half", None, True])
async def test_progress(site: Site, value: object) -> None:
    job = await running(site)
    answer = await site.http.post("/v1/beat", json={"worker": "w", "progress": [{**job, "value": value}]})
    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_progress", "wrong_type")
    assert answer.json()["field"].endswith("value")
    assert (await site.job(job["id"]))["progress"] is None
    await unharmed(site, 1)


@pytest.mark.bad(80)
async def test_an_endless_error_is_cut(site: Site) -> None:
    job = await running(site)
    error = {"type": "E" * 10_000, "message": "m" * 5_000_000, "traceback": "\u001b[2J" + "t" * 5_000_000}
    report = {"worker": "w", "outcomes": [{**job, "end": "failed", "retry": False, "error": error}]}
    assert (await site.post("/v1/finish", report))["answers"][0]["state"] == "failed"
    kept = (await site.job(job["id"]))["error"]
    assert len(kept["type"]) == 200
    assert len(kept["message"]) <= 64 * 1024
    assert len(kept["traceback"]) <= 64 * 1024
    assert kept["traceback"].endswith("ttt")
    await unharmed(site, 1)


@pytest.mark.bad(80)
@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        ({"text": "x", "level": "loud"}, "invalid_level", "level"),
        ({"text": 5}, "wrong_type", "lines[0].text"),
        ({"text": "x", "at": "yesterday"}, "invalid_time", "at"),
        ({}, "missing_field", "lines[0].text"),
    ],
)
async def test_lines(site: Site, line: Json, code: str, field: str) -> None:
    job = await running(site)
    answer = await site.http.post("/v1/beat", json={"worker": "w", "lines": [{"id": job["id"], **line}]})
    problem(answer, 422, code, field)
    assert (await site.get(f"/v1/jobs/{job['id']}/logs"))["lines"] == []


@pytest.mark.bad(82)
async def test_clocks_of_others_are_not_trusted(site: Site) -> None:
    job = await running(site)
    lines = [{"id": job["id"], "text": "x", "at": "9999-12-31T00:00:00Z"}]
    headers = {"date": "Thu, 01 Jan 1970 00:00:00 GMT", "x-time": "0"}
    answer = await site.http.post("/v1/beat", json={"worker": "w", "lines": lines}, headers=headers)
    assert answer.status_code == 200
    [line] = (await site.get(f"/v1/jobs/{job['id']}/logs"))["lines"]
    assert line["at"] < "9999"
    assert (await site.job(job["id"]))["started_at"] > "2020"


@pytest.mark.bad(77)
async def test_workers_whose_ids_have_slashes_can_be_drained(site: Site) -> None:
    """As they are, and escaped, as clients write them."""
    for id, path in (
        ("a/b", "a/b"),
        ("host/7:x y", "host%2F7%3Ax%20y"),
        ("ä", "%C3%A4"),
        ("x/drain", "x/drain"),
    ):
        async with site.worker(id) as worker:
            answer = await site.post(f"/v1/workers/{path}/drain", status=202)
            assert (answer["worker"], answer["draining"]) == (id, True)
            await worker.next("drain")
    for path in ("a/c", "a%2Fb%2F", ""):
        problem(await site.http.post(f"/v1/workers/{path}/drain"), 404, "worker_not_found", "worker")


@pytest.mark.bad(76)
async def test_a_fault_in_one_request_leaves_those_of_others_alone(site: Site) -> None:
    """Requests that arrive together share a transaction."""
    bad = json.dumps({"worker": "w", "outcomes": [{"id": NOBODY, "lease": BIG}]}).encode()
    sent = [site.send(b'{"type": "t"}') if n % 2 else site.send(bad, "/v1/finish") for n in range(40)]
    answers = await asyncio.gather(*sent)
    assert [answer.status_code for answer in answers] == [422, 201] * 20
    await unharmed(site, 20)
