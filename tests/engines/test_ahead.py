"""ahead: how many jobs a claim takes before a given one, exact up to a bound."""

from __future__ import annotations

import random

import pytest

from rota.engines.base import Engine
from rota.model.clock import SECOND
from rota.model.job import Match
from tests.engines.kit import NOBODY, NOW, again, job, put, run, take

MANY = 1_000_000


async def total(engine: Engine, id: str, types: tuple[str, ...] | None = None, limit: int = MANY) -> int:
    found = await engine.ahead([id], types, NOW, limit)
    return sum(found[id].values())


async def test_it_is_the_place_in_which_claims_take_the_jobs(engine: Engine) -> None:
    dice = random.Random(7)
    jobs = [
        job(
            type=dice.choice("abc"),
            queue=dice.choice(["default", "other"]),
            priority=dice.choice([-1, 0, 0, 5]),
            expires_at=NOW - SECOND if dice.random() < 0.1 else None,
        )
        for _ in range(300)
    ]
    await put(engine, *jobs)
    for types in (None, ("a", "b"), ("c", "nobody-has-it")):
        places = await engine.ahead([one.id for one in jobs], types, NOW, MANY)
        assert len(places) == 300
        mine = [one for one in jobs if one.queue == "default"]
        order = sorted(
            (one for one in mine if one.expires_at is None and (types is None or one.type in types)),
            key=lambda one: -one.priority,
        )
        for place, one in enumerate(order):
            assert sum(places[one.id].values()) == place
            kinds = [before.type for before in order[:place]]
            assert places[one.id] == {type: kinds.count(type) for type in set(kinds)}
        # Only the order of the claims themselves proves it.
        if types is None:
            assert [work.id for work in await take(engine, 300)] == [one.id for one in order]
            return


async def test_a_job_that_comes_back_has_its_old_place(engine: Engine) -> None:
    first = await run(engine, job())
    later = [job() for _ in range(3)]
    await put(engine, *later)
    assert await total(engine, later[2].id) == 2
    await engine.finish([again(first)], NOW)
    assert await total(engine, later[2].id) == 3
    assert await total(engine, first.id) == 0


async def test_counting_stops_at_the_limit(engine: Engine) -> None:
    jobs = [job(type=f"t{n % 3}", priority=n % 2) for n in range(60)]
    await put(engine, *jobs)
    last = [one for one in jobs if one.priority == 0][-1]
    assert await total(engine, last.id) == 59
    assert await total(engine, last.id, limit=40) == 40
    assert await total(engine, last.id, limit=59) == 59


async def test_only_pending_jobs_have_a_place(engine: Engine) -> None:
    running = await run(engine, job())
    waiting = job(delay=SECOND)
    pending = job()
    await put(engine, waiting, pending)
    assert await engine.ahead([running.id, waiting.id, NOBODY, pending.id], None, NOW, 9) == {pending.id: {}}


@pytest.mark.parametrize("key", ["k", "other"])
async def test_the_holder_of_a_unique_key_is_found(engine: Engine, key: str) -> None:
    holder = job(unique_key="k")
    await put(engine, holder, job())
    page = await engine.find(Match(holds=key), 5)
    assert [one.id for one in page.jobs] == ([holder.id] if key == "k" else [])
