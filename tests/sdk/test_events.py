"""client.events: what happens, over breaks and restarts, in both clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

import rota
from rota.model.errors import BadInput, Unavailable
from rota.sdk.events import Event, Following, Parser
from rota.sdk.transport import Transport
from tests.server import running_server


def put(client: rota.Client, **fields: object) -> str:
    return client.enqueue(rota.job("nobody.knows", queue="q", **fields)).id  # type: ignore[arg-type]


def next_of(events: object, kind: str) -> Event:
    return next(event for event in events if event.event == kind)  # type: ignore[attr-defined]


def test_events_over_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        client = rota.Client(server.url)
        events = client.events()
        assert next(events).event == "ready"
        id = put(client)
        told = next_of(events, "enqueued")
        assert (told.id, told.type, told.queue, told.state) == (id, "nobody.knows", "q", "pending")
        assert told.data["at"]
        server.kill()
        away = next(events)
        assert away.event == "away"
        assert server.url in away.data["why"]
        with running_server(tmp_path, listen=server.url.removeprefix("http://")):
            assert next(events).event == "reset", "another run of the server knows nothing of before"
            again = put(client)
            assert next_of(events, "enqueued").id == again
        client.close()
        server.close()


def test_going_on_after_an_event(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, rota.Client(server.url) as client:
        events = client.events(["queue:q"])
        next(events)
        put(client)
        seen = next(events)
        missed = [put(client), put(client)]
        later = client.events(["queue:q"], after=seen.cursor)
        assert next(later).event == "ready"
        assert [next(later).id, next(later).id] == missed
        one = client.events(f"job:{missed[0]}")
        assert next(one).event == "ready"
        client.cancel(missed[1])
        client.cancel(missed[0])
        assert next(one).id == missed[0]


async def test_awaited(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        async with rota.AsyncClient(server.url) as client:
            events = client.events()
            assert (await anext(events)).event == "ready"
            created = await client.enqueue(rota.job("x", queue="q"))
            async with asyncio.timeout(10):
                assert (await anext(events)).id == created.id


def test_refusals_are_not_tried_again(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, rota.Client(server.url) as client:
        with pytest.raises(BadInput, match="topic"):
            next(client.events(["nonsense"]))
    with rota.Client("http://127.0.0.1:9", retries=1) as nobody, pytest.raises(Unavailable):
        next(nobody.events())


def test_parts_of_a_stream() -> None:
    parser = Parser()
    lines = ["retry: 1000", "id: a-1", "event: log", 'data: {"id": "j", "text": "x: y"}', ": quiet", ""]
    assert [parser.line(line) for line in lines[:-1]] == [None] * 5
    event = parser.line("")
    assert event is not None
    assert (event.event, event.cursor, event.id, event.data["text"]) == ("log", "a-1", "j", "x: y")
    assert parser.line("") is None


def test_being_too_slow_is_not_told_as_a_server_that_left() -> None:
    """It lets go of those who are far behind, in good order, and they go on where they were."""
    following = Following(Transport("http://127.0.0.1:9"), ["*"], None)
    following.heard(Event(event="ready", cursor="a-1"))
    assert following.lost(None) is None
    assert following.request()["headers"]["Last-Event-ID"] == "a-1"
    following.heard(Event(event="ready", cursor="a-1"))
    assert following.lost(None) is None, "as often as it happens"
    gone = following.lost(httpx2.ConnectError("refused"))
    assert gone is not None
    assert gone.event == "away", "this time there was no server to go on with"
    assert following.lost(httpx2.ConnectError("refused")) is None, "said once"
    following.heard(Event(event="ready", cursor="a-1"))
    broken = following.lost(httpx2.ReadError("reset"))
    assert broken is not None
    assert broken.event == "away"
