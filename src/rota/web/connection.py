"""One HTTP connection: how long, how large and how many. uvicorn and its parser set no bounds to these.

A head that is not there in time, a body that crawls, a peer that does not read: each ends its connection,
with an answer where there is still something to answer. Every refusal is a problem, as those of the
application are.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from rota.model.errors import BadInput, RotaError, Unavailable
from rota.web import wire
from rota.web.auth import PROBES
from rota.web.unread import Unread
from rota.web.whole import Whole

MAX_HEADERS = 100
HEAD_BYTES = 32 * 1024
URL_BYTES = 8 * 1024
BODY_RATE = 16 * 1024
"""Bytes a second; a body may take so much longer than the timeout."""
SPARE = 100
"""Connections beyond the bound that still get an answer; further ones are closed without."""

_LINE_BYTES = 8000
"""Of one header of a WebSocket handshake."""
_IDLE, _HEAD, _BODY, _OVER = range(4)


class Bounds(NamedTuple):
    """Seconds and numbers; see docs/configuration.md."""

    head_seconds: float = 10.0
    body_seconds: float = 30.0
    connections: int = 10_000


def within(bounds: Bounds) -> type[Connection]:
    """The protocol class for uvicorn."""
    return type("Connection", (Connection,), {"bounds": bounds, "unread_seconds": bounds.body_seconds})


class Connection(Unread, Whole):
    """What arrives whole costs a look at the phase. There is one timer; it is late for nothing, and set again
    when it comes too early.
    """

    bounds = Bounds()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._phase = _IDLE
        self._chunk = self._fed = self._received = 0
        self._refusal: RotaError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._first = self.loop.time()
        self._head_since = self._body_since = 0.0
        self._idle_until = self._first + self.bounds.head_seconds
        beyond = len(self.connections) - self.bounds.connections
        self._full = beyond > 0
        if beyond > SPARE:
            self._phase = _OVER
            transport.close()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _OVER
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        self._fed += self._chunk
        super().data_received(data)
        if self._phase != _IDLE:
            self._watch()

    # the parser's callbacks

    def on_message_begin(self) -> None:
        self._phase = _HEAD
        self._fed = self._chunk
        self._received = 0
        # The first head may take as long as there is to ask for anything.
        self._head_since, self._first = self._first, 0.0
        self._body_since = 0.0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._full or self._fed > URL_BYTES or len(self.headers) > MAX_HEADERS:
            self._check_head()
        upgrade = self.parser.should_upgrade()
        if upgrade and not self._should_upgrade() and self._has_body():
            # The parser takes what follows for another protocol.
            self._raise("Send a body without the header Upgrade.", "unsupported_upgrade")
        super().on_headers_complete()
        self._phase = _BODY
        if upgrade:
            if not self._should_upgrade():
                self.cycle.keep_alive = False
        else:
            # What comes as headers from here on are trailers; they must not join the headers of the request.
            self.headers = []

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = _IDLE
        super().on_message_complete()

    # what uvicorn decides

    def on_response_complete(self) -> None:
        # In place of uvicorn's, which makes a timer for each answer.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        self._idle_until = self.loop.time() + self.timeout_keep_alive
        if self._phase != _IDLE or self._timer is None or self._timer_at > self._idle_until:
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up."""
        if self._quick is not None:
            # Nobody has begun with this one.
            self._quick, self._phase = None, _HEAD
        self._refuse(
            self._refusal or BadInput("This is no well-formed HTTP/1.1.", code="bad_framing", status=400)
        )

    def handle_websocket_upgrade(self) -> None:
        fault = self._handshake_fault()
        if fault is not None:
            self._phase = _HEAD
            self._refuse(fault)
            return
        self._phase = _OVER
        self._forget()
        super().handle_websocket_upgrade()

    # time

    def _watch(self) -> None:
        """Have a timer that is in time for what is missing."""
        if self._phase == _OVER or self.transport.is_closing():
            self._forget()
            return
        if self._phase == _BODY:
            framing = self._fed - self._received
            if framing > 3 * HEAD_BYTES + 16 * self._received:
                told = "There is more around the body than in it: extensions of chunks, or trailers."
                self._refuse(BadInput(told, code="bad_framing", status=400))
                return
        elif self._phase == _HEAD and self._fed > HEAD_BYTES + URL_BYTES:
            self._refuse(self._too_large())
            return
        until = self._deadline()
        if until is not None and (self._timer is None or until < self._timer_at):
            self._wait(until)

    def _deadline(self) -> float | None:
        """When what is missing is late. None: it is our turn."""
        if self._phase == _BODY:
            self._body_since = self._body_since or self.loop.time()
            return self._body_since + self.bounds.body_seconds + self._received / BODY_RATE
        if self._serving():
            return None
        if self._phase == _HEAD:
            self._head_since = self._head_since or self.loop.time()
            return self._head_since + self.bounds.head_seconds
        return self._idle_until

    def _wait(self, until: float) -> None:
        self._forget()
        self._timer_at = until
        self._timer = self.loop.call_at(until, self._late)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        until = self._deadline()
        if until is None or self.transport.is_closing():
            return
        bounds, now = self.bounds, self.loop.time()
        if self._phase == _BODY and (until > now + 0.001 or self.flow.read_paused):
            # The time in which we did not read is not the client's.
            self._wait(max(until, now + bounds.body_seconds / 2))
        elif until > now + 0.001:
            self._wait(until)
        elif self._phase == _BODY:
            told = (
                f"The body came too slowly: it may take {bounds.body_seconds:g} seconds, and one more for "
                f"each {BODY_RATE} bytes."
            )
            self._refuse(RotaError(told, code="request_timeout", status=408))
        elif self._phase == _HEAD:
            told = f"The head of the request did not come within {bounds.head_seconds:g} seconds."
            self._refuse(RotaError(told, code="request_timeout", status=408))
        elif self.transport.get_write_buffer_size():
            # Closed in peace, it would wait for ever to be rid of this.
            self.transport.abort()
        else:
            self.transport.close()

    # refusals

    def _check_head(self) -> None:
        if self._full and self.url.decode("latin-1") not in PROBES:
            self._refusal = Unavailable(
                f"This server has its {self.bounds.connections} connections; try again in a moment.",
                code="too_many_connections",
            )
        else:
            size = sum(len(name) + len(value) + 4 for name, value in self.headers)
            if len(self.url) > URL_BYTES or len(self.headers) > MAX_HEADERS or size > HEAD_BYTES:
                self._refusal = self._too_large()
        if self._refusal is not None:
            raise self._refusal

    def _too_large(self) -> RotaError:
        if len(self.url) > URL_BYTES:
            told = f"The target of the request may have {URL_BYTES} bytes."
            return BadInput(told, code="uri_too_long", status=414)
        told = f"The head of a request may have {MAX_HEADERS} headers and {HEAD_BYTES} bytes."
        return BadInput(told, code="headers_too_large", status=431)

    def _raise(self, told: str, code: str) -> None:
        self._refusal = BadInput(told, code=code, status=400)
        raise self._refusal

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
            for name, value in self.headers
        )

    def _handshake_fault(self) -> RotaError | None:
        """What the WebSocket library would not survive, or would refuse in its own words."""
        if self.scope["method"] != "GET" or self._has_body():
            told = "A WebSocket begins with a GET without a body."
        elif any(len(name) + len(value) > _LINE_BYTES for name, value in self.headers):
            return self._too_large()
        elif self._headers_of(b"sec-websocket-version") != [b"13"]:
            told = "The header Sec-WebSocket-Version must be 13."
        else:
            keys = self._headers_of(b"sec-websocket-key")
            try:
                if len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16:
                    return None
            except binascii.Error:
                pass
            told = "The header Sec-WebSocket-Key must be 16 random bytes in base64."
        return BadInput(told, code="bad_handshake", status=400)

    def _headers_of(self, name: bytes) -> list[bytes]:
        return [value.strip() for known, value in self.headers if known == name]

    def _refuse(self, error: RotaError) -> None:
        """Answer what is not yet a request, and close. A request in service before it keeps its answer."""
        phase, self._phase = self._phase, _OVER
        self._forget()
        self._refusal = error
        cycle = self.cycle
        if self._serving():
            if phase != _BODY:
                cycle.keep_alive = False
                self.flow.pause_reading()
                return
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
            # The request that is being refused: the application sees it as gone.
            cycle.disconnected = True
            cycle.message_event.set()
        elif phase == _BODY:
            # Its answer has been given already.
            self.transport.close()
            return
        body = wire.problem(error)
        lines = [STATUS_LINE[error.status]]
        for name, value in self.server_state.default_headers:
            lines.append(b"%b: %b\r\n" % (name, value))
        if error.status == 503:
            lines.append(b"retry-after: 1\r\n")
        lines.append(b"content-type: application/problem+json\r\nconnection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        self.transport.write(b"".join(lines) + body)
        self.transport.close()
