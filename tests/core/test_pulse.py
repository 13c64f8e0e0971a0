"""The pulse: right numbers, what changed since, one for all who watch, and nothing for nobody."""

from __future__ import annotations

import asyncio
import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

from rota.core import pulse
from rota.core.pulse import Changed, Pulse
from rota.core.service import Service
from rota.model.clock import SECOND, ManualClock
from rota.model.job import State
from tests.core.kit import attach, put, put_many, quiet


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of the server takes none of the test."""
    monkeypatch.setattr(pulse, "BEAT", 0.0)


async def beat(service: Service) -> None:
    await quiet(service.engine)
    await service.pulses.beat()


def queue_of(told: Pulse, name: str) -> tuple[Any, ...]:
    [one] = [queue for queue in told.queues if queue.name == name]
    return one.paused, one.pending, one.scheduled, one.running, one.failed, one.oldest_age


async def test_numbers(service: Service, clock: ManualClock) -> None:
    await put_many(service, 2, queue="full")
    await put(service, queue="full", delay=60)
    clock.advance(3 * SECOND)
    await put(service, queue="bad")
    await service.pause("closed")
    hand = await attach(service, "w1", slots=3, queues=["bad", "idle"])
    await hand.end(await hand.next(), "failed", error=None, retry=False)
    await put(service, queue="bad")
    await hand.next()
    await quiet(service.engine)
    told = await service.pulses.now()
    assert told.at == clock.now()
    assert {str(state): jobs for state, jobs in told.jobs.items() if jobs} == {
        "pending": 2,
        "scheduled": 1,
        "running": 1,
        "failed": 1,
    }
    assert [queue.name for queue in told.queues] == ["full", "bad", "closed", "idle"]
    assert queue_of(told, "full") == (False, 2, 1, 0, 0, 3.0)
    assert queue_of(told, "bad") == (False, 0, 0, 1, 1, None)
    assert queue_of(told, "closed") == (True, 0, 0, 0, 0, None)
    assert (told.workers.connected, told.workers.slots, told.workers.running) == (1, 3, 1)
    assert told.changed == Changed(True, ["full", "bad", "closed", "idle"], True, True)


async def test_the_fullest_queues(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "MAX_QUEUES", 2)
    for number, name in enumerate(("a", "b", "c", "d")):
        await put_many(service, 1 + number, queue=name)
    told = await service.pulses.now()
    assert [queue.name for queue in told.queues] == ["d", "c"]
    assert told.queues_more == 2


async def test_rates(service: Service) -> None:
    await beat(service)
    await put_many(service, 7)
    hand = await attach(service, "w1", slots=2)
    await hand.until(2)
    await hand.end(hand.jobs[0])
    await hand.end(hand.jobs[1], "failed", retry=False)
    await quiet(service.engine)
    monkey = await service.pulses.now()
    rates = monkey.rates
    assert rates["enqueued"] > rates["started"] >= rates["done"] == rates["failed"] > 0
    assert rates["enqueued"] == pytest.approx(7 * rates["done"], rel=0.01)


async def test_a_server_that_has_just_come_has_had_few(service: Service) -> None:
    await put(service)
    assert (await service.pulses.now()).rates["enqueued"] == pytest.approx(1 / pulse.WINDOW, rel=0.1)


async def test_rates_go_down_while_nothing_happens(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(pulse, "time", SimpleNamespace(monotonic=lambda: now))
    with service.pulses.watch() as watcher:
        await service.pulses.now()
        await put(service)
        await beat(service)
        assert (await watcher.next()).rates["enqueued"] == 1 / pulse.WINDOW
        # Another one is not due.
        monkeypatch.setattr(pulse, "QUIET", math.inf)
        now += pulse.WINDOW
        await beat(service)
        told = await asyncio.wait_for(watcher.next(), 5)
        assert (told.rates["enqueued"], bool(told.changed)) == (0.0, False)


async def test_what_has_changed(service: Service) -> None:
    await put(service, queue="still")
    with service.pulses.watch() as watcher:
        await service.pulses.now()

        async def changed() -> tuple[bool, list[str], bool, bool]:
            await beat(service)
            one = (await watcher.next()).changed
            return one.jobs, sorted(one.queues), one.workers, one.failures

        await put(service, queue="a")
        assert await changed() == (True, ["a"], False, False)
        hand = await attach(service, queues=["a"])
        job = await hand.next()
        assert await changed() == (True, ["a"], True, False)
        await hand.end(job, "failed", retry=False)
        assert await changed() == (True, ["a"], False, True)
        await service.pause("b")
        assert await changed() == (True, ["b"], False, False)
        service.workers.draining(hand.worker)
        assert (await changed())[2]


async def test_what_moved_and_left_no_trace_in_the_counts(service: Service) -> None:
    hand = await attach(service)
    with service.pulses.watch() as watcher:
        await service.pulses.now()
        await put(service)
        job = await hand.next()
        await hand.end(job)
        await service.delete(job.id)
        await beat(service)
        changed = (await watcher.next()).changed
        assert (changed.jobs, changed.queues) == (True, ["default"])


async def test_nothing_is_told_when_nothing_changes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.pulses.watch() as watcher:
        await service.pulses.now()
        await beat(service)
        waiting = asyncio.ensure_future(watcher.next())
        await beat(service)
        assert not waiting.done()
        monkeypatch.setattr(pulse, "QUIET", 0.0)
        await beat(service)
        assert not (await waiting).changed


async def test_who_is_slow_misses_no_change_and_all_others_get_the_same(service: Service) -> None:
    with (
        service.pulses.watch() as slow,
        service.pulses.watch() as quick,
        service.pulses.watch() as other,
    ):
        await service.pulses.now()
        for name in ("a", "b", "c"):
            await put(service, queue=name)
            await beat(service)
            assert await quick.next() is await other.next()
        told = await slow.next()
        assert sorted(told.changed.queues) == ["a", "b", "c"]
        assert told.jobs[State.PENDING] == 3
        for _ in range(pulse._KEPT + 1):
            await put(service, queue="d")
            await beat(service)
        assert (await slow.next()).changed.workers


async def test_while_nobody_watches_nothing_is_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> None:
        raise AssertionError("somebody reads the store")

    await put(service)
    monkeypatch.setattr(service.engine, "count", read)
    await service.pulses.beat()


async def test_those_who_come_together_share_one(service: Service) -> None:
    one, other = await asyncio.gather(service.pulses.now(), service.pulses.now())
    assert one is other
