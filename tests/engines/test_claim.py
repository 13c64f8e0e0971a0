"""claim: who gets what, in which order."""

from __future__ import annotations

import asyncio

import pytest

from rota.engines.base import Engine
from rota.model.clock import HOUR, SECOND
from rota.model.job import Ask, Claimed, Match, Request, State
from tests.engines.kit import (
    LEASE,
    NOW,
    again,
    check_counts,
    counts,
    done,
    ended,
    ids,
    job,
    one,
    put,
    run,
    state_of,
    take,
)


async def test_nothing_there_and_nothing_asked(engine: Engine) -> None:
    assert await engine.claim([], NOW + LEASE, NOW) == []
    assert await engine.claim([Ask("w", ("a", "b"), None, 5), Ask("w", ("a",), ("t",), 5)], NOW, NOW) == [
        [],
        [],
    ]


@pytest.mark.parametrize(
    "ask",
    [
        Ask("w", ("default",), None, 0),
        Ask("w", (), None, 5),
        Ask("w", ("default",), (), 5),
        Ask("w", ("other", "Default", "defaul"), None, 5),
        Ask("w", ("default",), ("other", "Work", "wor"), 5),
    ],
)
async def test_an_ask_that_fits_nothing_gets_nothing(engine: Engine, ask: Ask) -> None:
    await put(engine, waiting := job())
    assert await engine.claim([ask], NOW + LEASE, NOW) == [[]]
    assert await state_of(engine, waiting.id) == [State.PENDING]


async def test_a_worker_gets_all_it_needs(engine: Engine) -> None:
    new = job(
        type="t",
        queue="q",
        payload=b"\x00\xff",
        content_type="image/png",
        headers={"a": "b"},
        timeout=7 * SECOND,
        max_attempts=4,
    )
    await put(engine, new)
    [work] = await take(engine, 1, "q", worker="me", now=NOW + SECOND)
    assert work == Claimed(new.id, 1, "t", "q", 1, 4, b"\x00\xff", "image/png", {"a": "b"}, 7 * SECOND, NOW)
    kept = await one(engine, new.id)
    assert (kept.state, kept.attempt, kept.lease, kept.worker) == (State.RUNNING, 1, 1, "me")
    assert (kept.started_at, kept.lease_until, kept.finished_at) == (NOW + SECOND, NOW + SECOND + LEASE, None)
    assert await counts(engine) == {("q", "t", State.RUNNING): 1}


async def test_a_claimed_job_is_not_claimed_again(engine: Engine) -> None:
    await put(engine, job())
    assert len(await take(engine, 5)) == 1
    assert await take(engine, 5, now=NOW + HOUR) == []


async def test_the_order_is_priority_then_age_over_all_types(engine: Engine) -> None:
    jobs = [job(type=f"t{n % 3}", priority=(0, 5, -5, 100, -100)[n % 5]) for n in range(30)]
    for new in jobs:
        await put(engine, new)
    best = sorted(range(30), key=lambda n: (-jobs[n].priority, n))
    got = [work for _ in range(5) for work in await take(engine, 6)]
    assert ids(got) == [jobs[n].id for n in best]


async def test_age_counts_within_one_request_and_within_one_microsecond(engine: Engine) -> None:
    jobs = [job(type=f"t{n % 2}") for n in range(50)]
    await put(engine, *jobs)
    assert ids(await take(engine, 50)) == ids(jobs)


async def test_a_type_filter_takes_the_best_of_its_types(engine: Engine) -> None:
    a, b, c, d = job("a"), job("b", priority=1), job("c", priority=2), job("a", priority=1)
    await put(engine, a, b, c, d)
    assert ids(await take(engine, 9, types=("a", "b"))) == [b.id, d.id, a.id]
    assert ids(await take(engine, 9, types=("a", "c", "unknown"))) == [c.id]


async def test_queues_are_tried_in_the_order_of_the_ask(engine: Engine) -> None:
    first, second, third = job(queue="b"), job(queue="a", priority=100), job(queue="b", priority=1)
    await put(engine, first, second, third)
    got = await take(engine, 9, "none", "b", "a")
    assert ids(got) == [third.id, first.id, second.id]
    assert [work.queue for work in got] == ["b", "b", "a"]


async def test_the_second_queue_fills_only_the_slots_that_are_left(engine: Engine) -> None:
    jobs = [job(queue=queue) for queue in "aaabbb"]
    await put(engine, *jobs)
    assert ids(await take(engine, 4, "a", "b")) == ids(jobs[:4])
    assert ids(await take(engine, 1, "b", "a")) == [jobs[4].id]


