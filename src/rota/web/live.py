"""The worker's socket: frames in, jobs out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from rota import __version__
from rota.core.service import Service
from rota.core.workers import Worker
from rota.model import protocol
from rota.model.clock import SECOND
from rota.model.errors import BadInput, RotaError
from rota.web import wire

log = logging.getLogger("rota.web")

HELLO_SECONDS = 10
MAX_WAITING = 10_000
"""Frames that may wait for a worker that does not read."""
MAX_FAULTS = 10

NO_HELLO, SLOW, TOO_MANY_FAULTS = 4401, 4008, 1008

_frames = msgspec.json.Decoder(protocol.FromWorker)


class WorkerSocket:
    """ASGI endpoint of ``/v1/worker``."""

    def __init__(
        self, service: Service, hello_seconds: float = HELLO_SECONDS, max_waiting: int = MAX_WAITING
    ) -> None:
        self._service = service
        self._hello_seconds = hello_seconds
        self._max_waiting = max_waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await _Connection(self._service, receive, send, self._hello_seconds, self._max_waiting).run()


class _Connection:
    def __init__(
        self, service: Service, receive: Receive, send: Send, hello_seconds: float, max_waiting: int
    ) -> None:
        self._workers = service.workers
        self._hello_seconds = hello_seconds
        self._max_waiting = max_waiting
        self._receive = receive
        self._send = send
        self._outbox: list[protocol.FromServer] = []
        self._news = asyncio.Event()
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
        timeout: float | None = self._hello_seconds
        while True:
            try:
                message = await asyncio.wait_for(self._receive(), timeout)
            except TimeoutError:
                self._refuse(
                    BadInput(f"No hello came within {self._hello_seconds:g} seconds.", code="no_hello")
                )
                self._end(NO_HELLO)
                return
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            try:
                if text is None:
                    raise BadInput("Frames are JSON text, not binary.", code="invalid_json")
                await self._take(wire.decode(_frames, text.encode("utf-8", "surrogatepass")))
            except RotaError as error:
                self._refuse(error)
                self._faults += 1
                if self._worker is None or self._faults >= MAX_FAULTS:
                    self._end(TOO_MANY_FAULTS)
                    return
            timeout = None

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
        self._put(welcome)
        try:
            self._worker = await self._workers.attach(
                hello,
                "socket",
                give=lambda jobs: self._put(protocol.Jobs(jobs)),
                stop=lambda stops: self._put(protocol.Cancel(stops)),
                drain=lambda: self._put(protocol.ServerDrain()),
            )
        except RotaError:
            self._outbox.remove(welcome)
            raise

    async def _finish(self, worker: Worker, outcomes: list[protocol.Ending]) -> None:
        self._put(protocol.Finished(await self._workers.finish(worker.id, outcomes)))

    async def _beat(
        self, worker: Worker, leases: list[protocol.Lease], progress: list[protocol.Progress]
    ) -> None:
        stops = await self._workers.extend(worker.id, leases, progress)
        if stops:
            self._put(protocol.Cancel(stops))

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
        self._put(protocol.Refused(error.code, error.detail, error.field))

    def _put(self, frame: protocol.FromServer) -> None:
        self._outbox.append(frame)
        self._news.set()
        if len(self._outbox) > self._max_waiting:
            log.warning("a worker does not read", extra={"worker": self._worker and self._worker.id})
            self._outbox.clear()
            self._end(SLOW)
            # The writer is stuck in a send, so that the end has to come from here.
            self._reader.cancel()

    def _end(self, code: int) -> None:
        self._close = code
        self._news.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                frames, self._outbox = self._outbox, []
                for frame in frames:
                    await self._send({"type": "websocket.send", "text": wire.encode(frame).decode()})
                if self._close is not None:
                    await self._send({"type": "websocket.close", "code": self._close})
                    return
        except OSError:
            # The peer is gone; the reader sees that too.
            return
