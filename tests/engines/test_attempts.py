"""The history of a job: every try with its number, its worker, its times, its end and its error."""

from __future__ import annotations

from collections.abc import Callable

from rota.engines.base import Engine
from rota.model.clock import SECOND
from rota.model.job import Attempt, Claimed, Match, Outcome, State
from tests.engines.kit import NOW, again, done, ended, failed, job, one, put, released, run, take


def at(n: int) -> int:
    return NOW + n * SECOND


async def test_a_job_that_never_ran_has_none(engine: Engine) -> None:
    await put(engine, new := job())
    assert (await one(engine, new.id)).attempts == ()
    cancelled = await ended(engine, State.CANCELLED)
    assert (await one(engine, cancelled.id)).attempts == ()


async def test_a_running_one_shows_without_an_end(engine: Engine) -> None:
    work = await run(engine, job())
    assert (await one(engine, work.id)).attempts == (Attempt(1, 1, "w1", NOW, None, None, None),)


async def test_every_try_is_kept_oldest_first(engine: Engine) -> None:
    new = job()
    await put(engine, new)
    steps: list[Callable[[Claimed], Outcome]] = [
        lambda work: again(work, error=b"1"),
        lambda work: again(work, end="snoozed", error=None, spent=False),
        released,
        lambda work: again(work, end="lost", error=b"2", lost=True),
        lambda work: again(work, end="timeout", error=b"3"),
        lambda work: failed(work, error=b"4"),
    ]
    for n, step in enumerate(steps):
        [work] = await take(engine, worker=f"w{n}", now=at(2 * n))
        await engine.finish([step(work)], at(2 * n + 1))
    kept = await one(engine, new.id)
    assert kept.attempts == (
        Attempt(1, 1, "w0", at(0), at(1), "failed", b"1"),
        Attempt(2, 2, "w1", at(2), at(3), "snoozed", None),
        Attempt(2, 3, "w2", at(4), at(5), "released", None),
        Attempt(2, 4, "w3", at(6), at(7), "lost", b"2"),
        Attempt(3, 5, "w4", at(8), at(9), "timeout", b"3"),
        Attempt(4, 6, "w5", at(10), at(11), "failed", b"4"),
    )
    assert (kept.attempt, kept.lease, kept.losses, kept.error) == (4, 6, 1, b"4")


async def test_failures_before_a_success_are_kept(engine: Engine) -> None:
    first = await run(engine, job())
    await engine.finish([again(first, error=b"1")], NOW)
    [second] = await take(engine, now=at(1))
    await engine.finish([done(second)], at(2))
    attempts = (await one(engine, first.id)).attempts
    assert attempts[0] == Attempt(1, 1, "w1", NOW, NOW, "failed", b"1")
    # A success needs no entry of its own, but where it has one it tells the truth.
    assert attempts[1:] in ((), (Attempt(2, 2, "w1", at(1), at(2), "done", None),))


async def test_the_history_goes_on_after_a_retry(engine: Engine) -> None:
    first = await run(engine, job(max_attempts=1))
    await engine.finish([failed(first, error=b"1")], NOW)
    await engine.retry(Match(ids=(first.id,)), at(1), 1)
    [second] = await take(engine, now=at(2), worker="w2")
    await engine.finish([failed(second, error=b"2")], at(3))
    assert (await one(engine, first.id)).attempts == (
        Attempt(1, 1, "w1", NOW, NOW, "failed", b"1"),
        Attempt(2, 2, "w2", at(2), at(3), "failed", b"2"),
    )


async def test_errors_are_bytes_that_nobody_reads(engine: Engine) -> None:
    error = bytes(range(256))
    work = await run(engine, job())
    await engine.finish([failed(work, error=error)], NOW)
    kept = await one(engine, work.id)
    assert (kept.error, kept.attempts[0].error) == (error, error)


async def test_lists_leave_the_history_out(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([failed(work)], NOW)
    [listed] = (await engine.find(Match(), 1)).jobs
    assert listed.attempts == ()
    assert listed.state is State.FAILED
