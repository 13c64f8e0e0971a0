"""A pooler as mean as one may be: after every transaction the next one runs in another session.

It knows as much of the protocol as that takes, and does what poolers do: sessions are opened without the
settings that a client asks for (it refuses them), clients get numbers of its own, and whatever a client left
in a session is met by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

_KNOWN = {"user", "database", "application_name", "client_encoding", "replication"}


class _Server(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Pooler:
    """Listens at ``url``; ``sessions`` are those it has open, ``transactions`` were run in turn by them."""

    def __init__(self, target: str, size: int) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._user, self._database = parts.username or "", parts.path.lstrip("/")
        self._size = size
        self._free: deque[_Server] = deque()
        self._greeting = b""
        self._room = asyncio.Condition()
        self.url = ""
        self.transactions = 0

    async def open(self) -> None:
        for _ in range(self._size):
            self._free.append(await self._connect())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            if await self._greet(reader, writer):
                message = await _message(reader)
                while message[:1] != b"X":
                    message = await self._one(message, reader, writer)
        writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            body = await reader.readexactly(size - 4)
            (code,) = struct.unpack("!I", body[:4])
            if code in (80877103, 80877104):  # TLS, GSS: not here
                writer.write(b"N")
                continue
            if code == 80877102:  # a cancel request
                return False
            words = body[4:].rstrip(b"\0").split(b"\0")
            unknown = {word.decode() for word in words[::2]} - _KNOWN
            if unknown:
                text = f"unsupported startup parameter: {min(unknown)}"
                fields = b"SFATAL\0C08P01\0M" + text.encode() + b"\0\0"
                writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
                await writer.drain()
                return False
            writer.write(b"R" + struct.pack("!II", 8, 0) + self._greeting)
            writer.write(b"K" + struct.pack("!III", 12, 1, 1) + b"Z" + struct.pack("!I", 5) + b"I")
            await writer.drain()
            return True

    async def _one(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """One transaction; the first message of the next one."""
        async with self._room:
            await self._room.wait_for(lambda: self._free)
            server = self._free.popleft()
        try:
            said = await self._transaction(first, reader, writer, server)
            self.transactions += 1
        except BaseException:
            # Left in the middle; its transaction is rolled back with it.
            server.writer.close()
            server = await self._connect()
            raise
        finally:
            async with self._room:
                self._free.append(server)
                self._room.notify()
        return await said

    async def _transaction(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: _Server
    ) -> asyncio.Future[bytes]:
        server.writer.write(first)
        asked = int(first[:1] in b"QS")
        said = asyncio.ensure_future(_message(reader))
        answered = asyncio.ensure_future(_message(server.reader))
        try:
            while True:
                await asyncio.wait([said, answered], return_when=asyncio.FIRST_COMPLETED)
                if answered.done():
                    answer = answered.result()
                    writer.write(answer)
                    asked -= answer[:1] == b"Z"
                    if answer[:1] == b"Z" and answer[-1:] == b"I" and not asked:
                        return said
                    answered = asyncio.ensure_future(_message(server.reader))
                elif said.done():
                    message = said.result()
                    server.writer.write(message)
                    asked += message[:1] in b"QS"
                    said = asyncio.ensure_future(_message(reader))
        except BaseException:
            said.cancel()
            answered.cancel()
            raise

    async def _connect(self) -> _Server:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        words = b"".join(word.encode() + b"\0" for word in ("user", self._user, "database", self._database))
        body = struct.pack("!I", 196608) + words + b"\0"
        writer.write(struct.pack("!I", len(body) + 4) + body)
        greeting = b""
        while (message := await _message(reader))[:1] != b"Z":
            if message[:1] == b"S":
                greeting += message
        self._greeting = greeting
        return _Server(reader, writer)


@contextlib.asynccontextmanager
async def pooler(target: str, size: int = 3) -> AsyncIterator[Pooler]:
    """A pooler before a database."""
    one = Pooler(target, size)
    await one.open()
    parts = urlsplit(target)
    async with await asyncio.start_server(one.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        one.url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        yield one
        server.close()
        for session in one._free:
            session.writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!I", head[1:])
    return head + await reader.readexactly(size - 4)
