"""Jobs pushed over a WebSocket (``/v1/worker``): JSON text frames, each with any number of jobs."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from pathlib import Path
from typing import Any, get_args

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from rota.model import protocol
from rota.model.errors import BadInput, Unavailable
from rota.model.protocol import MAX_FRAME, Answer, Ending, Hello, Lease, Line, Progress, Stop, Welcome, Work
from rota.sdk import calls
from rota.sdk.address import Servers, find_token, is_loopback
from rota.sdk.files import RemoteFiles
from rota.sdk.source import Disconnected

log = logging.getLogger("rota.worker")

CONNECT_SECONDS, CONNECT_ONE_OF = 10.0, 3.0
"""Seconds for a connection to be made; the second where there are several servers, and the leases run."""
ANSWER_SECONDS = 30.0
"""A report that is not answered for so long means that the server is stuck: connect again."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(protocol.FromServer).decode
_BYTES = MAX_FRAME - 1024
_OPS = frozenset(kind.__struct_config__.tag for kind in get_args(protocol.FromServer))


class _Op(msgspec.Struct):
    op: str


class SocketSource:
    """A :class:`rota.sdk.source.Source` over a WebSocket. ``url`` and ``token`` as for :class:`rota.App`: of
    several servers one is connected to, and when that connection is lost the next one, jobs in hand included.

    The server sends jobs for every slot whose ending it has got. Where a slot is not really free (its handler
    is a thread that cannot be stopped), jobs wait here: they are kept alive by the beats, and handed back
    after two.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.drained = asyncio.Event()
        self._servers = Servers(url)
        self._token = find_token(token)
        self._opened = False
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lost: Exception | None = None
        self._lease = 0.0
        self._jobs: deque[Work] = deque()
        self._waiting: dict[tuple[str, int], float] = {}
        self._patience = 0.0
        self._some = asyncio.Event()
        self._stops: asyncio.Queue[list[Stop]] = asyncio.Queue()
        self._asked: dict[tuple[tuple[str, int], ...], asyncio.Future[list[Answer]]] = {}
        self._files = RemoteFiles(url, token)
        self._worker = ""

    @property
    def url(self) -> str:
        """The server that it is connected to, or tries."""
        return self._servers.url

    async def open(self, hello: Hello) -> Welcome:
        self._worker = hello.worker
        if self._opened:
            self._servers.leave(self.url)
        self._opened = True
        if self._socket is not None:
            # It is broken: no time for manners, the leases run.
            self._socket.transport.abort()
        await self._hang_up()
        self._lost = None
        self._waiting = {}
        self._stops = asyncio.Queue()
        self.drained.clear()
        try:
            self._socket = await self._connect()
            await self._socket.send(_encode(hello), text=True)
            async with asyncio.timeout(self._patience_to_connect):
                first = _decode(await self._socket.recv(decode=False))
        except TimeoutError:
            raise Disconnected(f"The Rota server at {self.url} does not answer.") from None
        except ConnectionClosed as error:
            raise Disconnected(f"The Rota server at {self.url} hung up ({error}).") from None
        except msgspec.DecodeError as error:
            raise Disconnected(f"What answers at {self.url} is no Rota server ({error}).") from None
        if isinstance(first, protocol.Refused) and first.again:
            raise Disconnected(f"The Rota server at {self.url} is not ready: {first.detail}")
        if isinstance(first, protocol.Refused):
            raise BadInput(first.detail, code=first.code, field=first.field)
        if not isinstance(first, Welcome):
            raise Disconnected(f"The server at {self.url} did not say welcome.")
        self._lease, self._patience = first.lease, first.beat
        self._reader = asyncio.create_task(self._read(self._socket))
        return first

    async def claim(self, slots: int) -> list[Work]:
        while not self._jobs:
            self._check()
            self._some.clear()
            await self._some.wait()
        if slots >= len(self._jobs):
            jobs = list(self._jobs)
            self._jobs.clear()
            return jobs
        return [self._jobs.popleft() for _ in range(slots)]

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        frame = _encode(protocol.Finish(outcomes))
        if len(frame) > _BYTES and len(outcomes) > 1:
            middle = len(outcomes) // 2
            return await self.finish(outcomes[:middle]) + await self.finish(outcomes[middle:])
        # Reports are told apart by their endings.
        key = tuple((one.id, one.lease) for one in outcomes)
        answer: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._asked[key] = answer
        try:
            await self._send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise Disconnected("The server does not answer reports.") from None
        finally:
            if self._asked.get(key) is answer:
                del self._asked[key]

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        now = asyncio.get_running_loop().time()
        waiting = {
            (work.id, work.lease): self._waiting.get((work.id, work.lease), now) for work in self._jobs
        }
        late = {key for key, since in waiting.items() if now - since > self._patience}
        await self._hand_back([work for work in self._jobs if (work.id, work.lease) in late])
        self._waiting = {key: since for key, since in waiting.items() if key not in late}
        await self._send(_encode(protocol.Beat([*leases, *(Lease(*key) for key in self._waiting)], progress)))
        if progress and not leases:
            # News between two beats: nobody counts on it as a sign of life.
            return []
        # The answer to a ping proves that the beat before it has arrived.
        socket = self._socket
        if socket is None:
            raise Disconnected("There is no connection.")
        try:
            async with asyncio.timeout(max(1.0, self._lease / 2)):
                await (await socket.ping())
        except TimeoutError:
            raise Disconnected("The server does not answer heartbeats.") from None
        except ConnectionClosed as error:
            raise Disconnected(str(error)) from None
        return []

    async def log(self, lines: list[Line]) -> None:
        await self._send(_encode(protocol.Log(lines)))

    async def stops(self) -> list[Stop]:
        return await self._stops.get()

    async def drain(self) -> None:
        await self._send(_encode(protocol.WorkerDrain()))
        # An empty report: its answer comes after every job that was under way.
        await self.finish([])
        await self._hand_back(list(self._jobs))

    async def read_upload(self, lease: Lease, path: Path) -> None:
        await self._files.read_upload(lease, path)

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        await self._files.keep_artifact(self._worker, lease, path)

    async def close(self) -> None:
        await self._hang_up()
        await self._files.close()

    async def _hang_up(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    @property
    def _patience_to_connect(self) -> float:
        return CONNECT_SECONDS if len(self._servers.urls) == 1 else CONNECT_ONE_OF

    async def _connect(self) -> ClientConnection:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            return await connect(
                "ws" + self.url.removeprefix("http") + "/v1/worker",
                additional_headers=headers,
                user_agent_header="rota-sdk",
                compression=None,
                max_size=MAX_FRAME,
                open_timeout=self._patience_to_connect,
                close_timeout=1.0,
                # Every heartbeat is a ping already.
                ping_interval=None,
                proxy=None if is_loopback(self.url) else True,
            )
        except InvalidStatus as error:
            response = error.response
            kind = response.headers.get("content-type", "")
            refusal = calls.error_of(calls.Answer(response.status_code, kind, bytes(response.body or b"")))
            if isinstance(refusal, Unavailable) or refusal.status >= 500:
                raise Disconnected(f"The Rota server at {self.url} is not ready: {refusal}") from None
            raise refusal from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise Disconnected(
                f"No Rota server answers at {self.url} ({str(error) or type(error).__name__})."
            ) from None

    async def _send(self, frame: bytes) -> None:
        self._check()
        assert self._socket is not None
        try:
            await self._socket.send(frame, text=True)
        except ConnectionClosed as error:
            raise Disconnected(str(error)) from None

    async def _read(self, socket: ClientConnection) -> None:
        lost: Exception = Disconnected("The connection was closed.")
        try:
            while True:
                data = await socket.recv(decode=False)
                try:
                    self._got(_decode(data))
                except msgspec.ValidationError:
                    # A newer server may say more than we know; what we know has to be well formed.
                    if msgspec.json.decode(data, type=_Op).op in _OPS:
                        raise
        except ConnectionClosed as error:
            lost = Disconnected(str(error))
        except Disconnected as error:
            lost = error
        except msgspec.DecodeError as error:
            lost = Disconnected(f"The server sent a frame that is none: {error}.")
        finally:
            self._lost = lost
            self._jobs.clear()
            self._some.set()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(lost)

    def _got(self, frame: Any) -> None:
        match frame:
            case protocol.Jobs(jobs):
                self._jobs.extend(jobs)
                self._some.set()
            case protocol.Finished(answers):
                waiter = self._asked.get(tuple((one.id, one.lease) for one in answers))
                if waiter is not None and not waiter.done():
                    waiter.set_result(answers)
            case protocol.Cancel(stops):
                self._stops.put_nowait(stops)
            case protocol.ServerDrain():
                self.drained.set()
            case protocol.Refused(again=True, detail=detail):
                # Its store is away: what was reported is kept, and reported on the next connection.
                raise Disconnected(f"The server is not ready: {detail}")
            case protocol.Refused(code, detail, field):
                log.error("the server refused a frame", extra={"code": code, "why": detail})
                # Frames are answered in order; when a report waits, it is most likely the one.
                waiter = next((one for one in self._asked.values() if not one.done()), None)
                if waiter is not None:
                    waiter.set_exception(BadInput(detail, code=code, field=field))

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost
        if self._socket is None:
            raise Disconnected("There is no connection.")

    async def _hand_back(self, jobs: list[Work]) -> None:
        for work in jobs:
            self._jobs.remove(work)
        if jobs:
            await self.finish([Ending(work.id, work.lease, "released") for work in jobs])
