"""Views that people saved of pages."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core import views
from rota.core.service import Service
from rota.core.views import COLUMNS, NAME_LENGTH, PLAIN, QUERY_LENGTH, View
from rota.model.schema import says
from rota.web import wire
from rota.web.answers import Json
from rota.web.asgi import Call
from rota.web.parameters import Asked
from rota.web.takes import takes

MAX_BODY = 64 * 1024

Short = Annotated[str, says(minLength=1, maxLength=NAME_LENGTH, pattern=PLAIN)]


class NewView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page shows: `query` as its address has it; `columns` by name, null for the usual ones."""

    page: Short
    query: Annotated[str, says(maxLength=QUERY_LENGTH, pattern=PLAIN)]
    columns: Annotated[list[Short], says(maxItems=COLUMNS)] | None = None


class SavedView(msgspec.Struct, frozen=True):
    """A view with its name."""

    name: str
    page: str
    query: str
    columns: tuple[str, ...] | None


_view = msgspec.json.Decoder(NewView)


@takes()
async def list_views(service: Service, request: Request, asked: Asked) -> Response:
    """All saved views, by name. They are the same for everybody."""
    found = await views.views(service.engine)
    return Json({"views": [_shape(name, view) for name, view in found.items()]})


@takes()
async def put_view(service: Service, request: Request, asked: Asked) -> Response:
    """Save a view, also in place of another of this name. There may be 200."""
    body = wire.decode(_view, await Call(request.scope, request.receive, MAX_BODY).json())
    view = View(body.page, body.query, None if body.columns is None else tuple(body.columns))
    name = request.path_params["view"]
    new = await views.keep(service.engine, name, view)
    return Json(_shape(name, view), 201 if new else 200)


@takes()
async def delete_view(service: Service, request: Request, asked: Asked) -> Response:
    """Delete a view."""
    await views.drop(service.engine, request.path_params["view"])
    return Response(status_code=204)


def _shape(name: str, view: View) -> SavedView:
    return SavedView(name, view.page, view.query, view.columns)
