"""What happens at one server is told at the others: events, moves of followed types, and gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from rota.core import relay as relaying
from rota.core.bus import Bus
from rota.core.events import Cut, Event, Lagged, Listener
from rota.core.merging import HOLD
from rota.core.news import Here, Story, pack, unpack
from rota.core.relay import Relay
from rota.model.clock import ManualClock
from rota.model.job import Applied, Change, State
from rota.model.protocol import Line, Progress
from tests import postgres
from tests.core.kit import attach, put, until
from tests.core.peers_kit import server, two


@pytest.fixture
def shared() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


async def heard_until(listener: Listener, last: str) -> list[Event]:
    """All events up to the first of that kind."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        while last not in [event.event for event in events]:
            events += await listener.next()
    return events


def lives(events: Sequence[Event]) -> dict[str, list[str]]:
    """What happened to each job."""
    found: dict[str, list[str]] = {}
    for event in events:
        if event.id is not None:
            found.setdefault(event.id, []).append(event.event)
    return found


@pytest.mark.parametrize("options", ["", "?listen=no"], ids=["listening", "polling"])
async def test_the_stream_shows_what_happens_elsewhere_in_order(shared: str, options: str) -> None:
    async with server(shared + options) as one, server(shared + options) as other:
        with one.service.bus.events.listen() as listener:
            await until(lambda: other.peers.relay.active)
            hand = await attach(other.service, "w1", slots=2)
            ids = [await put(at.service) for _ in range(10) for at in (one, other)]
            for _ in ids:
                job = await hand.next()
                await other.service.workers.extend("w1", [], [Progress(job.id, job.lease, 0.5)])
                await other.service.workers.log([Line(job.id, "hello")], "w1")
                await hand.end(job)
            await other.service.pause("default")
            events = await heard_until(listener, "paused")
            await other.service.resume("default")
            await hand.leave()
            events += await heard_until(listener, "worker_left")
        whole = ["enqueued", "started", "progress", "log", "finished"]
        assert lives(events) == dict.fromkeys(ids, whole)
        assert [event.n for event in events] == list(range(events[0].n, events[0].n + len(events)))
        rest = [event.event for event in events if event.id is None]
        assert rest == ["worker_joined", "paused", "resumed", "worker_left"]


