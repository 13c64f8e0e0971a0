"""One WebSocket connection: bounds on what its library leaves open."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from rota.web.unread import Unread

MAX_FRAGMENTS = 1024
MESSAGE_SECONDS = 30.0
"""From the first fragment of a message to its last."""
MAX_UNREAD = 1024 * 1024
"""Bytes that may wait for a peer that sends pings and reads no pongs."""

NO_PINGS = "no_pings"
"""Set in the state of a connection's scope before it is accepted: its peer cannot be asked for signs of life,
as it reads nothing while it is busy. Whether it is there is left to TCP.
"""
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""Seconds, seconds, number and milliseconds: a peer that is gone is noticed after a minute."""

REFUSED = 1008


class Frames(Unread, WebSocketsSansIOProtocol):
    """Messages end, pings are answered only to those who listen, and sent only to those who can answer."""

    message_seconds = MESSAGE_SECONDS
    _unfinished: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._finished()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        # One whose peer has just said goodbye has nothing more to be told, and its library would raise.
        if not self.transport.is_closing():
            super().shutdown()

    def start_keepalive(self) -> None:
        if not self.scope["state"].get(NO_PINGS):
            super().start_keepalive()
            return
        peer = self.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            # Not every system has all of these.
            with contextlib.suppress(AttributeError, OSError):
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def handle_text(self, event: Frame) -> None:
        self._begin(event)
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._begin(event)
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if event.fin:
            self._finished()
        elif len(self.frames) >= MAX_FRAGMENTS:
            self._fail(f"a message may have {MAX_FRAGMENTS} fragments")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > MAX_UNREAD:
            self.transport.abort()
            return
        super().handle_ping()

    def _begin(self, event: Frame) -> None:
        if not event.fin:
            self._unfinished = self.loop.call_later(
                self.message_seconds, self._fail, f"a message may take {self.message_seconds:g} seconds"
            )

    def _finished(self) -> None:
        if self._unfinished is not None:
            self._unfinished.cancel()
            self._unfinished = None

    def _fail(self, reason: str) -> None:
        self._finished()
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": REFUSED, "reason": reason})
        self.conn.fail(REFUSED, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
