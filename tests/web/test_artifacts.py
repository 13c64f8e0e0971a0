"""What a job left: put by the worker that runs it, under its lease, and got by anybody who may."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from rota.config import Settings
from rota.config.secret import Secret
from rota.core.files import PART
from tests.web.kit import NOBODY, Answer, Json, Site, SocketWorker, problem, read, serving, until
from tests.web.test_uploads import nothing_is_kept, parts, pieces
from tests.web.zips import MEDIA, chunk, head, zipped

ARCHIVE = zipped()
LARGE = zipped(3 * PART)


async def running(site: Site, **job: Any) -> Json:
    """A job in the hand of the worker w1."""
    await site.enqueue(**job)
    return await fetched(site)


async def fetched(site: Site) -> Json:
    [job] = (await site.post("/v1/fetch", {"worker": "w1", "queues": ["default"], "slots": 1}))["jobs"]
    assert isinstance(job, dict)
    return job


async def ended(site: Site, job: Json, end: str = "done", **fields: Any) -> None:
    ending = {"id": job["id"], "lease": job["lease"], "end": end, **fields}
    await site.post("/v1/finish", {"worker": "w1", "outcomes": [ending]})


async def keep(site: Site, job: Json, content: Any = ARCHIVE, /, **asked: Any) -> Any:
    params = {"worker": "w1", "lease": job["lease"], **asked}
    headers = {**MEDIA, **params.pop("headers", {})}
    return await site.http.put(
        f"/v1/jobs/{job['id']}/artifact",
        content=content,
        headers=headers,
        params={name: value for name, value in params.items() if value is not None},
    )


async def shown(site: Site, job: Json) -> bytes | None:
    """What anybody gets; None: nothing."""
    answer = await site.http.get(f"/v1/jobs/{job['id']}/artifact")
    if answer.status_code != 200:
        problem(answer, 404, "no_artifact")
        return None
    return answer.content


@pytest.mark.parametrize("content", [b"", ARCHIVE, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("way", ["whole", "in chunks"])
async def test_what_is_put_is_got(site: Site, content: bytes, way: str) -> None:
    job = await running(site)
    assert await shown(site, job) is None
    told = read(await keep(site, job, content if way == "whole" else pieces(content, 100_000)))
    assert told == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert await shown(site, job) == content
    await ended(site, job)
    assert await shown(site, job) == content
    assert await parts(site) == 0


async def test_it_is_safe_in_a_browser(site: Site) -> None:
    job = await running(site)
    page = b"<script>alert(1)</script>"
    await keep(site, job, page)
    [told] = [read(await site.http.post("/v1/jobs", content=ARCHIVE, headers=MEDIA), 201)]
    for path, content in ((f"{job['id']}/artifact", page), (f"{told['id']}/upload", ARCHIVE)):
        answer = await site.http.get(f"/v1/jobs/{path}")
        assert answer.content == content
        name = path.replace("/", "-")
        assert {name: answer.headers[name] for name in answer.headers if name not in ("date", "etag")} == {
            "content-type": "application/zip",
            "content-length": str(len(content)),
            "content-disposition": f'attachment; filename="{name}.zip"',
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox; default-src 'none'",
            "cache-control": "private, no-cache",
        }
        bare = await site.http.head(f"/v1/jobs/{path}")
        assert (bare.status_code, bare.content) == (200, b"")
        assert bare.headers["content-length"] == str(len(content))


async def test_what_one_has_is_not_sent_again(site: Site) -> None:
    job = await running(site)
    await keep(site, job)
    path = f"/v1/jobs/{job['id']}/artifact"
    etag = (await site.http.get(path)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await site.http.get(path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await site.http.get(path, headers={"if-none-match": '"other"'})).content == ARCHIVE
    await keep(site, job, LARGE)
    assert (await site.http.get(path, headers={"if-none-match": etag})).content == LARGE


async def test_what_is_not_there(site: Site) -> None:
    id = await site.enqueue()
    problem(await site.http.get(f"/v1/jobs/{id}/upload"), 404, "no_upload")
    problem(await site.http.get(f"/v1/jobs/{id}/artifact"), 404, "no_artifact")
    for kind in ("upload", "artifact"):
        problem(await site.http.get(f"/v1/jobs/{NOBODY}/{kind}"), 404, "job_not_found", "id")
    problem(await keep(site, {"id": NOBODY, "lease": 1}), 404, "job_not_found", "id")


# --- the lease ---


@pytest.mark.parametrize("wrong", [{"lease": 2}, {"worker": "w2"}], ids=str)
@pytest.mark.parametrize("content", [ARCHIVE, LARGE], ids=["small", "large"])
async def test_another_lease(site: Site, wrong: Json, content: bytes) -> None:
    job = await running(site)
    problem(await keep(site, job, content, **wrong), 409, "stale_lease")
    assert await shown(site, job) is None
    assert await parts(site) == 0


async def test_a_job_that_does_not_run(site: Site) -> None:
    job = await running(site)
    await keep(site, job, b"1")
    await ended(site, job, "failed", error={"type": "E", "message": "no"})
    problem(await keep(site, job, b"2"), 409, "stale_lease")
    assert await shown(site, job) == b"1"
    problem(await keep(site, {"id": await site.enqueue(), "lease": 1}), 409, "stale_lease")


async def test_a_stale_lease_is_told_before_the_body_comes(site: Site) -> None:
    job = await running(site)
    start = f"PUT /v1/jobs/{job['id']}/artifact?worker=w1&lease=2 HTTP/1.1"
    lines = ("Content-Length: 1000", "Expect: 100-continue")
    problem(await asyncio.wait_for(site.raw(head(site.port, *lines, start=start)), 5), 409, "stale_lease")


async def test_a_lease_that_ends_while_the_body_comes(site: Site) -> None:
    job = await running(site)
    start = f"PUT /v1/jobs/{job['id']}/artifact?worker=w1&lease=1 HTTP/1.1"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(site.port, "Transfer-Encoding: chunked", start=start) + chunk(LARGE[:1000]))
    await until(lambda: site.service.files._spools == 1, "the artifact")
    await ended(site, job)
    writer.write(chunk(LARGE[1000:]) + chunk(b""))
    problem(await asyncio.wait_for(Answer.read(reader), 5), 409, "stale_lease")
    writer.close()
    assert await shown(site, job) is None
    await site.service.files.sweep()
    assert await parts(site) == 0


async def test_the_second_try_does_not_show_what_the_first_left(site: Site) -> None:
    job = await running(site, retry={"kind": "fixed", "delay": 0})
    await keep(site, job, b"1")
    await ended(site, job, "failed", error={"type": "E", "message": "no"})
    assert await shown(site, job) == b"1"
    second = await fetched(site)
    assert (second["id"], second["attempt"]) == (job["id"], 2)
    assert await shown(site, job) is None
    problem(await keep(site, job, b"late"), 409, "stale_lease")
    assert (await keep(site, second, b"2")).status_code == 200
    assert (await keep(site, second, b"22")).status_code == 200
    assert await shown(site, job) == b"22"
    # Of the two before nothing is left.
    await site.service.files.sweep()
    assert await parts(site) == 0


async def test_a_worker_on_a_socket(site: Site) -> None:
    worker: SocketWorker
    async with site.worker("w7") as worker:
        await site.enqueue()
        job = await worker.job()
        assert (await keep(site, job, worker="w7")).status_code == 200
        await worker.done(job)
    assert await shown(site, job) == ARCHIVE


async def test_both_go_with_the_job(site: Site) -> None:
    told = read(await site.http.post("/v1/jobs", content=LARGE, headers=MEDIA), 201)
    job = await fetched(site)
    assert job["id"] == told["id"]
    await keep(site, job, LARGE)
    await ended(site, job)
    assert (await site.http.delete(f"/v1/jobs/{job['id']}")).status_code == 204
    for kind in ("upload", "artifact"):
        problem(await site.http.get(f"/v1/jobs/{job['id']}/{kind}"), 404, "job_not_found", "id")
    assert await parts(site) == 8


# --- what is refused ---


@pytest.mark.parametrize(
    ("asked", "status", "code", "field"),
    [
        ({"worker": None}, 422, "missing_parameter", "worker"),
        ({"lease": None}, 422, "missing_parameter", "lease"),
        ({"worker": ""}, 422, "invalid_worker", "worker"),
        ({"worker": "a\tb"}, 422, "invalid_worker", "worker"),
        ({"lease": "x"}, 422, "invalid_lease", "lease"),
        ({"lease": 0}, 422, "invalid_lease", "lease"),
        ({"other": 1}, 422, "unknown_parameter", "other"),
        ({"headers": {"content-type": "text/html"}}, 415, "unsupported_media_type", None),
        ({"headers": {"content-encoding": "gzip"}}, 415, "unsupported_encoding", None),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told(
    site: Site, asked: Json, status: int, code: str, field: str | None
) -> None:
    job = await running(site)
    for content in (ARCHIVE, LARGE):
        problem(await keep(site, job, content, **asked), status, code, field)
    assert await shown(site, job) is None


async def test_one_that_is_too_large(store: str) -> None:
    async with serving(store, Settings(artifact_limit=2000)) as site:
        job = await running(site)
        assert (await keep(site, job, b"x" * 2000)).status_code == 200
        for body in (b"x" * 2001, pieces(b"x" * 2001, 500), LARGE, pieces(LARGE)):
            answer = await keep(site, job, body)
            told = problem(answer, 413, "payload_too_large")
            assert answer.headers["connection"] == "close"
            assert "2000 bytes (artifact_limit)" in told["detail"]
        assert await shown(site, job) == b"x" * 2000


async def test_a_connection_that_breaks(site: Site) -> None:
    job = await running(site)
    start = f"PUT /v1/jobs/{job['id']}/artifact?worker=w1&lease=1 HTTP/1.1"
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(site.port, f"Content-Length: {len(LARGE)}", start=start) + LARGE[:-1])
    await until(lambda: site.service.files._spools == 1, "the artifact")
    writer.close()
    await until(lambda: site.service.files._spools == 0, "its end")
    assert await shown(site, job) is None
    await ended(site, job)
    await site.http.delete(f"/v1/jobs/{job['id']}")
    await nothing_is_kept(site)


async def test_who_may(store: str) -> None:
    async with serving(store, Settings(token=Secret("sesame"))) as site:
        job = await running(site)
        headers = {"authorization": "Bearer wrong"}
        problem(await keep(site, job, headers=headers), 401, "invalid_credentials")
        for kind in ("upload", "artifact"):
            answer = await site.http.get(f"/v1/jobs/{job['id']}/{kind}", headers=headers)
            problem(answer, 401, "invalid_credentials")
            answer = await site.http.get(
                f"/v1/jobs/{job['id']}/{kind}", headers={"origin": "http://x.example"}
            )
            problem(answer, 403, "origin_not_allowed")
