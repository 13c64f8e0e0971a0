"""``jobq``: the concurrent prototype, whose second phase Rota is.

==========================  ==========================================================================
``POST /enqueue``           200, the job; any body is taken, and one in JSON is kept as the payload
``GET /status/{id}``        200, the job with its present state; 404 ``job not found``
``GET /status``, deeper     404 ``404 page not found``
==========================  ==========================================================================
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.clock import to_text
from rota.model.errors import NotFound, RotaError
from rota.model.job import Job, NewJob, State
from rota.model.spec import JobSpec
from rota.web import front
from rota.web.front import Front, Json, Text

NAME = TYPE = "jobq"

STATES = {
    State.SCHEDULED: "pending",
    State.PENDING: "pending",
    State.RUNNING: "processing",
    State.DONE: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}

DUMMY = "dummy payload"


class Shown(msgspec.Struct, frozen=True):
    """A job as this interface shows it."""

    id: str
    payload: msgspec.Raw
    status: str
    createdAt: str  # noqa: N815  # as it is on the wire


def build(service: Service, queue: str, max_body: int) -> Front:
    """``max_body``: bytes."""
    most = min(max_body, service.limits.payload_bytes)

    async def enqueue(request: Request) -> Response:
        spec = to_job(await front.body(request, most), queue)
        return Json(from_job(await front.submit(service, NAME, spec)), end=b"\n")

    async def status(request: Request) -> Response:
        return Json(from_job(await front.job(service, NAME, request.path_params["id"])), end=b"\n")

    async def nothing(request: Request) -> Response:
        raise NotFound("404 page not found")

    requests = {
        ("POST", "/enqueue"): enqueue,
        ("GET", "/status/{id}"): status,
        ("GET", "/status/{deeper:path}"): nothing,
        # Beside jqgo, which has this path, that front comes first.
        ("GET", "/status"): nothing,
    }
    return Front(NAME, requests, refuse)


def to_job(body: bytes, queue: str) -> JobSpec:
    """A body that is no JSON is passed over, as the prototype passed over any."""
    payload = body if front.is_json(body) else msgspec.json.encode(DUMMY)
    return JobSpec(type=TYPE, queue=queue, payload=msgspec.Raw(payload))


def from_job(job: NewJob | Job) -> Shown:
    """The prototype's four fields."""
    json = job.content_type is None and job.payload is not None
    payload = job.payload if json else msgspec.json.encode(DUMMY)
    return Shown(job.id, msgspec.Raw(payload), STATES[job.state], to_text(job.created_at))


def refuse(error: RotaError) -> Response:
    """Plain text with a line end; nothing for a method that there is not."""
    if error.status == 405:
        return Response(None, 405)
    return Text("job not found\n" if error.code == "job_not_found" else f"{error.detail}\n", error.status)
