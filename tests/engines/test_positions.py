"""Jobs made of a log elsewhere: each stretch of it once, whoever reads it and however often."""

from __future__ import annotations

import asyncio

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.errors import StoreError
from rota.model.job import POSITIONS, Kept, Note, Position, Request
from tests.engines.kit import ANY, NOW, job

SOURCE = "kafka/rota/topic/0"


async def read(
    engine: Engine, first: int, next: int, jobs: int | None = None, source: str = SOURCE
) -> list[Kept]:
    new = tuple(job() for _ in range(next - first if jobs is None else jobs))
    [kept] = await engine.enqueue([Request(new, position=Position(source, first, next))], NOW)
    return kept


async def positions(engine: Engine) -> dict[str, int]:
    return {note.key: int(note.body or b"-1") for note in await engine.notes(POSITIONS)}


async def jobs(engine: Engine) -> int:
    return sum(row.jobs for row in await engine.count())


def taken(kept: list[Kept]) -> bool:
    whys = {one.why for one in kept}
    assert len(whys) == 1
    assert {one.state is None for one in kept} == {"taken" in whys}
    return whys == {"taken"}


async def test_a_stretch_becomes_jobs_once(engine: Engine) -> None:
    assert not taken(await read(engine, 0, 3))
    assert taken(await read(engine, 0, 3))
    assert taken(await read(engine, 1, 5))
    assert not taken(await read(engine, 3, 5))
    # What lies between was removed from the log before it was read.
    assert not taken(await read(engine, 9, 10))
    assert taken(await read(engine, 7, 8))
    assert await positions(engine) == {SOURCE: 10}
    assert await jobs(engine) == 6


async def test_sources_are_apart(engine: Engine) -> None:
    assert not taken(await read(engine, 0, 1))
    assert not taken(await read(engine, 0, 2, source="other"))
    assert await positions(engine) == {SOURCE: 1, "other": 2}


async def test_a_stretch_of_which_nothing_becomes_a_job_moves_on_and_never_back(engine: Engine) -> None:
    assert await read(engine, 0, 4, jobs=0) == []
    assert await positions(engine) == {SOURCE: 4}
    assert await read(engine, 0, 2, jobs=0) == []
    assert await positions(engine) == {SOURCE: 4}
    assert taken(await read(engine, 2, 6))


async def test_in_one_call_each_sees_those_before(engine: Engine) -> None:
    stretches = [(0, 2), (2, 4), (1, 3), (4, 5)]
    requests = [
        Request(tuple(job() for _ in range(first, next)), position=Position(SOURCE, first, next))
        for first, next in stretches
    ]
    plain = Request((job("plain"),))
    answers = await engine.enqueue([requests[0], plain, *requests[1:]], NOW)
    assert [taken(kept) for kept in answers] == [False, False, False, True, False]
    assert await jobs(engine) == 6
    page = await engine.find(ANY, 10)
    stored = [one.id for one in (*requests[0].jobs, *plain.jobs, *requests[1].jobs, *requests[3].jobs)]
    assert [one.id for one in page.jobs] == stored[::-1]


async def test_a_call_that_fails_moves_nothing(engine: Engine) -> None:
    bad = job(payload=b"x", priority=10**30)
    with pytest.raises((StoreError, OverflowError)):
        await engine.enqueue([Request((bad,), position=Position(SOURCE, 0, 1))], NOW)
    assert await positions(engine) == {}
    assert not taken(await read(engine, 0, 1))


async def test_a_position_that_is_set_back_is_read_again(engine: Engine) -> None:
    await read(engine, 0, 3)
    await engine.save([Note(POSITIONS, SOURCE, b"1")])
    assert not taken(await read(engine, 1, 3))
    await engine.save([Note(POSITIONS, SOURCE, None)])
    assert not taken(await read(engine, 0, 1))


async def test_many_readers_of_one_log_make_each_job_once(engine: Engine, store: str) -> None:
    others = [engine]
    if store.startswith("postgresql:"):
        others += [await open_engine(store) for _ in range(3)]

    async def reader(one: Engine) -> int:
        got = 0
        for first in range(0, 100, 5):
            kept = await read(one, first, first + 5)
            got += 0 if taken(kept) else 5
        return got

    try:
        assert sum(await asyncio.gather(*(reader(others[i % len(others)]) for i in range(8)))) == 100
        assert await jobs(engine) == 100
    finally:
        for one in others[1:]:
            await one.close()
