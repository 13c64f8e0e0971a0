"""series and history: figures over time, over restarts and over several servers, with gaps told as gaps."""

from __future__ import annotations

from typing import Any

import pytest

from rota.core.history import MAX_POINTS, Figures, History, Wish
from rota.core.meter import MAX_KINDS
from rota.core.quantiles import ERROR
from rota.core.series import COARSE, FINE, KEPT, MAX_QUEUES, REPEAT
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import DAY, HOUR, MINUTE, SECOND, ManualClock
from rota.model.errors import BadInput, StoreError
from rota.model.job import Claimed, Note
from tests.core.kit import attach, put, put_many, quiet


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000 * SECOND)


async def after(service: Service, clock: ManualClock, length: int = FINE) -> None:
    """Time passes, interval by interval."""
    for _ in range(length // FINE):
        clock.advance(FINE)
        await service.series.tick()


async def told(service: Service, last: int = MINUTE, length: int = FINE, **wish: Any) -> History:
    now = service.clock.now()
    return await service.histories.read(Wish(length, now - last, now, **wish), now)


async def line(service: Service, last: int = MINUTE, length: int = FINE, **wish: Any) -> Figures:
    [only] = (await told(service, last, length, **wish)).series
    return only


async def notes(engine: Engine, kind: str) -> list[str]:
    return [note.key for note in await engine.notes(kind)]


async def test_what_happened_by_interval(service: Service, clock: ManualClock) -> None:
    ids = await put_many(service, 3)
    await after(service, clock)
    hand = await attach(service, slots=2)
    first, second = await hand.until(2)
    clock.advance(2 * SECOND)
    await hand.end(first)
    await hand.end(second, "failed", retry=False)
    await hand.until(3)
    await service.cancel(ids[2])
    await hand.end(hand.jobs[2], "cancelled")
    clock.advance(3 * SECOND)
    await service.series.tick()
    figures = await line(service, last=2 * FINE)
    assert figures.enqueued == [3, 0]
    assert figures.started == [0, 3]
    assert (figures.done, figures.failed, figures.cancelled) == ([0, 1], [0, 1], [0, 1])
    assert (figures.pending, figures.running) == ([3, 0], [0, 0])
    assert figures.totals["wait"] == {"p50": pytest.approx(5, rel=ERROR), "p95": pytest.approx(7, rel=ERROR),
                                      "p99": pytest.approx(7, rel=ERROR)}  # fmt: skip
    assert figures.run["p50"][0] is None
    assert figures.run["p95"][1] == pytest.approx(2, rel=ERROR)


async def test_a_job_that_comes_back(service: Service, clock: ManualClock) -> None:
    await put(service)
    hand = await attach(service)
    await hand.end(await hand.next(), "snoozed", delay=60)
    await after(service, clock)
    figures = await line(service, last=FINE)
    assert (figures.requeued, figures.done, figures.scheduled) == ([1], [0], [1])


async def test_groups_and_filters(service: Service, clock: ManualClock) -> None:
    await put_many(service, 3, "a", queue="x")
    await put_many(service, 2, "b", queue="x")
    await put_many(service, 1, "a", queue="y")
    await after(service, clock)

    async def grouped(**wish: Any) -> dict[tuple[str | None, str | None], tuple[Any, Any]]:
        found = await told(service, FINE, **wish)
        return {(one.queue, one.type): (one.enqueued, one.pending) for one in found.series}

    assert await grouped() == {(None, None): ([6], [6])}
    assert await grouped(group="queue") == {("x", None): ([5], [5]), ("y", None): ([1], [1])}
    assert await grouped(group="type") == {(None, "a"): ([4], None), (None, "b"): ([2], None)}
    assert await grouped(group="queue,type") == {
        ("x", "a"): ([3], None), ("x", "b"): ([2], None), ("y", "a"): ([1], None)
    }  # fmt: skip
    assert await grouped(queue="x") == {("x", None): ([5], [5])}
    assert await grouped(queue="y", group="type") == {("y", "a"): ([1], None)}
    assert await grouped(type="b") == {(None, "b"): ([2], None)}
    assert await grouped(queue="nobody") == {("nobody", None): ([0], [0])}


async def test_groups_beyond_the_limit_are_one(service: Service, clock: ManualClock) -> None:
    for number in range(5):
        await put_many(service, 5 - number, queue=f"q{number}")
    await after(service, clock)
    *shown, rest = (await told(service, FINE, group="queue", limit=2)).series
    assert [(one.queue, one.enqueued, one.others) for one in shown] == [("q0", [5], None), ("q1", [4], None)]
    assert (rest.queue, rest.enqueued, rest.pending, rest.others) == (None, [6], [6], 3)


async def test_minutes_are_sums_of_their_intervals(service: Service, clock: ManualClock) -> None:
    clock.advance(-clock.now() % MINUTE)
    await service.series.tick()
    for _ in range(24):
        await put(service)
        await after(service, clock)
    assert (await line(service, 2 * MINUTE, COARSE)).enqueued == [12, 12]
    assert (await line(service, 2 * MINUTE, FINE)).enqueued == [1] * 24


async def test_percentiles_are_taken_after_adding_up(service: Service, clock: ManualClock) -> None:
    """Of two types and two intervals: 90 waits of 1 s and 10 of 100 s, unevenly spread."""
    meter = service.workers.meter

    def waited(type: str, seconds: int, times: int) -> None:
        now = clock.now()
        job = Claimed("", 1, type, "default", 1, 1, b"", None, None, None, now - seconds * SECOND)
        meter.started([job] * times, now)

    waited("quick", 1, 60)
    waited("slow", 100, 2)
    await after(service, clock)
    waited("quick", 1, 30)
    waited("slow", 100, 8)
    await after(service, clock)
    totals = (await line(service, last=2 * FINE)).totals
    assert totals["started"] == 100
    assert totals["wait"] == {
        "p50": pytest.approx(1, rel=ERROR), "p95": pytest.approx(100, rel=ERROR),
        "p99": pytest.approx(100, rel=ERROR),
    }  # fmt: skip
    assert meter.waits["default", "quick"].counts[9] == 90, "the buckets of /metrics count the same"
    assert meter.waits["default", "slow"].sum == pytest.approx(1000)


async def test_nothing_is_written_while_nothing_happens(
    engine: Engine, service: Service, clock: ManualClock
) -> None:
    await put(service)
    await after(service, clock)
    before = await engine.notes("series-5s"), await engine.notes("series-1m")
    await after(service, clock, REPEAT - FINE)
    assert (await engine.notes("series-5s"), await engine.notes("series-1m")) == before
    figures = await line(service, last=MINUTE)
    assert (figures.enqueued, figures.pending) == ([0] * 12, [1] * 12)
    assert figures.oldest_age is not None
    assert figures.oldest_age[-1] == (REPEAT + clock.now() % FINE) / SECOND, "it goes on growing"


async def test_depths_are_known_long_after_the_last_change(service: Service, clock: ManualClock) -> None:
    await put_many(service, 7, queue="held")
    await after(service, clock, 3 * HOUR)
    assert (await line(service, queue="held")).pending == [7] * 12
    assert (await line(service, HOUR, COARSE)).pending == [7] * 60


async def test_a_server_that_was_down_is_no_zero(engine: Engine, clock: ManualClock) -> None:
    first = Service(engine, clock=clock)
    await put(first)
    await after(first, clock)
    await first.series.stop()
    clock.advance(4 * FINE)
    second = Service(engine, clock=clock)
    await put(second)
    await after(second, clock)
    figures = await line(second, last=6 * FINE)
    assert figures.enqueued == [1, None, None, None, None, 1]
    assert figures.pending == [1, None, None, None, None, 2]
    up = (await told(second, last=6 * FINE)).up
    assert [(run.until - run.since) // FINE for run in up] == [1, 1]


async def test_an_idle_server_is_up(engine: Engine, clock: ManualClock) -> None:
    first = Service(engine, clock=clock)
    await after(first, clock, 2 * MINUTE)
    assert len(await notes(engine, "series-5s")) == 1, "one document, of its start"
    now = clock.now()
    second = Service(engine, clock=clock)
    long_ago = await second.histories.read(Wish(FINE, now - 2 * MINUTE, now - MINUTE), now)
    assert long_ago.series[0].enqueued == [0] * 12
    await first.series.stop()
    assert (await line(second, last=MINUTE)).enqueued == [0] * 12


async def test_a_restart_goes_on_and_a_stop_writes_what_there_is(engine: Engine, clock: ManualClock) -> None:
    first = Service(engine, clock=clock)
    await put_many(first, 2)
    await after(first, clock)
    await put_many(first, 3)
    await first.series.stop()
    second = Service(engine, clock=clock)
    await put_many(second, 4)
    await after(second, clock)
    assert (await line(second, last=2 * FINE)).enqueued == [2, 7]
    assert (await line(second, last=2 * FINE)).pending == [2, 9]


async def test_several_servers_over_one_store_add_up(engine: Engine, clock: ManualClock) -> None:
    one, two = Service(engine, clock=clock), Service(engine, clock=clock)
    for service, jobs in ((one, 2), (two, 5)):
        await put_many(service, jobs)
    clock.advance(FINE)
    await one.series.tick()
    await two.series.tick()
    figures = await line(one, last=FINE)
    assert (figures.enqueued, figures.pending) == ([7], [7]), "jobs are added, the store's depth is not"


async def test_a_clock_that_is_set_back_loses_nothing(service: Service, clock: ManualClock) -> None:
    await put(service)
    await after(service, clock)
    await put(service)
    clock.advance(-2 * FINE)
    await service.series.tick()
    await put(service)
    await after(service, clock)
    await put(service)
    await after(service, clock, 3 * FINE)
    assert (await line(service, last=MINUTE)).totals["enqueued"] == 4


async def test_old_documents_go(engine: Engine, service: Service, clock: ManualClock) -> None:
    for _ in range(3):
        await put(service)
        await after(service, clock, MINUTE)
    old = await notes(engine, "series-1m")
    assert len(old) >= 3
    clock.advance(KEPT)
    for _ in range(2):
        await put(service)
        await after(service, clock)
    for kind in ("series-5s", "series-1m"):
        left = await notes(engine, kind)
        assert left
        assert not set(left) & set(old)
    clock.advance(2 * DAY)
    fresh = Service(engine, clock=clock)
    await after(fresh, clock)
    assert len(await notes(engine, "series-up")) == 1


async def test_kinds_and_queues_are_bounded(service: Service, clock: ManualClock) -> None:
    for number in range(MAX_KINDS + 50):
        await put(service, f"t{number}", queue=f"q{number}")
    await after(service, clock)
    found = (await told(service, FINE, group="queue", limit=50)).series
    assert sum(one.totals["enqueued"] for one in found) == MAX_KINDS + 50  # type: ignore[misc]
    assert sum(one.pending[0] or 0 for one in found if one.pending) == MAX_KINDS + 50
    assert found[0].queue == "other"
    assert len(await service.series._depths()) <= MAX_QUEUES


async def test_a_store_that_refuses_is_tried_again(
    engine: Engine, service: Service, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = engine.save

    async def refuses(given: list[Note]) -> None:
        raise StoreError("The disk is full.")

    await put(service)
    monkeypatch.setattr(engine, "save", refuses)
    with pytest.raises(StoreError):
        await after(service, clock)
    await put(service)
    with pytest.raises(StoreError):
        await after(service, clock)
    await service.series.stop()
    monkeypatch.setattr(engine, "save", save)
    await after(service, clock)
    assert (await line(service, last=3 * FINE)).enqueued == [1, 1, 0]


async def test_too_many_points(service: Service, clock: ManualClock) -> None:
    await after(service, clock)
    with pytest.raises(BadInput, match=f"at most {MAX_POINTS}") as refused:
        await told(service, 3 * HOUR, FINE)
    assert refused.value.code == "too_many_points"
    assert len((await line(service, 30 * DAY, COARSE)).enqueued) == KEPT // COARSE, "cut to what is kept"


async def test_rates_of_the_last_minute(service: Service, clock: ManualClock) -> None:
    assert service.series.rates()["enqueued"] == 0
    await put_many(service, 30)
    await after(service, clock, MINUTE)
    assert service.series.rates()["enqueued"] == pytest.approx(0.5, rel=0.1)
    await after(service, clock, MINUTE)
    assert service.series.rates()["enqueued"] == 0


async def test_durations_do_not_pile_up_where_nobody_looks(service: Service, clock: ManualClock) -> None:
    meter = service.workers.meter
    meter.ran([("default", "work", clock.now() - SECOND)] * 25_000, clock.now())
    assert sum(map(len, meter._new_runs.values())) < 10_000
    await quiet(service.engine)
    assert sum(meter.runs["default", "work"].counts) == 25_000