async def test_nothing_is_told_while_nobody_listens(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.core.events.WARM", 0.0)
    async with two(shared) as (one, other):
        assert not other.service.bus.events.active
        with one.service.bus.events.listen():
            await one.peers.heard()
            await until(lambda: other.service.bus.events.active)
            assert not other.service.bus.events.listened
        await until(lambda: not other.service.bus.events.active)


async def test_a_cursor_goes_on_where_it_was(shared: str) -> None:
    async with two(shared) as (one, other):
        stream = one.service.bus.events
        with stream.listen() as listener:
            await one.peers.heard()
            await until(lambda: other.peers.relay.active)
            await put(other.service)
            [seen] = await heard_until(listener, "enqueued")
        await put(other.service, queue="second")
        with stream.listen(stream.cursor(seen.n)) as again:
            [missed] = await heard_until(again, "enqueued")
        assert missed.queue == "second"
        # Who listens at one of them need not listen at the other, whose numbers are its own.
        with pytest.raises(Cut):
            other.service.bus.events.listen(stream.cursor(seen.n))


async def test_more_than_can_be_told_is_no_silence(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "MOST", 10)
    async with two(shared) as (one, other):
        with one.service.bus.events.listen() as listener:
            await until(lambda: other.peers.relay.active)
            cursor = one.service.bus.events.cursor()
            other.service.bus.events.publish([Event(event="odd", at=1)] * 11)
            with pytest.raises(Lagged):
                async with asyncio.timeout(20):
                    while True:
                        await listener.next()
        with pytest.raises(Cut):
            one.service.bus.events.listen(cursor)


# --- by itself ---


class Ear:
    """A follower, and what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def stored(self, ids: Sequence[str]) -> None:
        self.told.append(("stored", *ids))

    def started(self, ids: Sequence[str]) -> None:
        self.told.append(("started", *ids))

    def moved(self, jobs: Sequence[Applied]) -> None:
        self.told.append(("moved", *((one.id, one.state) for one in jobs)))

    def missed(self) -> None:
        self.told.append("missed")


def alone() -> tuple[Bus, Relay]:
    bus = Bus()
    return bus, Relay("me", bus, ManualClock(), lambda: None)


def test_a_gap_is_told() -> None:
    bus, relay = alone()
    ear = Ear()
    bus.follow("t", ear)
    for n in (7, 8):
        relay.hear(Story("other", n, False, [], []))
    assert ear.told == []
    relay.hear(Story("other", 10, False, [], []))
    assert ear.told == ["missed"]
    relay.hear(Story("other", 11, True, [], []))
    assert ear.told == ["missed"] * 2
    relay.forget("other")
    relay.hear(Story("other", 1, False, [], []))
    assert ear.told == ["missed"] * 2


def test_moves_of_followed_types_travel_and_are_not_sent_back() -> None:
    here, sender = alone()
    sender.wanted(False, ["t"])
    ended = Applied("a", 1, State.DONE, "q", "t")
    here.tell([ended, Applied("b", 1, State.DONE, "q", "u"), Applied("c", 1, None, "q", "t")])
    stories = [unpack(pack(story)) for story in sender.stories()]
    there, receiver = alone()
    receiver.wanted(False, ["t"])
    ear = Ear()
    there.follow("t", ear)
    for story in stories:
        assert isinstance(story, Story)
        receiver.hear(story)
    assert ear.told == [("moved", ("a", State.DONE))]
    assert receiver.stories() == []
    assert sender.stories() == []


def test_what_could_not_be_sent_is_a_gap() -> None:
    bus, relay = alone()
    relay.wanted(True, [])
    bus.events.publish([Event(event="odd", at=1)])
    assert [story.lost for story in relay.stories()] == [False]
    relay.failed()
    bus.events.publish([Event(event="odd", at=1)])
    assert [(story.n, story.lost) for story in relay.stories()] == [(2, True)]


async def test_what_happens_here_waits_for_what_happened_elsewhere_before() -> None:
    bus, clock = Bus(), ManualClock()
    relay = Relay("me", bus, clock, lambda: None)
    relay.alone = False
    now = clock.now()
    with bus.events.listen() as listener:
        bus.events.publish([Event(event="finished", at=now, id="a", state="cancelled")])
        clock.advance(HOLD - 1)
        enqueued = Event(event="enqueued", at=now - 5, id="a", state="pending")
        relay.hear(Story("other", 1, False, [enqueued], []))
        clock.advance(HOLD)
        events = await heard_until(listener, "finished")
    assert [event.event for event in events] == ["enqueued", "finished"]


async def test_who_waits_hears_of_an_end_from_the_news() -> None:
    bus, relay = alone()
    with bus.waiting("a") as one, bus.waiting("b") as two, bus.waiting("c") as three:
        events = [
            Event(event="finished", at=1, id="a", state="done"),
            Event(event="requeued", at=1, id="b", state="pending"),
            Event(event="deleted", at=1, id="c", state="pending"),
        ]
        relay.hear(Story("other", 1, False, events, []))
        assert (one.done(), two.done(), three.done()) == (True, False, True)


def test_an_event_arrives_as_it_was() -> None:
    event = Event(event="log", at=5, id="a", queue="q", lease=3, detail={"level": "info", "text": "\u2028"})
    story = unpack(pack(Story("me", 1, False, [event], [])))
    assert isinstance(story, Story)
    assert story.events == [event]
    assert unpack(b'["unheard_of",1]') is None
    assert unpack(b"\xff") is None
    assert msgspec.json.decode(pack(Story("me", 1, False, [], [])))[0] == "story"


async def test_what_a_server_says_is_newer_than_its_note_of_before(shared: str) -> None:
    async with two(shared) as (one, other):
        note = one.peers.servers[0]
        await one.freeze()
        before = Here(note.id, note.beat - 1, False, ())
        for news, active in (
            (Here(note.id, note.beat, True, ("t",)), True),
            (before, True),
            (Here(note.id, note.beat, False, ()), False),
        ):
            await other.peers._heard(Change((), [pack(news)]))
            assert other.peers.relay.active is active
            # An old note, read again because somebody else's has changed.
            await other.peers.look()
            other.peers._changed()
            assert other.peers.relay.active is active
