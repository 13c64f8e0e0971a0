"""Something between an engine and its database that reads along, and cuts at the worst moment."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

_SECRETS = {80877103, 80877104}


class Between:
    """Listens at ``url``. Tell it what is to happen by :attr:`next_commit` and the others."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.next_commit: str | None = None
        """What happens to the next commit: ``kept``: it is done, and the answer is cut off; ``lost``: the
        connection is cut before it gets through.
        """
        self.cuts = 0
        self.refusing = False
        """Whether new connections are cut at once."""
        self.deaf: set[int] = set()
        """Connections, by number, over which nothing gets through any more, without a word."""
        self.connections = 0

    def fall_silent(self) -> None:
        """Nothing gets through any more over the connections that there are."""
        self.deaf.update(range(self.connections))

    def listen(self, server: asyncio.Server) -> None:
        port = server.sockets[0].getsockname()[1]
        self.url = self._target.replace(f"{self._host}:{self._port}", f"127.0.0.1:{port}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        number, self.connections = self.connections, self.connections + 1
        there, to = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, to}
        one = _One(self, number)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(one.forth(reader, to, writer))
                group.create_task(one.back(there, writer, to))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            to.transport.abort()
            self._writers -= {writer, to}

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class _One:
    """A connection: messages in both directions."""

    def __init__(self, between: Between, number: int) -> None:
        self._between = between
        self._number = number
        self._ends = False
        """Whether what the client said last ends a transaction, if the server says so, too."""
        self._idle = True

    async def forth(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while True:
            size = await reader.readexactly(4)
            (length,) = struct.unpack("!I", size)
            body = await reader.readexactly(length - 4)
            if struct.unpack("!I", body[:4])[0] in _SECRETS:
                back.write(b"N")
                continue
            to.write(size + body)
            break
        while True:
            kind = await reader.readexactly(1)
            size = await reader.readexactly(4)
            (length,) = struct.unpack("!I", size)
            body = await reader.readexactly(length - 4)
            if self._number in self._between.deaf:
                continue
            # A statement outside a transaction is one of its own.
            if (kind == b"E" and self._idle) or (kind == b"Q" and body.startswith(b"COMMIT")):
                self._ends = True
                if self._between.next_commit == "lost":
                    self._cut()
            to.write(kind + size + body)

    async def back(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, _: asyncio.StreamWriter
    ) -> None:
        held = b""
        while True:
            kind = await reader.readexactly(1)
            size = await reader.readexactly(4)
            (length,) = struct.unpack("!I", size)
            body = await reader.readexactly(length - 4)
            if self._number in self._between.deaf:
                continue
            held += kind + size + body
            if kind == b"Z":
                if self._ends and body == b"I" and self._between.next_commit == "kept":
                    self._cut()
                self._ends, self._idle = False, body == b"I"
            if kind in b"ZR" or not self._ends:
                to.write(held)
                held = b""

    def _cut(self) -> None:
        self._between.next_commit = None
        self._between.cuts += 1
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def between(target: str) -> AsyncIterator[Between]:
    """One in front of this database, for as long as the block lasts."""
    here = Between(target)
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.listen(server)
    try:
        yield here
    finally:
        server.close()
        here.close()
