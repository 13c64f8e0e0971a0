"""Unique keys: no second job while the first is in one of its states."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.clock import HOUR
from rota.model.job import Kept, Match, Request, State
from tests.engines.kit import (
    NOW,
    again,
    check_counts,
    done,
    ended,
    failed,
    found,
    job,
    put,
    run,
    state_of,
    take,
)

EARLY = (State.SCHEDULED, State.PENDING)
EVER = tuple(State)


async def holder_of(engine: Engine, key: str, now: int = NOW) -> str | None:
    """Who holds the key: ask with a job that is removed again when it got in."""
    probe = job(type="probe", queue="probe", unique_key=key)
    [kept] = await put(engine, probe, now=now)
    if kept.id != probe.id:
        assert kept.why == "unique"
        return kept.id
    await engine.delete(Match(ids=(probe.id,)), 1)
    return None


async def test_the_holder_is_answered(engine: Engine) -> None:
    first = job(unique_key="k")
    assert await put(engine, first) == [Kept(first.id, State.PENDING)]
    # Another queue, type, time or payload makes no difference.
    second = job(type="other", queue="other", delay=HOUR, payload=b"2", unique_key="k")
    assert await put(engine, second) == [Kept(first.id, State.PENDING, "unique")]
    assert await found(engine) == [first.id]
    await check_counts(engine)


async def test_other_keys_and_no_keys_are_free(engine: Engine) -> None:
    jobs = [job(unique_key="a"), job(unique_key="b"), job(unique_key="A"), job(), job()]
    assert [kept.why for kept in await put(engine, *jobs)] == [None] * 5


async def test_two_with_one_key_in_one_request_and_in_one_call(engine: Engine) -> None:
    first, second, third, other = job(unique_key="k"), job(unique_key="k"), job(unique_key="k"), job()
    answers = await engine.enqueue([Request((first, second, other)), Request((third,))], NOW)
    assert answers == [
        [
            Kept(first.id, State.PENDING),
            Kept(first.id, State.PENDING, "unique"),
            Kept(other.id, State.PENDING),
        ],
        [Kept(first.id, State.PENDING, "unique")],
    ]
    assert await found(engine) == [other.id, first.id]


async def test_it_holds_while_scheduled_pending_and_running(engine: Engine) -> None:
    first = job(delay=HOUR, unique_key="k")
    await put(engine, first)
    states = []
    for step in ("nothing", "promote", "claim"):
        if step == "promote":
            await engine.promote(NOW + HOUR, 10)
        elif step == "claim":
            await take(engine, now=NOW + HOUR)
        [kept] = await put(engine, job(unique_key="k"))
        assert (kept.id, kept.why) == (first.id, "unique")
        states.append(kept.state)
    assert states == [State.SCHEDULED, State.PENDING, State.RUNNING]


@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.CANCELLED])
async def test_it_is_free_after_the_end(engine: Engine, state: State) -> None:
    await ended(engine, state, unique_key="k")
    second = job(unique_key="k")
    assert await put(engine, second) == [Kept(second.id, State.PENDING)]


@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.CANCELLED])
async def test_it_goes_on_after_an_end_that_is_among_its_states(engine: Engine, state: State) -> None:
    first = await ended(engine, state, unique_key="k", unique_states=(*EARLY, State.RUNNING, state))
    assert await put(engine, job(unique_key="k")) == [Kept(first.id, state, "unique")]
    await engine.delete(Match(ids=(first.id,)), 1)
    assert await holder_of(engine, "k") is None


@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.CANCELLED])
async def test_another_end_is_not_among_its_states(engine: Engine, state: State) -> None:
    others = tuple(one for one in EVER if one is not state)
    await ended(engine, state, unique_key="k", unique_states=others)
    assert await holder_of(engine, "k") is None


async def test_it_is_given_up_on_leaving_and_not_taken_back(engine: Engine) -> None:
    first = job(type="first", unique_key="k", unique_states=EARLY)
    work = await run(engine, first)
    # Running is outside its states, so the key is free ...
    assert await holder_of(engine, "k") is None
    await engine.finish([again(work, NOW + HOUR)], NOW)
    # ... and stays so when the job comes back to a state that is inside.
    assert await state_of(engine, first.id) == [State.SCHEDULED]
    assert await holder_of(engine, "k") is None
    second = job(type="second", unique_key="k", unique_states=EARLY)
    await put(engine, second)
    assert await holder_of(engine, "k") == second.id
    await engine.promote(NOW + HOUR, 10)
    assert await state_of(engine, first.id, second.id) == [State.PENDING, State.PENDING]
    # The end of the one without the key does not take it from the other.
    [work] = await take(engine, types=("first",))
    await engine.finish([done(work)], NOW)
    assert await holder_of(engine, "k") == second.id


async def test_a_job_that_comes_back_while_another_holds_its_key_ends_normally(engine: Engine) -> None:
    first = job(type="first", unique_key="k", unique_states=(*EARLY, State.DONE, State.FAILED))
    work = await run(engine, first)
    second = job(type="second", unique_key="k")
    await put(engine, second)
    # Done is among its states, but the key was given up when it left the others.
    [applied] = await engine.finish([done(work)], NOW)
    assert applied.state is State.DONE
    assert await holder_of(engine, "k") == second.id


async def test_it_holds_through_retries(engine: Engine) -> None:
    first = job(unique_key="k")
    work = await run(engine, first)
    await engine.finish([again(work, NOW + HOUR)], NOW)
    assert await holder_of(engine, "k") == first.id
    await engine.promote(NOW + HOUR, 10)
    assert await holder_of(engine, "k") == first.id
    [work] = await take(engine, now=NOW + HOUR)
    await engine.finish([failed(work)], NOW + HOUR)
    assert await holder_of(engine, "k") is None


async def test_cancel_and_delete_free_it(engine: Engine) -> None:
    for verb in ("cancel", "delete"):
        first = job(unique_key=verb)
        await put(engine, first)
        match = Match(ids=(first.id,))
        await (engine.cancel(match, "cancelled", NOW, 1) if verb == "cancel" else engine.delete(match, 1))
        assert await holder_of(engine, verb) is None


async def test_a_cancel_mark_does_not_free_it(engine: Engine) -> None:
    first = job(unique_key="k")
    work = await run(engine, first)
    await engine.cancel(Match(ids=(first.id,)), "cancelled", NOW, 1)
    assert await holder_of(engine, "k") == first.id
    await engine.finish([again(work, NOW + HOUR)], NOW)
    assert await state_of(engine, first.id) == [State.CANCELLED]
    assert await holder_of(engine, "k") is None


async def test_a_stale_end_does_not_free_it(engine: Engine) -> None:
    first = job(unique_key="k")
    work = await run(engine, first)
    await engine.finish([again(work)], NOW)
    await engine.finish([done(work)], NOW)
    assert await holder_of(engine, "k") == first.id


async def test_a_retried_job_takes_its_key_again(engine: Engine) -> None:
    first = await ended(engine, State.FAILED, unique_key="k")
    await engine.retry(Match(ids=(first.id,)), NOW, 1)
    assert await holder_of(engine, "k") == first.id


async def test_a_retried_job_gives_way_to_the_present_holder(engine: Engine) -> None:
    first = await ended(engine, State.FAILED, unique_key="k")
    second, free = job(unique_key="k"), await ended(engine, State.DONE)
    await put(engine, second)
    applied = await engine.retry(Match(ids=(first.id, free.id)), NOW, 10)
    assert [(one.id, one.state) for one in applied] == [(first.id, None), (free.id, State.PENDING)]
    assert await state_of(engine, first.id) == [State.FAILED]
    assert await holder_of(engine, "k") == second.id
    await check_counts(engine)


async def test_of_two_retried_jobs_with_one_key_the_older_wins(engine: Engine) -> None:
    first = await ended(engine, State.DONE, unique_key="k")
    second = await ended(engine, State.DONE, unique_key="k")
    applied = await engine.retry(Match(ids=(second.id, first.id)), NOW, 10)
    assert [(one.id, one.state) for one in applied] == [(first.id, State.PENDING), (second.id, None)]
    assert await holder_of(engine, "k") == first.id


async def test_a_retried_job_that_still_holds_its_key_is_no_rival_of_itself(engine: Engine) -> None:
    first = await ended(engine, State.DONE, unique_key="k", unique_states=EVER)
    applied = await engine.retry(Match(ids=(first.id,)), NOW, 10)
    assert [(one.id, one.state) for one in applied] == [(first.id, State.PENDING)]
    assert await holder_of(engine, "k") == first.id
