"""``poll``: job-poll-queue, whose clients wait until a worker that polls has completed their job.

======================================  ==================================================================
``POST /api/submit``                    200, the worker's answer, once it is there; any body is taken
``GET /api/worker/poll``                200, the next job; 204 when none waits
``POST /api/worker/complete/{id}``      200; the body is the worker's answer, any is taken
``GET /api/admin/next``                 200, the job that comes next; 204 when none waits
``GET /api/admin/stats``                200, numbers of jobs
``DELETE /api/admin/clear``             200; all jobs are gone, and who waited for one is told
``GET /health``                         200; answered by the server, with or without this interface
======================================  ==================================================================
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.exchange import Exchange
from rota.core.service import Service
from rota.model import spec
from rota.model.clock import seconds, to_text
from rota.model.errors import BadInput, NotFound, RotaError, Unavailable
from rota.model.job import Claimed, Job, State
from rota.model.policy import MAX_LOSSES
from rota.model.spec import JobSpec
from rota.web import front
from rota.web.front import Front, Json
from rota.web.fronts.poll.bodies import media_type, result_of, shown
from rota.web.fronts.poll.credentials import Credentials, split
from rota.web.inflate import inflate

NAME = TYPE = "poll"

STATES = {
    State.SCHEDULED: "pending",
    State.PENDING: "pending",
    State.RUNNING: "running",
    State.DONE: "completed",
}
"""In the figures; jobs that ended otherwise count in their total only."""

BODY_BYTES = 4 * 1024 * 1024
"""What the original took."""

WORDS = {405: "Method Not Allowed", 413: "Request Entity Too Large"}
NOTHING = Response(status_code=204, media_type="application/json")

Shape = dict[str, object]


def build(
    service: Service,
    queue: str,
    max_body: int,
    *,
    lease: float,
    text: bool = False,
    credentials: bool = True,
    token: str | None = None,
) -> Front:
    """``max_body``: bytes. ``lease``: seconds. ``text``: workers get JSON as a string, too. ``credentials``:
    workers get those of a request, but never our own ``token``.
    """
    exchange = Exchange(service, NAME, queue, TYPE, seconds(lease))
    secrets = Credentials(service.bus)
    most = min(max_body, max(BODY_BYTES, service.limits.payload_bytes))
    most_result = min(max_body, max(BODY_BYTES, service.workers.rules.result_bytes))
    limits = msgspec.structs.replace(
        service.limits, payload_bytes=most, max_attempts=max(MAX_LOSSES, service.limits.max_attempts)
    )

    async def read(request: Request, most: int) -> bytes:
        body = await front.body(request, most)
        return inflate(body, request.headers.get("content-encoding"), most)

    async def submit(request: Request) -> Response:
        headers, secret = split(request.scope["headers"], token)
        one = to_job(await read(request, most), headers, queue)
        asked = spec.request([one], service.clock.now(), limits, front=NAME)
        id = asked.jobs[0].id
        if credentials:
            secrets.keep(id, secret)
        waiting = exchange.put(asked, lambda: front.gone(request))
        # Thousands may wait here: nothing of the body stays with them.
        del one, asked
        try:
            job = await waiting
        except RotaError:
            # It was not stored.
            secrets.forget(id)
            raise
        return Json(from_job(job))

    async def poll(request: Request) -> Response:
        if request.method == "HEAD":
            return await upcoming(request)
        job = await exchange.claim(request.client.host if request.client else "")
        if job is not None and await request.is_disconnected():
            await exchange.release(job)
            job = None
        return NOTHING if job is None else Json(to_task(job, secrets.of(job.id), text))

    async def complete(request: Request) -> Response:
        id = request.path_params.get("id")
        if id is None:
            raise NotFound("Cannot POST /api/worker/complete/")
        try:
            body = await read(request, most_result)
        except BadInput as error:
            if error.status == 413:
                with suppress(RotaError):
                    await exchange.reject(id, f"The result has more than {most_result} bytes.")
            raise
        await exchange.finish(id, *result_of(body, request.headers.get("content-type", "")))
        return Json({"job_id": id, "message": "Job completed"})

    async def upcoming(request: Request) -> Response:
        job = await exchange.next()
        return NOTHING if job is None else Json(to_task(job, {}, text))

    async def stats(request: Request) -> Response:
        counts = await exchange.counts()
        shown = dict.fromkeys(sorted(STATES.values()), 0)
        for state, word in STATES.items():
            shown[word] += counts.get(state, 0)
        return Json({**shown, "total": sum(counts.values())})

    async def clear(request: Request) -> Response:
        await exchange.clear()
        return Json({"message": "Queue cleared successfully"})

    submitting = front.without_store("Failed to process job: {}", submit)
    completing = front.without_store("Failed to complete job: {}", complete)
    requests = {
        ("POST", "/api/submit"): submitting,
        ("POST", "/api/submit/"): submitting,
        ("GET", "/api/worker/poll"): front.without_store("Failed to poll for job", poll),
        ("POST", "/api/worker/complete/"): completing,
        ("POST", "/api/worker/complete/{id}"): completing,
        ("GET", "/api/admin/next"): upcoming,
        ("GET", "/api/admin/stats"): stats,
        ("DELETE", "/api/admin/clear"): front.without_store("Failed to clear queue", clear),
    }
    return Front(NAME, requests, refuse)


def to_job(body: bytes, headers: dict[str, str], queue: str) -> JobSpec:
    """A body in JSON is the payload as it stands, any other is kept in bytes."""
    if front.is_json(body):
        return JobSpec(type=TYPE, queue=queue, payload=msgspec.Raw(body), headers=headers)
    kept, kind = base64.b64encode(body).decode(), media_type(headers.get("Content-Type", ""))
    return JobSpec(type=TYPE, queue=queue, payload_base64=kept, content_type=kind, headers=headers)


def to_task(job: Claimed | Job, secret: Mapping[str, str], text: bool) -> Shape:
    """For a worker; ``text``: the payload always as a string."""
    headers = dict(sorted({**(job.headers or {}), **secret}.items()))
    return {"headers": headers, "job_id": job.id, "payload": shown(job.payload, job.content_type, text)}


def from_job(job: Job | None) -> Shape:
    """For the client that waited. RotaError when the job did not end well, or not yet."""
    if job is None or job.state in (State.FAILED, State.CANCELLED):
        why = "it was removed." if job is None else "it was cancelled."
        if job is not None and job.error is not None and job.state is State.FAILED:
            why = msgspec.json.decode(job.error)["message"]
        raise RotaError(f"Failed to process job: {why}")
    if job.state is not State.DONE:
        # Nobody is to send it again.
        told = "The server is shutting down. The job is kept, and runs when it is back."
        raise Unavailable(told, kept=True)
    times = {"completed_at": to_text(job.finished_at or 0), "created_at": to_text(job.created_at)}
    return {**times, "job_id": job.id, "payload": shown(job.result, job.result_type)}


def refuse(error: RotaError) -> Response:
    """One word for it all."""
    return Json({"error": WORDS.get(error.status, error.detail)}, error.status)
