"""REST v1: its routes, and the application that answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute, compile_path
from starlette.routing import Route as StarletteRoute

from rota.core.about import About
from rota.core.service import Service
from rota.model.errors import NotFound, RotaError
from rota.web import (
    bulk,
    condition,
    dashboard,
    docs,
    events,
    explain,
    export,
    failures,
    files,
    front,
    jobs,
    pulse,
    queues,
    settings,
    stats,
    status,
    suggest,
    tickets,
    types,
    views,
    watching,
    wire,
    workers,
)
from rota.web.answers import PROBLEM, fault, problem
from rota.web.asgi import Ring
from rota.web.auth import PROBES, Gate
from rota.web.front import Front
from rota.web.hot import HotApi
from rota.web.live import WorkerSocket
from rota.web.route import Route
from rota.web.sharing import Shared
from rota.web.takes import Handler
from rota.web.uploads import Index, no_archives

SOCKET_PATH = "/v1/worker"
LIVE_PATH = "/v1/live"

ROUTES = (
    Route("POST", "/v1/jobs", "store jobs"),
    Route("GET", "/v1/jobs", "list jobs, newest first", jobs.list_jobs),
    Route("POST", "/v1/jobs/cancel", "cancel all jobs of a filter", bulk.cancel),
    Route("POST", "/v1/jobs/retry", "bring back all ended jobs of a filter", bulk.retry),
    Route("POST", "/v1/jobs/delete", "remove all jobs of a filter that do not run", bulk.delete),
    Route("GET", "/v1/jobs/export", "all jobs that match, as a file", export.export),
    Route("GET", "/v1/jobs/{id}", "one job with its attempts", jobs.get_job),
    Route("DELETE", "/v1/jobs/{id}", "remove a job that does not run", jobs.delete),
    Route("GET", "/v1/jobs/{id}/result", "the bare result", jobs.get_result),
    Route("GET", "/v1/jobs/{id}/logs", "log lines", jobs.get_logs),
    Route("GET", "/v1/jobs/{id}/upload", "the archive that came with it", files.get_upload),
    Route("GET", "/v1/jobs/{id}/artifact", "the archive that it left", files.get_artifact),
    Route("PUT", "/v1/jobs/{id}/artifact", "keep what a running job leaves", files.put_artifact),
    Route("GET", "/v1/jobs/{id}/explain", "why it does not run, and when it will", explain.get_explanation),
    Route("POST", "/v1/jobs/{id}/cancel", "cancel, or ask a running job to stop", jobs.cancel),
    Route("POST", "/v1/jobs/{id}/retry", "bring an ended job back", jobs.retry),
    Route("POST", "/v1/jobs/{id}/run-now", "run a scheduled job at once", jobs.run_now),
    Route("GET", "/v1/failures", "failed jobs by what they failed of", failures.list_failures),
    Route("GET", "/v1/suggest", "what could be looked for", suggest.get_suggestions),
    Route("GET", "/v1/queues", "queues with depth and age", queues.list_queues),
    Route("POST", "/v1/queues/{name:path}/pause", "hand out no more jobs", queues.pause),
    Route("POST", "/v1/queues/{name:path}/resume", "hand out jobs again", queues.resume),
    Route("DELETE", "/v1/queues/{name:path}/jobs", "delete what waits", queues.clear),
    Route("GET", "/v1/workers", "who is connected", workers.list_workers),
    Route("POST", "/v1/workers/{worker:path}/drain", "ask a worker to leave", workers.drain_worker),
    Route("GET", "/v1/stats", "counters, or figures over time", stats.get_stats),
    Route("GET", "/v1/pulse", "how everything is, in short", pulse.get_pulse),
    Route("POST", "/v1/fetch", "jobs for a polling worker"),
    Route("POST", "/v1/finish", "reports of a polling worker"),
    Route("POST", "/v1/beat", "signs of life of a polling worker"),
    Route("GET", SOCKET_PATH, "the worker socket (WebSocket)"),
    Route("GET", "/v1/events", "events as they happen (SSE)", events.follow),
    Route("GET", LIVE_PATH, "events and the pulse for pages (WebSocket)"),
    Route("POST", "/v1/tickets", "a ticket for a request without a header", tickets.give),
    Route("GET", "/v1/condition", "whether all is well, and if not, why", condition.get_condition),
    Route("GET", "/v1/types", "types of jobs, and their payloads", types.list_types),
    Route("GET", "/v1/views", "saved views of pages", views.list_views),
    Route("PUT", "/v1/views/{view}", "save a view", views.put_view),
    Route("DELETE", "/v1/views/{view}", "delete a view", views.delete_view),
    Route("GET", "/v1/settings", "the configuration in force", settings.get_settings),
    Route("GET", "/metrics", "figures in OpenMetrics", status.get_metrics),
    Route("GET", "/openapi.json", "this interface in OpenAPI 3.1", docs.get_openapi),
    Route("GET", "/", "the dashboard", dashboard.get_page),
    Route("GET", "/ui/{file}", "what the dashboard is made of", dashboard.get_file),
    Route("GET", "/docs", "this interface for people", docs.get_page),
    Route("GET", "/docs/{file}", "what that page is made of", docs.get_file),
    Route("GET", "/livez", "the process answers", status.livez),
    Route("GET", "/readyz", "the store takes writes", status.readyz),
    Route("GET", "/health", "the same as livez", status.livez),
)


def build(
    service: Service,
    gate: Gate,
    max_body: int,
    fronts: Sequence[Front] = (),
    index: Index = no_archives,
    about: About | None = None,
) -> Ring:
    """The ASGI application: this interface, and older ones beside it. ``index`` looks at archives; ``about``
    is what the server was told.
    """
    hot = HotApi(service, index)
    # The older page of tasks may have the place of the dashboard.
    taken = {place for one in fronts for place in one.requests}
    routes: list[BaseRoute] = [
        StarletteRoute(path, _wrong_method, methods=methods) for path, methods in _shadowed()
    ]
    shared = Shared(lambda: service.pulses.changed_at)
    routes += [
        StarletteRoute(
            route.path,
            _bound(service, route.handler, shared if _shareable(route) else None),
            methods=[route.method],
        )
        for route in ROUTES
        if route.handler is not None and (route.method, route.path) not in taken
    ]
    routes.append(WebSocketRoute(SOCKET_PATH, WorkerSocket(service)))
    routes.append(WebSocketRoute(LIVE_PATH, watching.LiveSocket(service)))
    routes += [route for one in fronts for route in front.routes(one)]
    answers = {RotaError: problem, HTTPException: _http_problem, Exception: fault}
    app = Starlette(routes=routes, exception_handlers=answers)
    app.router.redirect_slashes = False
    # For the description, which is made of them.
    app.state.routes = ROUTES
    app.state.tickets = gate.tickets
    app.state.about = about or About()
    return Ring(app, hot.routes, gate, max_body, hot.whole, front.refusals(fronts), shared.kept)


def build_fronts(service: Service, gate: Gate, max_body: int, fronts: Sequence[Front]) -> Ring:
    """Older interfaces and the probes, and nothing else."""
    probes = [
        StarletteRoute(route.path, _bound(service, route.handler), methods=[route.method])
        for route in ROUTES
        if route.path in PROBES and route.handler is not None
    ]
    answers = {RotaError: problem, HTTPException: _nothing, Exception: fault}
    app = Starlette(
        routes=[*probes, *(route for one in fronts for route in front.routes(one))],
        exception_handlers=answers,
    )
    app.router.redirect_slashes = False
    return Ring(app, {}, gate, max_body, {}, front.refusals(fronts))


def _bound(
    service: Service, handler: Handler, shared: Shared | None = None
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if shared is not None:
            return await shared.answer(request, lambda: handler(service, request))
        return await handler(service, request)

    return endpoint


def _shareable(route: Route) -> bool:
    return route.method == "GET" and route.path.startswith("/v1/")


def _nothing(request: Request, error: Exception) -> Response:
    if request.scope["path"] in PROBES:
        return _http_problem(request, error)
    return problem(request, NotFound(f"There is nothing at {request.scope['path'][:200]}.", code="not_found"))


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path: str = request.scope["path"]
    # The hot requests and the socket are not among the routes of the framework, so a 404 may be a 405.
    allowed = sorted(_methods(path))
    if path in (SOCKET_PATH, LIVE_PATH) and request.method == "GET":
        told = RotaError("This is a WebSocket; send an upgrade.", code="upgrade_required", status=426)
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        return Response(wire.problem(told), 426, headers, PROBLEM)
    if allowed:
        told = RotaError(
            f"{request.method} is not allowed here; allowed: {', '.join(allowed)}.",
            code="method_not_allowed",
            status=405,
        )
        return Response(wire.problem(told), 405, {"allow": ", ".join(allowed)}, PROBLEM)
    return problem(request, NotFound(f"There is nothing at {path[:200]}.", code="not_found"))


def _shadowed() -> Iterator[tuple[str, list[str]]]:
    """Paths such as ``/v1/jobs/cancel`` with the methods that only ``/v1/jobs/{id}`` has: it names no job."""
    for path in {route.path for route in ROUTES if "{" not in route.path}:
        methods = {route.method for route in ROUTES if _fits(route.path, path)} - _methods(path)
        if methods:
            yield path, sorted(methods)


async def _wrong_method(request: Request) -> Response:
    raise HTTPException(405)


def _methods(path: str) -> set[str]:
    """The methods that a path has. What is written out in the table comes before what fits a pattern."""
    written = {route.method for route in ROUTES if route.path == path}
    return written or {route.method for route in ROUTES if _fits(route.path, path)}


def _fits(pattern: str, path: str) -> bool:
    return compile_path(pattern)[0].match(path) is not None
