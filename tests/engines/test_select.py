"""select and tally: jobs to act on, oldest first, a piece at a time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.engines.postgres import walk as postgres_walk
from rota.engines.sqlite import walk
from rota.model.clock import HOUR
from rota.model.errors import BadInput
from rota.model.job import Match, State
from tests.engines.kit import ANY, NOBODY, found, ids, job, put, take
from tests.engines.test_find import FILTERS, population


async def selected(engine: Engine, match: Match = ANY, limit: int = 500) -> list[str]:
    """All matching ids, oldest first, piece by piece."""
    ids: list[str] = []
    cursor = None
    while True:
        piece = await engine.select(match, limit, cursor)
        assert len(piece.ids) <= limit
        ids += piece.ids
        cursor = piece.cursor
        if cursor is None:
            return ids


async def tallied(engine: Engine, match: Match = ANY) -> int:
    jobs, cursor = 0, None
    while True:
        piece = await engine.tally(match, cursor)
        jobs, cursor = jobs + piece.jobs, piece.cursor
        if cursor is None:
            return jobs


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks stop after every few jobs, as they do in a large store."""
    monkeypatch.setattr(walk, "BUDGET", -1.0)
    monkeypatch.setattr(postgres_walk, "PATIENCE", -1.0)
    for module in (walk, postgres_walk):
        monkeypatch.setattr(module, "_FIRST", 3)
        monkeypatch.setattr(module, "_MOST", 3)


async def test_every_filter_selects_what_it_finds(engine: Engine) -> None:
    await population(engine)
    for fields, expected in FILTERS:
        match = Match(**fields)
        for limit in (1, 2, 100):
            assert await selected(engine, match, limit) == (await found(engine, match))[::-1], fields
        assert await tallied(engine, match) == len(expected.split()), fields


@pytest.mark.usefixtures("impatient")
async def test_a_walk_that_is_cut_short_goes_on_where_it_was(engine: Engine) -> None:
    await population(engine)
    whole = await found(engine, ANY, 2)
    assert len(whole) == 9
    for fields, expected in FILTERS:
        match, jobs = Match(**fields), len(expected.split())
        for limit in (1, 2, 100):
            assert len(await found(engine, match, limit)) == jobs, fields
            assert len(await selected(engine, match, limit)) == jobs, fields
        assert await tallied(engine, match) == jobs, fields


@pytest.mark.usefixtures("impatient")
async def test_nothing_is_missed_whatever_the_limit(engine: Engine) -> None:
    chance = random.Random(3)
    jobs = [
        job(chance.choice("xy"), queue=chance.choice("ab"), delay=chance.choice((0, HOUR)), tags=tags)
        for tags in chance.choices([(), ("t",), ("t", "u")], k=60)
    ]
    await put(engine, *jobs)
    await engine.delete(Match(ids=tuple(ids(jobs[20:40]))), 20)
    left = jobs[:20] + jobs[40:]
    for given in (
        {"queues": ("a",)},
        {"types": ("y",)},
        {"tags": ("u",)},
        {"states": (State.SCHEDULED,)},
        {"text": "t"},
    ):
        fields: dict[str, Any] = given
        fit = [
            one.id
            for one in left
            if one.queue in fields.get("queues", (one.queue,))
            and one.type in fields.get("types", (one.type,))
            and one.state in fields.get("states", State)
            and {*fields.get("tags", ()), fields.get("text", "")} <= {"", *one.tags}
        ]
        for limit in (1, 4, 500):
            assert await selected(engine, Match(**fields), limit) == fit
            assert await found(engine, Match(**fields), limit) == fit[::-1]


async def test_what_is_stored_later_is_left_out(engine: Engine) -> None:
    jobs = [job() for _ in range(5)]
    await put(engine, *jobs)
    first = await engine.select(ANY, 2)
    await put(engine, job(), job())
    rest = await engine.select(ANY, 10, first.cursor)
    assert (first.ids + rest.ids, rest.cursor) == (ids(jobs), None)
    assert (await engine.tally(ANY, first.cursor)).jobs == 3


async def test_nothing_to_select(engine: Engine) -> None:
    for match in (ANY, Match(ids=(NOBODY,)), Match(queues=("none",))):
        assert (await engine.select(match, 10)).ids == []
        assert (await engine.tally(match)).jobs == 0
    await put(engine, job())
    await take(engine)
    assert await selected(engine, Match(states=(State.PENDING,))) == []
    assert await selected(engine, Match(states=())) == []
    assert await selected(engine, Match(ids=())) == []


@pytest.mark.parametrize(
    "cursor", ["", "x", "czE", "czAtNQ", "czEtMi0z", "é", "s1-2", "czEtOTk5OTk5OTk5OTk5OTk5OTk5OTk"]
)
async def test_a_cursor_that_is_none_is_refused(engine: Engine, cursor: str) -> None:
    await put(engine, job())
    for call in (engine.select(ANY, 1, cursor), engine.tally(ANY, cursor)):
        with pytest.raises(BadInput) as caught:
            await call
        assert (caught.value.field, caught.value.code) == ("cursor", "invalid_cursor")
