"""POST /v1/jobs with an archive: the job exists with its whole upload, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from rota.config import Settings
from rota.config.secret import Secret
from rota.core.files import PART
from rota.web.uploads import HEADER_BYTES
from tests.web.kit import Answer, Json, Site, problem, read, serving, until
from tests.web.zips import MEDIA, chunk, head, zipped

ARCHIVE = zipped()
LARGE = zipped(3 * PART)


async def upload(site: Site, content: bytes = ARCHIVE, job: Json | str | None = None, **headers: str) -> Any:
    told = {} if job is None else {"rota-job": job if isinstance(job, str) else json.dumps(job)}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.http.post("/v1/jobs", content=content, headers=MEDIA | told | named)


async def parts(site: Site) -> int:
    """Parts in the store that belong to no job, once all is quiet."""
    await site.quiet()
    loose = sum(one.parts for one in await site.service.engine.loose_files())
    return loose + await site.service.engine.sweep_files(100_000)


async def nothing_is_kept(site: Site) -> None:
    assert await site.stored() == 0
    await site.service.files.sweep()
    await site.quiet()
    assert await site.service.engine.loose_files() == []
    assert site.service.files._spools == 0


async def pieces(content: bytes, size: int = 60_000) -> Any:
    for at in range(0, len(content), size):
        yield content[at : at + size]


# --- what is stored ---


@pytest.mark.parametrize("content", [ARCHIVE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("way", ["whole", "in chunks"])
async def test_a_job_and_its_archive(site: Site, content: bytes, way: str) -> None:
    body: Any = content if way == "whole" else pieces(content, 100 if content is ARCHIVE else 60_000)
    told = read(await upload(site, body), 201)
    assert told == {
        "id": told["id"],
        "type": "program_zip",
        "queue": "default",
        "state": "pending",
        "created": True,
    }
    digest = hashlib.sha256(content).hexdigest()
    job = await site.job(told["id"])
    entries = 1 if content is ARCHIVE else 2
    assert job["payload"] == {"upload": {"bytes": len(content), "sha256": digest, "entries": entries}}
    answer = await site.http.get(f"/v1/jobs/{told['id']}/upload")
    assert answer.content == content
    assert answer.headers["etag"] == f'"{digest}"'
    assert await parts(site) == 0


async def test_the_header_says_what_the_job_is(site: Site) -> None:
    job = {
        "type": "build",
        "queue": "q",
        "payload": {"timeout": 5, "name": "é"},
        "tags": ["a"],
        "priority": 3,
        "max_attempts": 1,
        "headers": {"x": "y"},
    }
    stored = await site.job(read(await upload(site, job=job), 201)["id"])
    assert {name: stored[name] for name in job if name != "payload"} == {
        name: value for name, value in job.items() if name != "payload"
    }
    assert stored["payload"].pop("upload")["entries"] == 1
    assert stored["payload"] == job["payload"]


@pytest.mark.parametrize("job", ["{}", '{"payload": null}', '{"payload":{}}', '{ "priority" : 1 }'])
async def test_a_header_that_says_little(site: Site, job: str) -> None:
    assert read(await upload(site, job=job), 201)["type"] == "program_zip"


@pytest.mark.parametrize("kind", ["application/zip", "Application/ZIP; x=y", "application/zip ;charset=z"])
async def test_ways_to_declare_it(site: Site, kind: str) -> None:
    assert (await upload(site, content_type=kind)).status_code == 201
    assert (await upload(site, content_type=kind, content_encoding="identity")).status_code == 201


async def test_waiting_for_its_end(site: Site) -> None:
    told = read(await site.http.post("/v1/jobs?wait=0.01", content=ARCHIVE, headers=MEDIA), 202)
    assert (told["state"], told["payload"]["upload"]["entries"]) == ("pending", 1)
    async with site.worker() as worker:
        first = await worker.job()
        answering = asyncio.ensure_future(
            site.http.post("/v1/jobs?wait=10", content=LARGE, headers=MEDIA | {"rota-job": '{"priority":1}'})
        )
        await worker.done(first)
        await worker.done(await worker.job(), result=7)
        told = read(await answering)
    assert (told["state"], told["result"]) == ("done", 7)
    # Nobody holds a place for a file meanwhile.
    assert site.service.files._spools == 0


async def test_the_same_again(site: Site) -> None:
    first = read(await upload(site, job={"priority": 1}, idempotency_key="k"), 201)
    again = read(await upload(site, job={"priority": 1}, idempotency_key='"k"'), 200)
    assert (again["id"], again["created"], again["why"]) == (first["id"], False, "idempotency")
    for content, job in ((ARCHIVE, {"priority": 2}), (LARGE, {"priority": 1})):
        problem(
            await upload(site, content, job, idempotency_key="k"),
            409,
            "idempotency_mismatch",
            "idempotency_key",
        )
    named = {"idempotency_key": "other"}
    assert read(await upload(site, job=named), 201)["id"] == read(await upload(site, job=named), 200)["id"]
    problem(await upload(site, LARGE, named), 409, "idempotency_mismatch", "idempotency_key")
    assert await site.stored() == 2
    await site.service.files.sweep()
    assert (await site.http.get(f"/v1/jobs/{first['id']}/upload")).content == ARCHIVE


async def test_a_unique_key_that_is_held(site: Site) -> None:
    first = read(await upload(site, job={"unique_key": "k"}), 201)
    again = read(await upload(site, LARGE, {"unique_key": "k"}), 200)
    assert (again["id"], again["why"]) == (first["id"], "unique")
    assert (await site.http.get(f"/v1/jobs/{first['id']}/upload")).content == ARCHIVE
    # What came for nothing has gone.
    assert await parts(site) == 4


async def test_its_trace_goes_with_it(site: Site) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told = read(await upload(site, traceparent=parent), 201)
    assert (await site.job(told["id"]))["headers"]["traceparent"] == parent
    assert (await site.http.get(f"/v1/jobs/{told['id']}/upload")).content == ARCHIVE


# --- what is refused ---

REFUSED: list[tuple[str, int, str, str | None]] = [
    ("", 400, "invalid_json", None),
    ("{", 400, "invalid_json", None),
    ("[]", 422, "wrong_type", None),
    ("7", 422, "wrong_type", None),
    ('{"jobs":[]}', 422, "unknown_field", "jobs"),
    ('{"tipe":"a"}', 422, "unknown_field", "tipe"),
    ('{"type":"a b"}', 422, "invalid_type", "type"),
    ('{"type":null}', 422, "invalid_type", "type"),
    ('{"queue":"..","type":"a"}', 422, "invalid_queue", "queue"),
    ('{"priority":1000}', 422, "invalid_priority", "priority"),
    ('{"priority":1,"priority":2}', 400, "duplicate_key", "priority"),
    ('{"payload":{"a":{"b":1,"b":2}}}', 400, "duplicate_key", "payload.a.b"),
    ('{"payload":"\\u0000"}', 422, "nul_character", "payload"),
    ('{"payload":[1]}', 422, "wrong_type", "payload"),
    ('{"payload":{"upload":{}}}', 422, "conflicting_fields", "payload.upload"),
    ('{"payload_base64":"AA=="}', 422, "conflicting_fields", "payload_base64"),
    ('{"content_type":"image/png"}', 422, "conflicting_fields", "content_type"),
    ('{"payload":"\xe9"}', 400, "invalid_json", "Rota-Job"),
    ('{"tags":["' + "x" * HEADER_BYTES + '"]}', 431, "headers_too_large", "Rota-Job"),
]


@pytest.mark.parametrize(("job", "status", "code", "field"), REFUSED, ids=lambda one: str(one)[:40])
async def test_a_job_that_is_refused(site: Site, job: str, status: int, code: str, field: str | None) -> None:
    for content in (ARCHIVE, LARGE):
        headers = [(b"content-type", b"application/zip"), (b"rota-job", job.encode("latin-1"))]
        answer = await site.http.post("/v1/jobs", content=content, headers=headers)
        told = problem(answer, status, code, field)
        assert "The body is not" not in told["detail"]
    assert (await site.http.get("/livez")).status_code == 200
    await nothing_is_kept(site)


async def test_two_headers_are_none(site: Site) -> None:
    headers = [*MEDIA.items(), ("rota-job", "{}"), ("rota-job", "{}")]
    answer = await site.http.post("/v1/jobs", content=ARCHIVE, headers=headers)
    problem(answer, 400, "invalid_json", "Rota-Job")
    await nothing_is_kept(site)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "archive_unreadable"),
        (b"PK", 422, "archive_unreadable"),
        (LARGE[:-100], 422, "archive_unreadable"),
        (b"x" * 3 * PART, 422, "archive_unreadable"),
        (zipped(0, **{"../x": "1"}), 422, "archive_bad_name"),
        (zipped(a="1", A="2"), 422, "archive_duplicate_name"),
    ],
    ids=["empty", "begun", "cut", "other", "upwards", "twice"],
)
async def test_an_archive_that_is_refused(site: Site, content: bytes, status: int, code: str) -> None:
    problem(await upload(site, content), status, code)
    await nothing_is_kept(site)


async def test_other_codings_and_media(site: Site) -> None:
    problem(await upload(site, content_encoding="gzip"), 415, "unsupported_encoding")
    for kind in ("application/zip2", "application/octet-stream", "multipart/form-data; boundary=x"):
        problem(await upload(site, LARGE, content_type=kind), 415, "unsupported_media_type")
    problem(
        await site.http.post("/v1/jobs?nonsense=1", content=LARGE, headers=MEDIA),
        422,
        "unknown_parameter",
        "nonsense",
    )
    await nothing_is_kept(site)


async def test_who_may(store: str) -> None:
    async with serving(store, Settings(token=Secret("sesame"))) as site:
        for content in (ARCHIVE, LARGE):
            answer = await upload(site, content, authorization="Bearer wrong")
            problem(answer, 401, "invalid_credentials")
            problem(await upload(site, content, origin="http://elsewhere.example"), 403, "origin_not_allowed")
        await nothing_is_kept(site)
        assert (await upload(site)).status_code == 201


# --- sizes ---


async def test_as_large_as_it_may_be(store: str) -> None:
    small = Settings(upload_limit=len(LARGE), body_limit=1024, payload_limit=1000, result_limit=1000)
    async with serving(store, small) as site:
        assert (await upload(site, LARGE)).status_code == 201
        assert (await upload(site, pieces(LARGE))).status_code == 201
        for body in (LARGE + b"x", pieces(LARGE + b"x")):
            told = problem(await upload(site, body), 413, "payload_too_large")
            assert f"{len(LARGE)} bytes (upload_limit)" in told["detail"]
    async with serving(store, Settings(upload_limit=1024)) as site:
        # One that comes in one piece.
        problem(await upload(site, ARCHIVE.ljust(1025)), 413, "payload_too_large")
        assert await site.stored() == 2


async def test_who_sends_too_much_gets_the_answer_before_the_end(store: str) -> None:
    async with serving(store, Settings(upload_limit=1024)) as site:
        for line in ("Transfer-Encoding: chunked", "Content-Length: 100000000"):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(head(site.port, line) + (chunk(b"x" * 1025) if "chunked" in line else b"x" * 1025))
            answer = await asyncio.wait_for(Answer.read(reader), 5)
            problem(answer, 413, "payload_too_large")
            assert answer.headers["connection"] == "close"
            # It may go on sending until it has seen that.
            for _ in range(50):
                writer.write(chunk(b"x" * 100_000) if "chunked" in line else b"x" * 100_000)
                await asyncio.wait_for(writer.drain(), 5)
            writer.close()
        await nothing_is_kept(site)


async def test_who_reads_only_after_sending_gets_the_answer(store: str) -> None:
    async with serving(store, Settings(upload_limit=1024)) as site:
        size = 20_000_000
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head(site.port, f"Content-Length: {size}"))
        for _ in range(size // 100_000):
            writer.write(b"x" * 100_000)
            await asyncio.wait_for(writer.drain(), 5)
        problem(await asyncio.wait_for(Answer.read(reader), 5), 413, "payload_too_large")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


# --- how it comes ---


async def test_a_client_that_asks_first(site: Site) -> None:
    lines = (f"Content-Length: {len(LARGE)}", "Expect: 100-continue")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(site.port, *lines))
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(LARGE)
    told = read(await asyncio.wait_for(Answer.read(reader), 5), 201)
    writer.close()
    assert (await site.http.get(f"/v1/jobs/{told['id']}/upload")).content == LARGE


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (("Content-Length: 100000000",), 413, "payload_too_large"),
        (("Content-Length: 1000", "Rota-Job: {"), 400, "invalid_json"),
        (("Content-Length: 1000", 'Rota-Job: {"priority":1000}'), 422, "invalid_priority"),
        (("Content-Length: 1000", 'Rota-Job: {"payload":[]}'), 422, "wrong_type"),
        (("Content-Length: 1000", "Content-Encoding: gzip"), 415, "unsupported_encoding"),
        (("Content-Length: 1000", "Origin: http://elsewhere.example"), 403, "origin_not_allowed"),
    ],
)
async def test_a_client_that_asks_first_in_vain(
    site: Site, lines: tuple[str, ...], status: int, code: str
) -> None:
    answer = await asyncio.wait_for(site.raw(head(site.port, *lines, "Expect: 100-continue")), 5)
    assert answer.json()["code"] == code
    assert answer.status_code == status
    await nothing_is_kept(site)


async def test_a_connection_goes_on_after_a_refusal(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    for _ in range(2):
        writer.write(head(site.port, f"Content-Length: {len(LARGE)}", "Rota-Job: {") + LARGE)
        problem(await asyncio.wait_for(Answer.read(reader), 5), 400, "invalid_json")
    writer.write(head(site.port, f"Content-Length: {len(LARGE)}") + LARGE)
    assert read(await asyncio.wait_for(Answer.read(reader), 5), 201)["created"]
    writer.close()


@pytest.mark.parametrize("coding", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("sent", [0, 1000, 3 * PART])
async def test_a_connection_that_breaks(site: Site, coding: str, sent: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    data = LARGE[:sent]
    writer.write(head(site.port, coding) + (chunk(data) if sent and "chunked" in coding else data))
    await until(lambda: site.service.files._spools == 1, "the upload")
    writer.close()
    await until(lambda: site.service.files._spools == 0, "its end")
    await nothing_is_kept(site)


async def test_a_body_that_crawls(store: str) -> None:
    async with serving(store, Settings(body_timeout=0.1)) as site:
        answer = await site.raw(head(site.port, "Content-Length: 5000") + b"PK")
        problem(answer, 408, "request_timeout")
        await until(lambda: site.service.files._spools == 0, "its end")
        await nothing_is_kept(site)


async def test_many_at_once(site: Site) -> None:
    contents = [zipped(PART + n) for n in range(20)]
    ids = [read(one, 201)["id"] for one in await asyncio.gather(*(upload(site, one) for one in contents))]
    for id, content in zip(ids, contents, strict=True):
        assert (await site.http.get(f"/v1/jobs/{id}/upload")).content == content
    assert await parts(site) == 0
