"""The clock of a test: in order, complete, the same every time, and nobody sleeps."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import rota
from rota.testing import Harness, run
from rota.testing.loop import VirtualLoop
from rota.testing.spans import micros, moment, tell
from tests.testing import shop
from tests.testing.conftest import START

BEGIN = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


def test_thirty_days_with_a_thousand_jobs_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait of an event loop or of a program ends by what happens, none by time that passes."""
    app = rota.App()
    seen: list[tuple[int, datetime]] = []
    waits: list[float] = []

    @app.task
    def step(ctx: rota.Context, number: int) -> None:
        seen.append((number, ctx.now))

    def sleep(seconds: float) -> None:
        waits.append(seconds)

    delays = [number * 30 * 86400 / 1000 for number in range(1000)]
    random.Random(1).shuffle(delays)
    with run(app, start=START) as t:
        monkeypatch.setattr(time, "sleep", sleep)
        selector = t._bench._loop._selector  # type: ignore[attr-defined]
        select = selector.select

        def watched(timeout: float | None) -> object:
            events = select(timeout)
            if not events and timeout != 0:
                waits.append(timeout or 0.0)
            return events

        monkeypatch.setattr(selector, "select", watched)
        app.enqueue_many(step.options(delay=delay).spec(n) for n, delay in enumerate(delays))
        assert t.advance("30d") == {"done": 1000}
        assert t.now == BEGIN + timedelta(days=30)
        assert len(t.enqueued(step, state="done")) == 1000
        monkeypatch.undo()
    assert [at for _, at in seen] == sorted(BEGIN + timedelta(seconds=delay) for delay in delays)
    assert [n for n, _ in seen] == sorted(range(1000), key=lambda n: delays[n])
    assert waits == [], "no wait of the service's loop ended by its time"


def test_what_is_due_happens_in_the_order_of_its_time() -> None:
    app = rota.App()
    seen: list[tuple[str, float]] = []

    def note(ctx: rota.Context, what: str) -> None:
        seen.append((what, (ctx.now - BEGIN).total_seconds()))

    @app.task
    def at(ctx: rota.Context, name: str) -> None:
        note(ctx, name)

    @app.task(retry=rota.Fixed(25))
    def fails(ctx: rota.Context) -> None:
        note(ctx, f"try {ctx.attempt}")
        if ctx.attempt < 3:
            raise ValueError

    @app.task
    def naps(ctx: rota.Context) -> None:
        note(ctx, "nap")
        if len(seen) < 7:
            ctx.snooze(20)

    with run(app, start=START) as t:
        for delay in 30, 10, 45:
            at.options(delay=delay).enqueue(f"at {delay}")
        fails.enqueue()
        naps.enqueue()
        t.advance("1m")
    assert seen == [
        ("try 1", 0),
        ("nap", 0),
        ("at 10", 10),
        ("nap", 20),
        ("try 2", 25),
        ("at 30", 30),
        ("nap", 40),
        ("at 45", 45),
        ("try 3", 50),
    ]


