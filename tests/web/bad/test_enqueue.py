"""Well-formed JSON that asks for what there is not: every field of a job, keys, batches."""

from __future__ import annotations

import asyncio
import json

import pytest

from rota.config import Settings
from tests.web.bad.kit import Case, names, refused, unharmed
from tests.web.kit import Site, problem, serving

LONG = "x" * 201


def job(**fields: object) -> bytes:
    return json.dumps({"type": "t", **fields}).encode()


CASES = [
    Case(48, "missing", b"{}", 422, "missing_field", "type"),
    Case(48, "missing in a list", b'{"jobs": [{"type": "t"}, {}]}', 422, "missing_field", "jobs[1].type"),
    *(
        Case(48, name, job(type=value), 422, "invalid_type", "type", "A-Z a-z 0-9")
        for name, value in (
            ("empty", ""), ("too long", LONG), ("spaces", "a b"), ("a step up", "../x"), ("emoji", "\U0001f600"),
            ("null", None), ("number", 5), ("list", ["t"]), ("line end", "a\n"), ("a dot first", ".a"), ("look-alike", "sl\u0435ep"),
        )
    ),
    *(
        Case(49, name, job(queue=value), 422, "invalid_queue", "queue", "A-Z a-z 0-9")
        for name, value in (
            ("empty", ""), ("star", "*"), ("wildcard", "mail.*"), ("control character", "a\u0007"), ("right to left", "a\u202eb"),
            ("too long", LONG), ("number", 5), ("SQL", "x'; DROP TABLE jobs; --"), ("two dots", "a..b"),
        )
    ),
    *(
        Case(53, name, job(priority=value), 422, "invalid_priority", "priority", "from -100 to 100")
        for name, value in (("word", "high"), ("half", 1.5), ("true", True), ("101", 101), ("-101", -101), ("huge", 10**30), ("null", None))
    ),
    *(
        Case(54, name, job(run_at=value), 422, "invalid_time", "run_at", "2026-01-31T08:30:00Z")
        for name, value in (
            ("no zone", "2026-01-01T00:00:00"), ("30 February", "2026-02-30T00:00:00Z"), ("year 10000", "10000-01-01T00:00:00Z"),
            ("milliseconds", 1767225600000), ("a day", "2026-01-01"), ("empty", ""), ("before 1970", "1969-12-31T23:59:59Z"),
            ("hour 25", "2026-01-01T25:00:00Z"), ("words", "x" * 5000), ("zone beyond", "2026-01-01T00:00:00+99:00"),
        )
    ),
    Case(54, "expires_at", job(expires_at="noon"), 422, "invalid_time", "expires_at"),
    *(
        Case(56, name, job(delay=value), 422, "invalid_duration", "delay", "second")
        for name, value in (("-1", -1), ("parsecs", "5 parsecs"), ("1e300", 1e300), ("11 years", 11 * 366 * 86400), ("true", True))
    ),
    Case(56, "retention", job(retention=-1), 422, "invalid_duration", "retention"),
    Case(57, "both", job(run_at="2099-01-01T00:00:00Z", delay=1), 422, "conflicting_fields", "delay", "not both"),
    *(
        Case(58, name, job(max_attempts=value), 422, "invalid_max_attempts", "max_attempts", "from 1 to 1000")
        for name, value in (("0", 0), ("-1", -1), ("10^9", 10**9), ("text", "3"), ("half", 1.5), ("true", True))
    ),
    *(
        Case(59, name, job(timeout=value), 422, "invalid_timeout", "timeout", "seconds")
        for name, value in (("0", 0), ("-1", -1), ("a year", 366 * 86400), ("text", "30s"))
    ),
    Case(59, "over before it starts", job(run_at="2099-01-02T00:00:00Z", expires_at="2099-01-02T00:00:00Z"), 422, "expires_before_start", "expires_at"),
    Case(59, "over already", job(expires_at="2020-01-01T00:00:00Z"), 422, "expires_before_start", "expires_at"),
    *(
        Case(60, name, job(retry=value), 422, "invalid_backoff", "retry")
        for name, value in (
            ("negative", {"kind": "fixed", "delay": -1}), ("no base", {"kind": "exponential", "base": 0}),
            ("factor beyond", {"kind": "exponential", "base": 1, "factor": 1e300}), ("no delays", {"kind": "list", "delays": []}),
            ("1001 delays", {"kind": "list", "delays": [1] * 1001}), ("jitter", {"kind": "exponential", "jitter": 2}),
            ("word", "never"), ("list", [1, 2]), ("number", 5),
        )
    ),
    Case(60, "an unknown kind", job(retry={"kind": "linear"}), 422, "invalid_backoff", "retry.kind"),
    *(
        Case(61, name, job(unique_key=value), 422, "invalid_unique_key", "unique_key", "200 bytes")
        for name, value in (("empty", ""), ("201 bytes", LONG), ("202 bytes", "\u00e4" * 101), ("number", 5), ("tab", "a\tb"))
    ),
    Case(61, "states without a key", job(unique_states=["scheduled", "pending"]), 422, "invalid_unique_states", "unique_states"),
    Case(61, "too few states", job(unique_key="k", unique_states=["pending"]), 422, "invalid_unique_states", "unique_states"),
    Case(63, "empty", job(idempotency_key=""), 422, "invalid_idempotency_key", "idempotency_key"),
    Case(63, "201 bytes", job(idempotency_key=LONG), 422, "invalid_idempotency_key", "idempotency_key"),
    Case(68, "33", job(tags=[str(n) for n in range(33)]), 422, "too_many_tags", "tags", "32"),
    Case(68, "65 characters", job(tags=["x" * 65]), 422, "invalid_tags", "tags", "64"),
    Case(68, "empty", job(tags=[""]), 422, "invalid_tags", "tags"),
    Case(68, "text", job(tags="a"), 422, "invalid_tags", "tags"),
    Case(68, "line end", job(tags=["a\nb"]), 422, "invalid_tags", "tags"),
    Case(68, "a front's", job(tags=["a", "front:jobq"]), 422, "invalid_tags", "tags", "'front:' are Rota's own"),
    Case(68, "what may become a front's", job(tags=["front:"]), 422, "invalid_tags", "tags", "Rota's own"),
    Case(69, "none", b'{"jobs": []}', 422, "invalid_batch", "jobs", "1 to 10000"),
    Case(69, "10,001", json.dumps({"jobs": [{"type": "t"}] * 10_001}).encode(), 422, "invalid_batch", "jobs", "10001"),
    Case(69, "one bad", json.dumps({"jobs": [{"type": "t", "priority": 101 if n == 417 else 0} for n in range(1000)]}).encode(), 422, "invalid_priority", "jobs[417].priority"),
    Case(51, "base64", job(payload_base64="AAAA*"), 422, "invalid_base64", "payload_base64"),
    Case(51, "two payloads", job(payload=1, payload_base64="AA=="), 422, "conflicting_fields", "payload_base64"),
    Case(12, "a header that would be two", job(headers={"a": "b\r\nc: d"}), 422, "invalid_headers", "headers"),
    Case(12, "no header name", job(headers={"a b": "c"}), 422, "invalid_headers", "headers"),
    Case(12, "a media type that would be a header", job(payload_base64="AA==", content_type="a/b\r\nc: d"), 422, "invalid_content_type", "content_type"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=names)
async def test_jobs(site: Site, case: Case) -> None:
    told = await refused(site, await site.send(case.sent), case)
    assert len(told["detail"]) < 500, "what was given is cut"


@pytest.mark.bad(55)
async def test_a_time_that_is_over_is_now(site: Site) -> None:
    id = await site.enqueue(run_at="1999-12-31T23:59:59+01:00")
    assert await site.state(id) == "pending"


@pytest.mark.bad(51)
async def test_a_payload_over_the_limit(store: str) -> None:
    async with serving(store, Settings(payload_limit=1000)) as site:
        told = problem(await site.send(job(payload="x" * 999)), 413, "payload_too_large", "payload")
        assert "1001 bytes" in told["detail"]
        assert "at most 1000" in told["detail"]
        bad = json.dumps({"jobs": [{"type": "t"}, {"type": "t", "payload": "x" * 999}]}).encode()
        problem(await site.send(bad), 413, "payload_too_large", "jobs[1].payload")
        told = problem(await site.send(job(payload_base64="AAAA" * 334)), 413, "payload_too_large", "payload")
        assert "1002 bytes" in told["detail"], "what counts is what is stored"
        await unharmed(site)


@pytest.mark.bad(62)
async def test_a_unique_key_that_is_held(site: Site) -> None:
    id = await site.enqueue(unique_key="k")
    answer = await site.post("/v1/jobs", {"type": "other", "unique_key": "k"})
    assert (answer["id"], answer["created"], answer["why"]) == (id, False, "unique")
    await unharmed(site, 1)


@pytest.mark.bad(63)
async def test_an_idempotency_key_with_another_body(site: Site) -> None:
    headers = {"idempotency-key": "k"}
    assert (await site.send(job(payload=1), headers=headers)).status_code == 201
    answer = await site.send(job(payload=2), headers=headers)
    problem(answer, 409, "idempotency_mismatch", "idempotency_key")
    both = await site.send(job(idempotency_key="k"), headers=headers)
    problem(both, 422, "conflicting_fields", "idempotency_key")
    for key in ("", "x" * 201):
        answer = await site.send(job(), headers={"idempotency-key": key})
        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid_idempotency_key"
    await unharmed(site, 1)


@pytest.mark.bad(64)
async def test_one_idempotency_key_fifty_times_at_once(site: Site) -> None:
    sent = (site.send(job(), headers={"idempotency-key": "k"}) for _ in range(50))
    answers = await asyncio.gather(*sent)
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    await unharmed(site, 1)


@pytest.mark.bad(72)
@pytest.mark.parametrize("wait", ["-1", "601", "1e9", "nan", "inf", "", "soon", "0x10", "%D9%A1e9"])
async def test_impossible_waits(site: Site, wait: str) -> None:
    problem(await site.send(job(), f"/v1/jobs?wait={wait}"), 422, "invalid_wait", "wait")
    problem(await site.send(job(), "/v1/jobs?wait=1&wait=2"), 422, "duplicate_parameter", "wait")
    problem(await site.send(job(), "/v1/jobs?wiat=1"), 422, "unknown_parameter", "wiat")
    problem(
        await site.send(b'{"jobs": [{"type": "t"}]}', "/v1/jobs?wait=1"), 422, "conflicting_fields", "wait"
    )
    await unharmed(site)


@pytest.mark.bad(71)
async def test_a_store_that_refuses(site: Site) -> None:
    """Full disks are in tests/crash/test_disk_errors.py, stopping servers in tests/crash/test_drain.py."""
    await site.service.engine.close()
    for method, path in (("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/readyz")):
        answer = await site.http.request(method, path, json={"type": "t"} if method == "POST" else None)
        problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
    assert await site.get("/livez") == {"status": "ok"}


@pytest.mark.bad(71)
async def test_a_server_that_stops_is_not_ready_but_takes_jobs(site: Site) -> None:
    site.service.drain()
    problem(await site.http.get("/readyz"), 503, "draining")
    assert (await site.send(job())).status_code == 201
    await unharmed(site, 1)
