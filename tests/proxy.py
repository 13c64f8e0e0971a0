"""A wire between a client and a server of TCP that a test can cut.

::

    with Proxy(cluster.port) as wire:
        url = wire.through(cluster.url)
        wire.reset()               # every connection breaks at once, as when a firewall forgets them
        with wire.silent():        # nothing comes through, and nobody is told
            ...
        with wire.refusing():      # nobody listens, and whoever was connected is cut off
            ...
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Literal

Way = Literal["in", "out"]
"""``in``: from clients to the server; ``out``: its answers."""
WAYS: tuple[Way, ...] = ("in", "out")
_PIECE = 1 << 16
_HOST = re.compile(r"(?<=://)((?:[^/?@]*@)?)[^/?]*")


class Proxy:
    """Listens at ``port`` of 127.0.0.1, a free one, for a server on this machine. All methods may be called
    from any thread.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = {way: asyncio.Event() for way in WAYS}
        self._delay = dict.fromkeys(WAYS, 0.0)
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        """How many there have been."""

    def through(self, url: str) -> str:
        """The URL with this wire's address in place of its own."""
        return _HOST.sub(lambda match: f"{match[1]}127.0.0.1:{self.port}", url, count=1)

    def reset(self) -> None:
        """End every connection with an RST on both sides."""
        self._call(self._reset)

    @contextlib.contextmanager
    def silent(self, *ways: Way) -> Iterator[None]:
        """What is sent, closing included, does not arrive before the end of the block. Both ways unless some
        are named. Connections can still be made, and stay silent, too.
        """
        self._call(lambda: self._hush(ways or WAYS))
        try:
            yield
        finally:
            self._call(lambda: self._pass_on(ways or WAYS))

    @contextlib.contextmanager
    def slow(self, seconds: float, *ways: Way) -> Iterator[None]:
        """Every piece arrives so much later."""
        self._call(lambda: self._delay.update(dict.fromkeys(ways or WAYS, seconds)))
        try:
            yield
        finally:
            self._call(lambda: self._delay.update(dict.fromkeys(ways or WAYS, 0.0)))

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens, and connections are reset."""
        self._run(self._stop())
        try:
            yield
        finally:
            self._run(self._listen())

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._call(lambda: self._pass_on(WAYS))
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self._reset()

    async def _close(self) -> None:
        await self._stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            # What is silent answers nobody, also not by being there.
            await self._open["in"].wait()
            there, on = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        except asyncio.CancelledError:
            writer.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        self._pairs.add((writer, on))
        self._tasks.add(task)
        try:
            await asyncio.gather(self._pass(reader, on, "in"), self._pass(there, writer, "out"))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard((writer, on))
            self._tasks.discard(task)
            writer.transport.abort()
            on.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        while True:
            data = await reader.read(_PIECE)
            await self._open[way].wait()
            if self._delay[way]:
                await asyncio.sleep(self._delay[way])
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    def _hush(self, ways: Sequence[Way]) -> None:
        for way in ways:
            self._open[way].clear()

    def _pass_on(self, ways: Sequence[Way]) -> None:
        for way in ways:
            self._open[way].set()

    def _reset(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    def _call(self, function: Callable[[], object]) -> None:
        async def call() -> None:
            function()

        self._run(call())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST."""
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
