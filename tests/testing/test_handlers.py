"""Handlers in a test are those of production: threads, loops, processes, contexts, tracebacks."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest

import rota
from rota.testing import Harness, run
from tests.testing import shop
from tests.testing.conftest import START

BEGIN = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def test_plain_handlers_run_in_threads_and_coroutines_on_a_loop() -> None:
    app = rota.App()
    places = {}

    @app.task
    def plain() -> None:
        places["plain"] = threading.current_thread()

    @app.task
    async def coroutine() -> None:
        places["coroutine"] = threading.current_thread()
        assert asyncio.get_running_loop().is_running()

    with run(app) as t:
        plain.enqueue()
        coroutine.enqueue()
        assert t.run_due() == {"done": 2}
    assert len({*places.values(), threading.current_thread()}) == 3


def test_without_threads_plain_handlers_run_where_the_test_does() -> None:
    """And what they call may wait for further jobs, which run there too."""
    app = rota.App()
    places = []

    @app.task
    def inner() -> str:
        places.append(threading.current_thread())
        return who.get()

    @app.task
    def outer() -> str:
        places.append(threading.current_thread())
        return inner.enqueue().result()

    who.set("the test")
    with run(app, threads=False) as t:
        handle = outer.enqueue()
        t.run_due()
        assert t.assert_done(handle) == "the test"
        assert inner.enqueue().result() == "the test"
    assert set(places) == {threading.current_thread()}


def test_a_process_task_runs_like_any_other_by_default(t: Harness) -> None:
    handle = shop.heavy.enqueue(21)
    t.run_due()
    assert t.assert_done(handle) == 42


def test_a_process_task_runs_in_a_child_when_asked_to() -> None:
    with run(shop.app, processes=True) as t:
        here = shop.whereabouts.enqueue()
        t.run_due()
        spins = shop.spins.enqueue()
        t.start()
        while t.job(spins).progress is None:
            pass
        assert t.advance("1m") == {"timeout": 1}
        assert t.assert_done(here) != os.getpid()
        t.assert_state(spins, "failed")


def test_arguments_and_results_travel_as_json() -> None:
    """What a production worker would not get, a test does not get either."""
    app = rota.App()
    got = []

    @app.task
    def takes(numbers: list[int], id: uuid.UUID, when: datetime) -> dict[str, list[int]]:
        got.append((numbers, id, when))
        return {"a": [1]}

    one = uuid.uuid4()
    with run(app) as t:
        given = [1, 2]
        handle = takes.enqueue(given, one, BEGIN)
        t.run_due()
        assert got == [([1, 2], one, BEGIN)]
        assert got[0][0] is not given
        assert t.assert_done(handle) == {"a": [1]}
        with pytest.raises(TypeError, match="cannot be written as JSON"):
            takes.enqueue([threading.Lock()], one, BEGIN)  # type: ignore[list-item]


def test_a_handler_sees_the_virtual_time() -> None:
    app = rota.App()
    seen = []

    @app.task
    def look(ctx: rota.Context) -> None:
        seen.append((ctx.now, rota.current().now))

    with run(app, start=START) as t:
        look.options(delay=timedelta(days=400)).enqueue()
        t.run_until_idle()
    assert seen == [(BEGIN + timedelta(days=400),) * 2]


def test_log_lines_carry_the_virtual_time(t: Harness) -> None:
    handle = shop.welcome.options(delay=3600).enqueue(7)
    t.advance("2h")
    [line] = t.job(handle).logs
    assert (line.text, line.level, line.at) == ("to user 7", "info", BEGIN + timedelta(hours=1))


def test_a_failure_shows_the_users_traceback_and_none_of_ours(t: Harness) -> None:
    shop.broken.append(ValueError("bad card"))
    handle = shop.charge.enqueue("A-1")
    t.run_due()
    error = t.job(handle).error
    assert error is not None
    trace = error.traceback or ""
    assert "raise broken.pop(0)" in trace
    assert "rota/testing" not in trace


def test_with_raise_failures_the_exception_itself_ends_the_test(t: Harness) -> None:
    t.raise_failures = True
    error = ConnectionError("down")
    shop.broken.append(error)
    first, second = shop.charge.enqueue("A-1"), shop.charge.enqueue("A-2")
    with pytest.raises(ConnectionError) as raised:
        t.run_due()
    assert raised.value is error
    assert any(entry.name == "charge" for entry in raised.traceback), "with the line that raised it"
    t.assert_state(first, "scheduled")
    t.assert_state(second, "pending")
    t.advance("1h")
    t.assert_state(first, "done")


def test_raise_failures_passes_over_a_snooze_and_tells_of_what_no_handler_raised() -> None:
    app = rota.App()

    @app.task(timeout=5, retries=0)
    def takes(number: int) -> None: ...

    @app.task
    def naps(ctx: rota.Context) -> None:
        if ctx.now == BEGIN:
            ctx.snooze(5)

    with run(app, start=START, raise_failures=True) as t:
        naps.enqueue()
        t.run_until_idle()
        app.enqueue(rota.job("takes", {"number": "many"}))
        with pytest.raises(AssertionError, match="BadPayload: takes: argument 'number'"):
            t.run_due()
        with t.stuck(takes):
            takes.enqueue(1)
            with pytest.raises(AssertionError, match="Timeout"):
                t.advance("5s")


def test_more_slots_run_jobs_side_by_side() -> None:
    app = rota.App()
    meet = threading.Barrier(3)

    @app.task
    def meets() -> None:
        meet.wait(10)

    with run(app, slots=3) as t:
        meets.enqueue_many([()] * 3)
        assert t.run_due() == {"done": 3}
