"""The worker's socket: frames in, jobs out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from rota import __version__
from rota.core.service import Service
from rota.core.worker import Worker
from rota.model import protocol
from rota.model.clock import SECOND
from rota.model.errors import BadInput, RotaError, Unavailable
from rota.model.protocol import MAX_FRAME
from rota.model.spec import HEADER_BYTES
from rota.web import reports, wire

log = logging.getLogger("rota.web")

HELLO_SECONDS = 10
MAX_WAITING = 10_000
"""Frames that may wait for a worker that does not read."""
MAX_UNSENT = MAX_FRAME
"""Bytes that may wait for a worker before the server stops listening to it."""
STALLED_SECONDS = 10
"""A worker that takes nothing for so long, while so much waits for it, is let go."""
MAX_JOBS_BYTES = MAX_FRAME - 2 * 1024 * 1024
"""Of the jobs in one frame, by estimate; a single job may have more."""
MAX_JOBS_BYTES = MAX_FRAME - 2 * 1024 * 1024
"""Of the jobs in one frame, by estimate; a single job may have more."""
MAX_FAULTS = 10

NO_HELLO, SLOW, TOO_MANY_FAULTS = 4401, 4008, 1008

_frames = msgspec.json.Decoder(protocol.FromWorker)


class Bounds(NamedTuple):
    """What a worker may cost; see the constants."""

    hello_seconds: float = HELLO_SECONDS
    max_waiting: int = MAX_WAITING
    max_unsent: int = MAX_UNSENT
    stalled_seconds: float = STALLED_SECONDS


class WorkerSocket:
    """ASGI endpoint of ``/v1/worker``."""

    def __init__(self, service: Service, bounds: Bounds | None = None) -> None:
        self._service = service
        self._bounds = bounds or Bounds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await _Connection(self._service, receive, send, self._bounds).run()


class _Connection:
    def __init__(self, service: Service, receive: Receive, send: Send, bounds: Bounds) -> None:
        self._workers = service.workers
        self._catalog = service.catalog
        self._bounds = bounds
        self._receive = receive
        self._send = send
        self._outbox: list[bytes] = []
        self._unsent = self._sent = 0
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._close: int | None = None
        self._worker: Worker | None = None
        self._faults = 0
        self._reports: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        writer = asyncio.create_task(self._write())
        reader = self._reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.cancel()
            if self._worker is not None:
                await self._workers.leave(self._worker)
            if self._reports:
                await asyncio.wait(self._reports)
            if self._close is not None:
                # Let a last refusal and the close frame out.
                await asyncio.wait([writer], timeout=1)
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _read(self) -> None:
        timeout: float | None = self._bounds.hello_seconds
        while await self._has_room():
            try:
                message = await asyncio.wait_for(self._receive(), timeout)
            except TimeoutError:
                told = f"No hello came within {self._bounds.hello_seconds:g} seconds."
                self._refuse(BadInput(told, code="no_hello"))
                self._end(NO_HELLO)
                return
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            try:
                if text is None:
                    raise BadInput("Frames are JSON text, not binary.", code="invalid_json")
                await self._take(reports.decode(_frames, text.encode("utf-8", "surrogatepass")))
            except RotaError as error:
                self._refuse(error)
                self._faults += 1
                if self._worker is None or self._faults >= MAX_FAULTS:
                    self._end(TOO_MANY_FAULTS)
                    return
            timeout = None

    async def _has_room(self) -> bool:
        """Wait while too much waits for the worker: more reports would only make more answers."""
        while self._unsent > self._bounds.max_unsent:
            sent = self._sent
            self._taken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._taken.wait(), self._bounds.stalled_seconds)
            if self._sent == sent:
                self._drop()
                return False
        return True

    async def _take(self, frame: protocol.FromWorker) -> None:
        if isinstance(frame, protocol.Hello):
            await self._hello(frame)
            return
        if self._worker is None:
            raise BadInput("The first frame must be a hello.", code="no_hello", field="op")
        worker = self._worker
        match frame:
            case protocol.Finish(outcomes):
                self._report(self._finish(worker, outcomes))
            case protocol.Beat(leases, progress):
                self._report(self._beat(worker, leases, progress))
            case protocol.Log(lines):
                self._report(self._workers.log(lines, worker.id))
            case protocol.WorkerDrain():
                self._workers.draining(worker)

    async def _hello(self, hello: protocol.Hello) -> None:
        if self._worker is not None:
            raise BadInput("This connection has said hello already.", code="second_hello", field="op")
        rules = self._workers.rules
        welcome = protocol.Welcome(rules.lease / SECOND, rules.beat / SECOND, __version__)
        first = wire.encode(welcome)
        self._put(first)
        try:
            self._worker = await self._workers.attach(
                hello,
                "socket",
                give=self._give,
                stop=lambda stops: self._say(protocol.Cancel(stops)),
                drain=lambda: self._say(protocol.ServerDrain()),
            )
            if hello.about:
                await self._catalog.keep(hello.about)
        except RotaError:
            self._outbox.remove(first)
            self._unsent -= len(first)
            raise

    async def _finish(self, worker: Worker, outcomes: list[protocol.Ending]) -> None:
        self._say(protocol.Finished(await self._workers.finish(worker.id, outcomes)))

    async def _beat(
        self, worker: Worker, leases: list[protocol.Lease], progress: list[protocol.Progress]
    ) -> None:
        stops = await self._workers.extend(worker.id, leases, progress)
        if stops:
            self._say(protocol.Cancel(stops))

    def _report(self, work: Coroutine[Any, Any, None]) -> None:
        """Run without holding up the frames behind: reports that arrive together share a commit."""
        task = asyncio.create_task(self._guarded(work))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RotaError as error:
            self._refuse(error)
        except Exception:
            log.exception("a worker's report failed")
            self._refuse(RotaError("Something went wrong here; the log of the server says more."))

    def _refuse(self, error: RotaError) -> None:
        again = isinstance(error, Unavailable)
        self._say(protocol.Refused(error.code, error.detail, error.field, again))

    def _give(self, jobs: list[protocol.Work]) -> None:
        """Jobs in as many frames as their payloads need."""
        part: list[protocol.Work] = []
        size = 0
        for job in jobs:
            more = _size(job)
            if part and size + more > MAX_JOBS_BYTES:
                self._say(protocol.Jobs(part))
                part, size = [], 0
            part.append(job)
            size += more
        self._say(protocol.Jobs(part))

    def _say(self, frame: protocol.FromServer) -> None:
        self._put(wire.encode(frame))

    def _put(self, text: bytes) -> None:
        self._outbox.append(text)
        self._unsent += len(text)
        self._news.set()
        if len(self._outbox) > self._bounds.max_waiting:
            self._drop()
            # The writer is stuck in a send, so that the end has to come from here.
            self._reader.cancel()

    def _drop(self) -> None:
        log.warning("a worker does not read", extra={"worker": self._worker and self._worker.id})
        self._outbox.clear()
        self._end(SLOW)

    def _end(self, code: int) -> None:
        self._close = code
        self._news.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                frames, self._outbox = self._outbox, []
                for text in frames:
                    await self._send({"type": "websocket.send", "text": text.decode()})
                    self._unsent -= len(text)
                    self._sent += 1
                    self._taken.set()
                if self._close is not None:
                    await self._send({"type": "websocket.close", "code": self._close})
                    return
        except OSError:
            # The peer is gone; the reader sees that too.
            return


def _size(job: protocol.Work) -> int:
    """About how many bytes a job takes in a frame; rather too many."""
    size = 2000 if job.headers is None else 2000 + 6 * HEADER_BYTES
    if job.payload_base64 is not None:
        return size + len(job.payload_base64)
    return size if isinstance(job.payload, msgspec.UnsetType) else size + memoryview(job.payload).nbytes
