"""retry: ended jobs get another life, scheduled ones run now. The unique key is in test_unique.py."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.job import Applied, Match, State
from tests.engines.kit import (
    ANY,
    NOBODY,
    NOW,
    again,
    check_counts,
    counts,
    done,
    ended,
    failed,
    found,
    ids,
    job,
    one,
    put,
    run,
    state_of,
    take,
)

LATER = NOW + HOUR
ENDED = [State.DONE, State.FAILED, State.CANCELLED]


@pytest.mark.parametrize("match", [Match(ids=()), Match(ids=(NOBODY, "no id at all")), Match(states=())])
async def test_nothing_that_fits_is_fine(engine: Engine, match: Match) -> None:
    new = await ended(engine, State.FAILED)
    assert await engine.retry(match, NOW, 10) == []
    assert await state_of(engine, new.id) == [State.FAILED]


@pytest.mark.parametrize("state", ENDED)
async def test_an_ended_job_waits_again(engine: Engine, state: State) -> None:
    new = await ended(engine, state, queue="q", retention=1)
    before = await one(engine, new.id)
    applied = await engine.retry(Match(ids=(new.id,)), LATER, 10)
    assert applied == [Applied(new.id, before.lease, State.PENDING, "q", new.type)]
    kept = await one(engine, new.id)
    assert (kept.state, kept.run_at, kept.created_at) == (State.PENDING, LATER, NOW)
    assert (kept.finished_at, kept.reason, kept.cancel_requested, kept.progress) == (None, None, False, None)
    assert (kept.attempt, kept.lease) == (before.attempt, before.lease)
    assert kept.payload == before.payload
    assert await counts(engine) == {("q", new.type, State.PENDING): 1}
    # Its retention counts from its next end.
    assert (await engine.find(Match(delete_at=LATER + DAY), 9)).jobs == []
    [work] = await take(engine, 1, "q", now=LATER)
    assert (work.id, work.attempt, work.lease) == (new.id, before.attempt + 1, before.lease + 1)


async def test_the_result_is_dropped(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([done(work, b"old", "image/png")], NOW)
    await engine.retry(ANY, NOW, 10)
    kept = await one(engine, work.id)
    assert (kept.result, kept.result_type) == (None, None)
    [second] = await take(engine)
    await engine.finish([done(second)], NOW)
    kept = await one(engine, work.id)
    assert (kept.state, kept.result, kept.result_type) == (State.DONE, None, None)


@pytest.mark.parametrize(
    ("used", "allowed", "after"), [(1, 1, 2), (2, 2, 3), (1, 5, 5), (2, 3, 3), (0, 1, 1)]
)
async def test_it_gets_at_least_one_more_attempt(engine: Engine, used: int, allowed: int, after: int) -> None:
    new = job(max_attempts=allowed)
    await put(engine, new)
    for n in range(used):
        [work] = await take(engine)
        await engine.finish([again(work) if n < used - 1 else failed(work)], NOW)
    if not used:
        await engine.cancel(ANY, "cancelled", NOW, 1)
    await engine.retry(ANY, NOW, 10)
    kept = await one(engine, new.id)
    assert (kept.attempt, kept.max_attempts) == (used, after)
    [work] = await take(engine)
    assert (work.attempt, work.max_attempts) == (used + 1, after)


async def test_losses_are_forgiven(engine: Engine) -> None:
    new = job()
    await put(engine, new)
    for n in range(3):
        [work] = await take(engine)
        outcome = again(work, lost=True, end="lost") if n < 2 else failed(work, lost=True, end="lost")
        await engine.finish([outcome], NOW)
    assert (await one(engine, new.id)).losses == 3
    await engine.retry(ANY, NOW, 10)
    assert (await one(engine, new.id)).losses == 0


async def test_a_scheduled_job_runs_now(engine: Engine) -> None:
    new = job(delay=DAY)
    await put(engine, new)
    assert await engine.retry(ANY, LATER, 10) == [Applied(new.id, 0, State.PENDING, "default", "work")]
    kept = await one(engine, new.id)
    assert (kept.state, kept.run_at, kept.max_attempts) == (State.PENDING, LATER, 10)
    assert await engine.next_due() is None
    assert ids(await take(engine)) == [new.id]


async def test_a_job_in_backoff_runs_now_and_goes_on_counting(engine: Engine) -> None:
    work = await run(engine, job(unique_key="k"))
    await engine.finish([again(work, NOW + DAY)], NOW)
    await engine.retry(ANY, LATER, 10)
    [second] = await take(engine, now=LATER)
    assert (second.id, second.attempt, second.lease) == (work.id, 2, 2)
    assert [kept.why for kept in await put(engine, job(unique_key="k"))] == ["unique"]


async def test_pending_and_running_jobs_are_passed_over(engine: Engine) -> None:
    work = await run(engine, job("running"))
    await put(engine, new := job("pending"))
    before = await engine.get([work.id, new.id])
    assert await engine.retry(ANY, LATER, 10) == []
    assert await engine.get([work.id, new.id]) == before


async def test_a_running_job_asked_to_stop_is_not_reprieved(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.cancel(ANY, "cancelled", NOW, 1)
    assert await engine.retry(ANY, NOW, 10) == []
    assert (await one(engine, work.id)).cancel_requested


async def test_the_old_lease_is_worth_nothing(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([failed(work)], NOW)
    await engine.retry(ANY, NOW, 10)
    assert [one.state for one in await engine.finish([done(work)], NOW)] == [None]
    [second] = await take(engine)
    assert second.lease > work.lease
    assert [one.state for one in await engine.finish([done(work)], NOW)] == [None]


async def test_all_that_match_oldest_first_up_to_the_limit(engine: Engine) -> None:
    jobs = [await ended(engine, State.FAILED, queue="ab"[n % 2]) for n in range(8)]
    await put(engine, job())
    match = Match(states=(State.FAILED,), queues=("a",))
    assert ids(await engine.retry(match, NOW, 3)) == [jobs[n].id for n in (0, 2, 4)]
    assert ids(await engine.retry(match, NOW, 3)) == [jobs[6].id]
    assert await engine.retry(match, NOW, 3) == []
    assert await found(engine, Match(states=(State.FAILED,))) == [jobs[n].id for n in (7, 5, 3, 1)]
    await check_counts(engine)


async def test_by_ids(engine: Engine) -> None:
    jobs = [await ended(engine, state) for state in ENDED]
    wish = (jobs[2].id, jobs[0].id, jobs[2].id, NOBODY)
    assert ids(await engine.retry(Match(ids=wish), NOW, 10)) == [jobs[0].id, jobs[2].id]
    assert await state_of(engine, *ids(jobs)) == [State.PENDING, State.FAILED, State.PENDING]


async def test_again_and_again(engine: Engine) -> None:
    new = await ended(engine, State.DONE)
    for n in range(2, 6):
        assert len(await engine.retry(ANY, NOW, 1)) == 1
        [work] = await take(engine)
        assert work.attempt == n
        await engine.finish([done(work, b"%d" % n)], NOW)
        assert (await one(engine, new.id)).result == b"%d" % n
    await check_counts(engine)


async def test_an_expiry_that_has_passed_is_dropped_a_later_one_stays(engine: Engine) -> None:
    past, later = job(expires_at=NOW + SECOND), job(expires_at=NOW + DAY)
    await put(engine, past, later)
    await engine.cancel(Match(), "expired", NOW, 10)
    await engine.retry(Match(), NOW + SECOND, 10)
    assert [kept.expires_at for kept in await engine.get([past.id, later.id])] == [None, NOW + DAY]
    assert ids(await take(engine, 9, now=NOW + HOUR)) == [past.id, later.id]
