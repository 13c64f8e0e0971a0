"""count: maintained counters that never drift."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.model.clock import HOUR, SECOND
from rota.model.job import Match, State
from tests.engines.kit import (
    NOW,
    again,
    check_counts,
    counts,
    done,
    ended,
    failed,
    job,
    put,
    released,
    run,
    take,
)


async def test_counts_by_queue_type_and_state(engine: Engine) -> None:
    assert await counts(engine) == {}
    await put(engine, job("x", queue="a"), job("x", queue="a"), job("y", queue="a"), job("x", delay=HOUR))
    await run(engine, job("z"))
    for state in (State.DONE, State.FAILED, State.CANCELLED):
        await ended(engine, state)
    assert await counts(engine) == {
        ("a", "x", State.PENDING): 2,
        ("a", "y", State.PENDING): 1,
        ("default", "x", State.SCHEDULED): 1,
        ("default", "z", State.RUNNING): 1,
        ("default", "to-done", State.DONE): 1,
        ("default", "to-failed", State.FAILED): 1,
        ("default", "to-cancelled", State.CANCELLED): 1,
    }


@pytest.mark.parametrize("seed", range(4))
async def test_counts_equal_a_recount_after_anything(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    held = []
    for step in range(60):
        now = NOW + step * SECOND
        some = Match(types=(f"t{chance.randrange(3)}",), queues=(chance.choice("ab"),))
        match chance.randrange(8):
            case 0 | 1:
                keys: list[dict[str, Any]] = [
                    {"unique_key": f"k{chance.randrange(5)}"} if chance.random() < 0.3 else {}
                    for _ in range(9)
                ]
                make = [
                    job(
                        f"t{chance.randrange(3)}",
                        queue=chance.choice("ab"),
                        delay=chance.choice((0, SECOND)),
                        **key,
                    )
                    for key in keys
                ]
                await put(engine, *make, *make[:2], now=now)
            case 2 | 3:
                held += await take(engine, 6, "a", "b", now=now)
            case 4:
                ends = [chance.choice((done, failed, again, released))(work) for work in held]
                await engine.finish(ends + ends[:3], now)
                held = held[:2]
            case 5:
                await engine.promote(now, chance.choice((2, 100)))
            case 6:
                await engine.cancel(some, "cancelled", now, 4)
                await engine.retry(some, now, 2)
            case 7:
                await engine.delete(some, 5)
        await check_counts(engine)
    assert sum((await counts(engine)).values()) > 0


async def test_the_same_name_in_another_queue_counts_apart(engine: Engine) -> None:
    await put(engine, job("a", queue="b"), job("b", queue="a"))
    await ended(engine, State.DONE)
    assert (await counts(engine))["a", "b", State.PENDING] == 1
    assert (await counts(engine))["b", "a", State.PENDING] == 1
