"""All jobs that match, as a file."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rota.core.service import Service
from rota.model.clock import SECOND
from rota.web.parameters import Asked
from rota.web.rows import EXPORT, written
from rota.web.takes import takes

MEDIA = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8; header=present"}
SAFE = {
    # Whatever is in payloads must never run as a page of ours.
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cache-control": "no-store",
}


@takes(*EXPORT)
async def export(service: Service, request: Request, asked: Asked) -> Response:
    """All jobs that match the filters of the list, newest first, as a file: a line of JSON for each job, or
    CSV with a line of names. Jobs stored after the start are left out. What breaks off in the middle lacks
    the end that HTTP gives to a body.
    """
    pieces = await written(service, asked)
    now = datetime.fromtimestamp(service.clock.now() / SECOND, UTC)
    name = f"rota-jobs-{now:%Y%m%d-%H%M%S}.{asked['format']}"
    headers = {**SAFE, "content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, headers=headers, media_type=MEDIA[asked["format"]])
