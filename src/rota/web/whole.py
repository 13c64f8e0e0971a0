"""Requests that came in one piece, answered without a task and with one write.

What uvicorn does for a request (a scope, a task, events, head and body written apart) costs more than all the
work behind an enqueue. A POST to a path that the application names in ``whole``, and a GET to which it has
an answer ``ready``, go past that when they are complete with the data that began them; any other is left to
uvicorn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Headers = list[tuple[bytes, bytes]]
Answer = Callable[[int, bytes, tuple[tuple[bytes, bytes], ...]], None]
"""Status, body and headers; to be called once, now or later."""
Peer = tuple[str, int] | None
Quick = Callable[[Headers, bytes, Peer, Answer], None]
"""Takes a request's headers, its body and from where it came, and answers."""

Ready = Callable[[bytes, Headers, Peer], Quick | None]
"""By the target of a GET, its headers and from where it came."""

_NONE: Mapping[bytes, Quick] = {}


class _Nobody:
    """Nobody waits for the rest of a request that is there."""

    def set(self) -> None:
        pass


class _Cycle:
    """A request in service, as far as uvicorn and we ask about it."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    response_started = False
    message_event = _Nobody()

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False


class Whole(HttpToolsProtocol):
    """Goes before the protocol of uvicorn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._quick: Quick | None = None
        self._pieces: list[bytes] = []
        self._taken: Mapping[bytes, Quick] = getattr(self.config.app, "whole", _NONE)
        self._ready: Ready | None = getattr(self.config.app, "ready", None)
        self._date: Headers | None = None
        self._head = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._quick is not None:
            self._hand_over()

    def on_message_begin(self) -> None:
        # The scope is made for those who need one.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        parser = self.parser
        method = parser.get_method()
        quick: Quick | None = None
        if method == b"POST":
            quick = self._taken.get(self.url)
        elif method == b"GET" and self._ready is not None:
            quick = self._ready(self.url, self.headers, self.client)
        if (
            quick is None
            or self._serving()
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
            or self.flow.write_paused
        ):
            self._ordinary(self.headers)
        else:
            self._quick = quick
            self._pieces = []
            self._keeps_alive = parser.should_keep_alive()
            self._fields = self.headers

    def on_body(self, body: bytes) -> None:
        if self._quick is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        quick = self._quick
        if quick is None:
            super().on_message_complete()
            return
        self._quick = None
        cycle = _Cycle(self._keeps_alive)
        self.cycle = cycle  # type: ignore[assignment]

        def answer(status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
            self._answer(cycle, status, body, headers)

        quick(self._fields, b"".join(self._pieces), self.client, answer)

    def _serving(self) -> bool:
        """Whether a request has no whole answer yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _answer(
        self, cycle: _Cycle, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        defaults = self.server_state.default_headers
        if defaults is not self._date:
            self._date, self._head = defaults, b"".join(b"%b: %b\r\n" % pair for pair in defaults)
        parts = [STATUS_LINE[status], self._head]
        for pair in headers:
            if pair[0] == b"connection":
                cycle.keep_alive = False
            else:
                parts.append(b"%b: %b\r\n" % pair)
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n%b" % (len(body), body))
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _hand_over(self) -> None:
        """Let uvicorn serve a request whose body is not complete."""
        self._quick = None
        trailers = self.headers
        self._ordinary(self._fields)
        self.headers = trailers
        if self._pieces:
            super().on_body(b"".join(self._pieces))

    def _ordinary(self, headers: Headers) -> None:
        url, expect = self.url, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers = self.scope["headers"] = headers
        super().on_headers_complete()
