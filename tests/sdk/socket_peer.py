"""The other end of a worker socket, in plain JSON: says welcome, keeps frames, says what a test wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rota.model.protocol import MAX_FRAME

WELCOME = {"op": "welcome", "lease": 3.0, "beat": 1.0, "version": "9", "news": True}


class Peer:
    """Says welcome, keeps every frame, and says what the test wants."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.sockets: list[ServerConnection] = []
        self.welcome: dict[str, Any] = WELCOME
        self.refuse: Response | None = None
        self.mute = False
        self.url = ""
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | None] = self.agree

    def agree(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["op"] == "finish":
            return {
                "op": "finished",
                "answers": [
                    {"id": one["id"], "lease": one["lease"], "applied": True} for one in frame["outcomes"]
                ],
            }
        return None

    def named(self, op: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["op"] == op]

    async def say(self, frame: dict[str, Any] | str) -> None:
        await self.sockets[-1].send(frame if isinstance(frame, str) else json.dumps(frame))

    async def serve_one(self, connection: ServerConnection) -> None:
        self.sockets.append(connection)
        try:
            async for message in connection:
                assert isinstance(message, str), "frames are text"
                frame = json.loads(message)
                self.frames.append(frame)
                if self.mute:
                    continue
                reply = self.welcome if frame["op"] == "hello" else self.answer(frame)
                if reply is not None:
                    await connection.send(json.dumps(reply))
        except ConnectionClosed:
            pass

    def on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return self.refuse


@asynccontextmanager
async def peering() -> AsyncIterator[Peer]:
    peer = Peer()
    async with serve(
        peer.serve_one,
        "127.0.0.1",
        0,
        process_request=peer.on_request,
        max_size=MAX_FRAME,
        ping_interval=None,
    ) as server:
        peer.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield peer
