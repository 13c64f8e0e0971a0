"""POST /v1/jobs/cancel, /retry and /delete."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from rota.core import bulk
from tests.web.kit import Json, Site, until


async def states(site: Site, ids: list[str]) -> set[str]:
    return {await site.state(id) for id in ids}


def progress(matched: int, changed: int, skipped: int = 0) -> Json:
    return {"matched": matched, "changed": changed, "skipped": skipped, "cursor": None}


async def test_the_three_acts_by_filter(site: Site) -> None:
    ids = await site.enqueue_many(5, tags=["red"])
    other = await site.enqueue("other")
    red = {"filter": {"tag": "red"}}
    assert await site.post("/v1/jobs/cancel", red) == progress(5, 5)
    assert await states(site, ids) == {"cancelled"}
    assert await site.post("/v1/jobs/retry", red) == progress(5, 5)
    assert await states(site, ids) == {"pending"}
    assert await site.post("/v1/jobs/delete", red) == progress(5, 5)
    assert await site.post("/v1/jobs/delete", red) == progress(0, 0)
    assert await site.stored() == 1
    assert await site.state(other) == "pending"


@pytest.mark.parametrize(
    ("which", "jobs"),
    [
        ({"state": "pending"}, 4),
        ({"state": ["pending", "scheduled"]}, 5),
        ({"state": "pending,scheduled"}, 5),
        ({"queue": "q"}, 2),
        ({"type": "x"}, 3),
        ({"type": "x", "queue": "q"}, 1),
        ({"tag": "red"}, 1),
        ({"q": "re"}, 1),
        ({"worker": "w9"}, 0),
        ({"since": "2026-01-01T00:00:00Z"}, 5),
        ({"until": "2026-01-01T00:00:00Z"}, 0),
        ({"fingerprint": "f"}, 0),
        ({"ids": []}, 0),
    ],
)
async def test_filters_are_those_of_the_list_and_dry_runs_agree(site: Site, which: Json, jobs: int) -> None:
    await site.enqueue_many(2, "x")
    await site.enqueue("x", queue="q")
    await site.enqueue("y", queue="q", tags=["red"])
    await site.enqueue("y", delay=60)
    dry = await site.post("/v1/jobs/delete", {"filter": which, "dry_run": True})
    assert dry == progress(jobs, 0)
    assert await site.stored() == 5
    assert await site.post("/v1/jobs/delete", {"filter": which}) == progress(jobs, jobs)
    assert await site.stored() == 5 - jobs


async def test_jobs_by_id(site: Site) -> None:
    ids = await site.enqueue_many(3)
    answer = await site.post("/v1/jobs/cancel", {"filter": {"ids": [ids[0], ids[2], "nobody"]}})
    assert answer == progress(2, 2)
    assert [await site.state(id) for id in ids] == ["cancelled", "pending", "cancelled"]


async def test_everything_has_to_be_meant(site: Site) -> None:
    await site.enqueue_many(3)
    bodies: list[Json] = [{}, {"filter": {}}, {"filter": {"q": ""}}, {"filter": {"queue": None}}]
    for body in bodies:
        answer = await site.post("/v1/jobs/delete", body, 422)
        assert (answer["code"], answer["field"]) == ("empty_filter", "filter")
    answer = await site.post("/v1/jobs/delete", {"filter": {"queue": "default"}, "all": True}, 422)
    assert answer["code"] == "conflicting_fields"
    assert await site.stored() == 3
    assert await site.post("/v1/jobs/delete", {"all": True}) == progress(3, 3)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"filter": {"stat": "failed"}}, "unknown_field", "filter.stat"),
        ({"filters": {}}, "unknown_field", "filters"),
        ({"filter": {"state": "gone"}}, "invalid_filter", "filter.state"),
        ({"filter": {"state": ["failed", "gone"]}}, "invalid_filter", "filter.state"),
        ({"filter": {"state": "pending"}}, "invalid_filter", "filter.state"),
        ({"filter": {"since": "yesterday"}}, "invalid_time", "filter.since"),
        ({"filter": {"queue": 5}}, "wrong_type", "filter.queue"),
        ({"filter": {"state": ["failed,done"]}}, "invalid_filter", "filter.state"),
        ({"filter": {"state": []}}, "invalid_filter", "filter.state"),
        ({"filter": None}, "wrong_type", "filter"),
        ({"filter": {"ids": "x"}}, "wrong_type", "filter.ids"),
        ({"filter": {"ids": ["x"] * 10_001}}, "invalid_filter", "filter.ids"),
        ({"filter": []}, "wrong_type", "filter"),
        ({"filter": {"queue": "q"}, "limit": 0}, "invalid_limit", "limit"),
        ({"filter": {"queue": "q"}, "limit": "x"}, "wrong_type", "limit"),
        ({"filter": {"queue": "q"}, "dry_run": 1}, "wrong_type", "dry_run"),
        ({"filter": {"queue": "default"}, "cursor": "x"}, "invalid_cursor", "cursor"),
    ],
)
async def test_bad_requests_name_the_field(site: Site, body: Json, code: str, field: str) -> None:
    id = await site.enqueue()
    await site.post(f"/v1/jobs/{id}/cancel")
    status = 400 if code == "invalid_cursor" else 422
    answer = await site.post("/v1/jobs/retry", body, status)
    assert (answer["code"], answer.get("field")) == (code, field)
    assert await site.state(id) == "cancelled"


async def test_a_near_name_is_suggested_in_the_filter_too(site: Site) -> None:
    answer = await site.post("/v1/jobs/retry", {"filter": {"stat": "failed"}}, 422)
    assert "Did you mean state?" in answer["detail"]


async def test_a_body_that_is_no_json_is_refused(site: Site) -> None:
    for body, status in ((b"", 400), (b"{", 400), (b'{"filter": {"queue": "\xff"}}', 400)):
        assert (await site.send(body, "/v1/jobs/delete")).status_code == status
    answer = await site.http.post("/v1/jobs/delete", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert (await site.send(b" " * 2_000_000, "/v1/jobs/delete")).status_code == 413


async def test_a_stream_tells_every_step(site: Site) -> None:
    await site.enqueue_many(bulk.STEP * 2 + 1)
    lines = await stream(site, "/v1/jobs/cancel", {"filter": {"queue": "default"}})
    assert [line["matched"] for line in lines] == [bulk.STEP, bulk.STEP * 2, bulk.STEP * 2 + 1]
    assert lines[-1] == progress(bulk.STEP * 2 + 1, bulk.STEP * 2 + 1)
    assert lines[0]["cursor"] is not None
    assert await stream(site, "/v1/jobs/delete", {"all": True, "dry_run": True}) == [progress(401, 0)]


async def stream(site: Site, path: str, body: Json) -> list[Any]:
    answer = await site.http.post(path, json=body, headers={"accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_it_stops_when_the_client_goes_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.enqueue_many(50)
    monkeypatch.setattr(bulk, "STEP", 1)
    deletes = 0
    delete = site.service.engine.delete

    async def slow(*args: Any) -> Any:
        nonlocal deletes
        deletes += 1
        if deletes == 3:
            # Long enough for the server to see that the client has left.
            await until(lambda: left)
            await site.quiet()
            for _ in range(50):
                await site.service.engine.save([])
        return await delete(*args)

    monkeypatch.setattr(site.service.engine, "delete", slow)
    left = False
    async with httpx2.AsyncClient(base_url=site.url, headers=site.auth) as client:
        accept = {"accept": "application/x-ndjson"}
        async with client.stream("POST", "/v1/jobs/delete", json={"all": True}, headers=accept) as answer:
            # Kept: a generator that is dropped closes the connection.
            lines = answer.aiter_lines()
            assert json.loads(await anext(lines))["matched"] == 1
            await until(lambda: deletes == 3)
    left = True
    await until(lambda: deletes > 2)
    await site.quiet()
    for _ in range(100):
        await site.service.engine.save([])
    assert deletes < 10
    assert await site.stored() > 40


async def test_the_queue_can_be_cleared_as_before(site: Site) -> None:
    await site.enqueue_many(300)
    await site.enqueue(delay=5)
    answer = await site.http.delete("/v1/queues/default/jobs")
    assert answer.json() == {"deleted": 301}
