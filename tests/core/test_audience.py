"""audience: events reach those whom they concern, in order and once, and cost all others nothing."""

from __future__ import annotations

import asyncio

import pytest

from rota.core.audience import Topics
from rota.core.events import BEHIND, Event, Lagged, Listener, Stream


def topics(jobs: str = "", queues: str = "") -> Topics:
    return Topics(frozenset(jobs.split()), frozenset(queues.split()))


def some(*about: str) -> list[Event]:
    """Events of ``job@queue``."""
    pairs = [one.partition("@") for one in about]
    return [Event(event="log", at=0, id=id or None, queue=queue or None) for id, _, queue in pairs]


async def got(listener: Listener) -> list[int]:
    return [event.n for event in await asyncio.wait_for(listener.next(), 5)]


async def test_by_job_and_by_queue() -> None:
    stream = Stream()
    with (
        stream.listen(None, topics("a b")) as jobs,
        stream.listen(None, topics(queues="x y")) as queues,
        stream.listen(None, topics("a c", "y")) as both,
        stream.listen(None, topics("none")) as nobody,
        stream.listen() as everybody,
        stream.listen(None, lambda event: event.id == "c") as asks,
    ):
        stream.publish(some("a@x", "c@y", "d@y", "b@z", "@", "a@y", "c@x"))
        assert await got(jobs) == [1, 4, 6]
        assert await got(queues) == [1, 2, 3, 6, 7]
        assert await got(both) == [1, 2, 3, 6, 7]
        assert await got(everybody) == [1, 2, 3, 4, 5, 6, 7]
        assert await got(asks) == [2, 7]
        assert not nobody._waiting


async def test_what_was_missed() -> None:
    stream = Stream()
    with stream.listen(None, topics("a")) as listener:
        cursor = stream.cursor()
        stream.publish(some("a@x", "b@x", "a@x"))
        with stream.listen(cursor, topics("b")) as late:
            assert await got(late) == [2]
        assert await got(listener) == [1, 3]


async def test_wanting_something_else_leaves_no_gap() -> None:
    stream = Stream()
    with stream.listen(None, topics("a b")) as listener:
        stream.publish(some("a@x", "b@x"))
        assert listener.seen == 0
        listener.want(topics("b c"))
        # What waits and is wanted no more is gone; the rest is still there, and the cursor is before it.
        assert listener.seen == 1
        stream.publish(some("c@x", "a@x", "b@x"))
        assert await got(listener) == [2, 3, 5]
        assert listener.seen == 5
        listener.want(None)
        stream.publish(some("z@x"))
        assert await got(listener) == [6]


async def test_who_left_or_was_dropped_is_forgotten() -> None:
    stream = Stream()
    with stream.listen(None, topics("a", "x")) as slow:
        for _ in range(BEHIND // 500 + 1):
            stream.publish(some("a@z") * 500)
        with pytest.raises(Lagged):
            await slow.next()
        slow.want(topics("b"))
    with stream.listen(None, topics("a b", "x")):
        pass
    assert not stream._audience._jobs
    assert not stream._audience._queues
    assert not stream._audience._askers


async def test_an_event_costs_those_nothing_whom_it_does_not_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    listeners = [stream.listen(None, topics(" ".join(f"{n}-{m}" for m in range(50)))) for n in range(200)]

    def asked(_: Event) -> bool:
        raise AssertionError("a listener is asked")

    monkeypatch.setattr(Topics, "__call__", lambda self, event: asked(event))
    monkeypatch.setattr(Listener, "put", lambda self, events: asked(events[0]))
    stream.publish(some("nobody's@x") * 100)
    monkeypatch.undo()
    stream.publish(some("7-7@x"))
    assert [n for n, one in enumerate(listeners) if one._waiting] == [7]
