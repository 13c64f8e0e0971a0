"""HTTP itself: media types, sizes, methods, paths, and answers when something breaks."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from rota.config import Settings
from tests.web.kit import NOBODY, Answer, Site, problem, serving

BODY = b'{"type": "t"}'


def request(site: Site, *lines: str, body: bytes = b"", start: str = "POST /v1/jobs HTTP/1.1") -> bytes:
    head = [start, f"Host: 127.0.0.1:{site.port}", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/json-seq",
        "application/json; charset=utf-16",
    ],
)
async def test_a_body_that_is_not_declared_as_json(site: Site, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = await site.http.post("/v1/jobs", content=BODY, headers=headers)
    problem(answer, 415, "unsupported_media_type")
    assert await site.stored() == 0


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON ; charset=UTF-8", "application/json;x=y"]
)
async def test_ways_to_declare_json(site: Site, kind: str) -> None:
    answer = await site.http.post("/v1/jobs", content=BODY, headers={"content-type": kind})
    assert answer.status_code == 201


async def test_compressed_bodies_are_not_taken(site: Site) -> None:
    headers = {"content-encoding": "gzip"}
    problem(await site.send(gzip.compress(BODY), headers=headers), 415, "unsupported_encoding")
    assert (await site.send(BODY, headers={"content-encoding": "identity"})).status_code == 201


async def test_a_declared_body_over_the_limit_is_refused_unread(store: str) -> None:
    """Nothing of the body was sent when the answer comes."""
    async with serving(store, Settings(body_limit=2000, payload_limit=1000)) as site:
        lines = ("Content-Type: application/json", "Content-Length: 2001")
        answer = await site.raw(request(site, *lines))
        assert "at most 2000 bytes" in problem(answer, 413, "payload_too_large")["detail"]
        assert answer.headers["connection"] == "close"
        assert await site.stored() == 0


async def test_a_chunked_body_over_the_limit(store: str) -> None:
    """It goes on for ever; the answer comes when the limit is passed."""
    async with serving(store, Settings(body_limit=2000, payload_limit=1000)) as site:
        lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        chunks = b"".join(b"3e8\r\n" + b" " * 1000 + b"\r\n" for _ in range(3))
        answer = await site.raw(request(site, *lines, body=chunks))
        problem(answer, 413, "payload_too_large")
        assert answer.headers["connection"] == "close"
        assert await site.stored() == 0


async def test_bodies_at_the_limit_are_taken(store: str) -> None:
    async with serving(store, Settings(body_limit=2000, payload_limit=1000)) as site:
        body = BODY.ljust(2000)
        assert (await site.send(body)).status_code == 201
        lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:1500], body[1500:])
        )
        assert (await site.raw(request(site, *lines, body=chunks + b"0\r\n\r\n"))).status_code == 201


async def test_a_body_that_ends_too_early_stores_nothing(site: Site) -> None:
    lines = ("Content-Type: application/json", f"Content-Length: {len(BODY) + 5}")
    with pytest.raises(asyncio.IncompleteReadError):
        await site.raw(request(site, *lines, body=BODY), half_close=True)
    assert await site.stored() == 0


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, POST"),
        ("DELETE", "/v1/jobs", "GET, POST"),
        ("PATCH", f"/v1/jobs/{NOBODY}", "DELETE, GET"),
        ("GET", f"/v1/jobs/{NOBODY}/cancel", "POST"),
        ("GET", "/v1/jobs/cancel", "POST"),
        ("GET", "/v1/jobs/retry", "POST"),
        ("DELETE", "/v1/jobs/delete", "POST"),
        ("POST", f"/v1/jobs/{NOBODY}/result", "GET"),
        ("GET", "/v1/queues/q/pause", "POST"),
        ("GET", "/v1/queues/a/b/pause", "POST"),
        ("GET", "/v1/queues/a/b/jobs", "DELETE"),
        ("GET", "/v1/fetch", "POST"),
        ("DELETE", "/v1/finish", "POST"),
        ("GET", "/v1/beat", "POST"),
        ("POST", "/v1/workers", "GET"),
        ("GET", "/v1/workers/w1/drain", "POST"),
        ("POST", "/livez", "GET"),
    ],
)
async def test_methods_that_are_not_allowed(site: Site, method: str, path: str, allowed: str) -> None:
    answer = await site.http.request(method, path)
    told = problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    assert allowed in told["detail"]


async def test_the_worker_socket_wants_a_websocket(site: Site) -> None:
    answer = await site.http.get("/v1/worker")
    problem(answer, 426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/jobs",
        "/v1",
        "/v1/",
        "/v1/jobs/",
        "/v1/job",
        "//v1/jobs",
        "/v1/jobs/a/b",
        "/v1/fetch/",
    ],
)
async def test_paths_that_are_not_there(site: Site, path: str) -> None:
    for method in ("GET", "POST"):
        problem(await site.http.request(method, site.url + path, content=b""), 404, "not_found")


@pytest.mark.parametrize("id", [NOBODY, "x", "%2e%2e", "%C3%A4", "' OR 1=1 --", "x" * 3000])
async def test_jobs_that_are_not_there(site: Site, id: str) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/logs"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/run-now"),
        ("DELETE", ""),
    ):
        answer = await site.http.request(method, f"/v1/jobs/{id}{path}")
        problem(answer, 404, "job_not_found", "id")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs"),
        ("GET", f"/v1/jobs/{NOBODY}"),
        ("GET", f"/v1/jobs/{NOBODY}/logs"),
        ("POST", f"/v1/jobs/{NOBODY}/cancel"),
        ("POST", f"/v1/jobs/{NOBODY}/retry"),
        ("POST", f"/v1/jobs/{NOBODY}/run-now"),
        ("DELETE", f"/v1/jobs/{NOBODY}"),
        ("GET", "/v1/queues"),
        ("POST", "/v1/queues/q/pause"),
        ("POST", "/v1/queues/q/resume"),
        ("DELETE", "/v1/queues/q/jobs"),
        ("GET", "/v1/workers"),
        ("POST", "/v1/workers/w/drain"),
        ("GET", "/v1/stats"),
    ],
)
async def test_unknown_parameters_are_refused_by_name(site: Site, method: str, path: str) -> None:
    """Above all where something is deleted: a parameter that narrows nothing must not cost everything."""
    id = await site.enqueue(queue="q")
    answer = await site.http.request(method, path, params={"sate": "failed"})
    problem(answer, 422, "unknown_parameter", "sate")
    assert await site.state(id) == "pending"


async def test_head_is_get_without_a_body(site: Site) -> None:
    answer = await site.http.head("/v1/stats")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_store_that_refuses_is_answered_with_503(site: Site) -> None:
    """Reads and writes, hot requests and others: try again later."""
    await site.service.engine.close()
    fetch = {"worker": "w", "outcomes": [{"id": NOBODY, "lease": 1}]}
    for method, path, body in (
        ("POST", "/v1/jobs", {"type": "t"}),
        ("POST", "/v1/finish", fetch),
        ("GET", "/v1/jobs", None),
        ("GET", f"/v1/jobs/{NOBODY}", None),
        ("POST", f"/v1/jobs/{NOBODY}/cancel", None),
        ("GET", "/readyz", None),
    ):
        answer = await site.http.request(method, path, json=body)
        problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"] == "1", path
    assert (await site.get("/livez")) == {"status": "ok"}


async def test_garbage_is_answered_and_the_server_lives_on(site: Site) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"HELLO WORLD\r\n\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
    ):
        answer = await site.raw(garbage + b"\r\n\r\n")
        assert answer.status_code == 400
    assert await site.get("/livez") == {"status": "ok"}


async def test_a_connection_serves_many_requests(site: Site) -> None:
    body = json.dumps({"type": "t"}).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(request(site, *lines, body=body) * 3)
    answers = [await asyncio.wait_for(Answer.read(reader), 10) for _ in range(3)]
    writer.close()
    assert [answer.status_code for answer in answers] == [201] * 3
    assert await site.stored() == 3


async def test_a_fault_of_ours_is_a_problem_too_and_tells_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(site.service, "jobs", broken)
    monkeypatch.setattr(site.service, "enqueue", broken)
    for answer in (await site.http.get("/v1/jobs"), await site.send(BODY)):
        told = problem(answer, 500, "internal")
        assert "secret" not in answer.text
        assert "log of the server" in told["detail"]
    logged = [record for record in caplog.records if record.getMessage() == "request failed"]
    assert [record.exc_info is not None for record in logged] == [True, True]
    assert await site.get("/livez") == {"status": "ok"}
