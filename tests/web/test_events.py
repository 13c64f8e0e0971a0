"""/v1/events and /v1/live: what happens, as it happens, from where one was cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rota.core.events import BEHIND, Event
from tests.web.kit import Site, problem

Json = dict[str, Any]


class Sse:
    """A stream of server-sent events."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last = ""

    async def next(self) -> tuple[str, Json]:
        """(event, data); remembers its id."""
        fields: dict[str, str] = {}
        while True:
            line = await asyncio.wait_for(anext(self._lines), 10)
            if not line and "event" in fields:
                self.last = fields["id"]
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.partition(": ")
            fields[name] = value


@asynccontextmanager
async def following(site: Site, query: str = "", last: str | None = None) -> AsyncIterator[Sse]:
    headers = {} if last is None else {"last-event-id": last}
    async with site.http.stream("GET", f"/v1/events{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        sse = Sse(answer.aiter_lines())
        sse.first = await sse.next()  # type: ignore[attr-defined]
        yield sse


@asynccontextmanager
async def live(site: Site, **options: Any) -> AsyncIterator[ClientConnection]:
    url = site.socket_url.removesuffix("/worker") + "/live"
    async with connect(url, additional_headers=site.auth, proxy=None, **options) as socket:
        yield socket


async def say(socket: ClientConnection, **frame: Any) -> None:
    await socket.send(json.dumps(frame))


async def hear(socket: ClientConnection) -> Json:
    frame: Json = json.loads(await asyncio.wait_for(socket.recv(), 10))
    return frame


async def hear_events(socket: ClientConnection, count: int) -> list[Json]:
    events: list[Json] = []
    while len(events) < count:
        frame = await hear(socket)
        assert frame["op"] == "events", frame
        events += frame["events"]
        assert frame["cursor"].endswith(f"-{events[-1]['n']}")
    return events


async def test_sse_tells_what_happens(site: Site) -> None:
    async with following(site) as sse, site.worker() as worker:
        assert (await sse.next())[0] == "worker_joined"
        id = await site.enqueue(tags=["x"])
        await worker.done(await worker.job())
        for event, state in ("enqueued", "pending"), ("started", "running"), ("finished", "done"):
            kind, data = await sse.next()
            assert (kind, data["id"], data["state"], data["type"], data["queue"]) == (
                event,
                id,
                state,
                "work",
                "default",
            )


async def test_sse_goes_on_where_it_was_cut(site: Site) -> None:
    async with following(site) as sse:
        first = await site.enqueue()
        assert (await sse.next())[1]["id"] == first
        last = sse.last
    missed = await site.enqueue_many(2)
    async with following(site, last=last) as sse:
        assert sse.first == ("ready", {})  # type: ignore[attr-defined]
        assert [(await sse.next())[1]["id"] for _ in missed] == missed


async def test_sse_says_that_it_cannot_go_on(site: Site) -> None:
    async with following(site, last="00000000-7") as sse:
        assert sse.first == ("reset", {})  # type: ignore[attr-defined]


async def test_sse_topics(site: Site) -> None:
    mine = await site.enqueue()
    async with following(site, f"?topic=queue:mail&topic=job:{mine}") as sse:
        await site.enqueue()
        mail = await site.enqueue(queue="mail")
        await site.post(f"/v1/jobs/{mine}/cancel")
        assert [(await sse.next())[1]["id"] for _ in range(2)] == [mail, mine]


async def test_sse_refuses(site: Site) -> None:
    problem(await site.http.get("/v1/events?topic=jobs"), 422, "invalid_topic", "topic")
    problem(await site.http.get("/v1/events?topics=*"), 422, "unknown_parameter", "topics")
    problem(await site.http.get("/v1/events", headers={"last-event-id": "x"}), 400, "invalid_cursor")


async def test_live_tells_what_happens_and_goes_on(site: Site) -> None:
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["*"])
        assert (await hear(socket))["reset"] is False
        ids = await site.enqueue_many(3)
        events = await hear_events(socket, 3)
        assert [(event["event"], event["id"]) for event in events] == [("enqueued", id) for id in ids]
        epoch = site.service.bus.events.epoch
    missed = await site.enqueue_many(2)
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["*"], after=f"{epoch}-{events[-1]['n']}")
        assert (await hear(socket))["reset"] is False
        assert [event["id"] for event in await hear_events(socket, 2)] == missed
        await say(socket, op="subscribe", topics=["*"], after="00000000-1")
        assert (await hear(socket))["reset"] is True


async def test_live_topics_can_be_changed(site: Site) -> None:
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["queue:a"])
        assert (await hear(socket))["topics"] == ["queue:a"]
        await site.enqueue(queue="b")
        a = await site.enqueue(queue="a")
        assert [event["id"] for event in await hear_events(socket, 1)] == [a]
        await say(socket, op="subscribe", topics=["queue:b"])
        assert (await hear(socket))["op"] == "subscribed"
        await site.enqueue(queue="a")
        b = await site.enqueue(queue="b")
        assert [event["id"] for event in await hear_events(socket, 1)] == [b]
        await say(socket, op="ping")
        assert await hear(socket) == {"op": "pong"}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nonsense", "invalid_json"),
        (b"\x00", "invalid_json"),
        ('{"op":"dance"}', "wrong_type"),
        ('{"op":"subscribe","topics":["x"]}', "invalid_topic"),
        ('{"op":"subscribe","topics":["*"],"after":"x"}', "invalid_cursor"),
        ('{"op":"subscribe","topic":[]}', "unknown_field"),
        (json.dumps({"op": "subscribe", "topics": ["queue:q"] * 1001}), "too_many_subscriptions"),
    ],
)
async def test_live_says_what_was_wrong(site: Site, frame: str | bytes, code: str) -> None:
    async with live(site) as socket:
        await socket.send(frame)
        said = await hear(socket)
        assert (said["op"], said["code"]) == ("error", code)
        await say(socket, op="ping")
        assert await hear(socket) == {"op": "pong"}


async def test_live_loses_patience(site: Site) -> None:
    async with live(site) as socket:
        for _ in range(10):
            await socket.send("nonsense")
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await hear(socket)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008


async def test_who_does_not_read_is_dropped_and_the_server_goes_on(site: Site) -> None:
    stream = site.service.bus.events
    async with live(site, max_queue=1) as socket:
        await say(socket, op="subscribe", topics=["*"])
        assert (await hear(socket))["op"] == "subscribed"
        [listener] = stream._listeners
        text = {"text": "x" * 1000}
        while listener in stream._listeners:
            stream.publish(Event(event="log", at=0, id="a", detail=text) for _ in range(BEHIND // 10))
            await asyncio.sleep(0)
        assert await site.get("/livez") == {"status": "ok"}
        assert not stream._listeners


async def test_live_needs_an_upgrade_and_its_own_origin(site: Site) -> None:
    problem(await site.http.get("/v1/live"), 426, "upgrade_required")
    with pytest.raises(InvalidStatus) as caught:
        async with live(site, origin="http://evil.example"):
            pass
    assert caught.value.response.status_code == 403
