"""How the server is: metrics and probes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.errors import Unavailable
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def get_metrics(service: Service, request: Request, asked: Asked) -> Response:
    """Counters, gauges and histograms for Prometheus and its kin."""
    # Imported when first asked for: a server that nobody scrapes need not load it.
    from rota.web import metrics

    return Response(await metrics.page(service), media_type=metrics.CONTENT_TYPE)


async def livez(service: Service, request: Request) -> Response:
    """The process runs and answers. Needs no token."""
    return Json({"status": "ok"})


async def readyz(service: Service, request: Request) -> Response:
    """The store takes writes and the server is not shutting down. Needs no token."""
    if service.dispatch.stopped:
        raise Unavailable("The server is shutting down.", code="draining")
    await service.engine.save([])
    return Json({"status": "ok"})
