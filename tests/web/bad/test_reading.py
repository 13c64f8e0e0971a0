"""Lists, filters, states of jobs, and texts that would like to be more than text."""

from __future__ import annotations

import json

import pytest

from tests.web.bad.kit import unharmed
from tests.web.kit import NOBODY, Json, Site, problem


@pytest.mark.bad(110, 111)
@pytest.mark.parametrize(
    ("query", "status", "code", "field"),
    [
        ("limit=0", 422, "invalid_limit", "limit"),
        ("limit=-1", 422, "invalid_limit", "limit"),
        ("limit=1000000000", 422, "invalid_limit", "limit"),
        ("limit=99999999999999999999", 422, "invalid_limit", "limit"),
        ("limit=1.5", 422, "invalid_limit", "limit"),
        ("limit=", 422, "invalid_limit", "limit"),
        ("limit=%D9%A3", 422, "invalid_limit", "limit"),
        ("limit=1&limit=2", 422, "duplicate_parameter", "limit"),
        ("cursor=garbage", 400, "invalid_cursor", "cursor"),
        ("cursor=AAAA", 400, "invalid_cursor", "cursor"),
        ("cursor=-1", 400, "invalid_cursor", "cursor"),
        ("cursor=99999999999999999999999999", 400, "invalid_cursor", "cursor"),
        ("cursor=", 400, "invalid_cursor", "cursor"),
        ("since=yesterday", 422, "invalid_time", "since"),
        ("until=2026-13-01T00:00:00Z", 422, "invalid_time", "until"),
        ("since=99999999", 422, "invalid_time", "since"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", 422, "invalid_filter", "until"),
        ("sort=priority", 422, "unknown_parameter", "sort"),
        ("days=99999999", 422, "unknown_parameter", "days"),
        ("state=sleeping", 422, "invalid_filter", "state"),
        ("state=done,", 422, "invalid_filter", "state"),
        ("state=", 422, "invalid_filter", "state"),
    ],
)
async def test_lists(site: Site, query: str, status: int, code: str, field: str) -> None:
    await site.enqueue_many(3)
    told = problem(await site.http.get(f"/v1/jobs?{query}"), status, code, field)
    assert len(told["detail"]) < 500
    await unharmed(site, 3)


@pytest.mark.bad(110)
async def test_a_cursor_of_another_list(site: Site) -> None:
    """It says where to go on, and nothing about what is seen: the filter is the request's own."""
    await site.enqueue_many(3, queue="a")
    await site.enqueue_many(3, queue="b")
    cursor = (await site.get("/v1/jobs", queue="b", limit=1))["cursor"]
    page = await site.get("/v1/jobs", queue="a", cursor=cursor)
    assert {job["queue"] for job in page["jobs"]} == {"a"}


@pytest.mark.bad(111)
@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", "%", "_", "*", "\\", '"', "a') UNION SELECT 1 --", "x" * 4000]
)
async def test_filters_are_values_and_nothing_else(site: Site, text: str) -> None:
    await site.enqueue_many(3)
    for name in ("queue", "type", "tag", "worker", "q"):
        assert (await site.get("/v1/jobs", **{name: text}))["jobs"] == []  # type: ignore[arg-type]
    await unharmed(site, 3)


@pytest.mark.bad(110)
@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("after=-1", "invalid_after", "after"),
        ("after=99999999999999999999", "invalid_after", "after"),
        ("limit=0", "invalid_limit", "limit"),
        ("limit=10001", "invalid_limit", "limit"),
        ("before=1", "unknown_parameter", "before"),
    ],
)
async def test_logs(site: Site, query: str, code: str, field: str) -> None:
    id = await site.enqueue()
    problem(await site.http.get(f"/v1/jobs/{id}/logs?{query}"), 422, code, field)


