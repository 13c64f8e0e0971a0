"""Requests about workers; what workers themselves ask is in :mod:`rota.web.hot`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.clock import SECOND
from rota.model.errors import NotFound
from rota.web import wire
from rota.web.answers import Json
from rota.web.parameters import Asked
from rota.web.takes import takes


@takes()
async def list_workers(service: Service, request: Request, asked: Asked) -> Response:
    """The workers that are connected, to this server or to another on the same store, with what each has in
    hand; how often each gives a sign of life (`beat`, seconds); and whether this server runs programs of
    others, which its own workers do in a sandbox.
    """
    workers = [wire.worker(one) for one in service.workers.roster.everybody()]
    beat = service.rules.beat / SECOND
    return Json({"workers": workers, "beat": beat, "programs": wire.programs(service.programs)})


@takes()
async def drain_worker(service: Service, request: Request, asked: Asked) -> Response:
    """Ask a worker to take no more jobs, to finish what it has, and to leave. The answer does not wait for
    that.
    """
    worker, roster = request.path_params["worker"], service.workers.roster
    elsewhere = roster.elsewhere.get(worker)
    # Who polls may speak to several servers, and the next one has to know it, too.
    known = await service.others.drain(worker)
    if service.workers.ask_to_drain(worker):
        return Json(wire.worker(roster[worker]), 202)
    if not known or elsewhere is None:
        raise NotFound(f"There is no worker {worker[:100]!r} here.", code="worker_not_found", field="worker")
    return Json(wire.worker(elsewhere), 202)