def test_the_same_test_goes_the_same_way() -> None:
    """Also with failures that come back after a default delay, workers that are lost and jobs at one time."""

    def story() -> list[tuple[str, int, float]]:
        app = rota.App()
        seen: list[tuple[str, int, float]] = []
        dice = random.Random(7)

        @app.task(queue="a")
        def plain(ctx: rota.Context, n: int) -> None:
            seen.append(("plain", n, (ctx.now - BEGIN).total_seconds()))
            if dice.random() < 0.3:
                raise ValueError
            if dice.random() < 0.2:
                other.options(delay=dice.randrange(100)).enqueue(n)

        @app.task(queue="b")
        async def other(ctx: rota.Context, n: int) -> None:
            seen.append(("other", n, (ctx.now - BEGIN).total_seconds()))
            if dice.random() < 0.3:
                raise ValueError

        with run(app, start=START) as t:
            t.lose_worker(other, times=2)
            for n in range(40):
                (plain if n % 2 else other).options(delay=n // 4).enqueue(n)
            t.run_until_idle()
        return seen

    first = story()
    assert len(first) > 50
    assert story() == first


def test_the_clock_can_be_told_to_others() -> None:
    told: list[datetime] = []
    with run(shop.app, start=START, on_time=told.append) as t:
        shop.remind.options(delay=10).enqueue(7)
        t.advance("1m")
        t.advance(0)
    assert told == [BEGIN + timedelta(seconds=10), BEGIN + timedelta(seconds=60)]


def test_it_begins_now_unless_told_otherwise() -> None:
    before = datetime.now(UTC)
    with run(shop.app) as t:
        assert before <= t.now <= datetime.now(UTC)
        soon = datetime.now(UTC) + timedelta(days=3)
        shop.remind.options(run_at=soon).enqueue(7)
        t.assert_enqueued(shop.remind, delay="3d")
        t.advance_to(soon)
        assert shop.outbox == [("remind", 7)]


def test_spans_in_every_form(t: Harness) -> None:
    t.advance("1d")
    t.advance(hours=1, minutes=30)
    t.advance(timedelta(seconds=5))
    t.advance(0.5)
    assert t.now == BEGIN + timedelta(days=1, hours=1, minutes=30, seconds=5.5)
    t.advance_to("2026-02-28T00:00:00Z")
    assert t.now == datetime(2026, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3d", 259200), ("1h30m", 5400), ("1w 2d", 777600), ("250ms", 0.25), ("1.5h", 5400), ("0s", 0)],
)
def test_spans_are_read(text: str, seconds: float) -> None:
    assert micros(text) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "3", "3 days", "-3d", "d", "1h30", "soon", "3d,1h"])
def test_text_that_is_no_span_is_refused(text: str, t: Harness) -> None:
    with pytest.raises(ValueError, match="A span is written as '3d'"):
        t.advance(text)
    assert t.now == BEGIN


def test_time_does_not_go_back(t: Harness) -> None:
    for wrong in -1, timedelta(days=-1), float("nan"), float("inf"):
        with pytest.raises(ValueError, match="time only goes forward"):
            t.advance(wrong)
    with pytest.raises(ValueError, match="time only goes forward"):
        t.advance_to("2026-01-31T08:29:59Z")
    with pytest.raises(ValueError, match="must have a zone"):
        t.advance_to("2026-03-01T00:00:00")
    with pytest.raises(ValueError, match="written as 2026"):
        t.advance_to("tomorrow")
    with pytest.raises(TypeError, match="not both"):
        t.advance("3d", hours=1)
    with pytest.raises(TypeError, match="not list"):
        t.advance([3])  # type: ignore[arg-type]
    assert t.now == BEGIN


def test_spans_and_moments_as_they_are_told() -> None:
    assert [tell(micros(text)) for text in ("0s", "90m", "3d4h", "250ms", "1w")] == [
        "0s",
        "1h 30m",
        "3d 4h",
        "250ms",
        "7d",
    ]
    assert moment("1970-01-01T01:00:00+01:00") == 0


async def test_a_virtual_loop_fires_its_timers_when_its_clock_moves() -> None:
    from rota.model.clock import SECOND, ManualClock

    clock = ManualClock()
    fired: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        begin = clock.now()
        for delay in 5, 1, 3:
            loop.call_later(delay, fired.append, delay)
        loop.call_later(0.5, fired.append, 0.5).cancel()
        assert loop.next_alarm() == begin + SECOND
        clock.advance(3 * SECOND)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert loop.next_alarm() == begin + 5 * SECOND

    def elsewhere() -> None:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            runner.run(main())

    await asyncio.to_thread(elsewhere)
    assert fired == [1, 3]


def test_the_store_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.testing.bench.MEMORY", str(tmp_path))
    with run(shop.app):
        assert [path.name[:13] for path in tmp_path.iterdir()] == ["rota-testing-"]
    assert list(tmp_path.iterdir()) == []
