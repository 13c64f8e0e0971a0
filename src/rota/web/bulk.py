"""Requests that act on all jobs of a filter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rota.core import bulk
from rota.core.service import Service
from rota.model.errors import RotaError
from rota.web import wire
from rota.web.answers import Json
from rota.web.asgi import Call
from rota.web.filters import bulk_of
from rota.web.parameters import Asked
from rota.web.takes import takes

MAX_BODY = 1024 * 1024
PATIENCE = 10.0
"""Seconds after which a plain answer comes, with a cursor to go on."""
LINES = "application/x-ndjson"


@takes()
async def cancel(service: Service, request: Request, asked: Asked) -> Response:
    """Cancel all jobs of a filter that wait, and ask those that run to stop."""
    return await _act(service, request, "cancel")


@takes()
async def retry(service: Service, request: Request, asked: Asked) -> Response:
    """Bring back all jobs of a filter that have ended."""
    return await _act(service, request, "retry")


@takes()
async def delete(service: Service, request: Request, asked: Asked) -> Response:
    """Remove all jobs of a filter that do not run."""
    return await _act(service, request, "delete")


async def _act(service: Service, request: Request, act: bulk.Act) -> Response:
    body, match = bulk_of(act, await Call(request.scope, request.receive, MAX_BODY).json())
    steps = (bulk.count if body.dry_run else bulk.run)(service, act, match, body.limit, body.cursor)
    # What is wrong with the request is told before an answer begins.
    first = await anext(steps)
    if LINES in request.headers.get("accept", ""):
        return StreamingResponse(_lines(first, steps), media_type=LINES)
    end = time.monotonic() + PATIENCE
    last = first
    # A count is continued by who asked for it: it stops with the first piece, in a moment.
    while not body.dry_run and last.cursor is not None and time.monotonic() < end:
        following = await anext(steps, None)
        if following is None:
            break
        last = following
    return Json(last)


async def _lines(first: bulk.Progress, steps: AsyncIterator[bulk.Progress]) -> AsyncIterator[bytes]:
    yield wire.encode(first) + b"\n"
    try:
        async for progress in steps:
            yield wire.encode(progress) + b"\n"
    except RotaError as error:
        # The status has been sent; what went wrong is the last line.
        yield wire.problem(error) + b"\n"
