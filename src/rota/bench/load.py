"""A cheap HTTP/1.1 client for load: keep-alive connections, one request in flight on each, no parsing beyond
need.

The measuring side must cost little, since it shares the machine with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import cast

from rota.bench.site import PATIENCE, Broken


class Connection(asyncio.Protocol):
    """Sends one prepared request again and again until ``deadline``; notes how long every answer took."""

    def __init__(self, request: bytes, deadline: float, expect: bytes) -> None:
        self.times: list[float] = []
        self.faults = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._deadline = deadline
        self._expect = expect
        self._buffer = b""
        self._sent = 0.0
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = buffer
            return
        if len(buffer) < head + 4 + _length(buffer[: head + 2]):
            self._buffer = buffer
            return
        self._buffer = b""
        if buffer[9:12] != self._expect:
            self.faults += 1
        now = time.perf_counter()
        self.times.append(now - self._sent)
        if now < self._deadline:
            self._next()
        else:
            self._leaving = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self.faults += 1
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def post(path: str, shape: object) -> bytes:
    """A prepared POST of JSON."""
    body = json.dumps(shape).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def hammer(port: int, request: bytes, connections: int, seconds: float) -> tuple[float, list[float]]:
    """Answers per second, and how many seconds each took. Broken when one was no 201."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()

    def connection() -> Connection:
        return Connection(request, started + seconds, b"201")

    made = [(await loop.create_connection(connection, "127.0.0.1", port))[1] for _ in range(connections)]
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            await asyncio.gather(*(one.done for one in made))
    except TimeoutError:
        raise Broken("The server stopped answering.") from None
    took = time.perf_counter() - started
    if faults := sum(one.faults for one in made):
        raise Broken(f"{faults} requests were not answered with 201.")
    times = [one for each in made for one in each.times]
    return len(times) / took, times


async def ask_each(port: int, queue: str, count: int, pause: float) -> list[float]:
    """The results of ``count`` stamp jobs, stored one after the other with a rest before each: seconds from
    before the request to the start of the handler.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        times = []
        for _ in range(count):
            await asyncio.sleep(pause)
            shape = {"type": "stamp", "queue": queue, "payload": time.time()}
            writer.write(post("/v1/jobs?wait=30", shape))
            head = await reader.readuntil(b"\r\n\r\n")
            job = json.loads(await reader.readexactly(_length(head)))
            if job.get("state") != "done":
                raise Broken(f"A job did not run: {job}")
            times.append(job["result"])
        return times
    except asyncio.IncompleteReadError:
        raise Broken("The server closed a connection.") from None
    finally:
        writer.close()


def _length(head: bytes) -> int:
    at = head.lower().index(b"content-length: ") + 16
    return int(head[at : head.index(b"\r\n", at)])
