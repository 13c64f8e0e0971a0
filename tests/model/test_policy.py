"""Any ending becomes one outcome."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.model import policy
from rota.model.clock import DAY, SECOND
from rota.model.failure import cause
from rota.model.job import Delays, Exponential, Fixed, NoRetry, Outcome, Retry, State
from rota.model.policy import Running

NOW = 1_800_000_000 * SECOND
RETRIES = (
    st.builds(NoRetry)
    | st.builds(Fixed, st.floats(0, 1e8))
    | st.builds(Delays, st.lists(st.floats(0, 1e8), min_size=1, max_size=5).map(tuple))
    | st.builds(Exponential, st.floats(1e-3, 1e8), st.floats(1, 100), st.floats(1e-3, 1e8), st.floats(0, 1))
)


def running(
    *,
    attempt: int = 1,
    max_attempts: int = 3,
    losses: int = 0,
    retry: Retry | None = None,
    cancel: bool = False,
) -> Running:
    return Running("j", 7, attempt, max_attempts, losses, retry, cancel)


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        (Fixed(1.5), [1.5, 1.5, 1.5]),
        (Fixed(0), [0, 0, 0]),
        (Delays((1, 10)), [1, 10, 10]),
        (Exponential(base=2, factor=3, max=50, jitter=0), [2, 6, 18, 50, 50]),
        (None, [2, 4, 8, 16]),
    ],
)
def test_backoff_by_attempt(retry: Retry | None, waits: list[float]) -> None:
    # A chance of one half is the middle of the jitter.
    got = [policy.backoff(retry, attempt, 0.5) for attempt in range(1, len(waits) + 1)]
    assert got == [round(wait * SECOND) for wait in waits]


def test_no_retry_has_no_further_attempt() -> None:
    assert policy.backoff(NoRetry(), 1, 0.5) is None


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 8.0), (0.25, 9.0), (0.5, 10.0), (0.75, 11.0)])
def test_jitter_spreads_evenly_to_both_sides(chance: float, wait: float) -> None:
    assert policy.backoff(Exponential(10, 1, 100, 0.2), 1, chance) == wait * SECOND


def test_the_default_is_two_seconds_doubling_to_an_hour() -> None:
    longest = [policy.backoff(None, attempt, 0.5) for attempt in (11, 12, 500)]
    assert longest == [2048 * SECOND, 3600 * SECOND, 3600 * SECOND]
    assert {policy.backoff(None, 1, chance) for chance in (0.0, 0.5)} == {1_600_000, 2_000_000}


@given(RETRIES, st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_policy_and_no_attempt_number_overflows(retry: Retry, attempt: int, chance: float) -> None:
    wait = policy.backoff(retry, attempt, chance)
    if isinstance(retry, NoRetry):
        assert wait is None
    else:
        assert isinstance(wait, int)
        assert 0 <= wait <= policy.MAX_DELAY
    if isinstance(retry, Exponential):
        assert wait is not None
        assert wait <= math.ceil(retry.max * (1 + retry.jitter) * SECOND)


def test_a_failure_is_scheduled_again() -> None:
    outcome = policy.failed(running(retry=Fixed(5)), b"{}", NOW)
    assert outcome == Outcome(
        id="j", lease=7, state=State.SCHEDULED, end="failed", error=b"{}", run_at=NOW + 5 * SECOND
    )


def test_a_failure_without_delay_is_pending_at_once() -> None:
    outcome = policy.failed(running(retry=Fixed(0)), None, NOW)
    assert (outcome.state, outcome.run_at) == (State.PENDING, NOW)


def test_the_jitter_is_drawn_when_none_is_given() -> None:
    drawn = {policy.failed(running(), None, NOW).run_at for _ in range(50)}
    assert len(drawn) > 10
    assert all(at is not None and NOW + 1_600_000 <= at <= NOW + 2_400_000 for at in drawn)


@pytest.mark.parametrize(
    ("job", "end", "retry", "reason"),
    [
        (running(attempt=3), "failed", True, "attempts_used_up"),
        (running(attempt=4), "failed", True, "attempts_used_up"),
        (running(), "failed", False, "not_retryable"),
        (running(attempt=3), "timeout", True, "timeout"),
        (running(), "timeout", False, "timeout"),
    ],
)
def test_when_a_failure_is_final(job: Running, end: str, retry: bool, reason: str) -> None:
    outcome = policy.failed(job, b"{}", NOW, end=end, retry=retry)
    assert outcome.cause == cause(job.type, b"{}", reason)
    outcome = msgspec.structs.replace(outcome, cause=None)
    assert outcome == Outcome(id="j", lease=7, state=State.FAILED, end=end, error=b"{}", reason=reason)


def test_the_last_attempt_but_one_is_not_final() -> None:
    assert policy.failed(running(attempt=2), None, NOW).state is State.SCHEDULED


def test_a_failure_under_no_retry_is_final_on_the_first_attempt() -> None:
    outcome = policy.failed(running(retry=NoRetry()), None, NOW)
    assert (outcome.state, outcome.reason) == (State.FAILED, "not_retryable")


def test_a_handler_may_name_the_delay() -> None:
    outcome = policy.failed(running(retry=Fixed(5)), None, NOW, delay=90 * SECOND)
    assert (outcome.state, outcome.run_at) == (State.SCHEDULED, NOW + 90 * SECOND)
    outcome = policy.failed(running(), None, NOW, delay=0)
    assert (outcome.state, outcome.run_at) == (State.PENDING, NOW)


@pytest.mark.parametrize(("delay", "wait"), [(policy.MAX_DELAY + DAY, policy.MAX_DELAY), (-5 * SECOND, 0)])
def test_a_delay_out_of_bounds_is_brought_within(delay: int, wait: int) -> None:
    assert policy.failed(running(), None, NOW, delay=delay).run_at == NOW + wait
    assert policy.snoozed("j", 7, delay, NOW).run_at == NOW + wait


@pytest.mark.parametrize("end", ["failed", "timeout"])
def test_a_requested_cancel_turns_a_failure_into_cancelled(end: str) -> None:
    outcome = policy.failed(running(cancel=True), b"{}", NOW, end=end)
    assert outcome == Outcome(
        id="j", lease=7, state=State.CANCELLED, end=end, error=b"{}", reason="cancelled"
    )


@pytest.mark.parametrize("losses", [0, 1])
def test_a_lost_job_goes_to_the_next_worker_at_once(losses: int) -> None:
    outcome = policy.lost(running(losses=losses), NOW)
    assert (outcome.state, outcome.run_at, outcome.end) == (State.PENDING, NOW, "lost")
    assert (outcome.lost, outcome.spent, outcome.reason) == (True, True, None)
    assert msgspec.json.decode(outcome.error or b"")["type"] == "WorkerLost"


@pytest.mark.parametrize("job", [running(losses=2), running(attempt=3), running(losses=7, attempt=9)])
def test_the_third_loss_or_the_last_attempt_ends_it(job: Running) -> None:
    outcome = policy.lost(job, NOW)
    assert (outcome.state, outcome.reason, outcome.lost) == (State.FAILED, "worker_lost", True)


@pytest.mark.parametrize(
    ("job", "state"),
    [
        (running(attempt=3), State.PENDING),
        (running(attempt=9, losses=1), State.PENDING),
        (running(losses=2), State.FAILED),
        (running(cancel=True), State.CANCELLED),
    ],
)
def test_where_a_loss_costs_no_attempt_only_losses_count(job: Running, state: State) -> None:
    outcome = policy.lost(job, NOW, spent=False)
    assert (outcome.state, outcome.spent, outcome.end) == (state, False, "lost")


@pytest.mark.parametrize(
    ("retry", "delay", "back"),
    [
        (Fixed(0, back=True), None, True),
        (Fixed(0), None, False),
        (Fixed(5, back=True), None, False),
        (Fixed(5, back=True), 0, True),
        (Fixed(0, back=True), SECOND, False),
        (None, 0, False),
    ],
)
def test_a_retry_without_delay_goes_to_the_back_where_the_job_says_so(
    retry: Retry | None, delay: int | None, back: bool
) -> None:
    outcome = policy.failed(running(retry=retry), None, NOW, delay=delay, chance=0.5)
    assert outcome.back is back
    assert outcome.state is (State.SCHEDULED if outcome.run_at != NOW else State.PENDING)


def test_three_losses_are_the_end() -> None:
    assert policy.MAX_LOSSES == 3


def test_a_lost_job_that_should_stop_is_cancelled() -> None:
    outcome = policy.lost(running(cancel=True), NOW)
    assert (outcome.state, outcome.end, outcome.reason) == (State.CANCELLED, "lost", "cancelled")


def test_snooze_and_release_give_the_attempt_back() -> None:
    later = policy.snoozed("j", 7, 3 * SECOND, NOW)
    assert later == Outcome(
        id="j", lease=7, state=State.SCHEDULED, end="snoozed", run_at=NOW + 3 * SECOND, spent=False
    )
    assert policy.snoozed("j", 7, 0, NOW).state is State.PENDING
    back = policy.released("j", 7, NOW)
    assert back == Outcome(id="j", lease=7, state=State.PENDING, end="released", run_at=NOW, spent=False)


@pytest.mark.parametrize(
    ("timeout", "grace"),
    [
        (None, 5 * SECOND),
        (1, SECOND),
        (SECOND, SECOND),
        (3 * SECOND, 3 * SECOND),
        (5 * SECOND, 5 * SECOND),
        (DAY, 5 * SECOND),
    ],
)
def test_grace_after_a_timeout(timeout: int | None, grace: int) -> None:
    assert policy.grace(timeout) == grace
