"""Events for the world, as server-sent events: for scripts. Pages have :mod:`rota.web.watching`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rota.core.audience import Topics
from rota.core.events import BEHIND, Closed, Cut, Event, Lagged, Listener, Stream
from rota.core.service import Service
from rota.model.clock import to_text
from rota.model.errors import BadInput
from rota.web import wire
from rota.web.parameters import Asked, Parameter
from rota.web.takes import takes

QUIET = 15.0
"""Seconds without an event after which a sign of life is sent."""


def shape(event: Event) -> dict[str, Any]:
    """An event as the world sees it."""
    told: dict[str, Any] = {"n": event.n, "event": event.event, "at": to_text(event.at)}
    for name in ("id", "type", "queue", "state"):
        if (value := getattr(event, name)) is not None:
            told[name] = value
    return told | (event.detail or {})


def words(stream: Stream, event: Event) -> bytes:
    """An event as JSON, made once for all who get it."""
    kept = stream.words
    if (told := kept.get(event.n)) is None:
        if len(kept) >= BEHIND:
            kept.clear()
        told = kept[event.n] = wire.encode(shape(event))
    return told


def wanted_by(topics: Iterable[str]) -> Topics | None:
    """Topics are ``*``, ``queue:NAME`` and ``job:ID``. None: everything."""
    chosen = frozenset(topics)
    if "*" in chosen:
        return None
    return Topics(
        jobs=frozenset(topic.removeprefix("job:") for topic in chosen if topic.startswith("job:")),
        queues=frozenset(topic.removeprefix("queue:") for topic in chosen if topic.startswith("queue:")),
    )


def check_topics(topics: Iterable[str], field: str) -> None:
    """BadInput unless each is a topic."""
    for topic in topics:
        kind, found, name = topic.partition(":")
        if topic != "*" and not (found and kind in {"queue", "job"} and name):
            raise BadInput(
                f"A topic is *, queue:NAME, job:ID or (on /v1/live) pulse, not {topic[:100]!r}.",
                code="invalid_topic",
                field=field,
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
                % (stream.cursor(event.n).encode(), event.event.encode(), words(stream, event))
                for event in events
            )
