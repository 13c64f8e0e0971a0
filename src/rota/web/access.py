"""A line in the log for every request: what people watch while they develop."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("rota.access")

QUIET = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Paths that machines ask for all the time."""


class AccessLog:
    """Wraps the application. ``level``: of requests that went well.

    A request is told when it is answered, a WebSocket when it is open.
    """

    def __init__(self, app: ASGIApp, level: int) -> None:
        self._app = app
        self._level = level

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status: int | None = None

        async def watched(message: Message) -> None:
            nonlocal status
            match message["type"]:
                case "http.response.start" | "websocket.http.response.start":
                    status = message["status"]
                case "websocket.accept":
                    status = 101
                    self._tell(scope, status, began)
                case "websocket.close" if status is None:
                    status = 403
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if status != 101:
                self._tell(scope, status, began)

    def _tell(self, scope: Scope, status: int | None, began: float) -> None:
        level = self._level
        if level >= logging.INFO and (status is None or status >= 400):
            level = logging.ERROR if status is not None and status >= 500 else logging.WARNING
        method = scope.get("method", "GET")
        query = scope["query_string"].decode("latin-1")
        path = f"{scope['path']}?{query}" if query else scope["path"]
        ms = round((time.perf_counter() - began) * 1000, 1)
        shown = "left" if status is None else str(status)
        plain = (f"{method} {path} {shown}", f"{ms:g} ms")
        fields = {"method": method, "path": path, "status": status, "ms": ms, "_plain": plain}
        log.log(level, "request", extra=fields)
