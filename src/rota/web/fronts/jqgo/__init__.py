"""``jqgo``: JobQueueGo, whose workers dial in over a WebSocket.

==========================  ==========================================================================
``POST /job``               202, the id; 400 ``Invalid JSON``
``GET /status``             200, the jobs that wait, in the order of the queue
``GET /completedJobs``      200, results, those of jobs that wait to be tried again included
``GET /ws/worker``          101, a worker (:mod:`.socket`); 400 ``Bad Request`` without an upgrade
==========================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rota.core.service import BATCH, Service
from rota.core.whole import whole
from rota.model.errors import RotaError
from rota.model.job import State
from rota.web import front
from rota.web.front import Front, Handler, Json, Text
from rota.web.fronts.jqgo.shapes import NAME, from_job, to_job, to_result, told, waits
from rota.web.fronts.jqgo.socket import WorkerSocket

INPUT_BYTES = 8 * 1024 * 1024
"""A job may have so many, whatever others may: zipped programs come as a text."""
WAITING = (State.SCHEDULED, State.PENDING)
WORKERS = "/ws/worker"
_PART = 64 * 1024
"""Bytes of a list that are sent at a time."""

_encode = msgspec.json.Encoder().encode


def build(service: Service, queue: str, max_body: int) -> Front:
    """``max_body``: bytes."""
    most = min(max_body, max(INPUT_BYTES, service.limits.payload_bytes))
    limits = msgspec.structs.replace(service.limits, payload_bytes=most)

    async def enqueue(request: Request) -> Response:
        spec = to_job(await front.body(request, max_body), queue)
        job = await front.submit(service, NAME, spec, limits)
        return Json({"id": job.id, "status": "enqueued"}, 202, b"\n")

    async def status(request: Request) -> Response:
        waiting = whole(service, front.ids(service, NAME, states=WAITING))
        rows = (_encode(from_job(job)) async for job in waiting if waits(job))
        return _list(b'{"jobs":[', rows, b'],"queue_length":%d}\n')

    async def completed(request: Request) -> Response:
        pages = front.ids(service, NAME, tried=True)
        first: list[str] = []
        async for some in pages:
            first += some
            if len(first) >= BATCH:
                break
        results = whole(service, _chain(first, pages))
        rows = (_encode(to_result(job)) async for job in results if told(job))
        if len(first) >= BATCH:
            # How many there are is known once they have been read.
            return _list(b'{"jobs":[', rows, b'],"completedJobs":%d}\n')
        if not first:
            return Json({"completedJobs": 0, "jobs": None}, end=b"\n")
        return _list(b'{"completedJobs":%d,"jobs":[' % len(first), rows, b"]}\n")

    async def no_upgrade(request: Request) -> Response:
        return Text("Bad Request\n", 400, {"sec-websocket-version": "13"})

    return Front(
        NAME,
        {
            ("POST", "/job"): enqueue,
            ("GET", "/status"): _get_only(status),
            ("GET", "/completedJobs"): _get_only(completed),
            ("GET", WORKERS): no_upgrade,
        },
        refuse,
        {WORKERS: WorkerSocket(service, queue)},
    )


def refuse(error: RotaError) -> Response:
    """Plain text with a line end."""
    if error.status == 405:
        return Text(f"Only {error.extra['allow']} allowed\n", 405)
    return Text(f"{error.detail}\n", error.status)


def _get_only(handler: Handler) -> Handler:
    """A long list is not made for somebody who wants its head."""

    async def only(request: Request) -> Response:
        if request.method == "HEAD":
            raise RotaError("Method not allowed.", code="method_not_allowed", status=405, allow="GET")
        return await handler(request)

    return only


async def _chain(first: Sequence[str], rest: AsyncIterator[Sequence[str]]) -> AsyncIterator[Sequence[str]]:
    yield first
    async for some in rest:
        yield some


def _list(head: bytes, rows: AsyncIterator[bytes], tail: bytes) -> Response:
    return StreamingResponse(_parts(head, rows, tail), media_type="application/json")


async def _parts(head: bytes, rows: AsyncIterator[bytes], tail: bytes) -> AsyncIterator[bytes]:
    """``tail`` may have a place for the number of rows."""
    part, count = bytearray(head), 0
    async for row in rows:
        if count:
            part += b","
        part += row
        count += 1
        if len(part) >= _PART:
            yield bytes(part)
            part.clear()
    yield bytes(part + (tail % count if b"%d" in tail else tail))
