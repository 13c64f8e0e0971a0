"""finish: what becomes of a running job, and the lease that guards it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rota.engines.base import Engine
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.job import Applied, Claimed, Job, Match, Outcome, State
from tests.engines.kit import (
    NOBODY,
    NOW,
    again,
    check_counts,
    counts,
    done,
    failed,
    ids,
    job,
    one,
    put,
    released,
    run,
    state_of,
    take,
)

LATER = NOW + HOUR


async def test_nothing_is_fine(engine: Engine) -> None:
    assert await engine.finish([], NOW) == []


@pytest.mark.parametrize("result", [None, b"", b"null", b'{"a":1}', bytes(range(256)), b"x" * 2_000_000])
@pytest.mark.parametrize("content_type", [None, "image/png"])
async def test_a_result_is_kept_to_the_byte(
    engine: Engine, result: bytes | None, content_type: str | None
) -> None:
    work = await run(engine, job(queue="q", type="t"))
    [applied] = await engine.finish([done(work, result, content_type)], LATER)
    assert applied == Applied(work.id, 1, State.DONE, "q", "t")
    kept = await one(engine, work.id)
    assert (kept.state, kept.finished_at, kept.attempt, kept.lease) == (State.DONE, LATER, 1, 1)
    assert (kept.started_at, kept.worker) == (NOW, "w1")
    assert (kept.result, kept.error, kept.reason) == (result, None, None)
    assert kept.result_type == (content_type if result is not None else None)


ENDINGS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "failed",
        {"state": State.FAILED, "error": b'{"type":"E"}', "reason": "not_retryable"},
        {"attempt": 1, "losses": 0, "finished_at": LATER, "error": b'{"type":"E"}'},
    ),
    (
        "timeout",
        {"state": State.FAILED, "error": b"{}", "reason": "timeout"},
        {"attempt": 1, "finished_at": LATER},
    ),
    ("cancelled", {"state": State.CANCELLED, "reason": "cancelled"}, {"attempt": 1, "finished_at": LATER}),
    (
        "lost",
        {"state": State.FAILED, "error": b"{}", "reason": "worker_lost", "lost": True},
        {"attempt": 1, "losses": 1, "finished_at": LATER},
    ),
    (
        "lost",
        {"state": State.PENDING, "error": b"{}", "run_at": LATER, "lost": True},
        {"attempt": 1, "losses": 1, "finished_at": None, "run_at": LATER},
    ),
    (
        "failed",
        {"state": State.SCHEDULED, "error": b"{}", "run_at": LATER + 1},
        {"attempt": 1, "losses": 0, "finished_at": None, "run_at": LATER + 1},
    ),
    ("timeout", {"state": State.PENDING, "error": b"{}", "run_at": LATER}, {"attempt": 1, "run_at": LATER}),
    ("snoozed", {"state": State.SCHEDULED, "run_at": LATER + 1, "spent": False}, {"attempt": 0, "losses": 0}),
    ("released", {"state": State.PENDING, "run_at": LATER, "spent": False}, {"attempt": 0, "losses": 0}),
    ("lost", {"state": State.CANCELLED, "error": b"{}", "reason": "cancelled"}, {"attempt": 1, "losses": 0}),
]


@pytest.mark.parametrize(("end", "outcome", "expected"), ENDINGS)
async def test_every_end_is_written_down(
    engine: Engine, end: str, outcome: dict[str, Any], expected: dict[str, Any]
) -> None:
    work = await run(engine, job(queue="q", type="t"))
    [applied] = await engine.finish([Outcome(id=work.id, lease=1, end=end, **outcome)], LATER)
    assert applied == Applied(work.id, 1, outcome["state"], "q", "t")
    kept = await one(engine, work.id)
    assert (kept.state, kept.reason, kept.lease) == (outcome["state"], outcome.get("reason"), 1)
    assert {name: getattr(kept, name) for name in expected} == expected
    [attempt] = kept.attempts
    assert (attempt.attempt, attempt.lease, attempt.worker) == (1, 1, "w1")
    assert (attempt.started_at, attempt.finished_at) == (NOW, LATER)
    assert (attempt.end, attempt.error) == (end, outcome.get("error"))
    assert await counts(engine) == {("q", "t", outcome["state"]): 1}


async def test_a_job_that_goes_on_is_claimable_when_its_time_has_come(engine: Engine) -> None:
    now, later = await run(engine, job("a")), await run(engine, job("b"))
    await engine.finish([again(now, NOW), again(later, LATER)], NOW)
    assert ids(await take(engine, 9)) == [now.id]
    assert await engine.promote(LATER - 1, 9) == []
    assert await engine.promote(LATER, 9) == [("default", 1)]
    assert ids(await take(engine, 9, now=LATER)) == [later.id]


async def stale_cases(engine: Engine) -> list[tuple[str, int]]:
    """(id, lease) pairs that are not the present hold on a running job."""
    twice = job("twice")
    await engine.finish([again(await run(engine, twice))], NOW)
    await take(engine, types=("twice",))
    never, ended, waiting = job("never"), job("ended"), job("waiting")
    await put(engine, never)
    await engine.finish([failed(await run(engine, ended))], NOW)
    await engine.finish([again(await run(engine, waiting), LATER)], NOW)
    return [
        (twice.id, 1),
        (twice.id, 0),
        (twice.id, 3),
        (twice.id, -2),
        (never.id, 0),
        (never.id, 1),
        (ended.id, 1),
        (waiting.id, 1),
        (NOBODY, 1),
        ("no id at all", 1),
        ("", 1),
    ]


@pytest.mark.parametrize(
    "outcome",
    [
        {"state": State.DONE, "end": "done", "result": b"stale"},
        {"state": State.FAILED, "end": "failed", "error": b"{}", "reason": "x"},
        {"state": State.CANCELLED, "end": "cancelled", "reason": "x"},
        {"state": State.PENDING, "end": "released", "run_at": NOW, "spent": False},
        {"state": State.SCHEDULED, "end": "lost", "run_at": LATER, "lost": True},
    ],
)
async def test_a_stale_lease_changes_nothing(engine: Engine, outcome: dict[str, Any]) -> None:
    cases = await stale_cases(engine)
    everybody = sorted({id for id, _ in cases})
    before = await engine.get(everybody)
    outcomes = [Outcome(id=id, lease=lease, **outcome) for id, lease in cases]
    assert await engine.finish(outcomes, LATER) == [Applied(id, lease, None) for id, lease in cases]
    assert await engine.get(everybody) == before
    await check_counts(engine)


async def test_good_and_stale_ones_are_answered_in_order(engine: Engine) -> None:
    works = [await run(engine, job(f"t{n}")) for n in range(6)]
    stale = [msgspec.structs.replace(work, lease=work.lease + 1) for work in works]
    outcomes = [
        done(stale[0]),
        done(works[0], b"0"),
        failed(stale[1]),
        failed(works[1]),
        done(stale[2]),
        done(stale[3]),
        done(works[2], b"2"),
        again(works[3]),
        done(works[4], b"4"),
        done(stale[5]),
    ]
    applied = await engine.finish(outcomes, NOW)
    assert [(one.id, one.lease) for one in applied] == [(o.id, o.lease) for o in outcomes]
    assert [one.state for one in applied] == [
        None, State.DONE, None, State.FAILED, None, None, State.DONE, State.PENDING, State.DONE, None
    ]  # fmt: skip
    assert [(await one(engine, work.id)).result for work in works] == [b"0", None, b"2", None, b"4", None]
    await check_counts(engine)


@pytest.mark.parametrize("second", ["done", "failed", "again"])
@pytest.mark.parametrize("first", ["done", "failed", "again"])
async def test_an_end_counts_once_even_within_one_call(engine: Engine, first: str, second: str) -> None:
    make = {"done": lambda work: done(work, b"1"), "failed": failed, "again": again}
    work, other = await run(engine, job("a")), await run(engine, job("b"))
    applied = await engine.finish([make[first](work), make[second](work), done(other)], NOW)
    assert [one.state is None for one in applied] == [False, True, False]
    assert [one.state for one in await engine.finish([make[second](work)], NOW)] == [None]
    kept = await one(engine, work.id)
    assert kept.state is applied[0].state
    assert len([attempt for attempt in kept.attempts if attempt.end]) == 1
    await check_counts(engine)


async def test_the_same_worker_with_an_old_lease_is_stale_too(engine: Engine) -> None:
    old = await run(engine, job())
    await engine.finish([again(old, lost=True, end="lost")], NOW)
    [new] = await take(engine, worker="w1")
    assert (old.id, old.lease, new.lease) == (new.id, 1, 2)
    assert (await engine.finish([done(old, b"old")], NOW))[0].state is None
    assert (await engine.finish([done(new, b"new")], NOW))[0].state is State.DONE
    assert (await one(engine, new.id)).result == b"new"


async def stopping(engine: Engine, name: str = "work") -> Claimed:
    """A running job that was asked to stop."""
    work = await run(engine, job(name))
    [marked] = await engine.cancel(Match(ids=(work.id,)), "by_operator", NOW, 1)
    assert marked.state is State.RUNNING
    return work


@pytest.mark.parametrize(
    ("fields", "attempt", "losses"),
    [
        ({"end": "failed", "run_at": LATER, "state": State.SCHEDULED}, 1, 0),
        ({"end": "timeout", "run_at": NOW, "state": State.PENDING}, 1, 0),
        ({"end": "snoozed", "error": None, "spent": False, "run_at": LATER, "state": State.SCHEDULED}, 0, 0),
        ({"end": "released", "error": None, "spent": False}, 0, 0),
        ({"end": "lost", "lost": True}, 1, 1),
    ],
)
async def test_a_job_asked_to_stop_does_not_go_on(
    engine: Engine, fields: dict[str, Any], attempt: int, losses: int
) -> None:
    work = await stopping(engine)
    [applied] = await engine.finish([again(work, **fields)], LATER)
    assert applied == Applied(work.id, 1, State.CANCELLED, "default", "work")
    kept = await one(engine, work.id)
    assert (kept.state, kept.finished_at, kept.attempt, kept.losses) == (
        State.CANCELLED,
        LATER,
        attempt,
        losses,
    )
    assert kept.reason
    assert [one.end for one in kept.attempts] == [fields["end"]]
    assert await counts(engine) == {("default", "work", State.CANCELLED): 1}
    assert await engine.find(Match(delete_at=LATER + 7 * DAY + 1), 9) == await engine.find(Match(), 9)


async def test_a_job_asked_to_stop_may_still_succeed_or_fail(engine: Engine) -> None:
    good, bad = await stopping(engine, "a"), await stopping(engine, "b")
    await engine.finish([done(good, b"1"), failed(bad, reason="x")], NOW)
    assert await state_of(engine, good.id, bad.id) == [State.DONE, State.FAILED]
    assert [(await one(engine, id)).reason for id in (good.id, bad.id)] == [None, "x"]


async def test_a_stop_that_was_obeyed_is_forgotten_by_a_retry(engine: Engine) -> None:
    work = await stopping(engine)
    await engine.finish([again(work)], NOW)
    await engine.retry(Match(ids=(work.id,)), NOW, 1)
    [second] = await take(engine)
    await engine.finish([again(second)], NOW)
    assert await state_of(engine, work.id) == [State.PENDING]


async def test_retention_counts_from_the_end(engine: Engine) -> None:
    short, long = job("a", retention=10 * SECOND), job("b", retention=20 * SECOND)
    works = [await run(engine, short), await run(engine, long)]

    async def past(at: int) -> list[Job]:
        return (await engine.find(Match(delete_at=at), 9)).jobs

    assert await past(LATER + DAY) == []
    await engine.finish([done(works[0]), failed(works[1])], LATER)
    assert ids(await past(LATER + 10 * SECOND - 1)) == []
    assert ids(await past(LATER + 10 * SECOND + 1)) == [short.id]
    assert ids(await past(LATER + 20 * SECOND + 1)) == [long.id, short.id]


async def test_a_thousand_at_once(engine: Engine) -> None:
    jobs = [job(f"t{n % 5}") for n in range(1000)]
    await put(engine, *jobs)
    works = await take(engine, 1000)
    outcomes = [(done(work, b"%d" % n), failed(work), released(work))[n % 3] for n, work in enumerate(works)]
    applied = await engine.finish(outcomes, NOW)
    assert [one.state for one in applied] == [outcome.state for outcome in outcomes]
    results = [job.result for job in await engine.get(ids(works))]
    assert results == [b"%d" % n if n % 3 == 0 else None for n in range(1000)]
    await check_counts(engine)
