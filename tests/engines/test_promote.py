"""promote, next_due and oldest: the clockwork of waiting jobs."""

from __future__ import annotations

import pytest

from rota.engines.base import Engine
from rota.model.clock import HOUR, SECOND
from rota.model.job import Match, State
from tests.engines.kit import NOW, again, check_counts, counts, ended, ids, job, put, run, state_of, take


async def test_nothing_is_fine(engine: Engine) -> None:
    assert await engine.promote(NOW, 100) == []
    assert await engine.next_due() is None
    await put(engine, job())
    assert await engine.promote(NOW + HOUR, 100) == []
    assert await engine.next_due() is None


@pytest.mark.parametrize(("late", "due"), [(-1, False), (0, True), (1, True)])
async def test_a_job_is_due_exactly_at_its_time(engine: Engine, late: int, due: bool) -> None:
    await put(engine, new := job(delay=SECOND))
    assert await engine.next_due() == NOW + SECOND
    answer = await engine.promote(NOW + SECOND + late, 10)
    assert answer == ([("default", 1)] if due else [])
    assert await state_of(engine, new.id) == [State.PENDING if due else State.SCHEDULED]
    assert await engine.next_due() == (None if due else NOW + SECOND)


async def test_the_answer_names_every_queue_once(engine: Engine) -> None:
    await put(engine, *(job(f"t{n % 2}", queue="aab"[n % 3], delay=1 + n) for n in range(9)))
    await put(engine, job(queue="c", delay=HOUR))
    answer = await engine.promote(NOW + 100, 100)
    assert sorted(answer) == [("a", 6), ("b", 3)]
    await check_counts(engine)
    assert (await counts(engine))["c", "work", State.SCHEDULED] == 1


async def test_at_most_the_limit_and_the_first_due_first(engine: Engine) -> None:
    late, early, middle = job(delay=30), job(delay=10), job(delay=20)
    await put(engine, late, early, middle)
    for expected, due in (([early.id], NOW + 20), ([middle.id], NOW + 30), ([late.id], None)):
        assert await engine.promote(NOW + HOUR, 1) == [("default", 1)]
        assert ids(await take(engine, 9)) == expected
        assert await engine.next_due() == due
    assert await engine.promote(NOW + HOUR, 1) == []


async def test_promoted_jobs_keep_their_priority(engine: Engine) -> None:
    low, high, now = job(delay=10), job(delay=20, priority=5), job(priority=1)
    await put(engine, low, high, now)
    await engine.promote(NOW + HOUR, 9)
    assert ids(await take(engine, 9)) == [high.id, now.id, low.id]


async def test_only_scheduled_jobs_are_touched(engine: Engine) -> None:
    others = [await ended(engine, state) for state in (State.DONE, State.FAILED, State.CANCELLED)]
    work = await run(engine, job())
    before = await engine.get([*ids(others), work.id])
    assert await engine.promote(NOW + HOUR, 9) == []
    assert await engine.get([*ids(others), work.id]) == before


async def test_a_backoff_is_a_schedule(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([again(work, NOW + 5 * SECOND)], NOW)
    assert await engine.next_due() == NOW + 5 * SECOND
    assert await engine.promote(NOW + 5 * SECOND, 9) == [("default", 1)]
    [second] = await take(engine, now=NOW + 5 * SECOND)
    assert (second.id, second.attempt) == (work.id, 2)


async def test_next_due_follows_what_happens(engine: Engine) -> None:
    first, second = job(delay=10), job(delay=20)
    await put(engine, second)
    assert await engine.next_due() == NOW + 20
    await put(engine, first)
    assert await engine.next_due() == NOW + 10
    await engine.cancel(Match(ids=(first.id,)), "cancelled", NOW, 1)
    assert await engine.next_due() == NOW + 20
    await engine.delete(Match(ids=(second.id,)), 1)
    assert await engine.next_due() is None


async def test_many_in_several_goes(engine: Engine) -> None:
    await put(engine, *(job(f"t{n % 3}", delay=1 + n % 10) for n in range(1000)))
    moved = []
    while answer := await engine.promote(NOW + 10, 300):
        moved.append(sum(jobs for _, jobs in answer))
    assert moved == [300, 300, 300, 100]
    await check_counts(engine)


async def test_oldest_tells_since_when_each_queue_waits(engine: Engine) -> None:
    assert await engine.oldest([]) == {}
    assert await engine.oldest(["a", "b"]) == {}
    # The oldest is the one that would be claimed last.
    await put(engine, job("x", queue="a", now=NOW + 1, priority=-5))
    await put(engine, *(job(type, queue="a", now=NOW + n, priority=5) for n, type in ((2, "x"), (3, "y"))))
    await put(engine, job(queue="b", now=NOW + 7), job(queue="c", now=NOW + 4))
    await put(engine, job(queue="later", delay=1))
    await ended(engine, State.DONE, queue="ended")
    await run(engine, job(queue="running"))
    queues = ["a", "b", "none", "later", "ended", "running"]
    assert await engine.oldest(queues) == {"a": NOW + 1, "b": NOW + 7}


async def test_oldest_moves_on_when_the_oldest_leaves(engine: Engine) -> None:
    first, second = job("x", now=NOW), job("y", now=NOW + 9)
    await put(engine, first, second)
    await take(engine, types=("x",))
    assert await engine.oldest(["default"]) == {"default": NOW + 9}
    await engine.cancel(Match(ids=(second.id,)), "cancelled", NOW, 1)
    assert await engine.oldest(["default"]) == {}


async def test_a_scheduled_job_waits_since_it_was_due(engine: Engine) -> None:
    await put(engine, job(delay=HOUR))
    await engine.promote(NOW + 2 * HOUR, 1)
    assert await engine.oldest(["default"]) == {"default": NOW + HOUR}
