"""REST v1: everything but the four hot requests (see :mod:`rota.web.hot`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import WebSocketRoute, compile_path

from rota import __version__
from rota.core.service import Service
from rota.model.clock import SECOND, to_text
from rota.model.errors import BadInput, Conflict, NotFound, RotaError, Unavailable
from rota.model.job import ENDED, Job, Match, State
from rota.model.spec import parse_time
from rota.web import events, wire
from rota.web.asgi import BROKEN, Ring
from rota.web.auth import Gate
from rota.web.hot import HotApi, seconds_of
from rota.web.live import WorkerSocket

Handler = Callable[[Service, Request], Awaitable[Response]]


class Route(NamedTuple):
    """One line of the interface."""

    method: str
    path: str
    summary: str
    handler: Handler | None = None


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def __init__(self, shape: object, status: int = 200) -> None:
        super().__init__(wire.encode(shape), status)


async def list_jobs(service: Service, request: Request) -> Response:
    asked = _query(request, FILTERS | {"cursor", "limit"})
    limit = _integer(asked, "limit", 50)
    page = await service.jobs(_match(asked), limit, asked.get("cursor"))
    jobs = [wire.job(job, service.waits_for(job), whole=False) for job in page.jobs]
    return Json({"jobs": jobs, "cursor": page.cursor})


async def get_job(service: Service, request: Request) -> Response:
    job = await _job(service, request)
    return Json(wire.job(job, service.waits_for(job)))


async def get_result(service: Service, request: Request) -> Response:
    job = await _job(service, request)
    if job.state is State.DONE:
        # Whatever a job produced must never run as a page of ours.
        headers = {
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox; default-src 'none'",
        }
        result = b"null" if job.result is None else job.result
        return Response(result, headers=headers, media_type=job.result_type or "application/json")
    if job.state in ENDED:
        raise Conflict(
            f"The job ended as {job.state}; it has no result.",
            code=f"job_{job.state}",
            error=None if job.error is None else msgspec.Raw(job.error),
            reason=job.reason,
        )
    return Json({"id": job.id, "state": job.state}, 202)


async def get_logs(service: Service, request: Request) -> Response:
    asked = _query(request, {"after", "limit"})
    after = _integer(asked, "after", 0)
    lines = await service.logs(request.path_params["id"], after, _integer(asked, "limit", 1000))
    shapes = [{"n": n, "at": to_text(line.at), "level": line.level, "text": line.text} for n, line in lines]
    return Json({"lines": shapes, "next": lines[-1][0] if lines else after})


async def cancel(service: Service, request: Request) -> Response:
    _query(request, ())
    job = await service.cancel(request.path_params["id"])
    return Json(wire.job(job), 202 if job.state is State.RUNNING else 200)


async def retry(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json(wire.job(await service.retry(request.path_params["id"])))


async def run_now(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json(wire.job(await service.run_now(request.path_params["id"])))


async def delete(service: Service, request: Request) -> Response:
    _query(request, ())
    await service.delete(request.path_params["id"])
    return Response(status_code=204)


async def list_queues(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json({"queues": [wire.queue(info) for info in await service.queues()]})


async def pause(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json(wire.queue(await service.pause(request.path_params["name"])))


async def resume(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json(wire.queue(await service.resume(request.path_params["name"])))


async def clear(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json({"deleted": await service.clear(request.path_params["name"])})


async def list_workers(service: Service, request: Request) -> Response:
    _query(request, ())
    return Json({"workers": [wire.worker(one) for one in service.workers.roster.values()]})


async def drain_worker(service: Service, request: Request) -> Response:
    _query(request, ())
    worker = request.path_params["worker"]
    if not service.workers.ask_to_drain(worker):
        raise NotFound(f"There is no worker {worker[:100]!r} here.", code="worker_not_found", field="worker")
    return Json(wire.worker(service.workers.roster[worker]), 202)


async def stats(service: Service, request: Request) -> Response:
    _query(request, ())
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


async def follow_events(service: Service, request: Request) -> Response:
    for name in request.query_params:
        if name != "topic":
            raise BadInput(
                f"Unknown parameter {name[:100]!r}. Known is: topic.",
                code="unknown_parameter",
                field=name[:100],
            )
    return await events.server_sent(service, request, request.query_params.getlist("topic"))


async def get_metrics(service: Service, request: Request) -> Response:
    _query(request, ())
    # Imported when first asked for: a server that nobody scrapes need not load it.
    from rota.web import metrics

    return Response(await metrics.page(service), media_type=metrics.CONTENT_TYPE)


async def livez(service: Service, request: Request) -> Response:
    return Json({"status": "ok"})


async def readyz(service: Service, request: Request) -> Response:
    if service.dispatch.stopped:
        raise Unavailable("The server is shutting down.", code="draining")
    await service.engine.save([])
    return Json({"status": "ok"})


SOCKET_PATH = "/v1/worker"
LIVE_PATH = "/v1/live"

ROUTES = (
    Route("POST", "/v1/jobs", "store jobs"),
    Route("GET", "/v1/jobs", "list jobs, newest first", list_jobs),
    Route("GET", "/v1/jobs/{id}", "one job with its attempts", get_job),
    Route("DELETE", "/v1/jobs/{id}", "remove a job that does not run", delete),
    Route("GET", "/v1/jobs/{id}/result", "the bare result", get_result),
    Route("GET", "/v1/jobs/{id}/logs", "log lines", get_logs),
    Route("POST", "/v1/jobs/{id}/cancel", "cancel, or ask a running job to stop", cancel),
    Route("POST", "/v1/jobs/{id}/retry", "bring an ended job back", retry),
    Route("POST", "/v1/jobs/{id}/run-now", "run a scheduled job at once", run_now),
    Route("GET", "/v1/queues", "queues with depth and age", list_queues),
    Route("POST", "/v1/queues/{name:path}/pause", "hand out no more jobs", pause),
    Route("POST", "/v1/queues/{name:path}/resume", "hand out jobs again", resume),
    Route("DELETE", "/v1/queues/{name:path}/jobs", "delete what waits", clear),
    Route("GET", "/v1/workers", "who is connected", list_workers),
    Route("POST", "/v1/workers/{worker}/drain", "ask a worker to finish and leave", drain_worker),
    Route("GET", "/v1/stats", "counters", stats),
    Route("POST", "/v1/fetch", "jobs for a polling worker"),
    Route("POST", "/v1/finish", "reports of a polling worker"),
    Route("POST", "/v1/beat", "signs of life of a polling worker"),
    Route("GET", SOCKET_PATH, "the worker socket (WebSocket)"),
    Route("GET", "/v1/events", "events as they happen (SSE)", follow_events),
    Route("GET", LIVE_PATH, "events for pages (WebSocket)"),
    Route("GET", "/metrics", "figures in OpenMetrics", get_metrics),
    Route("GET", "/livez", "the process answers", livez),
    Route("GET", "/readyz", "the store takes writes", readyz),
    Route("GET", "/health", "the same as livez", livez),
)

FILTERS = frozenset({"state", "queue", "type", "tag", "since", "until", "q", "worker"})


def build(service: Service, gate: Gate, max_body: int) -> Ring:
    """The ASGI application."""

    def bind(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await handler(service, request)

        return endpoint

    hot = HotApi(service)
    routes: list[StarletteRoute | WebSocketRoute] = [
        StarletteRoute(route.path, bind(route.handler), methods=[route.method])
        for route in ROUTES
        if route.handler is not None
    ]
    routes.append(WebSocketRoute(SOCKET_PATH, WorkerSocket(service)))
    routes.append(WebSocketRoute(LIVE_PATH, events.LiveSocket(service)))
    answers = {RotaError: _problem, HTTPException: _http_problem, Exception: _fault}
    app = Starlette(routes=routes, exception_handlers=answers)
    app.router.redirect_slashes = False
    return Ring(app, hot.routes, gate, max_body)


def _fault(request: Request, error: Exception) -> Response:
    return _problem(request, RotaError(BROKEN))


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RotaError)
    headers = {"retry-after": "1"} if error.status == 503 else None
    return Response(wire.problem(error), error.status, headers, "application/problem+json")


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    # The hot requests and the socket are not among the routes of the framework, so a 404 may be a 405.
    allowed = sorted({route.method for route in ROUTES if _fits(route.path, path)})
    if path in (SOCKET_PATH, LIVE_PATH) and request.method == "GET":
        told = RotaError("This is a WebSocket; send an upgrade.", code="upgrade_required", status=426)
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        return Response(wire.problem(told), 426, headers, "application/problem+json")
    if allowed:
        told = RotaError(
            f"{request.method} is not allowed here; allowed: {', '.join(allowed)}.",
            code="method_not_allowed",
            status=405,
        )
        return Response(wire.problem(told), 405, {"allow": ", ".join(allowed)}, "application/problem+json")
    return _problem(request, NotFound(f"There is nothing at {path[:200]}.", code="not_found"))


def _fits(pattern: str, path: str) -> bool:
    return compile_path(pattern)[0].match(path) is not None


async def _job(service: Service, request: Request) -> Job:
    """The job of the path; with ``?wait=`` once it has ended, or as it is then."""
    asked = _query(request, {"wait"})
    id = request.path_params["id"]
    if "wait" not in asked:
        return await service.job(id)
    job = await service.wait(id, seconds_of(asked["wait"]))
    return job if job is not None else await service.job(id)


def _query(request: Request, known: Collection[str]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            hint = f"Known are: {', '.join(sorted(known))}." if known else "There are none here."
            raise BadInput(
                f"Unknown parameter {name[:100]!r}. {hint}", code="unknown_parameter", field=name[:100]
            )
        if name in asked:
            raise BadInput(f"{name} is given twice.", code="duplicate_parameter", field=name)
        if "\x00" in value:
            raise BadInput(f"{name} holds the character NUL.", code="bad_character", status=400, field=name)
        asked[name] = value
    return asked


def _integer(asked: dict[str, str], name: str, default: int) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadInput(f"{name} must be a whole number.", code=f"invalid_{name}", field=name)
    return int(text)


def _match(asked: dict[str, str]) -> Match:
    states = None
    if "state" in asked:
        known = [state.value for state in State]
        names = asked["state"].split(",")
        for name in names:
            if name not in known:
                raise BadInput(
                    f"state must be one or more (comma) of {', '.join(known)}, not {name[:100]!r}.",
                    code="invalid_filter",
                    field="state",
                )
        states = tuple(State(name) for name in dict.fromkeys(names))
    return Match(
        states=states,
        queue=asked.get("queue"),
        type=asked.get("type"),
        tag=asked.get("tag"),
        worker=asked.get("worker"),
        since=parse_time("since", asked["since"]) if "since" in asked else None,
        until=parse_time("until", asked["until"]) if "until" in asked else None,
        text=asked.get("q") or None,
    )
