"""Types of jobs, as people see them who make one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.about import About
from rota.core.service import Service
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def list_types(service: Service, request: Request, asked: Asked) -> Response:
    """Every type that a connected worker names, that jobs have or that is built in, with what is known of
    its payload: enough to make a form of it.
    """
    about: About = request.app.state.about
    roster = service.workers.roster.everybody()
    return Json({"types": await service.catalog.all(roster, about.built_in())})
