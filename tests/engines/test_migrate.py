"""The numbered steps of a schema, on every engine: all of them or none, never those of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import asyncpg
import pytest

from rota.engines import open as stores
from rota.engines import steps
from rota.engines.open import open_engine
from rota.engines.postgres import migrate as postgres_migrate
from rota.engines.postgres import statements as postgres_statements
from rota.engines.sqlite import statements as sqlite_statements
from rota.engines.steps import Migration
from rota.model.errors import StoreError
from tests import postgres
from tests.core.kit import until
from tests.engines.kit import ENGINES, job, put

STATEMENTS = {"sqlite": sqlite_statements, "postgres": postgres_statements}


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    """Of the engine."""
    return str(request.param)


@pytest.fixture
def place(name: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a store that is not there yet."""
    if name == "sqlite":
        yield f"sqlite:///{tmp_path / 'rota.db'}"
    else:
        url = postgres.empty()
        yield url
        postgres.drop(url)


def change(url: str, sqlite: str, other: str) -> None:
    """Meddle with a store behind everybody's back."""
    if url.startswith("sqlite:///"):
        db = apsw.Connection(url.removeprefix("sqlite:///"))
        db.execute(sqlite)
        db.close()
    else:
        postgres.ask(url, other)


def tables(url: str) -> int:
    """How many there are."""
    if url.startswith("sqlite:///"):
        db = apsw.Connection(url.removeprefix("sqlite:///"))
        found = db.execute("SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").fetchall()
        db.close()
        return int(str(found[0][0]))
    return int(postgres.ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'rota'")[0][0])


def ahead(url: str, number: int) -> None:
    """A newer Rota was here."""
    columns = "INSERT INTO {} (number, name, checksum{}) VALUES ({}, '{}_x.sql', 'x'{})"
    values = (number, f"{number:04}")
    change(
        url,
        f"PRAGMA user_version = {number}; " + columns.format("migrations", ", at", *values, ", 5"),
        columns.format("rota.migrations", "", *values, ""),
    )


def add(monkeypatch: pytest.MonkeyPatch, name: str, *texts: str) -> None:
    """Let there be further steps."""
    known = STATEMENTS[name].migrations()
    last = known[-1].number
    more = [
        Migration(last + n, f"{last + n:04}_more.sql", text, f"sum {n}") for n, text in enumerate(texts, 1)
    ]
    for module in (STATEMENTS[name], postgres_migrate):
        if hasattr(module, "migrations"):
            monkeypatch.setattr(module, "migrations", lambda: [*known, *more])


def test_a_store_is_made_and_its_steps_are_told(place: str, name: str) -> None:
    known = STATEMENTS[name].migrations()
    before = stores.schema(place)
    assert [(step.name, step.done, step.at) for step in before.steps] == [
        (one.name, False, None) for one in known
    ]
    assert (before.pending, before.current) == (len(known), False)
    assert not Path(place.removeprefix("sqlite:///")).exists(), "looking makes nothing"
    told: list[tuple[str, int, int]] = []
    after = stores.bring(place, lambda step, n, of: told.append((step.name, n, of)))
    assert told == [(one.name, n, len(known)) for n, one in enumerate(known, 1)]
    assert after == stores.schema(place)
    assert after.current
    assert all(step.done and step.sound and step.at for step in after.steps)
    assert stores.bring(place, lambda *_: pytest.fail("nothing is left to do")) == after


async def test_a_server_that_must_not_migrate_says_what_to_do(place: str) -> None:
    with pytest.raises(StoreError, match="run 'rota migrate' first"):
        await open_engine(place, migrate=False)
    assert tables(place) == 0
    stores.bring(place, steps.silent)
    engine = await open_engine(place, migrate=False)
    await put(engine, job())
    await engine.close()


async def test_a_step_that_fails_leaves_nothing(
    place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = STATEMENTS[name].migrations()
    schema = "" if name == "sqlite" else "rota."
    good, bad = f"CREATE TABLE {schema}fine (a integer);", f"INSERT INTO {schema}nowhere VALUES (1);"
    for made in (False, True):
        if made:
            await (await open_engine(place)).close()
        before = tables(place)
        with monkeypatch.context() as more:
            add(more, name, good, good.replace("fine", "also") + bad)
            with pytest.raises(
                StoreError, match=r"_more\.sql failed, and nothing was changed in the store"
            ) as caught:
                await open_engine(place)
            assert "nowhere" in caught.value.detail
            assert [step.number for step in stores.schema(place).steps if step.done] == (
                [step.number for step in known] if made else []
            )
        assert tables(place) == before
        monkeypatch.undo()


async def test_text_that_differs_from_what_was_run_is_refused(place: str) -> None:
    await (await open_engine(place)).close()
    meddle = "UPDATE {}migrations SET checksum = 'other' WHERE number = 1"
    change(place, meddle.format(""), meddle.format("rota."))
    told = r"0001_start\.sql differs from what was run; nothing was changed"
    with pytest.raises(StoreError, match=told):
        await open_engine(place)
    with pytest.raises(StoreError, match=told):
        stores.bring(place, steps.silent)
    there = stores.schema(place)
    assert not there.current
    assert "0001_start.sql differs" in (there.fault or "")
    assert [step.sound for step in there.steps] == [False, *[True] * (len(there.steps) - 1)]


async def test_one_step_ahead_is_served_and_two_are_not(place: str, name: str) -> None:
    await (await open_engine(place)).close()
    last = STATEMENTS[name].migrations()[-1].number
    ahead(place, last + 1)
    engine = await open_engine(place, migrate=False)
    await put(engine, job())
    await engine.close()
    assert stores.verify(place).sound
    there = stores.schema(place)
    assert there.current
    assert [(step.number, step.known, step.sound) for step in there.steps][-1] == (last + 1, False, None)
    ahead(place, last + 2)
    told = rf"written by a newer Rota \(schema {last + 2}, this one knows {last}\); nothing was changed"
    for migrate in (True, False):
        with pytest.raises(StoreError, match=told):
            await open_engine(place, migrate=migrate)
    with pytest.raises(StoreError, match=told):
        stores.bring(place, steps.silent)
    assert not stores.schema(place).current


async def test_a_file_of_an_older_rota_has_no_list_and_is_served(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path / 'rota.db'}"
    await (await open_engine(place)).close()
    change(place, "DROP TABLE migrations", "")
    engine = await open_engine(place, migrate=False)
    await put(engine, job())
    await engine.close()
    there = stores.schema(place)
    assert there.current
    assert {(step.done, step.sound, step.at) for step in there.steps} == {(True, None, None)}


async def test_a_step_that_has_to_wait_for_somebody_gives_way_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it waits for a lock everybody else would wait behind it."""
    url = postgres.empty()
    await (await open_engine(url)).close()
    monkeypatch.setattr(postgres_migrate, "_LOCKED", "50ms")
    monkeypatch.setattr(postgres_migrate, "BUSY", 0.3)
    busy = await asyncpg.connect(url)
    await busy.execute("BEGIN; SELECT count(*) FROM rota.jobs")
    add(monkeypatch, "postgres", "ALTER TABLE rota.jobs ADD COLUMN more text;")
    with pytest.raises(StoreError, match="in use by a transaction that does not end; nothing was changed"):
        await open_engine(url)
    monkeypatch.setattr(postgres_migrate, "BUSY", 60)
    waiting = asyncio.ensure_future(open_engine(url))
    for _ in range(3):
        await until(lambda: bool(postgres.ask(url, "SELECT 1 FROM pg_locks WHERE NOT granted")))
        await until(lambda: not postgres.ask(url, "SELECT 1 FROM pg_locks WHERE NOT granted"))
    await busy.close()
    await (await waiting).close()
    assert stores.schema(url).current
    postgres.drop(url)
