"""Events for the world: server-sent events for scripts, one WebSocket for pages that watch many things."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rota.core.events import Closed, Cut, Event, Lagged, Listener
from rota.core.service import Service
from rota.model.clock import to_text
from rota.model.errors import BadInput, RotaError
from rota.web import wire
from rota.web.parameters import Asked, Parameter
from rota.web.takes import takes

QUIET = 15.0
"""Seconds without an event after which a sign of life is sent."""
MAX_TOPICS = 1000
SLOW, BAD_FRAME, GOING_AWAY = 4008, 1008, 1012
PAUSE = 0.02
"""Seconds in which events for one socket are collected into a frame."""


def shape(event: Event) -> dict[str, Any]:
    """An event as the world sees it."""
    told: dict[str, Any] = {"n": event.n, "event": event.event, "at": to_text(event.at)}
    for name in ("id", "type", "queue", "state"):
        if (value := getattr(event, name)) is not None:
            told[name] = value
    return told | (event.detail or {})


def wanted_by(topics: Iterable[str]) -> Callable[[Event], bool] | None:
    """Topics are ``*``, ``queue:NAME`` and ``job:ID``. None: everything."""
    chosen = frozenset(topics)
    if "*" in chosen:
        return None
    queues = {topic.removeprefix("queue:") for topic in chosen if topic.startswith("queue:")}
    jobs = {topic.removeprefix("job:") for topic in chosen if topic.startswith("job:")}
    return lambda event: event.id in jobs or event.queue in queues


def check_topics(topics: Iterable[str], field: str) -> None:
    """BadInput unless each is a topic."""
    for topic in topics:
        kind, found, name = topic.partition(":")
        if topic != "*" and not (found and kind in {"queue", "job"} and name):
            raise BadInput(
                f"A topic is *, queue:NAME or job:ID, not {topic[:100]!r}.", code="invalid_topic", field=field
            )


class Topic(NamedTuple):
    """Something to listen to."""

    def read(self, name: str, text: str) -> str:
        check_topics([text], name)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^(\*|(queue|job):[^\u0000]+)$"}

    def code(self, name: str) -> str:
        return "invalid_topic"


@takes(
    Parameter(
        "topic",
        Topic(),
        "`*` for everything (that is the default), `queue:NAME` or `job:ID`; may be given many times",
        repeated=True,
        example="queue:default",
    )
)
async def follow(service: Service, request: Request, asked: Asked) -> Response:
    """Events as they happen, as server-sent events, without an end. The first one is `ready`, or `reset`
    when what happened since `Last-Event-ID` cannot be told any more. The events are described in
    docs/events.md.
    """
    topics = asked["topic"]
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if request.method == "HEAD":
        # An answer without a body that never ends would hold up its connection for ever.
        return Response(None, 200, headers, "text/event-stream")
    after = request.headers.get("last-event-id")
    stream = service.bus.events
    reset = False
    try:
        listener = stream.listen(after, wanted_by(topics or ["*"]))
    except Cut:
        reset = True
        listener = stream.listen(None, wanted_by(topics or ["*"]))
    start = after if after is not None and not reset else stream.cursor()
    return StreamingResponse(
        _lines(service, listener, start, reset), headers=headers, media_type="text/event-stream"
    )


async def _lines(service: Service, listener: Listener, start: str, reset: bool) -> AsyncIterator[bytes]:
    stream = service.bus.events
    with listener:
        await service.others.heard()
        yield f"retry: 1000\nid: {start}\nevent: {'reset' if reset else 'ready'}\ndata: {{}}\n\n".encode()
        while True:
            try:
                events = await asyncio.wait_for(listener.next(), QUIET)
            except TimeoutError:
                yield b": quiet\n\n"
                continue
            except (Lagged, Closed):
                return
            yield b"".join(
                b"id: %s\nevent: %s\ndata: %s\n\n"
                % (stream.cursor(event.n).encode(), event.event.encode(), wire.encode(shape(event)))
                for event in events
            )


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await _Live(self._service, receive, send).run()


class _Live:
    def __init__(self, service: Service, receive: Receive, send: Send) -> None:
        self._others = service.others
        self._stream = service.bus.events
        self._receive = receive
        self._send = send
        self._pump: asyncio.Task[None] | None = None
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
            await self._stop()

    async def _take(self, frame: Subscribe | Ping) -> None:
        if isinstance(frame, Ping):
            await self._say({"op": "pong"})
            return
        if len(frame.topics) > MAX_TOPICS:
            raise BadInput(f"At most {MAX_TOPICS} topics.", code="too_many_subscriptions", field="topics")
        check_topics(frame.topics, "topics")
        wanted = wanted_by(frame.topics)
        await self._stop()
        reset = False
        try:
            listener = self._stream.listen(frame.after, wanted)
        except Cut:
            reset = True
            listener = self._stream.listen(None, wanted)
        start = frame.after if frame.after is not None and not reset else self._stream.cursor()
        said = {"op": "subscribed", "topics": frame.topics, "cursor": start, "reset": reset}
        try:
            await self._others.heard()
            await self._say(said)
        except BaseException:
            self._stream.leave(listener)
            raise
        self._pump = asyncio.create_task(self._run(listener))

    async def _run(self, listener: Listener) -> None:
        with listener:
            while True:
                try:
                    events = await listener.next()
                except (Lagged, Closed) as ended:
                    code = SLOW if isinstance(ended, Lagged) else GOING_AWAY
                    await self._send({"type": "websocket.close", "code": code})
                    return
                cursor = self._stream.cursor(events[-1].n)
                await self._say(
                    {"op": "events", "events": [shape(event) for event in events], "cursor": cursor}
                )
                # A page draws a few times a second; one frame for many events costs both ends least.
                await asyncio.sleep(PAUSE)

    async def _say(self, frame: dict[str, Any]) -> None:
        async with self._lock:
            with contextlib.suppress(OSError):
                await self._send({"type": "websocket.send", "text": wire.encode(frame).decode()})

    async def _stop(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
