"""``pqexec``: Parallel queue processing, timed tasks that are told of as they go.

===========================  =========================================================================
``POST /schedule``           200 ``{"message":"success"}``; 400 ``{"error":"Invalid JSON"}``; 413
``GET /tasks``               200 ``{"active":{id:ms},"scheduled":[{id:ms}]}``
``GET /ws``                  the socket with the events; 426 without an upgrade
``GET /``                    the page
``GET /static/{file}``       what the page is made of; 404
===========================  =========================================================================

State words: a task is in ``scheduled`` while its job is scheduled or pending, in ``active`` while it is
running. See :mod:`rota.web.fronts.pqexec.tasks` for what is told when.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rota.core.service import Service
from rota.model.errors import BadInput, NotFound, RotaError
from rota.web import docs, front, strict
from rota.web.front import Front, Json, Text
from rota.web.fronts.pqexec.audience import Audience
from rota.web.fronts.pqexec.tasks import Tasks
from rota.web.inflate import inflate

NAME = TYPE = "pqexec"

MAX_BODY = 4 * 1024 * 1024
FEW = 5_000
"""Tasks that are listed in one piece."""
GREETING = '{"message":"WebSocket connected!"}\n'
REMINDER = '{"message":"Use REST API for your requests, WebSockets are for updates only!"}\n'
FILES = ("tasks.css", "tasks.js", "dom.js", "icon.svg")
LIVE, POLLED = b'data-events="socket"', b'data-events="none"'
LINK = b'<a href="/docs">Interface</a>'

Milliseconds = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_decode = msgspec.json.Decoder(dict[str, Milliseconds | None] | None).decode


def build(service: Service, queue: str, surface: str, home: bool, max_body: int) -> Front:
    """``surface``: ``rest``, ``ws``, ``html``, ``html_ws``; ``home``: its page is at ``/`` and not only at
    ``/static/tasks.html``; ``max_body``: bytes, as sent and as inflated.
    """
    most = min(max_body, MAX_BODY)
    events, page = "ws" in surface, "html" in surface
    audience = Audience(GREETING, REMINDER)
    tasks = Tasks(service, NAME, queue, audience)

    async def schedule(request: Request) -> Response:
        body = inflate(await front.body(request, most), request.headers.get("content-encoding"), most)
        await tasks.schedule(to_tasks(body, request.headers.get("content-type", "")))
        return Json({"message": "success"})

    async def listed(request: Request) -> Response:
        if len(tasks) > FEW:
            return StreamingResponse(tasks.listed(), media_type="application/json")
        whole = b"".join([piece async for piece in tasks.listed()])
        return Response(whole, media_type="application/json")

    async def upgrade(request: Request) -> Response:
        return Text("Upgrade Required", 426, {"upgrade": "websocket"})

    async def tasks_page(request: Request) -> Response:
        html = docs.file("tasks.html")
        html = html if events else html.replace(LIVE, POLLED)
        if not hasattr(request.app.state, "routes"):
            # A listener for fronts alone has no such page.
            html = html.replace(LINK, b"")
        return docs.tagged(request, html, docs.KINDS["html"], docs.PAGE_HEADERS)

    async def static(request: Request) -> Response:
        name = request.path_params["file"]
        if name == "tasks.html":
            return await tasks_page(request)
        if name not in FILES:
            raise _nothing(request)
        return docs.tagged(request, docs.file(name), docs.KINDS[name.rpartition(".")[2]], docs.PAGE_HEADERS)

    async def nothing(request: Request) -> Response:
        raise _nothing(request)

    return Front(
        NAME,
        {
            ("POST", "/schedule"): schedule,
            ("GET", "/tasks"): listed,
            ("GET", "/ws"): upgrade if events else nothing,
            **({("GET", "/"): tasks_page if page else nothing} if home else {}),
            ("GET", "/static/{file:path}"): static if page else nothing,
        },
        refuse,
        {"/ws": audience} if events else {},
        open=("/", "/static/{file:path}"),
        run=tasks.run,
    )


def to_tasks(body: bytes, content_type: str) -> dict[str, int]:
    """Ids with milliseconds, in their order. BadInput for all that is no such JSON."""
    if not content_type.partition(";")[0].strip().lower().endswith("json"):
        raise BadInput("The content type must be JSON.", code="unsupported_media_type", status=400)
    try:
        strict.check_escapes(body)
        return {id: ms or 0 for id, ms in (_decode(body) or {}).items()}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(str(error), code="invalid_json", status=400) from None


def refuse(error: RotaError) -> Response:
    """In the program's words, where it had any."""
    if error.status == 413:
        return Text("Request Entity Too Large", 413)
    if error.status in (400, 415, 422):
        return Json({"error": "Invalid JSON"}, 400)
    if error.status in (404, 405):
        return Text(error.detail, error.status)
    return Json({"error": error.detail}, error.status)


def _nothing(request: Request) -> NotFound:
    return NotFound(f"Cannot {request.method} {request.scope['path']}", code="not_found")
