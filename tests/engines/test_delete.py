"""delete: jobs go with all that belongs to them."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.clock import HOUR, SECOND
from rota.model.job import Applied, LogLine, Match, State
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


@pytest.mark.parametrize("match", [Match(ids=()), Match(ids=(NOBODY, "no id at all")), Match(states=())])
async def test_nothing_that_fits_is_fine(engine: Engine, match: Match) -> None:
    await put(engine, new := job())
    assert await engine.delete(match, 10) == []
    assert await state_of(engine, new.id) == [State.PENDING]


async def test_the_last_state_is_answered(engine: Engine) -> None:
    jobs = [await ended(engine, state) for state in (State.DONE, State.FAILED, State.CANCELLED)]
    waiting = [job("p", queue="q"), job("s", queue="q", delay=HOUR)]
    await put(engine, *waiting)
    applied = await engine.delete(ANY, 10)
    assert sorted(applied, key=lambda one: one.id) == [
        Applied(jobs[0].id, 1, State.DONE, "default", "to-done"),
        Applied(jobs[1].id, 1, State.FAILED, "default", "to-failed"),
        Applied(jobs[2].id, 0, State.CANCELLED, "default", "to-cancelled"),
        Applied(waiting[0].id, 0, State.PENDING, "q", "p"),
        Applied(waiting[1].id, 0, State.SCHEDULED, "q", "s"),
    ]
    assert await engine.get(ids(jobs)) == []
    assert await found(engine) == []
    assert await counts(engine) == {}


async def test_a_running_job_stays(engine: Engine) -> None:
    work = await run(engine, job("running"))
    other = await ended(engine, State.DONE)
    before = await one(engine, work.id)
    assert ids(await engine.delete(Match(ids=(work.id, other.id)), 10)) == [other.id]
    assert await engine.delete(Match(queues=("default",)), 10) == []
    assert await one(engine, work.id) == before
    assert [one.state for one in await engine.finish([done(work)], NOW)] == [State.DONE]
    assert ids(await engine.delete(Match(ids=(work.id,)), 10)) == [work.id]


async def test_twice_is_once(engine: Engine) -> None:
    new = await ended(engine, State.DONE)
    match = Match(ids=(new.id, new.id))
    assert ids(await engine.delete(match, 10)) == [new.id]
    assert await engine.delete(match, 10) == []
    await check_counts(engine)


async def test_all_that_belongs_to_it_goes(engine: Engine) -> None:
    new = job(payload=b"1", tags=("a", "b"), headers={"h": "v"}, unique_key="k")
    first = await run(engine, new)
    await engine.finish([again(first)], NOW)
    [second] = await take(engine)
    await engine.log([LogLine(new.id, NOW, "info", "hello")], 10)
    await engine.finish([done(second, b"result", "image/png")], NOW)
    await engine.delete(ANY, 10)
    assert await engine.logs(new.id, 0, 10) == []
    assert await found(engine, Match(tags=("a",))) == []
    # A job that comes with the same id meets nothing of the old one.
    await put(engine, job(id=new.id, payload=b"2"))
    kept = await one(engine, new.id)
    assert (kept.payload, kept.headers, kept.tags, kept.attempts) == (b"2", None, (), ())
    assert (kept.result, kept.result_type, kept.error, kept.lease) == (None, None, None, 0)
    assert await engine.logs(new.id, 0, 10) == []
    assert await found(engine, Match(tags=("a",))) == []


async def test_a_new_job_inherits_nothing_from_the_place_of_an_old_one(engine: Engine) -> None:
    # Whatever numbers a store gives its rows: they may be used again.
    for n in range(3):
        new = job(f"t{n}", tags=("x",))
        work = await run(engine, new)
        assert await found(engine, Match(tags=("x",))) == [new.id]
        await engine.log([LogLine(new.id, NOW, "info", f"line {n}")], 10)
        assert [line.text for _, line in await engine.logs(new.id, 0, 10)] == [f"line {n}"]
        await engine.finish([failed(work)], NOW)
        kept = await one(engine, new.id)
        assert (len(kept.attempts), kept.result) == (1, None)
        await engine.delete(ANY, 10)


async def test_a_deleted_jobs_worker_is_told(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([again(work)], NOW)
    await engine.delete(ANY, 10)
    assert [one.state for one in await engine.finish([done(work)], NOW)] == [None]


async def test_at_most_the_limit(engine: Engine) -> None:
    await run(engine, job("running"))
    await put(engine, *(job() for _ in range(7)))
    sizes = []
    while gone := await engine.delete(ANY, 3):
        sizes.append(len(gone))
        await check_counts(engine)
    assert sizes == [3, 3, 1]
    assert len(await found(engine)) == 1


async def test_by_filter(engine: Engine) -> None:
    old = await ended(engine, State.DONE, retention=SECOND)
    young = await ended(engine, State.DONE, retention=HOUR)
    await put(engine, tagged := job(tags=("x",)), plain := job())
    assert ids(await engine.delete(Match(delete_at=NOW + 2 * SECOND), 10)) == [old.id]
    assert ids(await engine.delete(Match(tags=("x",), states=(State.PENDING,)), 10)) == [tagged.id]
    assert await found(engine) == [plain.id, young.id]


async def test_a_retried_job_is_not_pruned(engine: Engine) -> None:
    new = await ended(engine, State.FAILED, retention=0)
    await engine.retry(ANY, NOW, 1)
    assert await engine.delete(Match(delete_at=NOW + HOUR), 10) == []
    assert await state_of(engine, new.id) == [State.PENDING]


async def test_a_deleted_job_is_not_claimed_or_promoted(engine: Engine) -> None:
    await put(engine, job(), job(delay=1))
    await engine.delete(ANY, 10)
    assert await take(engine, 10) == []
    assert await engine.promote(NOW + HOUR, 10) == []
    assert await engine.oldest(["default"]) == {}


async def test_thousands_in_batches(engine: Engine) -> None:
    await put(engine, *(job(f"t{n % 3}", tags=("x", f"y{n}")) for n in range(3000)))
    for _ in range(3):
        assert len(await engine.delete(Match(tags=("x",)), 1000)) == 1000
    assert await engine.delete(ANY, 1000) == []
    assert await counts(engine) == {}
