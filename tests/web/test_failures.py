"""GET /v1/failures, and the fingerprint in jobs."""

from __future__ import annotations

from typing import Any

import pytest

from rota.model.failure import fingerprint
from tests.web.kit import Json, Site

TRACE = """Traceback (most recent call last):
  File "/app/jobs.py", line 3, in charge
    pay()
ValueError: no
"""


async def fail(site: Site, job: Json | None = None, **error: Any) -> str:
    """A job that failed for good, of a worker that polls."""
    id = job["id"] if job else await site.enqueue("charge", max_attempts=1)
    ask = {"worker": "w1", "queues": ["default"], "slots": 1, "wait": 0}
    [work] = (await site.post("/v1/fetch", ask))["jobs"]
    assert work["id"] == id
    told = {"type": "ValueError", "message": "no", "traceback": TRACE, **error}
    outcome = {"id": id, "lease": work["lease"], "end": "failed", "error": told}
    await site.post("/v1/finish", {"worker": "w1", "outcomes": [outcome]})
    return str(id)


async def test_failures_are_grouped_by_what_workers_report(site: Site) -> None:
    first = await fail(site)
    second = await fail(site, message="again", traceback=TRACE.replace("line 3", "line 30"))
    other = await fail(site, type="KeyError", traceback=None)
    answer = await site.get("/v1/failures")
    assert answer["cursor"] is None
    [last, before] = answer["failures"]
    assert list(before) == [
        *(
            "fingerprint",
            "type",
            "error",
            "frame",
            "message",
            "job",
            "jobs",
            "first_seen",
            "last_seen",
            "hours",
        )
    ]
    assert (before["type"], before["error"], before["frame"]) == ("charge", "ValueError", "jobs.py:charge")
    assert (before["message"], before["job"], before["jobs"]) == ("again", second, 2)
    assert len(before["hours"]) == 24
    assert sum(before["hours"]) == 2
    assert (last["error"], last["frame"], last["job"]) == ("KeyError", None, other)
    assert (await site.job(first))["finished_at"] == before["first_seen"]
    assert (await site.job(second))["finished_at"] == before["last_seen"]
    listed = await site.get("/v1/jobs", fingerprint=before["fingerprint"])
    assert [job["id"] for job in listed["jobs"]] == [second, first]
    assert {job["fingerprint"] for job in listed["jobs"]} == {before["fingerprint"]}
    await site.post(f"/v1/jobs/{other}/retry")
    assert (await site.get("/v1/failures"))["failures"] == [before]
    assert (await site.job(other))["fingerprint"] is None


async def test_a_result_that_is_refused_is_a_failure_of_its_type(site: Site) -> None:
    id = await site.enqueue("charge")
    async with site.worker() as worker:
        job = await worker.job()
        await worker.finish({"id": id, "lease": job["lease"], "end": "done", "result_base64": "***"})
    [group] = (await site.get("/v1/failures"))["failures"]
    assert (group["type"], group["error"], group["job"]) == ("charge", "ResultRejected", id)
    assert group["fingerprint"] == fingerprint("charge", "ResultRejected", None)


async def test_pages_and_filters(site: Site) -> None:
    for error in "ABC":
        await fail(site, type=error)
    first = await site.get("/v1/failures", limit=2)
    assert [one["error"] for one in first["failures"]] == ["C", "B"]
    rest = await site.get("/v1/failures", limit=2, cursor=first["cursor"])
    assert ([one["error"] for one in rest["failures"]], rest["cursor"]) == (["A"], None)
    for name, value, jobs in (
        ("queue", "default", 3),
        ("queue", "other", 0),
        ("type", "charge", 3),
        ("type", "x", 0),
    ):
        params: dict[str, Any] = {name: value}
        assert len((await site.get("/v1/failures", **params))["failures"]) == jobs


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"limit": 0}, "invalid_limit", "limit"),
        ({"limit": 501}, "invalid_limit", "limit"),
        ({"cursor": "x"}, "invalid_cursor", "cursor"),
        ({"queue": "a b"}, "invalid_queue", "queue"),
        ({"state": "failed"}, "unknown_parameter", "state"),
    ],
)
async def test_bad_parameters_are_named(site: Site, asked: dict[str, Any], code: str, field: str) -> None:
    status = 400 if code == "invalid_cursor" else 422
    answer = await site.get("/v1/failures", status, **asked)
    assert (answer["code"], answer.get("field")) == (code, field)
