"""A real HTTP server on the loopback addresses that answers as told, and remembers who came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.handlers.smtp_sink import server_context


@dataclass
class Request:
    """What arrived; ``headers`` by lower-case name, ``host`` the address it came in on."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    address: str


Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def reply(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """An answer as bytes; underscores in header names become dashes."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def writing(answer: bytes, *, after: float) -> Script:
    """A script of a server that takes its time."""

    async def script(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after)
        writer.write(answer)

    return script


@dataclass
class HttpSink:
    """``answers`` by path: bytes to send, or a script that writes what it likes."""

    answers: Mapping[str, bytes | Script] = field(default_factory=dict)
    hosts: tuple[str, ...] = ("127.0.0.1",)
    tls: bool = False
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HttpSink]:
        """Listens on the same port of all ``hosts``. ``names``: what TLS clients asked for."""
        context: ssl.SSLContext | None = None
        if self.tls:
            context = server_context()
            context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        servers = []
        for host in self.hosts:
            server = await asyncio.start_server(self._accept, host, self.port, ssl=context)
            self.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        try:
            yield self
        finally:
            for server in servers:
                server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        address = writer.get_extra_info("sockname")[0]
        self.connections.append(address)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().rstrip("\r\n").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(method, target, headers, body, address))
            answer = self.answers.get(target.partition("?")[0], reply(404, b"no such path"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.closed.set()
            writer.close()
