"""The life of a job in a test: enqueued, run, retried over days, unique, expired, paused, pruned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import rota
from rota.testing import Endless, Harness, Stalled, run
from tests.testing import shop
from tests.testing.conftest import START

BEGIN = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


def test_an_enqueue_runs_nothing_until_the_test_says_so(t: Harness) -> None:
    shop.sign_up(7)
    [job] = t.assert_enqueued(shop.welcome, args={"user": 7}, queue="mail", state="pending")
    assert shop.outbox == []
    assert t.run_due() == {"done": 1}
    assert shop.outbox == [("welcome", 7)]
    assert t.job(job.id).result == "welcome 7"
    assert t.run_due() == {}


def test_jobs_run_in_the_order_of_priority_then_age(t: Harness) -> None:
    for user, priority in (1, 0), (2, 5), (3, 0), (4, 9):
        shop.welcome.options(priority=priority).enqueue(user)
    t.run_due()
    assert [user for _, user in shop.outbox] == [4, 2, 1, 3]


def test_a_delay_passes_with_the_clock_and_not_before(t: Harness) -> None:
    shop.sign_up(7)
    t.run_due()
    t.assert_enqueued(shop.remind, args={"user": 7}, delay="3d", state="scheduled")
    t.advance(timedelta(days=3, microseconds=-1))
    assert shop.outbox == [("welcome", 7)]
    t.advance(0.000001)
    assert shop.outbox == [("welcome", 7), ("remind", 7)]
    assert t.now == BEGIN + timedelta(days=3)


def test_retries_come_at_their_times_over_days(t: Harness) -> None:
    shop.broken += [ConnectionError("down"), ConnectionError("still down"), ConnectionError("no")]
    handle = shop.charge.enqueue("A-1", cents=250)
    assert t.run_until_idle() == {"failed": 3, "done": 1}
    job = t.job(handle)
    times = [attempt.started_at for attempt in job.attempts]
    assert times == [BEGIN + timedelta(hours=hours) for hours in (0, 1, 25, 97)]
    assert [attempt.end for attempt in job.attempts] == ["failed", "failed", "failed", "done"]
    assert t.assert_done(handle) == {"cents": 250}
    assert len(shop.charged) == 1


def test_a_job_that_uses_up_its_attempts_is_failed_with_its_error(t: Harness) -> None:
    shop.broken += [ValueError(f"card {n}") for n in range(4)]
    handle = shop.charge.enqueue("A-1")
    t.advance("30h")
    assert t.job(handle).state == "scheduled"
    t.advance(days=4)
    job = t.assert_state(handle, "failed")
    assert job.reason == "attempts_used_up"
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("ValueError", "card 3")
    assert isinstance(job.exception, ValueError)
    with pytest.raises(rota.JobFailed, match="card 3"):
        handle.result()


def test_backoff_without_jitter_is_the_same_every_time() -> None:
    def times() -> list[float]:
        app = rota.App()
        seen: list[float] = []

        @app.task(retries=5)
        def fails(ctx: rota.Context) -> None:
            seen.append((ctx.now - BEGIN).total_seconds())
            raise ValueError

        with run(app, start=START) as t:
            fails.enqueue()
            t.run_until_idle()
        return seen

    assert times() == times() == [0, 2, 6, 14, 30, 62]


def test_a_unique_key_keeps_one_job_alive(t: Harness) -> None:
    shop.sign_up(7)
    t.run_due()
    again = shop.remind.options(unique_key="remind:7").enqueue(7)
    assert (again.created, again.why) == (False, "unique")
    t.assert_enqueued(shop.remind, count=1, unique_key="remind:7")
    t.advance("3d")
    assert shop.remind.options(unique_key="remind:7").enqueue(7).created, "the first has ended"


def test_an_idempotency_key_makes_one_job_and_refuses_another_body(t: Harness) -> None:
    once = shop.charge.options(idempotency_key="order-A-1")
    first, second = once.enqueue("A-1"), once.enqueue("A-1")
    assert first.id == second.id
    with pytest.raises(rota.Conflict, match="another body") as refused:
        once.enqueue("A-2")
    assert refused.value.code == "idempotency_mismatch"
    t.run_due()
    assert len(shop.charged) == 1


def test_a_job_that_waits_past_its_expiry_is_cancelled_and_never_runs(t: Harness) -> None:
    t.pause("mail")
    handle = shop.remind.options(expires_at=BEGIN + timedelta(hours=2)).enqueue(7)
    t.advance("1h59m")
    t.assert_state(handle, "pending")
    t.advance("1m")
    assert t.assert_state(handle, "cancelled").reason == "expired"
    t.resume("mail")
    t.run_due()
    assert shop.outbox == []


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(t: Harness) -> None:
    t.pause("mail")
    shop.sign_up(7)
    shop.charge.enqueue("A-1")
    assert t.advance("1d") == {"done": 1}
    [job] = t.enqueued(shop.welcome)
    assert job.waiting_because == "The queue mail is paused."
    shop.app.client.resume("mail")
    assert t.run_due() == {"done": 1}


def test_a_snooze_costs_no_attempt(t: Harness) -> None:
    handle = shop.poll.enqueue("2026-01-31T12:00:00+00:00")
    assert t.run_until_idle() == {"snoozed": 4, "done": 1}
    assert t.assert_done(handle) == "2026-01-31T12:30:00+00:00"
    assert t.job(handle).attempt == 1


def test_a_scheduled_job_can_be_cancelled_and_a_failed_one_retried(t: Harness) -> None:
    handle = shop.remind.options(delay=60).enqueue(7)
    handle.cancel()
    assert t.advance("1h") == {}
    t.assert_state(handle, "cancelled")
    shop.broken.append(rota.Fail("stolen card"))
    charge = shop.charge.enqueue("A-1")
    t.run_due()
    assert t.assert_state(charge, "failed").reason == "not_retryable"
    shop.app.client.retry(charge.id)
    t.run_due()
    assert t.assert_done(charge) == {"cents": 100}


def test_ended_jobs_are_pruned_in_time_and_can_still_be_looked_at(t: Harness) -> None:
    handle = shop.welcome.enqueue(7)
    t.advance("6d23h")
    assert not t.job(handle).pruned
    t.advance("1h")
    with pytest.raises(rota.NotFound):
        handle.status()
    job = t.job(handle)
    assert (job.pruned, job.state, job.result) == (True, "done", "welcome 7")
    assert [line.text for line in job.logs] == ["to user 7"]
    t.assert_enqueued(shop.welcome, args={"user": 7})


def test_any_queue_is_served_unless_the_test_names_some(t: Harness) -> None:
    handle = shop.remind.options(queue="somewhere/else").enqueue(7)
    t.run_due()
    t.assert_state(handle, "done")


def test_only_named_queues_are_served() -> None:
    with run(shop.app, queues=["default"]) as t:
        mail, other = shop.remind.enqueue(7), shop.charge.enqueue("A-1")
        t.run_due()
        t.assert_state(other, "done")
        assert t.assert_state(mail, "pending").waiting_because == (
            "No worker serves the queue mail. Workers that know the type remind serve default."
        )
        assert t.run_until_idle() == {}, "a job that nobody will take does not keep anything going"


def test_a_job_of_a_type_that_is_not_ours_waits(t: Harness) -> None:
    handle = shop.app.enqueue(rota.job("other.program", {"any": "JSON"}))
    assert t.advance("1d") == {}
    t.assert_state(handle, "pending")


def test_a_job_that_enqueues_itself_for_ever_is_an_error_that_says_so() -> None:
    app = rota.App()

    @app.task
    def again() -> None:
        again.enqueue()

    with run(app, limit=50) as t:
        again.enqueue()
        with pytest.raises(Endless, match=r"51 jobs were started at one moment.*The last was again "):
            t.run_due()


def test_a_schedule_that_never_ends_is_an_error_of_run_until_idle_only() -> None:
    app = rota.App()
    rounds: list[datetime] = []

    @app.task
    def tick(ctx: rota.Context) -> None:
        rounds.append(ctx.now)
        tick.options(delay=3600).enqueue()

    with run(app, start=START) as t:
        tick.enqueue()
        t.advance("1d")
        assert len(rounds) == 25
        with pytest.raises(Endless, match="after 2d"):
            t.run_until_idle(longest="2d")


def test_run_until_idle_does_not_wait_for_what_has_ended(t: Harness) -> None:
    """Neither for the retention of a job that is done, nor for the expiry of one that was in time."""
    shop.remind.options(delay=60, expires_at=BEGIN + timedelta(days=1)).enqueue(7)
    assert t.run_until_idle() == {"done": 1}
    assert t.now == BEGIN + timedelta(seconds=60)


def test_a_handler_that_waits_for_another_job_gets_its_result(t: Harness) -> None:
    handle = shop.report.enqueue(["A-1", "A-2"])
    t.run_due()
    assert t.assert_done(handle) == 200


def test_waiting_for_a_result_lets_time_pass(t: Harness) -> None:
    handle = shop.remind.options(delay=3600).enqueue(7)
    assert handle.result() is None
    assert t.now == BEGIN + timedelta(hours=1)
    with pytest.raises(rota.WaitTimeout):
        shop.remind.options(delay=3600).enqueue(7).result(timeout=90)
    assert t.now == BEGIN + timedelta(hours=1, seconds=90)


def test_a_handler_that_waits_takes_the_time_that_this_takes() -> None:
    app = rota.App()

    @app.task(retry=rota.Fixed(10))
    def child(ctx: rota.Context) -> int:
        if ctx.attempt < 3:
            raise ValueError
        return ctx.attempt

    @app.task
    def parent() -> int:
        return child.enqueue().result(timeout=60)

    with run(app, start=START) as t:
        handle = parent.enqueue()
        assert t.run_due() == {"failed": 2, "done": 2}
        assert t.assert_done(handle) == 3
        assert t.now == BEGIN + timedelta(seconds=20)


def test_waiting_without_end_for_what_never_comes_is_an_error_with_the_reason(t: Harness) -> None:
    t.pause("mail")
    with pytest.raises(Stalled, match=r"nothing will happen to it any more: The queue mail is paused"):
        shop.remind.enqueue(7).result()


def test_a_client_that_runs_a_job_gets_it_ended(t: Harness) -> None:
    job = shop.app.client.run(shop.charge.spec("A-1"), wait=30)
    assert (job.state, job.result) == ("done", {"cents": 100})
    assert t.now == BEGIN


def test_two_apps_share_one_run_as_they_would_a_server() -> None:
    one, two = rota.App(), rota.App("http://jobs.example:9000", queue="second")
    seen = []

    @one.task
    def first() -> None:
        seen.append("first")
        second.enqueue()

    @two.task
    def second() -> None:
        seen.append("second")

    with run(one, two) as t:
        first.enqueue()
        assert t.run_due() == {"done": 2}
    assert seen == ["first", "second"]
