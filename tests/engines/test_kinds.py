"""Lists by queue and type find every job, whatever came and went."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.sqlite import kinds
from rota.model.job import Match, NewJob, Request
from tests.engines.kit import NOW, found, ids, job, put


async def check(engine: Engine, jobs: list[NewJob]) -> None:
    """Each queue, each type, and each pair."""
    for queue in (None, *"ab"):
        for type in (None, *"xyz"):
            fit = [one.id for one in jobs if queue in (None, one.queue) and type in (None, one.type)]
            assert (
                await found(engine, Match(queues=queue and (queue,), types=type and (type,)), 7) == fit[::-1]
            )


@pytest.mark.parametrize("seed", range(3))
async def test_every_job_is_found_after_anything(
    store: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small blocks, so that many are filled, emptied and filled again.
    monkeypatch.setattr(kinds, "_SHIFT", 2)
    monkeypatch.setattr(kinds, "_KNOWN", 20)
    monkeypatch.setattr(kinds, "_BLOCKS", 3)
    chance = random.Random(seed)
    engine = await open_engine(store)
    jobs: list[NewJob] = []
    for _ in range(40):
        match chance.randrange(5):
            case 0 | 1 | 2:
                more = [
                    job(chance.choice("xxxyyz"), queue=chance.choice("ab"))
                    for _ in range(chance.choice((1, 9)))
                ]
                await put(engine, *more)
                jobs += more
            case 3:
                # Mostly the newest, whose places are taken again.
                gone = ids(chance.choice((jobs[-5:], jobs[:5], jobs[::3], jobs)))
                await engine.delete(Match(ids=tuple(gone)), 1000)
                jobs = [one for one in jobs if one.id not in gone]
            case 4:
                bad: Any = msgspec.structs.replace(job("z", queue="b"), payload=None)
                with pytest.raises(Exception, match="refused"):
                    await engine.enqueue([Request((job("z", queue="a"), bad))], NOW)
        await check(engine, jobs)
    await engine.close()


async def test_the_same_job_twice_is_no_trouble(engine: Engine) -> None:
    one = job("x", queue="a")
    await put(engine, one)
    await put(engine, one)
    await put(engine, one, two := job("y", queue="b"))
    await check(engine, [one, two])
