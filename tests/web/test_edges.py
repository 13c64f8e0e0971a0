"""Inputs at the edges of what a client can send, most of them first sent by Schemathesis."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.kit import NOBODY, Json, Site, lease, problem

HUGE = 2**63


async def fetched(site: Site, worker: str = "w") -> Json:
    await site.enqueue()
    answer = await site.post("/v1/fetch", {"worker": worker, "queues": ["default"]})
    job: Json = answer["jobs"][0]
    return job


@pytest.mark.parametrize("number", [HUGE, 10**40, -1])
@pytest.mark.parametrize(
    ("path", "list_", "more"),
    [
        ("/v1/finish", "outcomes", {}),
        ("/v1/beat", "leases", {}),
        ("/v1/beat", "progress", {"value": 0.5}),
    ],
)
async def test_leases_that_no_store_can_hold(
    site: Site, path: str, list_: str, more: Json, number: int
) -> None:
    body = {"worker": "w", list_: [{"id": NOBODY, "lease": number, **more}]}
    problem(await site.http.post(path, json=body), 422, "out_of_range", f"{list_}[0].lease")


async def test_the_largest_lease_is_only_stale(site: Site) -> None:
    body = {"worker": "w", "outcomes": [{"id": NOBODY, "lease": HUGE - 1}]}
    problem(await site.http.post("/v1/finish", json=body), 409, "stale_lease")


async def test_huge_leases_on_the_socket_cost_one_frame(site: Site) -> None:
    async with site.worker() as worker:
        await worker.send("finish", outcomes=[{"id": NOBODY, "lease": 10**40}])
        told = await worker.refused()
        assert (told["code"], told["field"]) == ("out_of_range", "outcomes[0].lease")
        await site.enqueue()
        assert (await worker.done(await worker.job()))["applied"]


@pytest.mark.parametrize("worker", ["", "x" * 201, "a\nb"])
@pytest.mark.parametrize(("path", "more"), [("/v1/finish", {"outcomes": []}), ("/v1/beat", {})])
async def test_reports_of_workers_that_cannot_be(site: Site, path: str, more: Json, worker: str) -> None:
    problem(await site.http.post(path, json={"worker": worker, **more}), 422, "invalid_worker", "worker")


async def test_a_refused_report_is_explained_by_its_own_rules(site: Site) -> None:
    """Reports have fields of the names that a job has, with another meaning."""
    ending = {"id": NOBODY, "lease": 1, "end": "failed", "retry": "no"}
    answer = await site.http.post("/v1/finish", json={"worker": "w", "outcomes": [ending]})
    told = problem(answer, 422, "wrong_type", "outcomes[0].retry")
    assert told["detail"] == "outcomes[0].retry: expected `bool`, got `str`."


@pytest.mark.parametrize("kind", ["text/html\r\nset-cookie: a=b", "text", "a/\u20ac", "", "x/" + "y" * 300])
async def test_results_of_impossible_kinds(site: Site, kind: str) -> None:
    """The kind becomes a header of the answer that carries the result."""
    job = await fetched(site)
    ending = {**lease(job), "end": "done", "result_base64": "AAAA", "content_type": kind}
    await site.post("/v1/finish", {"worker": "w", "outcomes": [ending]})
    kept: Any = await site.job(job["id"])
    if kind == "":
        assert kept["result_type"] == "application/octet-stream"
        return
    assert (kept["state"], kept["error"]["type"]) == ("failed", "ResultRejected")
    assert "content_type must be a media type" in kept["error"]["message"]
    problem(await site.http.get(f"/v1/jobs/{job['id']}/result"), 409, "job_failed")


@pytest.mark.parametrize(
    ("details", "kept", "told"),
    [
        ('{"output": "a", "status": 2}', {"output": "a", "status": 2}, "no"),
        ("null", None, "no"),
        (r'{"output": "a\u0000b", "half": "\ud800"}', {"output": "a\ufffdb", "half": "\ufffd"}, "no"),
        (
            '{"a": 1, "a": 2}',
            None,
            "no (its details were not kept: The key 'a' is given twice in one object.)",
        ),
        ("[1e999]", None, "no (its details were not kept: 1e999 is beyond what a number can hold"),
        ("[NaN]", None, "no (its details were not kept: "),
        ("[" * 90 + "]" * 90, None, "no (its details were not kept: A value may hold lists"),
    ],
)
async def test_details_of_an_error_never_hold_up_its_report(
    site: Site, details: str, kept: object, told: str
) -> None:
    job = await fetched(site)
    error = f'{{"type": "Oops", "message": "no", "details": {details}}}'
    held = f'"id": "{job["id"]}", "lease": {job["lease"]}'
    body = f'{{"worker": "w", "outcomes": [{{{held}, "end": "failed", "error": {error}, "retry": false}}]}}'
    json = {b"content-type": b"application/json"}
    answer = await site.http.post("/v1/finish", content=body, headers=json)
    assert answer.json()["answers"][0]["state"] == "failed"
    shown: Any = await site.job(job["id"])
    assert shown["error"].get("details") == kept
    assert shown["error"]["message"].startswith(told)
    assert [one["error"] for one in shown["attempts"]] == [shown["error"]]


async def test_workers_with_a_slash_in_their_id_can_be_drained(site: Site) -> None:
    await site.post("/v1/fetch", {"worker": "host/7", "queues": ["default"], "wait": 0})
    told = await site.post("/v1/workers/host%2F7/drain", status=202)
    assert (told["worker"], told["draining"]) == ("host/7", True)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/workers/a%0Ab/drain", 400, "bad_character"),
        ("/v1/queues/a%0Ab/pause", 400, "bad_character"),
        ("/v1/queues/a%3Fb%23/x", 404, "not_found"),
    ],
)
async def test_paths_that_fit_nothing_are_not_called_a_wrong_method(
    site: Site, path: str, status: int, code: str
) -> None:
    problem(await site.http.post(path), status, code)


@pytest.mark.parametrize("number", ["\xb2", "-1", "1" * 19, "", " 1", "0x1"])
async def test_numbers_of_events_that_are_none(site: Site, number: str) -> None:
    cursor = b"00000000-" + number.encode("latin-1")
    answer = await site.http.get("/v1/events", headers={b"last-event-id": cursor})
    problem(answer, 400, "invalid_cursor")


async def test_a_head_of_the_events_ends(site: Site) -> None:
    for _ in range(2):
        answer = await site.http.head("/v1/events")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert not site.service.bus.events.active