async def test_a_queue_named_twice_gives_nothing_twice(engine: Engine) -> None:
    jobs = [job(queue="a"), job(queue="a")]
    await put(engine, *jobs)
    assert ids(await take(engine, 9, "a", "a")) == ids(jobs)


@pytest.mark.parametrize("slots", [1, 3, 10, 11, 1000])
async def test_never_more_than_the_slots(engine: Engine, slots: int) -> None:
    jobs = [job(type=f"t{n % 4}", queue="ab"[n % 2]) for n in range(10)]
    await put(engine, *jobs)
    assert len(await take(engine, slots, "a", "b")) == min(slots, 10)
    await check_counts(engine)


async def test_several_asks_share_without_overlap(engine: Engine) -> None:
    jobs = [job(type="ab"[n % 2]) for n in range(10)]
    await put(engine, *jobs)
    asks = [
        Ask("w1", ("default",), None, 3),
        Ask("w2", ("default",), ("b",), 3),
        Ask("w3", ("default",), ("a",), 0),
        Ask("w4", ("default",), None, 100),
        Ask("w5", ("default",), None, 1),
    ]
    answers = await engine.claim(asks, NOW + LEASE, NOW)
    assert [ids(got) for got in answers] == [
        [jobs[n].id for n in (0, 1, 2)],
        [jobs[n].id for n in (3, 5, 7)],
        [],
        [jobs[n].id for n in (4, 6, 8, 9)],
        [],
    ]
    assert [(await one(engine, new.id)).worker for new in jobs] == [
        "w1", "w1", "w1", "w2", "w4", "w2", "w4", "w2", "w4", "w4"
    ]  # fmt: skip


async def test_a_narrow_ask_that_finds_nothing_leaves_the_rest_to_the_next(engine: Engine) -> None:
    await put(engine, new := job("a"))
    asks = [Ask("w1", ("default",), ("b",), 5), Ask("w2", ("default",), ("a",), 5)]
    assert [ids(got) for got in await engine.claim(asks, NOW + LEASE, NOW)] == [[], [new.id]]


async def test_only_pending_jobs_are_claimed(engine: Engine) -> None:
    for state in (State.DONE, State.FAILED, State.CANCELLED):
        await ended(engine, state)
    await run(engine, job())
    await put(engine, later := job(delay=SECOND, priority=100))
    # Being due is not enough: promote makes it pending.
    assert await take(engine, 9, now=NOW + HOUR) == []
    await engine.promote(NOW + HOUR, 9)
    assert ids(await take(engine, 9, now=NOW + HOUR)) == [later.id]


async def test_expired_jobs_are_passed_over(engine: Engine) -> None:
    expired, fresh, forever = job(expires_at=NOW + 10), job(expires_at=NOW + 12), job()
    await put(engine, expired, fresh, forever)
    assert ids(await take(engine, 2, now=NOW + 11)) == [fresh.id, forever.id]
    assert await state_of(engine, expired.id) == [State.PENDING]


async def test_expired_jobs_do_not_use_up_slots(engine: Engine) -> None:
    expired = [job(type=f"t{n % 2}", expires_at=NOW + 1, priority=9) for n in range(20)]
    await put(engine, *expired, fresh := job(type="t0"))
    assert ids(await take(engine, 1, now=NOW + 2)) == [fresh.id]


@pytest.mark.parametrize("late", [-1, 0, 1])
async def test_at_every_moment_a_job_is_either_claimed_or_found_expired(engine: Engine, late: int) -> None:
    await put(engine, new := job(expires_at=NOW + SECOND))
    at = NOW + SECOND + late
    expired = await engine.find(Match(expired_at=at), 9)
    claimed = await take(engine, now=at)
    assert ids(expired.jobs) + ids(claimed) == [new.id]


async def test_every_claim_counts_attempt_and_lease_up(engine: Engine) -> None:
    new = job()
    await put(engine, new)
    seen = []
    for n in range(4):
        [work] = await take(engine, worker=f"w{n}", now=NOW + n)
        seen.append((work.attempt, work.lease))
        # A snooze gives the attempt back, never the lease.
        await engine.finish([again(work, spent=n % 2 == 0, end="snoozed" if n % 2 else "failed")], NOW + n)
    assert seen == [(1, 1), (2, 2), (2, 3), (3, 4)]


