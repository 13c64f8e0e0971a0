"""Requests about queues."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core import bulk
from rota.core.service import Service
from rota.web import wire
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def list_queues(service: Service, request: Request, asked: Asked) -> Response:
    """All queues that hold jobs, are paused or are served: depth by state, age of the oldest pending job,
    workers, and types that no worker knows.
    """
    return Json({"queues": [wire.queue(info) for info in await service.queues()]})


@takes()
async def pause(service: Service, request: Request, asked: Asked) -> Response:
    """No more jobs of this queue are handed out, restarts of the server included. Running ones go on. The
    queue need not hold jobs yet.
    """
    return Json(wire.queue(await service.pause(request.path_params["name"])))


@takes()
async def resume(service: Service, request: Request, asked: Asked) -> Response:
    """Jobs of this queue are handed out again."""
    return Json(wire.queue(await service.resume(request.path_params["name"])))


@takes()
async def clear(service: Service, request: Request, asked: Asked) -> Response:
    """Delete the pending and scheduled jobs of a queue; the answer says how many there were."""
    return Json({"deleted": await bulk.clear(service, request.path_params["name"])})
