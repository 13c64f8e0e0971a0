"""Lists by time find every job, however the clock was set while jobs came and went."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from rota.engines.open import open_engine
from rota.engines.sqlite import ages
from rota.model.clock import HOUR, MINUTE, SECOND
from rota.model.job import Match, NewJob, Request
from tests.engines.kit import NOW, found, ids, job, put


@pytest.mark.parametrize("seed", range(4))
async def test_every_job_of_a_time_is_found(store: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small blocks and a short memory, so that many are filled, emptied and filled again.
    monkeypatch.setattr(ages, "_SHIFT", 2)
    monkeypatch.setattr(ages, "_KNOWN", 3)
    chance = random.Random(seed)
    engine = await open_engine(store)
    jobs: list[NewJob] = []
    now = NOW
    for step in range(60):
        now += chance.choice((0, SECOND, MINUTE, 10 * MINUTE, HOUR, -HOUR, -7 * HOUR))
        match chance.randrange(5):
            case 0 | 1 | 2:
                # Ids are given by age, so that the store's order is ours.
                more = [job(now=now + chance.randrange(SECOND)) for _ in range(chance.choice((1, 2, 9)))]
                await put(engine, *more)
                jobs += more
            case 3:
                gone = ids(chance.choice((jobs[-3:], jobs[:3], jobs[::3])))
                await engine.delete(Match(ids=tuple(gone)), 1000)
                jobs = [one for one in jobs if one.id not in gone]
            case 4:
                bad: Any = msgspec.structs.replace(job(now=now), payload=None)
                with pytest.raises(Exception, match="refused"):
                    await engine.enqueue([Request((job(now=now), bad))], now)
        if step == 30:
            await engine.close()
            engine = await open_engine(store)
        for _ in range(4):
            since = chance.choice(
                (None, now, now + 1, NOW - HOUR, NOW + chance.randrange(-9 * HOUR, 9 * HOUR))
            )
            until = chance.choice(
                (None, now, now + 1, NOW + HOUR, NOW + chance.randrange(-9 * HOUR, 9 * HOUR))
            )
            fit = [
                one.id
                for one in jobs
                if (since is None or one.created_at >= since) and (until is None or one.created_at < until)
            ]
            assert await found(engine, Match(since=since, until=until), 7) == fit[::-1]
    await engine.close()


async def test_a_time_without_jobs_is_answered_at_once(store: str) -> None:
    """Nothing is looked at: the answer is whole, and no cursor leads through all the others."""
    engine = await open_engine(store)
    for hour in range(3):
        await put(engine, *(job(now=NOW + hour * HOUR) for _ in range(3)))
    for match in (Match(since=NOW + 9 * HOUR), Match(until=NOW - HOUR)):
        page = await engine.find(match, 50)
        assert (page.jobs, page.cursor) == ([], None)
    await engine.close()


async def test_what_was_rolled_back_is_not_taken_for_written(store: str) -> None:
    engine = await open_engine(store)
    one = job()
    bad: Any = msgspec.structs.replace(job(), payload=None)
    # They share a transaction, which is rolled back for the second one; then the first runs again.
    calls = [engine.enqueue([Request((job,))], NOW) for job in (one, bad)]
    stored, refused = await asyncio.gather(*calls, return_exceptions=True)
    assert not isinstance(stored, BaseException)
    assert isinstance(refused, BaseException)
    assert await found(engine, Match(since=NOW)) == [one.id]
    await engine.close()
