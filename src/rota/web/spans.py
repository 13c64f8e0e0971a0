"""A span for each request that people and programs make. Loaded by servers that trace.

Probes, figures, streams, and what workers say of their jobs have none: they come by themselves, all the time.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.model import trace as w3c
from rota.web.api import LIVE_PATH, ROUTES

UNTRACED = frozenset(
    {
        "/livez",
        "/readyz",
        "/health",
        "/metrics",
        "/v1/fetch",
        "/v1/finish",
        "/v1/beat",
        "/v1/events",
        LIVE_PATH,
    }
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARENT, _STATE = w3c.PARENT.encode(), w3c.STATE.encode()
_w3c = TraceContextTextMapPropagator()


class Traced:
    """Around the whole web."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer
        self._routes = [(route.method, compile_path(route.path)[0], route.path) for route in ROUTES]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        carried = _carried(scope)
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        route = next(
            (
                path
                for known, pattern, path in self._routes
                if known == method and pattern.match(scope["path"])
            ),
            None,
        )
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "url.scheme": scope.get("scheme", "http"),
            "url.path": scope["path"],
        }
        if route is not None:
            attributes["http.route"] = route
        name = method if method != "_OTHER" else "HTTP"
        span = self._tracer.start_span(
            name if route is None else f"{name} {route}",
            _w3c.extract(carried) if carried else None,
            SpanKind.SERVER,
            attributes,
        )

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = int(message["status"])
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_attribute("error.type", str(status))
                    span.set_status(Status(StatusCode.ERROR))
            await send(message)

        if not carried:
            scope = _within(scope, span.get_span_context())
        with use_span(span, end_on_exit=True):
            await self._app(scope, receive, answer)


def _carried(scope: Scope) -> dict[str, str]:
    parents = [value.decode("latin-1") for name, value in scope["headers"] if name == _PARENT]
    states = [value.decode("latin-1") for name, value in scope["headers"] if name == _STATE]
    return w3c.context(parents[0], ",".join(states)) if len(parents) == 1 else {}


def _within(scope: Scope, span: Any) -> Scope:
    """The jobs of a request that belongs to no trace belong to the one that begins with it."""
    if not span.is_valid:
        return scope
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 0xFF:02x}"
    headers = [pair for pair in scope["headers"] if pair[0] not in (_PARENT, _STATE)]
    return {**scope, "headers": [*headers, (_PARENT, parent.encode())]}
