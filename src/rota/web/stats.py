"""``/v1/stats``: counters of this server; with parameters, figures over time."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.web.answers import Json
from rota.web.figures import FIGURES, counters, over_time
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes(*FIGURES)
async def get_stats(service: Service, request: Request, asked: Asked) -> Response:
    """Without parameters: jobs by state as they are in the store, everything else since this server started.
    With any: figures over time, by queue and type or summed.
    """
    if not request.scope["query_string"]:
        return Json(await counters(service))
    return Json(await over_time(service, asked))
