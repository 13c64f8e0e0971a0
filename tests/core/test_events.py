"""events: numbered, in order, bounded; the slow are dropped, who comes back misses nothing or is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rota.core import events
from rota.core.events import BEHIND, KEPT, Closed, Cut, Event, Lagged, Stream
from rota.core.service import Service
from rota.model.errors import BadInput
from rota.model.protocol import Error, Line, Progress
from tests.core.kit import attach, put, quiet


def some(count: int, id: str = "a") -> list[Event]:
    return [Event(event="log", at=0, id=id) for _ in range(count)]


def numbers(batch: list[Event]) -> list[int]:
    return [event.n for event in batch]


async def told(service: Service, listener: events.Listener) -> list[tuple[str, Any]]:
    """What has happened so far, as (event, state)."""
    await quiet(service.engine)
    service.bus.events.publish([Event(event="mark", at=0)])
    return [(event.event, event.state) for event in await listener.next() if event.event != "mark"]


async def test_nothing_is_built_while_nobody_listens() -> None:
    stream = Stream()
    assert not stream.active
    with stream.listen():
        assert stream.active


async def test_a_listener_gets_all_from_then_on_in_order() -> None:
    stream = Stream()
    with stream.listen() as listener:
        stream.publish(some(2))
        stream.publish(some(1))
        assert numbers(await listener.next()) == [1, 2, 3]
        stream.publish(some(1))
        assert numbers(await listener.next()) == [4]


async def test_only_what_is_wanted() -> None:
    stream = Stream()
    with stream.listen(None, lambda event: event.id == "b") as listener:
        stream.publish(some(2, "a") + some(1, "b"))
        assert numbers(await listener.next()) == [3]


async def test_who_comes_back_gets_what_was_missed() -> None:
    stream = Stream()
    with stream.listen() as listener:
        stream.publish(some(2))
        await listener.next()
        cursor = stream.cursor()
    stream.publish(some(3))
    with stream.listen(cursor) as listener:
        assert numbers(await listener.next()) == [3, 4, 5]


async def test_who_comes_back_too_late_is_told() -> None:
    stream = Stream()
    with stream.listen():
        cursor = stream.cursor()
        stream.publish(some(KEPT))
        with stream.listen(cursor) as listener:
            assert len(await listener.next()) == KEPT
        stream.publish(some(1))
        with pytest.raises(Cut):
            stream.listen(cursor)


async def test_a_gap_while_nobody_listened_cannot_be_crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WARM", 0.0)
    stream = Stream()
    with stream.listen():
        cursor = stream.cursor()
    # What happens now is not kept; somebody else who listens afterwards must not make it look as if it were.
    assert not stream.active
    with stream.listen(), pytest.raises(Cut):
        stream.listen(cursor)


@pytest.mark.parametrize("cursor", ["", "x", "0-0", "zzzzzzzz-", "zzzzzzzz-x", "zzzzzzzz--1"])
async def test_a_cursor_that_is_none(cursor: str) -> None:
    with pytest.raises(BadInput) as caught:
        Stream().listen(cursor)
    assert caught.value.code == "invalid_cursor"


async def test_the_cursor_of_another_run() -> None:
    old, new = Stream(), Stream()
    with old.listen(), new.listen(), pytest.raises(Cut):
        new.listen(old.cursor())


async def test_who_does_not_read_is_dropped_and_others_are_not() -> None:
    stream = Stream()
    with stream.listen() as slow, stream.listen() as quick:
        for _ in range(BEHIND // 100 + 1):
            stream.publish(some(100))
            await quick.next()
        with pytest.raises(Lagged):
            await slow.next()
        stream.publish(some(1))
        assert len(await quick.next()) == 1
        assert slow._waiting == []


async def test_a_stop_sends_everybody_away() -> None:
    stream = Stream()
    with stream.listen() as listener:
        waiting = asyncio.ensure_future(listener.next())
        await asyncio.sleep(0)
        stream.close()
        with pytest.raises(Closed):
            await asyncio.wait_for(waiting, 5)


async def test_the_life_of_a_job(service: Service) -> None:
    with service.bus.events.listen() as listener:
        hand = await attach(service)
        id = await put(service)
        job = await hand.next()
        await service.workers.extend("w1", [], [Progress(id, job.lease, 0.5, "half")])
        await service.workers.log([Line(id, "said")], "w1")
        await hand.end(job, "failed", error=Error("E", "m"), delay=0.0)
        job = await hand.next()
        await hand.end(job)
        assert await told(service, listener) == [
            ("worker_joined", None),
            ("enqueued", "pending"),
            ("started", "running"),
            ("progress", "running"),
            ("log", "running"),
            ("requeued", "pending"),
            ("started", "running"),
            ("finished", "done"),
        ]


async def test_what_people_do(service: Service) -> None:
    with service.bus.events.listen() as listener:
        id = await put(service)
        await service.pause("default")
        await service.resume("default")
        await service.cancel(id)
        await service.retry(id)
        await service.delete(id)
        assert await told(service, listener) == [
            ("enqueued", "pending"),
            ("paused", None),
            ("resumed", None),
            ("finished", "cancelled"),
            ("requeued", "pending"),
            ("deleted", "pending"),
        ]