@pytest.mark.bad(108, 111)
async def test_events(site: Site) -> None:
    problem(await site.http.get("/v1/events?topic=weather"), 422, "invalid_topic", "topic")
    problem(await site.http.get("/v1/events?topic=job:"), 422, "invalid_topic", "topic")
    problem(await site.http.get("/v1/events?topics=*"), 422, "unknown_parameter", "topics")
    for cursor in ("x", "deadbeef-", "deadbeef-1x", "deadbeef-" + "9" * 30, "a-b-c"):
        answer = await site.http.get("/v1/events", headers={"last-event-id": cursor})
        problem(answer, 400, "invalid_cursor")
    async with site.http.stream("GET", "/v1/events", headers={"last-event-id": "deadbeef-5"}) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event:"):
                assert line == "event: reset", "a cursor from long ago is said to be one"
                break
    await unharmed(site)


@pytest.mark.bad(114)
async def test_what_does_not_fit_a_jobs_state(site: Site) -> None:
    id = await site.enqueue()
    for verb in ("retry", "run-now"):
        told = problem(await site.http.post(f"/v1/jobs/{id}/{verb}"), 409, "invalid_state")
        assert "pending" in told["detail"]
    async with site.worker() as worker:
        job = await worker.job()
        for method, path in (("POST", "/retry"), ("POST", "/run-now"), ("DELETE", "")):
            told = problem(await site.http.request(method, f"/v1/jobs/{id}{path}"), 409, "invalid_state")
            assert "running" in told["detail"]
        assert (await worker.done(job))["applied"] is True
    for verb in ("cancel", "run-now"):
        told = problem(await site.http.post(f"/v1/jobs/{id}/{verb}"), 409, "invalid_state")
        assert "done" in told["detail"]
    assert await site.state(id) == "done"
    cancelled = await site.enqueue()
    await site.post(f"/v1/jobs/{cancelled}/cancel")
    problem(await site.http.get(f"/v1/jobs/{cancelled}/result"), 409, "job_cancelled")
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ):
        for nobody in (NOBODY, "x", "'--", "%C3%A4"):
            answer = await site.http.request(method, f"/v1/jobs/{nobody}{path}")
            problem(answer, 404, "job_not_found", "id")
    await unharmed(site, 2)


ODD = [
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "</script><script>alert(1)</script>",
    "{{7*7}}${7*7}#{7*7}",
    "\u202eevil\u202c",
    "\u001b[2J\u001b]0;title\u0007",
    "a\r\nSet-Cookie: a=b",
    "x" * 100_000,
    "%00%0d%0a../../etc/passwd",
    "\u2028\u2029\ufeff",
]


@pytest.mark.bad(112)
@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
async def test_texts_are_texts(site: Site, text: str) -> None:
    """Given back as JSON that says so; a bare result never runs as a page of ours."""
    id = await site.enqueue(payload={text[:1000]: text})
    async with site.worker() as worker:
        job = await worker.job()
        await worker.send("log", lines=[{"id": id, "text": text}])
        raw = {"result_base64": "PHNjcmlwdD4=", "content_type": "text/html"}
        await worker.done(job, **raw if text is ODD[0] else {"result": text})
    answer = await site.http.get(f"/v1/jobs/{id}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["payload"] == {text[:1000]: text}
    assert (await site.get(f"/v1/jobs/{id}/logs"))["lines"][0]["text"] == text[: 8 * 1024]
    answer = await site.http.get(f"/v1/jobs/{id}/result")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    if text is not ODD[0]:
        assert answer.json() == text


@pytest.mark.bad(112)
async def test_names_in_errors_are_cut_and_quoted(site: Site) -> None:
    fields: list[Json] = [{text[:300]: 1} for text in ODD]
    for field in fields:
        answer = await site.http.post(
            "/v1/jobs",
            content=json.dumps({"type": "t", **field}),
            headers={"content-type": "application/json"},
        )
        told = problem(answer, 422, "unknown_field", next(iter(field))[:100])
        assert "\u001b" not in told["detail"]
        assert "\u202e" not in told["detail"]
        assert "\n" not in told["detail"]
    await unharmed(site)
