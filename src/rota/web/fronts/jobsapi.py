"""``jobsapi``: Job Queue + Worker API, with typed jobs.

==========================  ==========================================================================
``POST /jobs``              202, the job; 400 ``Invalid request body``
``GET /jobs/{id}``          200, the job, once it is done with its result; 404 ``Job not found``
``OPTIONS`` of either       204
==========================  ==========================================================================

Payload and result are shown in base64, the payload as exactly the bytes that were sent.
"""

from __future__ import annotations

import base64
import json

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.clock import to_text
from rota.model.errors import BadInput, RotaError, Unavailable
from rota.model.job import Job, NewJob, State
from rota.model.spec import FRONT_TYPE, JobSpec, is_name
from rota.web import front, gojson
from rota.web.front import Front, Json, Text

NAME = "jobsapi"

STATES = {
    State.SCHEDULED: "pending",
    State.PENDING: "pending",
    State.RUNNING: "running",
    State.DONE: "done",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}

UNREAD = ("application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "text/xml")
"""Content types that are taken although nothing is read from such bodies."""
NO_PAYLOAD = b"null "
"""Null to everybody who reads it; no value that was sent has a blank at its end."""


class Shown(msgspec.Struct, frozen=True):
    """A job as this interface shows it. Bytes become base64 on the wire."""

    id: str
    type: str
    payload: bytes | None
    status: str
    result: bytes | msgspec.UnsetType
    created_at: str
    updated_at: str


def build(service: Service, queue: str, max_body: int) -> Front:
    """``max_body``: bytes."""

    async def create(request: Request) -> Response:
        body = await front.body(request, max_body)
        spec = to_job(body, request.headers.get("content-type", ""), queue, service.limits.payload_bytes)
        try:
            job = await front.submit(service, NAME, spec)
        except Unavailable:
            return Text("Failed to create job", 500)
        return Json(from_job(job), 202, b"\n")

    async def show(request: Request) -> Response:
        id = request.path_params["id"]
        if not id:
            return Json({"message": "Not Found"}, 404, b"\n")
        return Json(from_job(await front.job(service, NAME, id)), end=b"\n")

    def options(*methods: str) -> front.Handler:
        async def answer(request: Request) -> Response:
            return Response(None, 204, {"allow": ", ".join(methods)})

        return answer

    return Front(
        NAME,
        {
            ("POST", "/jobs"): create,
            ("OPTIONS", "/jobs"): options("OPTIONS", "POST"),
            # A slash is a part of an id that nobody has.
            ("GET", "/jobs/{id:path}"): show,
            ("OPTIONS", "/jobs/{id:path}"): options("OPTIONS", "GET"),
        },
        refuse,
    )


def to_job(body: bytes, content_type: str, queue: str, most: int) -> JobSpec:
    """BadInput for what is no request. A payload of more than ``most`` bytes is left to others to refuse."""
    type, payload = "", NO_PAYLOAD
    kind = content_type.partition(";")[0].strip().lower()
    if body and kind not in UNREAD:
        try:
            if kind != "application/json":
                raise ValueError
            for name, value in gojson.members(body):
                if name == "payload":
                    payload = value
                elif name == "type" and value != b"null":
                    type = gojson.text(value)
        except ValueError:
            raise BadInput("Invalid request body") from None
    headers = None
    if not is_name(type):
        headers, type = {FRONT_TYPE: json.dumps(type)}, NAME
    if len(payload) <= most and front.is_json(payload):
        return JobSpec(type=type, queue=queue, headers=headers, payload=msgspec.Raw(payload))
    text = base64.b64encode(payload).decode()
    return JobSpec(
        type=type, queue=queue, headers=headers, payload_base64=text, content_type="application/json"
    )


def from_job(job: NewJob | Job) -> Shown:
    """The old program's seven fields; ``result`` only of jobs that are done."""
    written = (job.headers or {}).get(FRONT_TYPE)
    return Shown(
        job.id,
        job.type if written is None else json.loads(written),
        None if job.payload == NO_PAYLOAD else job.payload,
        STATES[job.state],
        result_of(job) if isinstance(job, Job) and job.state is State.DONE else msgspec.UNSET,
        to_text(job.created_at),
        to_text(changed_at(job) if isinstance(job, Job) else job.created_at),
    )


def result_of(job: Job) -> bytes:
    """A text as what it says, any other JSON as JSON, bytes as they are."""
    if job.result is None:
        return b"null"
    is_text = job.result_type is None and job.result.startswith(b'"')
    return gojson.text(job.result).encode() if is_text else job.result


def changed_at(job: Job) -> int:
    """When the job came into its present state."""
    times = [job.created_at, job.started_at, job.finished_at]
    times += [at for one in job.attempts for at in (one.started_at, one.finished_at)]
    if job.state is State.PENDING:
        times.append(job.run_at)
    return max(at for at in times if at is not None)


def refuse(error: RotaError) -> Response:
    """Texts for what concerns a job, the old framework's object for the rest."""
    match error.status:
        case 404:
            return Text("Job not found", 404)
        case 422:
            return Text("Invalid request body", 400)
        case 413:
            return Text(error.detail, 413)
        case status:
            return Json({"message": error.detail}, status, b"\n")
