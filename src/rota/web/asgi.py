"""The outermost ring: who may, the hot requests without a framework, and every error as a problem."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.model.errors import BadInput, NotFound, RotaError, Unauthorized
from rota.web import target, ticket, wire
from rota.web.auth import Gate
from rota.web.incoming import refuse_early
from rota.web.whole import Answer, Headers, Peer, Quick

log = logging.getLogger("rota.web")

BROKEN = "Something went wrong here; the log of the server says more."

Hot = Callable[["Call"], Awaitable[tuple[int, bytes]]]
Refusals = Callable[[str], Callable[[RotaError], ASGIApp] | None]
"""Who refuses at a path, where that is not up to us."""
Kept = Callable[[Scope], Response | None]
"""An answer that is there already."""
Start = Callable[["Call", bytes], tuple["asyncio.Future[Any]", Callable[[Any], tuple[int, bytes]]]]
"""Does with a call and its body what can be done at once; what it waits for, and what to make of that."""

_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")


class Call:
    """One request to a hot endpoint."""

    def __init__(self, scope: Scope, receive: Receive, max_body: int) -> None:
        self.query: bytes = scope["query_string"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        # Of a header that is there twice the first one counts.
        self._first = dict(reversed(self._headers))
        self.receive = receive
        self.unread = True
        """Some of the body may still be coming."""
        self._max_body = max_body

    def header(self, name: bytes) -> str | None:
        value = self._first.get(name)
        return None if value is None else value.decode("latin-1")

    def all(self, name: bytes) -> list[str]:
        """Every value of a header that may be there more than once."""
        return [value.decode("latin-1") for key, value in self._headers if key == name]

    async def json(self) -> bytes:
        """The body, which must be declared as JSON."""
        self.check_type()
        body = await read(self.receive, self._max_body, self.header(b"content-length"))
        self.unread = False
        return body

    def check_type(self) -> None:
        """BadInput unless the body is declared as JSON."""
        kind = (self.header(b"content-type") or "").partition(";")
        if kind[0].strip().lower() != "application/json" or (
            "charset" in kind[2] and "utf-8" not in kind[2].lower()
        ):
            raise BadInput(
                "Send JSON: the header Content-Type must be application/json (curl --json does that).",
                code="unsupported_media_type",
                status=415,
            )
        coding = self.header(b"content-encoding")
        if coding is not None and coding.strip().lower() != "identity":
            raise BadInput(
                f"Compressed bodies are not taken: send it without Content-Encoding: {coding[:40]}.",
                code="unsupported_encoding",
                status=415,
            )

    async def gone(self) -> None:
        """Returns when the client has gone away."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


async def read(receive: Receive, most: int, declared: str | None) -> bytes:
    """A whole body of at most ``most`` bytes."""
    if declared is not None and declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    message = await receive()
    body: bytes = message.get("body", b"")
    if len(body) > most:
        raise _too_large(most)
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise _too_large(most)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise BadInput("The body ended before its declared length.", code="truncated_body", status=400)
    return body


