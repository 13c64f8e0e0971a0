"""Requests that act on all jobs of a filter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rota.core import bulk
from rota.core.bulk import Act, Progress
from rota.core.service import Service
from rota.model.errors import BadInput, RotaError
from rota.model.job import Match
from rota.web import wire
from rota.web.answers import Json
from rota.web.asgi import Call
from rota.web.jobs import FILTERS, match_of
from rota.web.parameters import Asked, takes

MAX_BODY = 1024 * 1024
MAX_IDS = 10_000
PATIENCE = 10.0
"""Seconds after which a plain answer comes, with a cursor to go on."""
LINES = "application/x-ndjson"


class Filter(msgspec.Struct, forbid_unknown_fields=True):
    """Which jobs are meant: the parameters of the list of jobs, and ``ids``."""

    state: str | list[str] | None = None
    queue: str | None = None
    type: str | None = None
    tag: str | None = None
    worker: str | None = None
    since: str | None = None
    until: str | None = None
    q: str | None = None
    fingerprint: str | None = None
    ids: list[str] | None = None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """What to act on. ``filter`` may be empty only with ``all``."""

    filter: msgspec.Raw = msgspec.Raw(b"{}")
    all: bool = False
    dry_run: bool = False
    limit: int | None = None
    cursor: str | None = None


_body = msgspec.json.Decoder(Body)
_filter = msgspec.json.Decoder(Filter)


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


async def _act(service: Service, request: Request, act: Act) -> Response:
    body = wire.decode(_body, await Call(request.scope, request.receive, MAX_BODY).json())
    match = _match(body)
    try:
        bulk.check(act, match)
    except BadInput as error:
        error.field = f"filter.{error.field}"
        raise
    if body.limit is not None and body.limit < 1:
        raise BadInput("limit must be 1 or more.", code="invalid_limit", field="limit")
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


async def _lines(first: Progress, steps: AsyncIterator[Progress]) -> AsyncIterator[bytes]:
    yield wire.encode(first) + b"\n"
    try:
        async for progress in steps:
            yield wire.encode(progress) + b"\n"
    except RotaError as error:
        # The status has been sent; what went wrong is the last line.
        yield wire.problem(error) + b"\n"


def _match(body: Body) -> Match:
    """The jobs that are meant; BadInput names the field as ``filter.queue``."""
    try:
        given = wire.decode(_filter, bytes(body.filter))
        fields = {name: getattr(given, name) for name in given.__struct_fields__}
        if isinstance(given.state, list):
            fields["state"] = ",".join(given.state)
        read = {one.name: _read(one.kind, one.name, fields[one.name]) for one in FILTERS}
        if given.ids is not None and len(given.ids) > MAX_IDS:
            raise BadInput(f"ids may name at most {MAX_IDS} jobs.", code="invalid_filter", field="ids")
    except BadInput as error:
        error.field = "filter" if error.field is None else f"filter.{error.field}"
        raise
    match = match_of(read)
    if given.ids is not None:
        match = msgspec.structs.replace(match, ids=tuple(given.ids))
    if (match == Match()) is not body.all:
        raise BadInput(
            'An empty filter means every job; say so with "all": true.'
            if not body.all
            else 'Give a filter or "all": true, not both.',
            code="conflicting_fields" if body.all else "empty_filter",
            field="filter",
        )
    return match


def _read(kind: object, name: str, text: str | None) -> object:
    return None if text is None else kind.read(name, text)  # type: ignore[attr-defined]
