"""Events as they happen, over server-sent events: what both clients' ``events`` are made of.

A connection that breaks is made again, from the last event that was seen. Three events are about the stream
itself: ``ready`` (listening; nothing was missed), ``reset`` (listening, but what happened meanwhile is not
known: read again what matters) and ``away`` (the connection is lost and tried again; ``data["why"]``).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import msgspec

from rota.model.errors import RotaError, Unavailable
from rota.sdk import calls
from rota.sdk.calls import Answer, Call
from rota.sdk.standin import stand_ins
from rota.sdk.transport import CONNECT_SECONDS, MAX_PAUSE, Transport

QUIET_SECONDS = 40.0
"""The server says something every 15 s; after so long the connection counts as broken."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; see docs/events.md. ``data`` is all that the server said of it, and
    ``cursor`` where to go on after it.
    """

    event: str
    cursor: str = ""
    id: str | None = None
    type: str | None = None
    queue: str | None = None
    state: str | None = None
    data: dict[str, Any] = {}


class Parser:
    """Lines of a stream to events."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def line(self, line: str) -> Event | None:
        """The event that this line ends, if it ends one. Raises RotaError for what is none."""
        if line:
            name, _, value = line.partition(":")
            if name:
                self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "event" not in fields:
            return None
        try:
            data = msgspec.json.decode(fields.get("data", "{}"), type=dict[str, Any])
            told = {name: data.get(name) for name in ("id", "type", "queue", "state")}
            made = {"event": fields["event"], "cursor": fields.get("id", ""), "data": data, **told}
            return msgspec.convert(made, Event)
        except msgspec.MsgspecError as error:
            raise RotaError(f"What comes is no stream of events ({error}).", code="bad_answer") from None


class Following:
    """What both clients share: the request, and what a failure means."""

    def __init__(self, transport: Transport, topics: Iterable[str], after: str | None) -> None:
        if transport.url in stand_ins:
            raise NotImplementedError("rota.testing has no stream of events; look at the jobs instead.")
        self._transport = transport
        self._topics = [topics] if isinstance(topics, str) else list(topics)
        self.cursor = after
        self._seen = self._told = False
        self._tries = 0

    def request(self) -> dict[str, Any]:
        """Arguments for ``stream`` of either httpx2 client."""
        query = urlencode([("topic", topic) for topic in self._topics])
        headers = {"Accept": "text/event-stream"}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        request = self._transport.request(Call("GET", f"/v1/events?{query}", lambda _: None, headers=headers))
        request["timeout"] = httpx2.Timeout(QUIET_SECONDS, connect=CONNECT_SECONDS)
        return request

    def check(self, status: int, kind: str, body: bytes) -> None:
        """Raise what an answer that is no stream means."""
        if status >= 400:
            raise calls.error_of(Answer(status, kind, body))
        if not kind.startswith("text/event-stream"):
            raise RotaError(
                f"What answers at {self._transport.url} is no Rota server; is the URL right?",
                code="bad_answer",
            )

    def heard(self, event: Event) -> Event:
        """Remember where we are."""
        self._seen, self._told, self._tries = True, False, 0
        self.cursor = event.cursor or self.cursor
        return event

    def lost(self, failure: Exception | None) -> Event | None:
        """The connection has ended. The event that says so, once; or raise."""
        if isinstance(failure, RotaError) and not isinstance(failure, Unavailable):
            raise failure
        told = failure if isinstance(failure, RotaError) else None
        if told is None:
            told = self._transport.unreachable(failure or ConnectionError("it hung up"), self._transport.url)
        # A server that ends the stream in good order may be there still, and knows where we were.
        if failure is not None or self._tries:
            self._transport.servers.leave(self._transport.url)
        self._tries += 1
        if not self._seen and self._tries // len(self._transport.servers.urls) > self._transport.retries:
            raise told
        # A server ends in good order when it stops, and when so many events wait for us that it keeps them no
        # longer apart from those for others: then the next try begins where this one ended.
        if not self._seen or self._told or (failure is None and self._tries == 1):
            return None
        self._told = True
        return Event(event="away", data={"why": told.detail})

    def pause(self) -> float:
        """Seconds before the next try."""
        return random.uniform(0.5, 1.0) * min(0.2 * 2.0 ** (self._tries - 1), MAX_PAUSE)


def follow(
    http: httpx2.Client, transport: Transport, topics: Iterable[str], after: str | None
) -> Iterator[Event]:
    """Events for ever; see :meth:`rota.Client.events`."""
    following = Following(transport, topics, after)
    while True:
        failure: Exception | None = None
        try:
            with http.stream(**following.request()) as answer:
                kind = answer.headers.get("content-type", "")
                good = answer.status_code == 200 and kind.startswith("text/event-stream")
                following.check(answer.status_code, kind, b"" if good else answer.read())
                parser = Parser()
                for line in answer.iter_lines():
                    if (event := parser.line(line)) is not None:
                        yield following.heard(event)
        except (httpx2.TransportError, RotaError) as error:
            failure = error
        if (told := following.lost(failure)) is not None:
            yield told
        time.sleep(following.pause())


async def follow_async(
    http: httpx2.AsyncClient, transport: Transport, topics: Iterable[str], after: str | None
) -> AsyncIterator[Event]:
    """The same, awaited."""
    following = Following(transport, topics, after)
    while True:
        failure: Exception | None = None
        try:
            async with http.stream(**following.request()) as answer:
                kind = answer.headers.get("content-type", "")
                good = answer.status_code == 200 and kind.startswith("text/event-stream")
                following.check(answer.status_code, kind, b"" if good else await answer.aread())
                parser = Parser()
                async for line in answer.aiter_lines():
                    if (event := parser.line(line)) is not None:
                        yield following.heard(event)
        except (httpx2.TransportError, RotaError) as error:
            failure = error
        if (told := following.lost(failure)) is not None:
            yield told
        await asyncio.sleep(following.pause())
