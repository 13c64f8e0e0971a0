"""/v1/pulse and the topic pulse of /v1/live."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from rota.core import pulse
from rota.core.events import KEPT, Event
from rota.web import events
from rota.web.events import shape
from tests.web.kit import Site, problem, until
from tests.web.test_events import hear, live, say


async def test_one(site: Site) -> None:
    await site.enqueue_many(2, queue="a")
    told = await site.get("/v1/pulse")
    assert told["jobs"]["pending"] == 2
    assert told["queues"][0] | {"oldest_age": 0} == {
        "name": "a",
        "paused": False,
        "pending": 2,
        "scheduled": 0,
        "running": 0,
        "failed": 0,
        "oldest_age": 0,
    }
    assert told["changed"] == {"jobs": True, "queues": ["a"], "workers": True, "failures": True}
    problem(await site.http.get("/v1/pulse?queue=a"), 422, "unknown_parameter", "queue")
    problem(await site.http.get("/v1/events?topic=pulse"), 422, "invalid_topic", "topic")


async def test_live(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.0)
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["pulse"])
        assert await hear(socket) == {"op": "subscribed", "topics": ["pulse"], "cursor": None, "reset": False}
        first = await hear(socket)
        assert (first["op"], first["jobs"]["pending"]) == ("pulse", 0)
        # Whoever watches this alone makes nobody build events.
        assert not site.service.bus.events.active
        await site.enqueue(queue="a")
        await site.service.pulses.beat()
        told = await hear(socket)
        assert (told["op"], told["jobs"]["pending"], told["changed"]["queues"]) == ("pulse", 1, ["a"])


async def test_live_with_other_topics(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.0)
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["pulse", "queue:a"])
        assert (await hear(socket))["cursor"] is not None
        assert (await hear(socket))["op"] == "pulse"
        id = await site.enqueue(queue="a")
        assert [event["id"] for event in (await hear(socket))["events"]] == [id]
        # The topics of events change; the pulse goes on, and does not begin anew.
        await say(socket, op="subscribe", topics=["pulse", "queue:b"])
        assert (await hear(socket))["op"] == "subscribed"
        await site.service.pulses.beat()
        assert (await hear(socket))["changed"]["queues"] == ["a"]
        await say(socket, op="subscribe", topics=["queue:b"])
        assert (await hear(socket))["op"] == "subscribed"
        assert not site.service.pulses.watched


async def test_who_leaves_watches_no_more(site: Site) -> None:
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["pulse"])
        await hear(socket)
        await until(lambda: site.service.pulses.watched)
    await until(lambda: not site.service.pulses.watched)


async def test_many_get_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.0)
    async with live(site) as one, live(site) as other:
        for socket in (one, other):
            await say(socket, op="subscribe", topics=["pulse"])
            await hear(socket)
            await hear(socket)
        await site.enqueue()
        await site.service.pulses.beat()
        first, second = await asyncio.gather(hear(one), hear(other))
        assert first == second


async def test_changing_topics_leaves_no_gap(site: Site) -> None:
    ids = await site.enqueue_many(3)
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=[f"job:{id}" for id in ids[:2]])
        await hear(socket)
        for id in ids[:2]:
            await site.post(f"/v1/jobs/{id}/cancel")
        # They may wait for the next frame when the topics change.
        await say(socket, op="subscribe", topics=[f"job:{id}" for id in ids[1:]])
        await site.post(f"/v1/jobs/{ids[2]}/cancel")
        frames = [await hear(socket)]
        while not any(event["id"] == ids[2] for one in frames for event in one.get("events", ())):
            frames.append(await hear(socket))
        told = [event["id"] for one in frames for event in one.get("events", ())]
        assert told in ([*ids], ids[1:])
        assert [one["reset"] for one in frames if one["op"] == "subscribed"] == [False]


async def test_an_event_is_put_into_words_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def counted(event: Event) -> dict[str, Any]:
        nonlocal made
        made += 1
        return shape(event)

    monkeypatch.setattr(events, "shape", counted)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(live(site)) for _ in range(5)]
        for socket in sockets:
            await say(socket, op="subscribe", topics=["queue:a"])
            await hear(socket)
        [id] = await site.enqueue_many(1, queue="a")
        for socket in sockets:
            assert [event["id"] for event in (await hear(socket))["events"]] == [id]
    assert made == 1


async def test_a_cursor_of_this_connection_changes_nothing(site: Site) -> None:
    """A page says it with each change of topics, and many events may lie behind it."""
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["job:a"])
        cursor = (await hear(socket))["cursor"]
        site.service.bus.events.publish(Event(event="log", at=0, id="b") for _ in range(KEPT + 1))
        await say(socket, op="subscribe", topics=["job:b"], after=cursor)
        assert (await hear(socket))["reset"] is False
        site.service.bus.events.publish([Event(event="log", at=0, id="b")])
        assert len((await hear(socket))["events"]) == 1
    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["job:b"], after=cursor)
        assert (await hear(socket))["reset"] is True


async def test_what_is_read_because_of_a_pulse_is_no_older(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.0)

    async def jobs() -> int:
        answer = await site.http.get("/v1/jobs", headers={"cache-control": "max-age=5"})
        return len(answer.json()["jobs"])

    async with live(site) as socket:
        await say(socket, op="subscribe", topics=["pulse"])
        await hear(socket)
        await hear(socket)
        assert await jobs() == 0
        await site.enqueue()
        assert await jobs() == 0
        await site.service.pulses.beat()
        assert (await hear(socket))["changed"]["jobs"]
        assert await jobs() == 1
