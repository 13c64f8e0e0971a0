"""Simulated trouble: workers that die, handlers that hang, time that runs out, somebody who cancels."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

import rota
from rota.testing import Harness, Stalled, run
from tests.testing import shop
from tests.testing.conftest import START

BEGIN = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


def test_a_worker_that_dies_before_its_report_makes_the_job_run_twice(t: Harness) -> None:
    t.lose_worker(shop.charge)
    handle = shop.charge.enqueue("A-1")
    assert t.run_due() == {}
    job = t.assert_state(handle, "running")
    assert job.lease_until is not None
    assert len(shop.charged) == 1
    assert t.advance("2s") == {}, "the lease has not ended"
    assert t.advance("2s") == {"done": 1}
    assert shop.charged == [(handle.id, "A-1")] * 2, "the same id both times: the key of what happens once"
    job = t.job(handle)
    assert (job.attempt, job.losses) == (2, 1)
    assert [attempt.end for attempt in job.attempts] == ["lost", "done"]
    assert len({attempt.worker for attempt in job.attempts}) == 2


def test_after_three_lost_workers_a_job_is_failed(t: Harness) -> None:
    t.lose_worker(shop.charge, times=3)
    handle = shop.charge.enqueue("A-1")
    other = shop.poll.options(delay=1).enqueue("")
    t.run_until_idle()
    assert t.assert_state(handle, "failed").reason == "worker_lost"
    t.assert_state(other, "done")


def test_the_last_attempt_is_spent_by_a_lost_worker() -> None:
    app = rota.App()

    @app.task(retries=0)
    def once() -> None: ...

    with run(app) as t:
        t.lose_worker(once)
        handle = once.enqueue()
        t.run_until_idle()
        assert t.assert_state(handle, "failed").reason == "worker_lost"


@pytest.mark.parametrize("threads", [True, False])
def test_a_handler_in_which_the_worker_is_lost_goes_no_further(threads: bool) -> None:
    app = rota.App()
    steps: list[str] = []

    def provider(ctx: rota.Context) -> None:
        if ctx.attempt == 1:
            t.lose_worker()

    @app.task
    def pay(ctx: rota.Context) -> None:
        try:
            steps.append("before")
            provider(ctx)
            steps.append("after")
        except Exception:
            steps.append("caught")

    @app.task
    async def apay(ctx: rota.Context) -> None:
        pay.function(ctx)

    with run(app, threads=threads) as t:
        for task in pay, apay:
            steps.clear()
            handle = task.enqueue()
            t.run_until_idle()
            assert steps == ["before", "before", "after"]
            t.assert_state(handle, "done")


def test_a_stuck_handler_runs_into_its_timeout_every_time(t: Harness) -> None:
    with t.stuck(shop.render):
        handle = shop.render.enqueue("a.png")
        assert t.run_due() == {}
        t.assert_state(handle, "running")
        assert t.advance("59s") == {}
        assert t.advance("1s") == {"timeout": 1}
        t.assert_state(handle, "scheduled")
        t.advance("1h")
    job = t.assert_state(handle, "failed")
    assert job.reason == "timeout"
    assert [attempt.end for attempt in job.attempts] == ["timeout"] * 3
    ran = [one.finished_at - one.started_at for one in job.attempts if one.finished_at and one.started_at]
    assert ran == [timedelta(minutes=1)] * 3


def test_a_stuck_job_keeps_its_lease_and_holds_up_no_other(t: Harness) -> None:
    with t.stuck("charge"):
        stuck, other = shop.charge.enqueue("A-1"), shop.remind.enqueue(7)
        later = shop.remind.options(delay=1800).enqueue(8)
        t.advance("1h")
        t.assert_state(other, "done")
        t.assert_state(later, "done")
        assert t.assert_state(stuck, "running").attempt == 1
        t.lose_worker()
    t.advance("5s")
    t.assert_state(stuck, "done")
    assert t.job(stuck).attempt == 2


def test_a_real_handler_is_cancelled_at_its_timeout(t: Harness) -> None:
    handle = shop.render.enqueue("a.png")
    t.start()
    job = t.assert_state(handle, "running")
    assert job.progress is not None
    assert (job.progress.value, job.progress.message) == (0.25, "reading")
    t.advance("59s")
    t.assert_state(handle, "running")
    assert t.advance("1s") == {"timeout": 1}
    assert t.assert_state(handle, "scheduled").attempts[0].end == "timeout"


def test_a_thread_that_ignores_its_timeout_loses_its_job_all_the_same() -> None:
    app = rota.App()
    go = threading.Event()

    @app.task(timeout=30, retries=0)
    def deaf() -> str:
        go.wait()
        return "too late"

    with run(app) as t:
        handle = deaf.enqueue()
        t.start()
        assert t.advance("30s") == {"timeout": 1}
        job = t.assert_state(handle, "failed")
        assert job.error is not None
        assert "go.wait()" in (job.error.traceback or ""), "it says where the handler was"
        go.set()
        t.run_due()
        t.assert_state(handle, "failed")


def test_a_running_job_is_asked_to_stop_and_stops() -> None:
    app = rota.App()
    begun = threading.Event()

    @app.task
    def works(ctx: rota.Context) -> None:
        begun.set()
        while True:
            ctx.raise_if_cancelled()

    with run(app) as t:
        handle = works.enqueue()
        t.start()
        assert begun.wait(10)
        assert handle.cancel().state == "running"
        assert t.run_due() == {"cancelled": 1}
        t.assert_state(handle, "cancelled")
        with pytest.raises(rota.JobCancelled):
            handle.result()


def test_what_a_running_handler_says_is_seen_at_once() -> None:
    app = rota.App()
    go, said, end = threading.Event(), threading.Event(), threading.Event()

    @app.task
    def works(ctx: rota.Context) -> None:
        go.wait(10)
        ctx.progress(0.5, "half")
        ctx.log("half of it")
        said.set()
        end.wait(10)

    with run(app) as t:
        handle = works.enqueue()
        t.start()
        assert t.job(handle).progress is None
        go.set()
        assert said.wait(10)
        job = t.job(handle)
        assert job.progress is not None
        assert (job.progress.message, [line.text for line in job.logs]) == ("half", ["half of it"])
        end.set()
        assert t.run_due() == {"done": 1}


def test_a_handler_may_cancel_its_own_job() -> None:
    app = rota.App()

    @app.task
    async def gives_up(ctx: rota.Context) -> None:
        await app.aclient.cancel(ctx.id)
        await asyncio.Event().wait()

    with run(app) as t:
        handle = gives_up.enqueue()
        assert t.run_due() == {"cancelled": 1}
        t.assert_state(handle, "cancelled")


def test_a_handler_that_does_not_return_is_told_of_and_not_waited_for_forever() -> None:
    app = rota.App()
    go = threading.Event()

    @app.task
    def hangs() -> None:
        go.wait()

    with run(app, patience=0.05) as t:
        handle = hangs.enqueue()
        with pytest.raises(Stalled, match=rf"of real time, while hangs {handle.id} ran\. A handler that sl"):
            t.run_due()
        go.set()
        t.run_due()
        t.assert_state(handle, "done")


def test_time_cannot_be_moved_from_inside_a_handler() -> None:
    app = rota.App()

    @app.task(retries=0)
    def moves() -> None:
        t.advance("1h")

    with run(app) as t:
        handle = moves.enqueue()
        t.run_due()
        error = t.assert_state(handle, "failed").error
        assert error is not None
        assert error.message.startswith("advance() cannot be called while run_due() is under way")


def test_a_drained_worker_has_a_successor(t: Harness) -> None:
    [worker] = shop.app.client.workers()
    assert shop.app.client.drain_worker(worker.worker).draining
    handle = shop.remind.enqueue(7)
    assert t.run_due() == {"done": 1}
    t.assert_state(handle, "done")


def test_leaving_with_jobs_in_hand_stops_them() -> None:
    app = rota.App()
    stopped = threading.Event()
    told = []

    @app.task
    def works(ctx: rota.Context) -> None:
        while not ctx.cancelled:
            pass
        stopped.set()

    @app.task
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    with run(app, start=START) as t:
        works.enqueue()
        waits.enqueue()
        t.start()
    assert stopped.wait(10)
    assert told == ["cancelled"]