class Ring:
    """Wraps the application. ``whole``: by path, POSTs that are served without ASGI when they come whole."""

    def __init__(
        self,
        app: ASGIApp,
        hot: Mapping[tuple[str, str], Hot],
        gate: Gate,
        max_body: int,
        whole: Mapping[str, Start] | None = None,
        refusals: Refusals = lambda path: None,
        kept: Kept = lambda scope: None,
    ) -> None:
        self._app = app
        self._refusals = refusals
        self._kept = kept
        self._hot = hot
        self._gate = gate
        self._max_body = max_body
        self._others: set[asyncio.Future[Any]] = set()
        self.whole: dict[bytes, Quick] = {
            path.encode(): partial(self._whole, path, start) for path, start in (whole or {}).items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            call = None
            try:
                if scope["query_string"] and (given := self._ticket(scope)) is not None:
                    send = ticket.unlinked(send)
                    self._gate.check(scope, given)
                else:
                    self._gate.check(scope)
                target.check(scope.get("raw_path") or b"", scope["query_string"])
                hot = self._hot.get((scope["method"], scope["path"]))
                if hot is None:
                    if (kept := self._kept(scope)) is not None:
                        await kept(scope, receive, send)
                    else:
                        await self._through(scope, receive, send)
                    return
                call = Call(scope, receive, self._max_body)
                status, body = await hot(call)
                await respond(send, status, body)
            except RotaError as error:
                theirs = self._refusals(scope["path"])
                if call is not None and call.unread and error.status == 413:
                    headers = list(_problem_headers(error))
                    await refuse_early(receive, send, 413, headers, wire.problem(error))
                elif theirs is None:
                    await refuse(send, error)
                else:
                    await theirs(error)(scope, receive, send)
            except Exception:
                log.exception("request failed", extra={"method": scope["method"], "path": scope["path"]})
                await refuse(send, RotaError(BROKEN))
        elif kind == "websocket":
            try:
                self._gate.check(scope, self._ticket(scope))
                target.check(scope.get("raw_path") or b"", scope["query_string"])
            except RotaError as error:
                await receive()
                await _refuse_socket(scope, send, error)
                return

            async def told(message: Message) -> None:
                if message["type"] == "websocket.close" and not opened:
                    await _refuse_socket(scope, send, NotFound("There is no WebSocket here."))
                    return
                opened.add(message["type"])
                await send(message)

            opened: set[str] = set()
            await self._app(scope, receive, told)

    def _ticket(self, scope: Scope) -> bytes | None:
        return None if self._gate.tickets is None else ticket.cut(scope)

    def ready(self, url: bytes, headers: Headers, peer: Peer) -> Quick | None:
        """An answer that is there for whoever may have it; None: let it go the ordinary way."""
        path, _, query = url.partition(b"?")
        if not path.startswith(b"/v1/") or b"%" in path or b"ticket=" in query:
            return None
        scope = {
            "type": "http",
            "client": peer,
            "method": "GET",
            "path": path.decode("latin-1"),
            "query_string": query,
            "http_version": "1.1",
            "headers": headers,
        }
        kept = self._kept(scope)
        if kept is None:
            return None
        try:
            self._gate.check(scope)
        except RotaError:
            return None
        return lambda headers, body, peer, answer: answer(kept.status_code, bytes(kept.body), (_JSON,))

    def _whole(
        self, path: str, start: Start, headers: Headers, body: bytes, peer: Peer, answer: Answer
    ) -> None:
        scope = {
            "type": "http",
            "client": peer,
            "method": "POST",
            "path": path,
            "query_string": b"",
            "http_version": "1.1",
            "headers": headers,
        }
        try:
            self._gate.check(scope)
            call = Call(scope, _nothing, self._max_body)
            call.check_type()
            if len(body) > self._max_body:
                raise _too_large(self._max_body)
            future, made = start(call, body)
        except Exception as error:
            if getattr(error, "code", None) != "unsupported_media_type":
                self._tell(scope, error, answer)
                return
            # Not JSON: there may be who takes it all the same.
            call = Call(scope, _whole_body(body), self._max_body)
            future, made = asyncio.ensure_future(self._hot["POST", path](call)), lambda told: told
            self._others.add(future)
            future.add_done_callback(self._others.discard)

        def done(future: asyncio.Future[Any]) -> None:
            try:
                status, body = made(future.result())
            except Exception as error:
                self._tell(scope, error, answer)
            else:
                answer(status, body, (_JSON,))

        future.add_done_callback(done)

    def _tell(self, scope: Scope, error: Exception, answer: Answer) -> None:
        if not isinstance(error, RotaError):
            log.error(
                "request failed", exc_info=error, extra={"method": scope["method"], "path": scope["path"]}
            )
            error = RotaError(BROKEN)
        answer(error.status, wire.problem(error), _problem_headers(error))

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The framework answers its own faults before it hands them on: what is left is to log them."""
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("request failed", extra={"method": scope["method"], "path": scope["path"]})


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _whole_body(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def respond(send: Send, status: int, body: bytes, headers: tuple[Any, ...] = (_JSON,)) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, error: RotaError) -> None:
    """Answer with a problem."""
    await respond(send, error.status, wire.problem(error), _problem_headers(error))


async def _refuse_socket(scope: Scope, send: Send, error: RotaError) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = list(_problem_headers(error))
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": wire.problem(error)})


def _problem_headers(error: RotaError) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, Unauthorized):
        return _PROBLEM, (b"www-authenticate", b"Bearer")
    if error.status == 503:
        return _PROBLEM, (b"retry-after", b"1")
    if error.status == 413 or error.code == "bad_framing":
        # What is left of the body is not read, or nobody knows where it ends.
        return _PROBLEM, (b"connection", b"close")
    return (_PROBLEM,)


def _too_large(most: int) -> BadInput:
    return BadInput(
        f"The body is too large; this server takes at most {most} bytes.",
        code="payload_too_large",
        status=413,
    )
