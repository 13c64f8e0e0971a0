"""Peers that do not read what was written for them."""

from __future__ import annotations

import asyncio


class Unread(asyncio.Protocol):
    """Goes before a protocol of uvicorn: a peer that takes not one byte for ``unread_seconds`` is cut off."""

    unread_seconds = 30.0
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _stuck: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._flows()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._look_later()

    def resume_writing(self) -> None:
        self._flows()
        super().resume_writing()

    def _flows(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _look_later(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self.unread_seconds, self._look, waiting)

    def _look(self, before: int) -> None:
        if self.transport.get_write_buffer_size() >= before:
            self._stuck = None
            self.transport.abort()
        else:
            self._look_later()
