"""finish with ``back``: a job that is pending again, behind all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import HOUR
from rota.model.job import LogLine, Match, State
from tests.engines.kit import (
    ENGINES,
    NOW,
    again,
    check_counts,
    done,
    fresh,
    ids,
    job,
    one,
    put,
    run,
    take,
)


async def order(engine: Engine, match: Match) -> list[str]:
    """Ids, oldest first; the list that begins with the newest must say the same."""
    found = (await engine.select(match, 99)).ids
    page = await engine.find(match, 99)
    assert [job.id for job in reversed(page.jobs)] == found
    return found


async def test_it_stands_behind_all_that_wait_and_before_those_to_come(engine: Engine) -> None:
    work = await run(engine, job())
    waiting = [job() for _ in range(3)]
    await put(engine, *waiting)
    await engine.finish([again(work, back=True)], NOW)
    later = job()
    await put(engine, later)
    expected = [*(one.id for one in waiting), work.id, later.id]
    assert await order(engine, Match()) == expected
    assert ids(await take(engine, 9)) == expected
    await check_counts(engine)


async def test_without_it_a_job_keeps_its_place(engine: Engine) -> None:
    work = await run(engine, job())
    await put(engine, job())
    await engine.finish([again(work)], NOW)
    assert ids(await take(engine, 1)) == [work.id]


async def test_several_at_once_stand_in_the_order_of_their_outcomes(engine: Engine) -> None:
    works = [await run(engine, job()) for _ in range(3)]
    other = job()
    await put(engine, other)
    await engine.finish([again(work, back=True) for work in reversed(works)], NOW)
    assert ids(await take(engine, 9)) == [other.id, *(work.id for work in reversed(works))]


async def test_the_last_one_stays_where_it_is(engine: Engine) -> None:
    first = job()
    await put(engine, first)
    work = await run(engine, job(type="other"))
    await engine.finish([again(work, back=True)], NOW)
    assert ids(await take(engine, 9)) == [first.id, work.id]


async def test_priority_comes_first(engine: Engine) -> None:
    work = await run(engine, job(priority=1))
    low = job()
    await put(engine, low)
    await engine.finish([again(work, back=True)], NOW)
    assert ids(await take(engine, 9)) == [work.id, low.id]


@pytest.mark.parametrize("name", ENGINES)
async def test_all_that_belongs_to_it_comes_along_and_stays(name: str, tmp_path: Path) -> None:
    url = fresh(name, tmp_path)
    engine = await open_engine(url)
    made = job(
        type="t", queue="q", payload=b'{"a":1}', headers={"h": "v"}, tags=("mine", "yours"), unique_key="k"
    )
    work = await run(engine, made)
    # More than a block of the index by queue and type, and of the one by time.
    await put(engine, *[job(now=NOW + 2 * HOUR) for _ in range(5000)], now=NOW + 2 * HOUR)
    await engine.log([LogLine(work.id, NOW, "info", "before")], 9)
    await engine.finish([again(work, back=True)], NOW)
    await engine.log([LogLine(work.id, NOW, "info", "after")], 9)
    for _ in range(2):
        kept = await one(engine, work.id)
        assert (kept.payload, kept.headers, kept.tags) == (b'{"a":1}', {"h": "v"}, ("mine", "yours"))
        assert (kept.state, kept.attempt, kept.unique_key) == (State.PENDING, 1, "k")
        assert [attempt.end for attempt in kept.attempts] == ["failed"]
        assert [line.text for _, line in await engine.logs(work.id, 0, 9)] == ["before", "after"]
        for match in (
            Match(tags=("mine",)),
            Match(tags=("yours",), queues=("q",)),
            Match(queues=("q",)),
            Match(types=("t",)),
            Match(until=NOW + HOUR),
            Match(holds="k"),
            Match(ids=(work.id,)),
            Match(text="yours"),
        ):
            assert await order(engine, match) == [work.id], match
        await check_counts(engine)
        await engine.close()
        engine = await open_engine(url)
    [found] = await take(engine, 1, "q")
    assert (found.id, found.attempt, found.payload) == (work.id, 2, b'{"a":1}')
    await engine.finish([done(found, b"1")], NOW)
    assert (await one(engine, work.id)).result == b"1"
    assert len(await engine.delete(Match(ids=(work.id,)), 9)) == 1
    assert await order(engine, Match(tags=("mine",))) == []
    assert await engine.logs(work.id, 0, 9) == []
    await engine.close()


async def test_one_that_is_to_be_cancelled_ends(engine: Engine) -> None:
    work = await run(engine, job())
    await put(engine, job())
    await engine.cancel(Match(ids=(work.id,)), "cancelled", NOW, 9)
    [applied] = await engine.finish([again(work, back=True)], NOW)
    assert applied.state is State.CANCELLED
    await check_counts(engine)


async def test_tried_are_those_that_ended_or_of_which_a_try_did(engine: Engine) -> None:
    fresh_one, running, tried, running_again, gone = [job(type=name) for name in "abcde"]
    await put(engine, fresh_one)
    await run(engine, running)
    await engine.finish([again(await run(engine, tried))], NOW)
    await engine.finish([again(await run(engine, running_again))], NOW)
    await take(engine, 1, types=("d",))
    await put(engine, gone)
    await engine.cancel(Match(ids=(gone.id,)), "cancelled", NOW, 9)
    ended = job(type="f")
    await engine.finish([done(await run(engine, ended))], NOW)
    released = job(type="g")
    work = await run(engine, released)
    await engine.finish([again(work, end="released", spent=False)], NOW)
    assert await order(engine, Match(tried=True)) == [tried.id, running_again.id, gone.id, ended.id]
    assert (await engine.tally(Match(tried=True))).jobs == 4
    assert await order(engine, Match(tried=True, states=(State.PENDING,))) == [tried.id]
