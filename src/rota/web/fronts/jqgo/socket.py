"""``/ws/worker``: the workers of JobQueueGo.

A worker is greeted and gets one job; its next message of the right form is the result, which is acknowledged,
and then the next job comes. While a job runs it neither reads nor answers pings, so nothing but its
connection tells that it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive, Scope, Send

from rota.core import bound
from rota.core.bound import Bound
from rota.core.service import Service
from rota.model.protocol import Work
from rota.web.frames import NO_PINGS
from rota.web.fronts.jqgo import shapes
from rota.web.fronts.jqgo.shapes import NAME

log = logging.getLogger("rota.web")

GREETING = "connected to server"
ACKNOWLEDGED = "ack result was recived"  # as it is on the wire


class WorkerSocket:
    """ASGI endpoint."""

    def __init__(self, service: Service, queue: str) -> None:
        self._service = service
        self._queue = queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope.setdefault("state", {})[NO_PINGS] = True
        await send({"type": "websocket.accept"})
        host, port = scope.get("client") or ("?", 0)
        with contextlib.suppress(OSError):
            # The peer may go away at any moment; its job is given back then.
            await _Connection(receive, send).run(self._service, self._queue, f"{NAME} {host}:{port}")


class _Connection:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._bound: Bound
        self._speaking = asyncio.Lock()
        self._handing: set[asyncio.Task[None]] = set()
        self._handed = False
        self._leaving = False

    async def run(self, service: Service, queue: str, name: str) -> None:
        await self._say(GREETING)
        self._bound = await bound.join(service, NAME, queue, name, self._give, self._drain)
        try:
            await self._read()
        finally:
            for task in self._handing:
                task.cancel()
            await self._bound.leave(untouched=not self._handed)

    async def _read(self) -> None:
        while (message := await self._receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            body = message.get("bytes") or b"" if text is None else text.encode()
            report = shapes.report(body)
            if report is None:
                log.debug("a worker says something else", extra={"bytes": len(body)})
                # Thousands of these may have come at once.
                await asyncio.sleep(0)
                continue
            async with self._speaking:
                lease = self._bound.lease_of(report.id)
                if lease is not None:
                    await self._bound.finish(shapes.ending(report, lease))
                await self._say(ACKNOWLEDGED)
            if self._leaving and self._bound.idle:
                await self._close()

    def _give(self, jobs: list[Work]) -> None:
        self._handed = False
        for job in jobs:
            self._start(self._hand_over(job))

    async def _hand_over(self, job: Work) -> None:
        # The result before this job may still have to be acknowledged.
        async with self._speaking:
            self._handed = True
            await self._say(shapes.to_worker(job))

    def _drain(self) -> None:
        """There are no words for this, but a worker whose connection ends goes away."""
        self._leaving = True
        if self._bound.idle:
            self._start(self._close())

    def _start(self, saying: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_to_the_end(saying))
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)

    async def _close(self) -> None:
        await self._send({"type": "websocket.close", "code": 1000})

    async def _say(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})


async def _to_the_end(saying: Coroutine[Any, Any, None]) -> None:
    # Whoever reads sees that the peer is gone.
    with contextlib.suppress(OSError):
        await saying
