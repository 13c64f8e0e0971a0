"""WebSocket clients that are told the same texts: each has a bounded line of its own, and nobody waits for
one that does not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

log = logging.getLogger("rota.web")

SLOW = 4008


class Bounds(NamedTuple):
    """What may wait for one client: so many texts, and so many characters before the newest of them."""

    texts: int = 20_000
    characters: int = 8 * 1024 * 1024


class Audience:
    """ASGI endpoint of the socket. A client's first message is answered with ``greeting``, each later one
    with ``reminder``; nothing else that it sends matters.
    """

    def __init__(self, greeting: str, reminder: str, bounds: Bounds | None = None) -> None:
        self._answers = (greeting, reminder)
        self._bounds = bounds or Bounds()
        self._listeners: set[_Listener] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def tell(self, text: str) -> None:
        """Say this to everybody who is there now. Does not wait."""
        for one in tuple(self._listeners):
            one.put(text)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        listener = _Listener(receive, send, self._answers, self._bounds)
        self._listeners.add(listener)
        try:
            reads = await listener.run()
        finally:
            self._listeners.discard(listener)
        if not reads:
            # The last that it reads; where it reads nothing at all the connection is cut off in a while.
            await send({"type": "websocket.close", "code": SLOW})


class _Listener:
    def __init__(self, receive: Receive, send: Send, answers: tuple[str, str], bounds: Bounds) -> None:
        self._receive = receive
        self._send = send
        self._answers = answers
        self._bounds = bounds
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._news = asyncio.Event()
        self._slow = asyncio.Event()

    def put(self, text: str) -> None:
        """For this client, if it still reads."""
        if self._slow.is_set():
            return
        if len(self._waiting) >= self._bounds.texts or self._characters > self._bounds.characters:
            log.warning("a listener does not read", extra={"waiting": len(self._waiting)})
            self._waiting.clear()
            self._slow.set()
            return
        self._waiting.append(text)
        self._characters += len(text)
        self._news.set()

    async def run(self) -> bool:
        """Until it leaves. False: it has fallen too far behind."""
        tasks = [asyncio.create_task(one) for one in (self._read(), self._write(), self._slow.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            # A peer that is gone is no fault.
            if isinstance(end, Exception) and not isinstance(end, OSError):
                raise end
        return not self._slow.is_set()

    async def _read(self) -> None:
        answer, later = self._answers
        while (await self._receive())["type"] != "websocket.disconnect":
            self.put(answer)
            answer = later

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                text = self._waiting.popleft()
                await self._send({"type": "websocket.send", "text": text})
                self._characters -= len(text)