async def test_a_new_claim_starts_anew(engine: Engine) -> None:
    new = job()
    first = await run(engine, new)
    await engine.finish([again(first, NOW)], NOW)
    [second] = await take(engine, worker="w2", now=NOW + HOUR)
    kept = await one(engine, second.id)
    assert (kept.worker, kept.started_at, kept.lease_until) == ("w2", NOW + HOUR, NOW + HOUR + LEASE)
    assert (kept.progress, kept.cancel_requested) == (None, False)


async def test_claims_called_in_the_same_moment_do_not_overlap(engine: Engine) -> None:
    jobs = [job(type=f"t{n % 3}") for n in range(100)]
    await put(engine, *jobs)
    calls = [engine.claim([Ask(f"w{n}", ("default",), None, 7)], NOW + LEASE, NOW) for n in range(20)]
    got = [work.id for [claimed] in await asyncio.gather(*calls) for work in claimed]
    assert got == ids(jobs)


async def test_a_claim_between_enqueues_sees_just_the_earlier_ones(engine: Engine) -> None:
    low, high = job(), job(priority=100)
    ask = [Ask("w", ("default",), None, 9)]
    _, [first], _, [second] = await asyncio.gather(
        engine.enqueue([Request((low,))], NOW),
        engine.claim(ask, NOW + LEASE, NOW),
        engine.enqueue([Request((high,))], NOW),
        engine.claim(ask, NOW + LEASE, NOW),
    )
    assert (ids(first), ids(second)) == ([low.id], [high.id])


async def test_many_types_in_one_queue(engine: Engine) -> None:
    jobs = [job(type=f"type-{n}", priority=n % 3) for n in range(600)]
    await put(engine, *jobs)
    best = sorted(jobs, key=lambda new: -new.priority)
    assert ids(await take(engine, 300)) == ids(best[:300])
    await engine.finish([done(work) for work in await take(engine, 300)], NOW)
    assert await take(engine) == []
    await check_counts(engine)


async def test_types_that_an_ask_leaves_out(engine: Engine) -> None:
    """``except_types`` of an ask for any type: they stay, whatever their priority, and cost nobody a slot."""
    left = job(type="b", priority=100)
    await put(engine, first := job(type="a"), left, second := job(type="c"))
    [claimed] = await engine.claim([Ask("w", ("default",), None, 5, ("b", "never"))], NOW + LEASE, NOW)
    assert ids(claimed) == [first.id, second.id]
    assert await state_of(engine, left.id) == [State.PENDING]
    assert await engine.claim([Ask("w", ("default",), None, 5, ("b",))], NOW + LEASE, NOW) == [[]]


async def test_asks_that_leave_out_different_types(engine: Engine) -> None:
    """What one ask of a call did not find says nothing of the next one."""
    await put(engine, a := job(type="a"), b := job(type="b"), c := job(type="c"))
    asks = [
        Ask("w1", ("default",), None, 5, ("a", "b", "c")),
        Ask("w2", ("default",), None, 5, ("b", "c")),
        Ask("w3", ("default",), None, 5, ("c",)),
        Ask("w4", ("default",), None, 5),
    ]
    claimed = await engine.claim(asks, NOW + LEASE, NOW)
    assert [ids(one) for one in claimed] == [[], [a.id], [b.id], [c.id]]
    await check_counts(engine)


async def test_types_that_are_named_outweigh_those_left_out(engine: Engine) -> None:
    await put(engine, a := job(type="a"), job(type="b"))
    [claimed] = await engine.claim([Ask("w", ("default",), ("a",), 5, ("a",))], NOW + LEASE, NOW)
    assert ids(claimed) == [a.id]


async def test_of_an_ask_that_names_jobs_only_these_are_taken(engine: Engine) -> None:
    first, second, third = job(), job(priority=1), job()
    elsewhere, other, over = job(queue="q"), job(type="other"), job(expires_at=NOW)
    await put(engine, first, second, third, elsewhere, other, over)
    named = (third.id, second.id, elsewhere.id, other.id, over.id, "nobody")
    asks = [
        Ask("w", ("default",), ("work",), 5, ids=named),
        Ask("w", ("default",), ("work",), 5, ids=(third.id,)),
        Ask("w", ("default",), None, 1),
    ]
    got = await engine.claim(asks, NOW + LEASE, NOW)
    assert [[one.id for one in jobs] for jobs in got] == [[second.id, third.id], [], [first.id]]
    assert [(one.attempt, one.lease, one.payload) for one in got[0]] == [(1, 1, b"null")] * 2
    [again] = await engine.claim([Ask("w", ("q",), None, 1, ids=(elsewhere.id, first.id))], NOW + LEASE, NOW)
    assert [one.id for one in again] == [elsewhere.id]
    await check_counts(engine)
