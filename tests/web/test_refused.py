"""Bad input: every fault has one code, names the field, and stores nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rota.config import Settings
from tests.web.kit import Site, problem, serving

DEEP = 100_000
PAYLOAD = b'{"type": "t", "payload": %b}'

# Bodies that are no JSON, or JSON that no program should have to hold.
BODIES: dict[str, tuple[bytes, int, str, str | None]] = {
    "empty": (b"", 400, "invalid_json", None),
    "blank": (b" \n", 400, "invalid_json", None),
    "truncated": (b'{"type": "t"', 400, "invalid_json", None),
    "trailing comma": (b'{"type": "t",}', 400, "invalid_json", None),
    "comment": (b'{"type": "t"} // x', 400, "invalid_json", None),
    "two values": (b'{"type": "t"}{"type": "t"}', 400, "invalid_json", None),
    "byte order mark": (b'\xef\xbb\xbf{"type": "t"}', 400, "invalid_json", None),
    "single quotes": (b"{'type': 't'}", 400, "invalid_json", None),
    "NaN": (b'{"type": "t", "payload": NaN}', 400, "non_finite_number", "payload"),
    "Infinity": (b'{"type": "t", "payload": [1, -Infinity]}', 400, "non_finite_number", "payload[1]"),
    "leading zero": (b'{"type": "t", "payload": 01}', 400, "invalid_json", None),
    "raw control character": (b'{"type": "t", "payload": "a\nb"}', 400, "invalid_json", None),
    "raw NUL": (b'{"type": "t", "payload": "a\x00b"}', 400, "invalid_json", None),
    "bad escape": (b'{"type": "t", "payload": "\\q"}', 400, "invalid_json", None),
    "invalid UTF-8": (b'{"type": "t", "payload": "\xff"}', 400, "invalid_utf8", None),
    "latin-1": ('{"type": "t", "payload": "ä"}'.encode("latin-1"), 400, "invalid_utf8", None),
    "overlong UTF-8": (b'{"type": "t", "payload": "\xc0\xaf"}', 400, "invalid_utf8", None),
    "surrogate in UTF-8": (b'{"type": "t", "payload": "\xed\xa0\x80"}', 400, "invalid_utf8", None),
    "NUL": (b'{"type": "t", "payload": {"a": ["x\\u0000"]}}', 422, "nul_character", "payload.a[0]"),
    "NUL in a key": (b'{"type": "t", "payload": {"\\u0000": 1}}', 422, "nul_character", "payload"),
    "high surrogate": (b'{"type": "t", "payload": "\\ud800"}', 400, "invalid_unicode", "payload"),
    "low surrogate": (b'{"type": "t", "payload": "\\udc00"}', 400, "invalid_unicode", "payload"),
    "reversed pair": (b'{"type": "t", "payload": "\\udc00\\ud800"}', 400, "invalid_unicode", "payload"),
    "torn pair": (b'{"type": "t", "payload": "\\ud800-\\udc00"}', 400, "invalid_unicode", "payload"),
    "nested lists": (PAYLOAD % (b"[" * DEEP + b"]" * DEEP), 400, "too_deep", None),
    "nested objects": (PAYLOAD % (b'{"a":' * DEEP + b"1" + b"}" * DEEP), 400, "too_deep", None),
    "null": (b"null", 422, "wrong_type", None),
    "list": (b'[{"type": "t"}]', 422, "wrong_type", None),
    "text": (b'"t"', 422, "wrong_type", None),
    "jobs is no list": (b'{"jobs": {"type": "t"}}', 422, "wrong_type", "jobs"),
    "a job is no object": (b'{"jobs": [{"type": "t"}, 5]}', 422, "wrong_type", "jobs[1]"),
    "beside jobs": (b'{"jobs": [{"type": "t"}], "queue": "q"}', 422, "unknown_field", "queue"),
    "nothing": (b"{}", 422, "missing_field", "type"),
}  # fmt: skip

# One wrong field beside a good type: the value, the code, and the field where it has another name.
FIELDS: list[tuple[str, Any, str]] = [
    ("type", 5, "invalid_type"),
    ("type", None, "invalid_type"),
    ("type", "", "invalid_type"),
    ("type", "a b", "invalid_type"),
    ("type", "../x", "invalid_type"),
    ("type", "\U0001f600", "invalid_type"),
    ("type", "x" * 201, "invalid_type"),
    ("queue", "", "invalid_queue"),
    ("queue", "*", "invalid_queue"),
    ("queue", "a\u202eb", "invalid_queue"),
    ("queue", ["q"], "invalid_queue"),
    ("priority", 101, "invalid_priority"),
    ("priority", -101, "invalid_priority"),
    ("priority", 1.5, "invalid_priority"),
    ("priority", "high", "invalid_priority"),
    ("priority", True, "invalid_priority"),
    ("priority", 10**30, "invalid_priority"),
    ("run_at", "2026-01-01T00:00:00", "invalid_time"),
    ("run_at", "2026-02-30T00:00:00Z", "invalid_time"),
    ("run_at", "10000-01-01T00:00:00Z", "invalid_time"),
    ("run_at", "tomorrow", "invalid_time"),
    ("run_at", 1767225600, "invalid_time"),
    ("delay", -1, "invalid_duration"),
    ("delay", "5 parsecs", "invalid_duration"),
    ("delay", 1e300, "invalid_duration"),
    ("delay", 11 * 366 * 86400, "invalid_duration"),
    ("expires_at", "2020-01-01T00:00:00Z", "expires_before_start"),
    ("expires_at", "noon", "invalid_time"),
    ("timeout", 0, "invalid_timeout"),
    ("timeout", -1, "invalid_timeout"),
    ("timeout", 10**9, "invalid_timeout"),
    ("max_attempts", 0, "invalid_max_attempts"),
    ("max_attempts", 1001, "invalid_max_attempts"),
    ("max_attempts", "3", "invalid_max_attempts"),
    ("retry", {"kind": "fixed", "delay": -1}, "invalid_backoff"),
    ("retry", {"kind": "list", "delays": []}, "invalid_backoff"),
    ("retry", {"kind": "exponential", "base": 0}, "invalid_backoff"),
    ("retry", "never", "invalid_backoff"),
    ("tags", [str(n) for n in range(33)], "too_many_tags"),
    ("tags", ["x" * 65], "invalid_tags"),
    ("tags", [""], "invalid_tags"),
    ("tags", "a", "invalid_tags"),
    ("headers", {"a b": "c"}, "invalid_headers"),
    ("headers", {"a": "b\r\nc: d"}, "invalid_headers"),
    ("headers", {"a": "x" * 40_000}, "invalid_headers"),
    ("headers", {f"h{n}": "" for n in range(101)}, "invalid_headers"),
    ("unique_key", "", "invalid_unique_key"),
    ("unique_key", "x" * 201, "invalid_unique_key"),
    ("unique_key", 5, "invalid_unique_key"),
    ("idempotency_key", "", "invalid_idempotency_key"),
    ("idempotency_key", "a\tb", "invalid_idempotency_key"),
    ("unique_states", ["pending"], "invalid_unique_states"),
    ("retention", -1, "invalid_duration"),
    ("payload_base64", "not base64", "invalid_base64"),
    ("content_type", "text/plain", "conflicting_fields"),
]  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
async def test_bodies(site: Site, name: str) -> None:
    body, status, code, field = BODIES[name]
    problem(await site.send(body), status, code, field)
    assert await site.stored() == 0


async def test_fields(site: Site) -> None:
    for field, value, code in FIELDS:
        answer = await site.http.post("/v1/jobs", json={"type": "t", field: value})
        told = answer.json()
        assert (answer.status_code, told["code"]) == (422, code), (field, value, told)
        assert told["field"].partition(".")[0].partition("[")[0] == field, (field, value, told)
        assert field in told["detail"] or field in told["field"]
        assert len(told["detail"]) < 500, "what was given is cut"
        batch = await site.http.post("/v1/jobs", json={"jobs": [{"type": "t"}, {"type": "t", field: value}]})
        assert (batch.status_code, batch.json()["code"]) == (422, code), (field, value)
        assert batch.json()["field"] == f"jobs[1].{told['field']}", (field, value, batch.json())
    assert await site.stored() == 0


async def test_fields_that_exclude_each_other(site: Site) -> None:
    for fields, field in (
        ({"run_at": "2099-01-01T00:00:00Z", "delay": 1}, "delay"),
        ({"payload": 1, "payload_base64": "AA=="}, "payload_base64"),
    ):
        answer = await site.http.post("/v1/jobs", json={"type": "t", **fields})
        problem(answer, 422, "conflicting_fields", field)
    times = {"run_at": "2099-01-02T00:00:00Z", "expires_at": "2099-01-02T00:00:00Z"}
    answer = await site.http.post("/v1/jobs", json={"type": "t", **times})
    problem(answer, 422, "expires_before_start", "expires_at")
    assert await site.stored() == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("quue", "Did you mean queue?"),
        ("maxAttempts", "Did you mean max_attempts?"),
        ("zzz", "Known are: type, payload, "),
        ("x" * 5000, "Known are: "),
    ],
)
async def test_unknown_fields_with_a_hint(site: Site, name: str, hint: str) -> None:
    told = problem(
        await site.http.post("/v1/jobs", json={"type": "t", name: 1}), 422, "unknown_field", name[:100]
    )
    assert hint in told["detail"]
    assert await site.stored() == 0


async def test_good_escapes_are_no_fault(site: Site) -> None:
    body = rb'{"type": "t", "payload": "\ud83d\ude00 \\u0000 \\ud800 \"\u00e4\" \/"}'
    answer = await site.send(body)
    assert answer.status_code == 201
    payload = (await site.job(answer.json()["id"]))["payload"]
    assert payload == '\U0001f600 \\u0000 \\ud800 "ä" /'


async def test_a_payload_over_the_limit(store: str) -> None:
    async with serving(store, Settings(payload_limit=100)) as site:
        fits = {"type": "t", "payload": "x" * 98}
        assert (await site.http.post("/v1/jobs", json=fits)).status_code == 201
        answer = await site.http.post("/v1/jobs", json={"type": "t", "payload": "x" * 99})
        told = problem(answer, 413, "payload_too_large", "payload")
        assert "101 bytes" in told["detail"]
        assert "at most 100" in told["detail"]
        answer = await site.http.post("/v1/jobs", json={"jobs": [fits, {"type": "t", "payload": "x" * 99}]})
        problem(answer, 413, "payload_too_large", "jobs[1].payload")
        assert await site.stored() == 1


@pytest.mark.parametrize("path", ["/v1/fetch", "/v1/finish", "/v1/beat"])
async def test_a_polling_workers_requests_are_checked_alike(site: Site, path: str) -> None:
    problem(await site.send(b"{", path), 400, "invalid_json")
    problem(await site.send(b"[]", path), 422, "wrong_type")
    problem(await site.send(b'{"worker": "\xff"}', path), 400, "invalid_utf8")
    problem(await site.send(b'{"worker": "\\u0000"}', path), 422, "nul_character", "worker")
    problem(await site.send(b'{"worker": "\\ud800"}', path), 400, "invalid_unicode", "worker")
    deep = b'{"worker": "w", "outcomes": [{"id": "a", "lease": 1, "result": ' + b"[" * 100_000
    answer = await site.send(deep, path)
    assert (answer.status_code, answer.json()["code"]) in ((400, "too_deep"), (422, "unknown_field"))
    problem(await site.send(b"{}", path), 422, "missing_field", "worker")
    told = problem(await site.send(b'{"wroker": "w"}', path), 422, "unknown_field", "wroker")
    assert "Did you mean worker?" in told["detail"]
    answer = await site.send(b'{"worker": "w"}', path + "?x=1")
    problem(answer, 422, "unknown_parameter", "x")


async def test_nothing_is_half_stored_by_a_flood_of_faults(site: Site) -> None:
    """Good and bad requests mixed on one connection: the good ones are all there, nothing of the bad ones."""
    stored = 0
    for name, (body, status, _, _) in BODIES.items():
        if len(body) > 10_000:
            continue
        assert (await site.send(body)).status_code == status, name
        assert (await site.send(json.dumps({"type": "good"}).encode())).status_code == 201
        stored += 1
    page = await site.get("/v1/jobs", limit=500)
    assert [job["type"] for job in page["jobs"]] == ["good"] * stored
