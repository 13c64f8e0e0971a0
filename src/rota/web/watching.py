"""One WebSocket for pages that watch many things: events of jobs and queues, and the pulse."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from rota.core.events import Closed, Cut, Lagged, Listener
from rota.core.pulse import Pulse
from rota.core.service import Service
from rota.model.errors import BadInput, RotaError, StoreError
from rota.web import pulse, wire
from rota.web.events import check_topics, wanted_by, words

MAX_TOPICS = 1000
PULSE = "pulse"
SLOW, BAD_FRAME, GOING_AWAY = 4008, 1008, 1012
PAUSE = 0.1
"""Seconds in which events for one socket are collected into a frame: a page draws no more often."""


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", tag_field="op", forbid_unknown_fields=True):
    """Listen to these topics instead of those of before; ``after`` is a cursor to go on from."""

    topics: tuple[str, ...]
    after: str | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="op", forbid_unknown_fields=True):
    """Answered with a pong."""


_frames = msgspec.json.Decoder(Subscribe | Ping)


class LiveSocket:
    """ASGI endpoint of ``/v1/live``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._words = _Words()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await _Live(self._service, self._words, receive, send).run()


class _Words:
    """A pulse as text, made once for all sockets."""

    def __init__(self) -> None:
        self._of: object = None
        self._text = ""

    def pulse(self, one: Pulse) -> str:
        if self._of is not one:
            self._of, self._text = one, wire.encode({"op": "pulse"} | pulse.shape(one)).decode()
        return self._text


class _Live:
    def __init__(self, service: Service, words: _Words, receive: Receive, send: Send) -> None:
        self._others = service.others
        self._pulses = service.pulses
        self._stream = service.bus.events
        self._words = words
        self._receive = receive
        self._send = send
        self._listener: Listener | None = None
        self._since = 0
        self._pump: asyncio.Task[None] | None = None
        self._beats: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        try:
            faults = 0
            while (message := await self._receive())["type"] != "websocket.disconnect":
                try:
                    text = message.get("text")
                    if text is None:
                        raise BadInput("Frames are JSON text, not binary.", code="invalid_json")
                    await self._take(wire.decode(_frames, text.encode("utf-8", "surrogatepass")))
                except RotaError as error:
                    faults += 1
                    said = {"op": "error", "code": error.code, "detail": error.detail, "field": error.field}
                    await self._say(said)
                    if faults >= 10:
                        await self._send({"type": "websocket.close", "code": BAD_FRAME})
                        return
        finally:
            pump, beats, self._pump, self._beats = self._pump, self._beats, None, None
            await _end(pump)
            await _end(beats)

    async def _take(self, frame: Subscribe | Ping) -> None:
        if isinstance(frame, Ping):
            await self._say({"op": "pong"})
            return
        if len(frame.topics) > MAX_TOPICS:
            raise BadInput(f"At most {MAX_TOPICS} topics.", code="too_many_subscriptions", field="topics")
        topics = [topic for topic in frame.topics if topic != PULSE]
        check_topics(topics, "topics")
        said = await self._listen(frame, topics)
        if PULSE not in frame.topics:
            beats, self._beats = self._beats, None
            await _end(beats)
        await self._say(said)
        if PULSE in frame.topics and (self._beats is None or self._beats.done()):
            self._beats = asyncio.create_task(self._tell_pulses())

    async def _listen(self, frame: Subscribe, topics: list[str]) -> dict[str, Any]:
        wanted = wanted_by(topics)
        said = {"op": "subscribed", "topics": frame.topics, "cursor": None, "reset": False}
        listener = self._listener
        if listener is not None and topics and self._told_here(frame.after):
            # From where we are: what was told since is on its way already.
            listener.want(wanted)
            return said | {"cursor": self._stream.cursor(listener.seen)}
        self._listener = None
        pump, self._pump = self._pump, None
        await _end(pump)
        if not topics:
            # Nobody listens to events: they need not even be made.
            return said
        reset = False
        try:
            listener = self._stream.listen(frame.after, wanted)
        except Cut:
            reset = True
            listener = self._stream.listen(None, wanted)
        start = frame.after if frame.after is not None and not reset else self._stream.cursor()
        try:
            await self._others.heard()
        except BaseException:
            self._stream.leave(listener)
            raise
        self._listener, self._since = listener, listener.seen
        self._pump = asyncio.create_task(self._tell_events(listener))
        return said | {"cursor": start, "reset": reset}

    def _told_here(self, after: str | None) -> bool:
        """Whether a cursor is none, or one that this connection has told since it listens."""
        if after is None:
            return True
        seen = self._stream.number(after)
        return seen is not None and self._since <= seen <= self._stream.last

    async def _tell_events(self, listener: Listener) -> None:
        with listener:
            while True:
                try:
                    events = await listener.next()
                except (Lagged, Closed) as ended:
                    await self._close(SLOW if isinstance(ended, Lagged) else GOING_AWAY)
                    return
                told = b",".join([words(self._stream, event) for event in events]).decode()
                cursor = self._stream.cursor(events[-1].n)
                await self._put(f'{{"op":"events","events":[{told}],"cursor":"{cursor}"}}')
                # One frame for many events costs both ends least.
                await asyncio.sleep(PAUSE)

    async def _tell_pulses(self) -> None:
        with self._pulses.watch() as watcher:
            first: Pulse | None = None
            # A store that is away for a moment is no reason to go: the next one says how things are.
            with contextlib.suppress(StoreError):
                first = await self._pulses.now()
            if first is not None:
                await self._put(self._words.pulse(first))
            while True:
                await self._put(self._words.pulse(await watcher.next()))

    async def _say(self, frame: dict[str, Any]) -> None:
        await self._put(wire.encode(frame).decode())

    async def _put(self, text: str) -> None:
        async with self._lock:
            with contextlib.suppress(OSError):
                await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: int) -> None:
        with contextlib.suppress(OSError):
            await self._send({"type": "websocket.close", "code": code})


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
