"""A relay between Kafka's clients and its brokers, that cuts and stalls.

Clients find brokers by what the cluster tells of itself, so the relay reads along: in the answers that name
brokers it puts an address of its own for each of them. It runs in a thread of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Coroutine
from typing import Any

Place = tuple[str, int]

_PRODUCE, _METADATA, _COORDINATOR, _CLUSTER = 0, 3, 10, 60
_NAMES = {_METADATA: "metadata", _COORDINATOR: "coordinator", _CLUSTER: "cluster"}


class Relay:
    """At ``address``, until :meth:`close`."""

    def __init__(self, broker: Place, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: dict[Place, asyncio.Server] = {}
        self._open = asyncio.Event()
        self._broken = self._swallow = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._do(self._set_open(True))
        host, port = self._do(self._listen(broker))
        self.address = f"{host}:{port}"

    def cut(self) -> None:
        """Break all connections, and take no new ones."""
        self._do(self._cut())

    def stall(self) -> None:
        """Pass nothing on."""
        self._do(self._set_open(False))

    def swallow(self, writes: bool) -> None:
        """Whether requests that write records are lost on their way."""
        self._swallow = writes

    def mend(self) -> None:
        """All is well again."""
        self._broken = False
        self._do(self._set_open(True))

    def close(self) -> None:
        """End."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _set_open(self, open: bool) -> None:
        (self._open.set if open else self._open.clear)()

    async def _cut(self) -> None:
        self._broken = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        await self._cut()

    async def _listen(self, broker: Place) -> Place:
        """The relay's own address for a broker."""
        if broker not in self._servers:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                self._tasks.add(task)
                try:
                    await self._serve(broker, reader, writer)
                except asyncio.CancelledError:
                    pass
                finally:
                    self._tasks.discard(task)
                    writer.transport.abort()

            self._servers[broker] = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self._tls)
        host, port = self._servers[broker].sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def _serve(self, broker: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._broken:
            return
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*broker)
        except OSError:
            return
        asked: dict[int, tuple[int, int]] = {}

        async def requests() -> None:
            while True:
                frame = await _frame(reader)
                api, version, number = struct.unpack_from(">hhi", frame)
                if api in _NAMES:
                    asked[number] = api, version
                if not (self._swallow and api == _PRODUCE):
                    await self._pass(frame, far_writer)

        async def answers() -> None:
            while True:
                frame = await _frame(far_reader)
                (number,) = struct.unpack_from(">i", frame)
                if number in asked:
                    frame = await self._renamed(frame, *asked.pop(number))
                await self._pass(frame, writer)

        ways = [asyncio.ensure_future(requests()), asyncio.ensure_future(answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()

    async def _pass(self, frame: bytes, to: asyncio.StreamWriter) -> None:
        await self._open.wait()
        to.write(struct.pack(">i", len(frame)) + frame)
        await to.drain()

    async def _renamed(self, frame: bytes, api: int, version: int) -> bytes:
        """The same answer, with the brokers at our addresses."""
        text = _Text(frame)
        text.keep(4)
        if api == _METADATA:
            text.compact = version >= 9
            text.tags()
            text.keep(4 if version >= 3 else 0)
            for _ in range(text.count()):
                text.keep(4)
                await self._place(text)
                text.skip_string(version >= 1)
                text.tags()
        elif api == _CLUSTER:
            text.compact = True
            text.tags()
            text.keep(4 + 2)
            text.skip_string(True)
            text.keep(1 if version >= 1 else 0)
            text.skip_string(True)
            text.keep(4)
            for _ in range(text.count()):
                text.keep(4)
                await self._place(text)
                text.skip_string(True)
                text.keep(1 if version >= 2 else 0)
                text.tags()
        elif version >= 4:
            text.compact = True
            text.tags()
            text.keep(4)
            for _ in range(text.count()):
                text.skip_string(True)
                text.keep(4)
                await self._place(text)
                text.keep(2)
                text.skip_string(True)
                text.tags()
        else:
            text.compact = version >= 3
            text.tags()
            text.keep(4 if version >= 1 else 0)
            text.keep(2)
            text.skip_string(version >= 1)
            text.keep(4)
            await self._place(text)
        return text.rest()

    async def _place(self, text: _Text) -> None:
        host = text.string()
        port = text.number()
        # An answer that names nobody (there is no coordinator yet) stays as it is.
        place = await self._listen((host, port)) if host else (host, port)
        text.put(*place)


class _Text:
    """An answer that is read and written again at the same time."""

    def __init__(self, frame: bytes) -> None:
        self._frame, self._at = frame, 0
        self._out = bytearray()
        self.compact = False

    def keep(self, size: int) -> bytes:
        piece = self._frame[self._at : self._at + size]
        self._at += size
        self._out += piece
        return piece

    def count(self) -> int:
        if self.compact:
            return self._varint() - 1
        return int(struct.unpack(">i", self.keep(4))[0])

    def tags(self) -> None:
        if self.compact:
            for _ in range(self._varint()):
                self._varint()
                self.keep(self._varint())

    def skip_string(self, asked: bool) -> None:
        if asked:
            size = self._varint() - 1 if self.compact else struct.unpack(">h", self.keep(2))[0]
            self.keep(max(0, size))

    def string(self) -> str:
        """Read, not written."""
        kept = len(self._out)
        size = self._varint() - 1 if self.compact else struct.unpack(">h", self.keep(2))[0]
        text = self.keep(size).decode()
        del self._out[kept:]
        return text

    def number(self) -> int:
        """Read, not written."""
        self._at += 4
        return int(struct.unpack_from(">i", self._frame, self._at - 4)[0])

    def put(self, host: str, port: int) -> None:
        raw = host.encode()
        size = bytes([len(raw) + 1]) if self.compact else struct.pack(">h", len(raw))
        self._out += size + raw + struct.pack(">i", port)

    def rest(self) -> bytes:
        return bytes(self._out) + self._frame[self._at :]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.keep(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)
