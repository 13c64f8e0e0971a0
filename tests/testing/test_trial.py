"""One handler by itself: through JSON and back, with a context, without a job."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

import rota
from rota.testing import AsyncHarness, Harness, Trial, aperform, perform, run
from tests.testing import shop

app = rota.App()


@dataclass
class Point:
    x: int
    y: int = 0


@app.task
def mirror(point: Point) -> Point:
    assert isinstance(point, Point)
    return Point(point.y, point.x)


@app.task(queue="mine", headers={"a": "b"})
def tells(ctx: rota.Context) -> list[object]:
    ctx.log("a line")
    ctx.progress(0.5, "half")
    return [ctx.attempt, ctx.max_attempts, ctx.queue, dict(ctx.headers), ctx.cancelled, ctx.type]


@app.task
async def doubles(number: int) -> int:
    return number * 2


@app.task
def echo(payload: bytes) -> bytes:
    return payload * 2


@app.task
def raises(what: str) -> None:
    raise {"snooze": rota.Snooze(5), "fail": rota.Fail("no"), "bug": KeyError("x")}[what]


@app.task
def bad() -> object:
    return threading.Lock()


def test_arguments_and_result_go_through_json() -> None:
    assert perform(mirror, Point(1, 2)) == Point(2, 1)
    assert perform(echo, b"ab") == b"abab"
    assert perform(doubles, number=4) == 8
    with pytest.raises(TypeError, match="argument 'number'"):
        perform(doubles, "four")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing"):
        perform(doubles)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="bad: result is lock"):
        perform(bad)


def test_what_a_handler_raises_is_raised() -> None:
    for what, kind in ("snooze", rota.Snooze), ("fail", rota.Fail), ("bug", KeyError):
        with pytest.raises(kind):
            perform(raises, what)


def test_the_context_is_what_the_test_makes_it() -> None:
    assert perform(tells) == [1, 10, "mine", {"a": "b"}, False, "tells"]
    trial = Trial(attempt=3, max_attempts=3, queue="q", headers={}, stop="cancelled")
    assert trial.perform(tells) == [3, 3, "q", {}, True, "tells"]
    assert (trial.logs, trial.steps) == (["a line"], [(0.5, "half")])
    with pytest.raises(RuntimeError, match="inside a running handler only"):
        rota.current()


async def test_awaited() -> None:
    assert await aperform(doubles, 4) == 8
    assert await aperform(mirror, Point(1)) == Point(0, 1)
    with pytest.raises(RuntimeError, match="await aperform"):
        perform(doubles, 4)
    with pytest.raises(RuntimeError, match="inside a running handler only"):
        rota.current()


def test_in_a_harness_it_is_the_time_there_and_jobs_go_there(t: Harness) -> None:
    assert t.perform(shop.poll, "2020-01-01") == "2026-01-31T08:30:00+00:00"
    with pytest.raises(rota.Snooze):
        t.perform(shop.poll, "2027-01-01")
    trial = t.trial(attempt=2)
    assert trial.perform(shop.welcome, 7) == "welcome 7"
    assert trial.logs == ["to user 7"]
    t.assert_enqueued(shop.remind, args={"user": 7}, delay="3d")
    t.refute_enqueued(shop.welcome)


async def test_in_an_async_harness() -> None:
    async with run(shop.app) as ta:
        assert isinstance(ta, AsyncHarness)
        assert await ta.perform(shop.charge, "A-1", cents=3) == {"cents": 3}
        assert await ta.perform(shop.welcome, 7) == "welcome 7"
        ta.assert_enqueued(shop.remind)


def test_without_a_harness_the_time_is_the_real_one() -> None:
    before = datetime.now(UTC)
    assert datetime.fromisoformat(perform(shop.poll, "2020-01-01")) >= before
