"""cancel: what waits ends at once, what runs is asked to stop, what ended stays."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.job import Applied, Beat, Match, State
from tests.engines.kit import (
    ANY,
    LEASE,
    NOBODY,
    NOW,
    again,
    check_counts,
    counts,
    ended,
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


@pytest.mark.parametrize("match", [Match(ids=()), Match(ids=(NOBODY, "no id at all")), Match(states=())])
async def test_nothing_that_fits_is_fine(engine: Engine, match: Match) -> None:
    await put(engine, new := job())
    assert await engine.cancel(match, "cancelled", NOW, 10) == []
    assert await state_of(engine, new.id) == [State.PENDING]


@pytest.mark.parametrize("delay", [0, HOUR])
async def test_a_waiting_job_ends_at_once(engine: Engine, delay: int) -> None:
    new = job("t", queue="q", delay=delay, retention=SECOND)
    await put(engine, new)
    applied = await engine.cancel(Match(ids=(new.id,)), "by_operator", LATER, 10)
    assert applied == [Applied(new.id, 0, State.CANCELLED, "q", "t")]
    kept = await one(engine, new.id)
    assert (kept.state, kept.reason, kept.finished_at) == (State.CANCELLED, "by_operator", LATER)
    assert (kept.attempt, kept.lease, kept.attempts) == (0, 0, ())
    assert await counts(engine) == {("q", "t", State.CANCELLED): 1}
    assert ids((await engine.find(Match(delete_at=LATER + SECOND + 1), 9)).jobs) == [new.id]
    await engine.promote(LATER + HOUR, 9)
    assert await take(engine, 9, "q") == []


async def test_a_running_job_is_only_marked(engine: Engine) -> None:
    work = await run(engine, job())
    # Once it is marked it is passed over, so that whoever works through many jobs comes to an end.
    for expected in ([Applied(work.id, 1, State.RUNNING, "default", "work")], []):
        applied = await engine.cancel(Match(ids=(work.id,)), "cancelled", LATER, 10)
        assert applied == expected
        kept = await one(engine, work.id)
        assert (kept.state, kept.cancel_requested, kept.finished_at) == (State.RUNNING, True, None)
    assert [held.stop for held in await engine.extend([Beat(work.id, 1)], LATER + LEASE, LATER)] == [True]
    await check_counts(engine)


@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.CANCELLED])
async def test_an_ended_job_is_passed_over(engine: Engine, state: State) -> None:
    new = await ended(engine, state)
    before = await one(engine, new.id)
    assert await engine.cancel(Match(ids=(new.id,)), "other", LATER, 10) == []
    assert await one(engine, new.id) == before


async def test_twice_is_once(engine: Engine) -> None:
    await put(engine, new := job())
    await engine.cancel(ANY, "first", NOW, 10)
    assert await engine.cancel(ANY, "second", LATER, 10) == []
    assert ((await one(engine, new.id)).reason, (await one(engine, new.id)).finished_at) == ("first", NOW)


async def test_all_that_match_oldest_first(engine: Engine) -> None:
    a, b, c, d = job("a"), job("b", delay=HOUR), job("c"), job("d", queue="other")
    await put(engine, a, b)
    work = await run(engine, job("running"))
    await put(engine, c, d)
    applied = await engine.cancel(Match(queues=("default",)), "cancelled", NOW, 100)
    assert [(one.id, one.state) for one in applied] == [
        (a.id, State.CANCELLED),
        (b.id, State.CANCELLED),
        (work.id, State.RUNNING),
        (c.id, State.CANCELLED),
    ]
    assert await state_of(engine, d.id) == [State.PENDING]
    await check_counts(engine)


async def test_ids_are_answered_oldest_first_too(engine: Engine) -> None:
    jobs = [job() for _ in range(3)]
    await put(engine, *jobs)
    wish = (jobs[2].id, NOBODY, jobs[0].id, jobs[0].id)
    assert ids(await engine.cancel(Match(ids=wish), "cancelled", NOW, 10)) == [jobs[0].id, jobs[2].id]


async def test_at_most_the_limit(engine: Engine) -> None:
    over = await ended(engine, State.DONE)
    jobs = [job() for _ in range(5)]
    await put(engine, *jobs)
    # What is passed over uses up nothing of the limit.
    assert ids(await engine.cancel(ANY, "cancelled", NOW, 2)) == ids(jobs[:2])
    assert ids(await engine.cancel(ANY, "cancelled", NOW, 2)) == ids(jobs[2:4])
    assert ids(await engine.cancel(ANY, "cancelled", NOW, 2)) == [jobs[4].id]
    assert await state_of(engine, over.id) == [State.DONE]
    await check_counts(engine)


@pytest.mark.parametrize(
    "match",
    [
        Match(types=("t",)),
        Match(tags=("x",)),
        Match(text="needle"),
        Match(since=NOW + 5, until=NOW + 6),
        Match(states=(State.SCHEDULED,)),
        Match(expired_at=NOW + DAY),
        Match(queues=("q",), types=("t",), states=(State.SCHEDULED, State.RUNNING)),
    ],
)
async def test_every_filter_narrows(engine: Engine, match: Match) -> None:
    hit = job("t", queue="q", tags=("x", "a-needle-b"), now=NOW + 5, delay=HOUR, expires_at=NOW + 2 * HOUR)
    await put(engine, job("u", queue="q", tags=("y",)), hit, job("u", queue="p"))
    assert ids(await engine.cancel(match, "cancelled", NOW, 10)) == [hit.id]


async def test_a_filter_by_worker_or_lease_marks_its_jobs(engine: Engine) -> None:
    await put(engine, job(), job(), job())
    [mine] = await take(engine, worker="me")
    [late] = await take(engine, worker="you")
    await take(engine, worker="you")
    assert ids(await engine.cancel(Match(worker="me"), "cancelled", NOW, 10)) == [mine.id]
    await engine.extend([Beat(late.id, 1)], NOW + 1, NOW)
    assert ids(await engine.cancel(Match(lease_before=NOW + 2), "cancelled", NOW, 10)) == [late.id]


async def test_a_job_in_backoff_ends_with_its_history(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([again(work, LATER)], NOW)
    applied = await engine.cancel(ANY, "cancelled", NOW, 1)
    assert applied == [Applied(work.id, 1, State.CANCELLED, "default", "work")]
    kept = await one(engine, work.id)
    assert [attempt.end for attempt in kept.attempts] == ["failed"]
    assert kept.attempt == 1


async def test_everything_in_several_goes(engine: Engine) -> None:
    await put(engine, *(job(f"t{n % 3}", delay=n % 2) for n in range(700)))
    sizes = []
    while gone := await engine.cancel(Match(states=(State.PENDING, State.SCHEDULED)), "cancelled", NOW, 300):
        sizes.append(len(gone))
    assert sizes == [300, 300, 100]
    assert set(await state_of(engine, *await found(engine))) == {State.CANCELLED}
    await check_counts(engine)
