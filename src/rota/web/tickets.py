"""Requests for tickets; what these are is in :mod:`rota.web.ticket`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.clock import SECOND
from rota.model.schema import says
from rota.web import wire
from rota.web.answers import Json
from rota.web.asgi import Call
from rota.web.parameters import Asked
from rota.web.takes import takes
from rota.web.ticket import LIFETIME, PATTERN, Tickets

MAX_BODY = 4096


class TicketRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For which path, without a query."""

    path: Annotated[str, says(pattern=f"^({PATTERN})$")]


class Ticket(msgspec.Struct, frozen=True):
    """`ticket` goes into the query of one GET of the path, within `expires_in` seconds."""

    ticket: str
    expires_in: int


_request = msgspec.json.Decoder(TicketRequest)


@takes()
async def give(service: Service, request: Request, asked: Asked) -> Response:
    """A ticket for those who cannot send a header, such as a browser that opens a WebSocket or saves what a
    link names: it lets one GET of just this path pass without the token, as `?ticket=...` beside whatever
    else the query has. It ends after `expires_in` seconds, and a server takes it once.
    """
    body = wire.decode(_request, await Call(request.scope, request.receive, MAX_BODY).json())
    tickets: Tickets = request.app.state.tickets
    answer = Json(Ticket(tickets.issue(body.path), LIFETIME // SECOND), 201)
    answer.headers["cache-control"] = "no-store"
    return answer
