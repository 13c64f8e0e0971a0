"""A cheap HTTP/1.1 client for load: keep-alive connections, one request in flight on each, no parsing beyond
need.

The measuring side must cost little, since it shares two cores with what it measures.
"""

from __future__ import annotations

import asyncio
import time


class Connection(asyncio.Protocol):
    """Sends one prepared request again and again until ``stop``; notes the time of every answer."""

    def __init__(self, request: bytes, deadline: float, expect: bytes) -> None:
        self.request = request
        self.deadline = deadline
        self.expect = expect
        self.times: list[float] = []
        self.faults = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = buffer
            return
        at = buffer.lower().find(b"content-length: ", 0, head)
        length = int(buffer[at + 16 : buffer.find(b"\r\n", at)])
        if len(buffer) < head + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        if buffer[9:12] != self.expect:
            self.faults += 1
        now = time.perf_counter()
        self.times.append(now - self._sent)
        if now < self.deadline:
            self._next()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self.request)  # type: ignore[attr-defined]


def post(path: str, body: bytes, host: str) -> bytes:
    """A prepared POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def hammer(
    host: str, port: int, request: bytes, connections: int, seconds: float, expect: bytes = b"201"
) -> tuple[float, list[float]]:
    """Requests per second, and the sorted latencies in seconds."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made = [
        (await loop.create_connection(lambda: Connection(request, started + seconds, expect), host, port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.done for one in made))
    took = time.perf_counter() - started
    faults = sum(one.faults for one in made)
    if faults:
        raise RuntimeError(f"{faults} answers were not {expect.decode()}")
    times = sorted(t for one in made for t in one.times)
    return len(times) / took, times
