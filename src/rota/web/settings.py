"""What the server was told before it started."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.about import About
from rota.core.service import Service
from rota.model.clock import to_text
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def get_settings(service: Service, request: Request, asked: Asked) -> Response:
    """The configuration in force, each setting with its default and who said it. A secret that is set is
    `***`, and a URL has no password.
    """
    about: About = request.app.state.about
    engine, version = service.engine.product
    told = {
        "version": about.version,
        "server": service.id,
        "started_at": to_text(service.started_at),
        "store": {"engine": engine, "version": version, "url": about.store},
        "token": about.token,
        "settings": about.settings,
    }
    return Json(told)
