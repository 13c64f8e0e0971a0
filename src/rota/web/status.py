"""How the server is: counters, figures, probes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota import __version__
from rota.core.service import Service
from rota.model.clock import SECOND
from rota.model.errors import Unavailable
from rota.model.job import State
from rota.web.answers import Json
from rota.web.parameters import Asked, takes


@takes()
async def stats(service: Service, request: Request, asked: Asked) -> Response:
    """Jobs by state as they are in the store; everything else since this server started."""
    states = dict.fromkeys(State, 0)
    for row in await service.engine.count():
        states[row.state] += row.jobs
    roster, meter = service.workers.roster.values(), service.workers.meter
    return Json(
        {
            "version": __version__,
            "uptime": (service.clock.now() - service.started_at) / SECOND,
            "states": states,
            "enqueued": meter.enqueued.total(),
            "started": service.dispatch.started,
            "finished": meter.totals(),
            "workers": len(roster),
            "slots": sum(worker.slots for worker in roster),
            "running": sum(len(worker.taken) for worker in roster),
        }
    )


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
