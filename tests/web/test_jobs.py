"""Reading jobs and acting on one: lists, results, logs, cancel, retry, run-now, delete."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.web.kit import NOBODY, Site, SocketWorker, lease, problem, read

SHORT = {
    "id", "type", "queue", "state", "priority", "attempt", "max_attempts", "created_at", "run_at",
    "started_at", "finished_at", "expires_at", "timeout", "retention", "retry", "tags", "unique_key",
    "unique_states", "worker", "lease", "lease_until", "losses", "cancel_requested", "reason", "progress",
    "fingerprint", "waiting_because",
}  # fmt: skip
WHOLE = SHORT | {"headers", "content_type", "payload", "result_type", "result", "error", "attempts"}


async def ended(site: Site, worker: SocketWorker, end: str, **fields: Any) -> str:
    """A job that was reported with this end."""
    id = await site.enqueue(max_attempts=1)
    [answer] = await worker.finish({**lease(await worker.job()), "end": end, **fields})
    assert answer["id"] == id
    return id


# lists


async def test_lists_are_newest_first_and_short(site: Site) -> None:
    ids = [await site.enqueue(payload={"secret": n}) for n in range(3)]
    page = await site.get("/v1/jobs")
    assert set(page) == {"jobs", "cursor"}
    assert [job["id"] for job in page["jobs"]] == ids[::-1]
    assert page["cursor"] is None
    assert {frozenset(job) for job in page["jobs"]} == {frozenset(SHORT)}
    assert set(await site.job(ids[0])) == WHOLE


async def test_pages(site: Site) -> None:
    ids = await site.enqueue_many(11)
    seen: list[str] = []
    cursor: str | None = None
    for size in (5, 5, 1):
        page = await site.get("/v1/jobs", limit=5, cursor=cursor)
        assert len(page["jobs"]) == size
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["cursor"]
        await site.enqueue()
    assert cursor is None
    assert seen == ids[::-1], "what is new does not shift the pages behind"
    assert len((await site.get("/v1/jobs", limit=500))["jobs"]) == 14
    await site.enqueue_many(60)
    assert len((await site.get("/v1/jobs"))["jobs"]) == 50


async def test_filters(site: Site) -> None:
    a = await site.enqueue("alpha", queue="one", tags=["red", "blue"])
    b = await site.enqueue("beta", queue="two", tags=["red"], delay=60)
    c = await site.enqueue("alpha", queue="two")
    await site.post(f"/v1/jobs/{c}/cancel")
    made = (await site.job(b))["created_at"]

    async def found(**params: Any) -> list[str]:
        return [job["id"] for job in (await site.get("/v1/jobs", **params))["jobs"]]

    assert await found(state="pending") == [a]
    assert await found(state="scheduled,cancelled") == [c, b]
    assert await found(queue="two") == [c, b]
    assert await found(type="alpha") == [c, a]
    assert await found(tag="red") == [b, a]
    assert await found(tag="blue", type="alpha", queue="one") == [a]
    assert await found(tag="green") == []
    assert await found(q="bet") == [b]
    assert await found(q=c) == [c]
    assert await found(q="") == [c, b, a]
    assert await found(since=made) == [c, b]
    assert await found(until=made) == [a]
    assert await found(queue="'; DROP TABLE jobs; --") == []
    async with site.worker("w9", queues=["one"]) as worker:
        await worker.job()
        assert await found(worker="w9") == [a]


@pytest.mark.parametrize(
    ("params", "status", "code", "field"),
    [
        ({"state": "happy"}, 422, "invalid_filter", "state"),
        ({"state": "pending,"}, 422, "invalid_filter", "state"),
        ({"limit": "0"}, 422, "invalid_limit", "limit"),
        ({"limit": "501"}, 422, "invalid_limit", "limit"),
        ({"limit": "-1"}, 422, "invalid_limit", "limit"),
        ({"limit": "many"}, 422, "invalid_limit", "limit"),
        ({"limit": "1e1"}, 422, "invalid_limit", "limit"),
        ({"limit": "\u0661"}, 422, "invalid_limit", "limit"),
        ({"limit": "9" * 50}, 422, "invalid_limit", "limit"),
        ({"since": "yesterday"}, 422, "invalid_time", "since"),
        ({"until": "2026-01-01T00:00:00"}, 422, "invalid_time", "until"),
        ({"cursor": "garbage"}, 400, "invalid_cursor", "cursor"),
        ({"cursor": base64.b64encode(b"s-1").decode()}, 400, "invalid_cursor", "cursor"),
        ({"cursor": ""}, 400, "invalid_cursor", "cursor"),
        ({"sort": "type"}, 422, "unknown_parameter", "sort"),
        ([("worker", "a"), ("worker", "b")], 422, "duplicate_parameter", "worker"),
        ({"q": "a\x00b"}, 400, "bad_character", "q"),
    ],
)
async def test_faulty_lists(site: Site, params: Any, status: int, code: str, field: str) -> None:
    problem(await site.http.get("/v1/jobs", params=params), status, code, field)


# one job


async def test_the_story_of_a_job(site: Site) -> None:
    id = await site.enqueue(max_attempts=3, retry={"kind": "fixed", "delay": 0})
    async with site.worker("w1") as worker:
        first = await worker.job()
        running = await site.job(id)
        assert (running["state"], running["worker"], running["attempt"], running["lease"]) == (
            "running",
            "w1",
            1,
            1,
        )
        assert running["lease_until"] > running["started_at"]
        error = {"type": "ValueError", "message": "no", "traceback": "here"}
        await worker.finish({**lease(first), "end": "failed", "error": error})
        second = await worker.job()
        await worker.send("beat", progress=[{**lease(second), "value": 0.5, "message": "half"}])
        await worker.done(second, result={"ok": True})
    job = await site.job(id)
    assert (job["state"], job["result"], job["error"], job["reason"]) == ("done", {"ok": True}, None, None)
    assert (job["attempt"], job["lease"], job["losses"], job["lease_until"]) == (2, 2, 0, None)
    one, two = job["attempts"]
    assert (one["attempt"], one["lease"], one["worker"], one["end"], one["error"]) == (
        1,
        1,
        "w1",
        "failed",
        error,
    )
    assert (two["attempt"], two["lease"], two["end"], two["error"]) == (2, 2, "done", None)
    times = [job["created_at"], one["started_at"], one["finished_at"], two["started_at"], two["finished_at"]]
    assert times == sorted(times)
    assert all(time.endswith("Z") and len(time) == 27 for time in times)
    assert two["finished_at"] == job["finished_at"]


async def test_progress_shows_while_it_runs(site: Site) -> None:
    id = await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        await worker.send("beat", leases=[lease(job)], progress=[{**lease(job), "value": 0.25}])
        await worker.send("beat", leases=[lease(job), {"id": NOBODY, "lease": 1}])
        await worker.next("cancel")
        assert (await site.job(id))["progress"] == {"value": 0.25, "message": None}


async def test_why_a_job_waits(site: Site) -> None:
    id = await site.enqueue("odd")
    [listed] = (await site.get("/v1/jobs"))["jobs"]
    assert listed["waiting_because"] == (await site.job(id))["waiting_because"]
    assert listed["waiting_because"] == "No worker serves the queue default."
    async with site.worker(types=["even"]):
        why = (await site.job(id))["waiting_because"]
        assert why == "No connected worker of the queue default knows the type odd."


# results


@pytest.mark.parametrize(
    ("fields", "kind", "body"),
    [
        ({}, "application/json", b"null"),
        ({"result": None}, "application/json", b"null"),
        ({"result": {"ä": [1.5]}}, "application/json", b'{"\\u00e4": [1.5]}'),
        ({"result_base64": "AP8="}, "application/octet-stream", b"\x00\xff"),
        ({"result_base64": "PGgxPg==", "content_type": "text/html"}, "text/html; charset=utf-8", b"<h1>"),
        ({"result_base64": "", "content_type": "image/svg+xml"}, "image/svg+xml", b""),
    ],
)
async def test_results_are_served_as_what_they_are_and_nothing_else(
    site: Site, fields: dict[str, Any], kind: str, body: bytes
) -> None:
    async with site.worker() as worker:
        id = await ended(site, worker, "done", **fields)
    answer = await site.http.get(f"/v1/jobs/{id}/result")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, kind, body)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    job = await site.job(id)
    if "result_base64" in fields:
        assert job["result_base64"] == fields["result_base64"]
        assert job["result_type"] == kind.partition(";")[0]
    else:
        assert job["result"] == json.loads(body)


async def test_results_that_are_not_there(site: Site) -> None:
    async with site.worker() as worker:
        error = {"type": "E", "message": "no"}
        failed = await ended(site, worker, "failed", error=error)
        told = problem(await site.http.get(f"/v1/jobs/{failed}/result"), 409, "job_failed")
        assert (told["error"], told["reason"]) == (error, "attempts_used_up")
        cancelled = await ended(site, worker, "cancelled")
        told = problem(await site.http.get(f"/v1/jobs/{cancelled}/result"), 409, "job_cancelled")
        assert (told["error"], told["reason"]) == (None, "cancelled")
        running = await site.enqueue()
        await worker.job()
        assert await site.get(f"/v1/jobs/{running}/result", 202) == {"id": running, "state": "running"}


# logs


async def test_logs_page_by_page(site: Site) -> None:
    id = await site.enqueue()
    assert await site.get(f"/v1/jobs/{id}/logs") == {"lines": [], "next": 0}
    async with site.worker() as worker:
        job = await worker.job()
        lines = [{"id": id, "text": f"line {n}", "level": "debug"} for n in range(25)]
        await worker.send("log", lines=lines)
        await worker.send("log", lines=[{"id": id, "text": "old", "at": "2020-01-01T00:00:00Z"}])
        await worker.done(job)
    seen = []
    after = 0
    while True:
        page = await site.get(f"/v1/jobs/{id}/logs", after=after, limit=10)
        if not page["lines"]:
            assert page["next"] == after
            break
        seen += page["lines"]
        after = page["next"]
    assert [line["n"] for line in seen] == list(range(1, 27))
    assert seen[0] == {"n": 1, "at": seen[0]["at"], "level": "debug", "text": "line 0"}
    assert (seen[25]["at"], seen[25]["level"]) == ("2020-01-01T00:00:00.000000Z", "info")
    for params, code, field in (
        ({"after": -1}, "invalid_after", "after"),
        ({"after": "x"}, "invalid_after", "after"),
        ({"limit": 0}, "invalid_limit", "limit"),
        ({"limit": 10_001}, "invalid_limit", "limit"),
    ):
        answer = await site.http.get(f"/v1/jobs/{id}/logs", params=params)
        problem(answer, 422, code, field)


# acts


async def test_cancel(site: Site) -> None:
    waits, later = await site.enqueue(), await site.enqueue(delay=60)
    for id in (waits, later):
        answer = await site.post(f"/v1/jobs/{id}/cancel")
        assert set(answer) == WHOLE
        assert (answer["state"], answer["reason"]) == ("cancelled", "cancelled")
        told = problem(await site.http.post(f"/v1/jobs/{id}/cancel"), 409, "invalid_state")
        assert told["state"] == "cancelled"


async def test_cancel_a_running_job(site: Site) -> None:
    id = await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        answer = await site.post(f"/v1/jobs/{id}/cancel", status=202)
        assert (answer["state"], answer["cancel_requested"]) == ("running", True)
        assert (await worker.next("cancel"))["jobs"] == [{**lease(job), "reason": "cancelled"}]
        [answer] = await worker.finish({**lease(job), "end": "cancelled"})
        assert (answer["applied"], answer["state"]) == (True, "cancelled")
    assert (await site.job(id))["reason"] == "cancelled"


async def test_retry(site: Site) -> None:
    async with site.worker() as worker:
        id = await ended(site, worker, "failed")
        # The worker would take it before it can be looked at.
        await site.post("/v1/queues/default/pause")
        answer = await site.post(f"/v1/jobs/{id}/retry")
        assert set(answer) == WHOLE
        assert (answer["state"], answer["attempt"], answer["max_attempts"]) == ("pending", 1, 2)
        await site.post("/v1/queues/default/resume")
        job = await worker.job()
        told = problem(await site.http.post(f"/v1/jobs/{id}/retry"), 409, "invalid_state")
        assert told["state"] == "running"
        assert (job["id"], job["attempt"], job["lease"]) == (id, 2, 2)
        await worker.done(job)
    assert [one["end"] for one in (await site.job(id))["attempts"]] == ["failed", "done"]


async def test_retry_of_a_key_that_is_taken(site: Site) -> None:
    id = await site.enqueue(unique_key="k")
    await site.post(f"/v1/jobs/{id}/cancel")
    await site.enqueue(unique_key="k")
    problem(await site.http.post(f"/v1/jobs/{id}/retry"), 409, "duplicate_job", "unique_key")


async def test_run_now(site: Site) -> None:
    id = await site.enqueue(delay=3600)
    answer = await site.post(f"/v1/jobs/{id}/run-now")
    assert answer["state"] == "pending"
    told = problem(await site.http.post(f"/v1/jobs/{id}/run-now"), 409, "invalid_state")
    assert told["state"] == "pending"


async def test_delete(site: Site) -> None:
    id = await site.enqueue()
    answer = await site.http.delete(f"/v1/jobs/{id}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(await site.http.delete(f"/v1/jobs/{id}"), 404, "job_not_found", "id")
    running = await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        told = problem(await site.http.delete(f"/v1/jobs/{running}"), 409, "invalid_state")
        assert told["state"] == "running"
        await worker.done(job)
    read(await site.http.delete(f"/v1/jobs/{running}"), 204)
    assert await site.stored() == 0
