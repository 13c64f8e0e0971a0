"""Moves that are refused: both ends are as they were."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from rota.engines.open import move, open_engine, verify
from rota.engines.postgres import statements
from rota.model.errors import BadInput, StoreError
from rota.model.job import Match, Note
from tests import postgres
from tests.engines.full import dump, filled
from tests.engines.kit import ENGINES, NOW, job, put, put_keyed, turn_on
from tests.engines.move_kit import change, is_empty, moved, path_of, refusal
from tests.pooler import pooler

# --- what is in the way ---


async def test_a_source_that_is_not_there(tmp_path: Path, other: Callable[[str], str]) -> None:
    target = other("sqlite")
    assert "There is no store at" in await refusal(f"sqlite:///{tmp_path}/none.db", target)
    empty = postgres.empty()
    try:
        assert "no server has begun one" in await refusal(empty, target)
    finally:
        postgres.drop(empty)
    assert not path_of(target).exists()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("there", ENGINES)
async def test_a_target_that_is_not_empty(there: str, other: Callable[[str], str]) -> None:
    source, target = await filled(other("sqlite"), size=0), other(there)
    engine = await open_engine(target)
    await put(engine, job())
    await engine.close()
    assert "is not empty (jobs: 1, idempotency keys: 0)" in await refusal(source, target)


@pytest.mark.parametrize("there", ENGINES)
async def test_a_target_that_remembers_requests(there: str, other: Callable[[str], str]) -> None:
    source, target = await filled(other("sqlite"), size=0), other(there)
    engine = await open_engine(target)
    new = job()
    await put_keyed(engine, "k", b"b", new, now=time.time_ns() // 1000)
    await engine.delete(Match(ids=(new.id,)), 1)
    await engine.close()
    assert "(jobs: 0, idempotency keys: 1)" in await refusal(source, target)
    change(target, f"UPDATE {'rota.' * (there == 'postgres')}keys SET until = {NOW // 1000}")
    await moved(source, target)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_source_that_owes_events(engine: str, other: Callable[[str], str]) -> None:
    source, target = await filled(other(engine), size=0), other("sqlite")
    store = await open_engine(source)
    await turn_on(store, "out")
    await put(store, job(), job())
    await store.close()
    assert "holds 2 events that were not passed on yet" in await refusal(source, target)
    change(source, f"DELETE FROM {'rota.' * (engine == 'postgres')}events")
    await moved(source, target)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_store_onto_itself(engine: str, other: Callable[[str], str], tmp_path: Path) -> None:
    source = await filled(other(engine), size=0)
    if engine == "sqlite":
        (tmp_path / "link").symlink_to(path_of(source).parent)
        again = [source, f"sqlite:///{tmp_path}/link/../link/{path_of(source).name}"]
    else:
        again = [source, source.replace("127.0.0.1", "localhost") + "?application_name=x"]
    for target in again:
        with pytest.raises(StoreError, match="is the source itself"):
            await moved(source, target)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_store_that_a_server_has_open(engine: str, which: int, other: Callable[[str], str]) -> None:
    urls = [other("sqlite"), other("sqlite")]
    urls[which] = other(engine)
    await filled(urls[0], size=0)
    server = await open_engine(urls[which])
    try:
        with pytest.raises(StoreError, match=r"open.*stop (it|them) first.*Nothing was changed"):
            await moved(urls[0], urls[1])
    finally:
        await server.close()
    await moved(urls[0], urls[1])


async def test_two_moves_at_once(other: Callable[[str], str]) -> None:
    source, target = await filled(other("postgres"), size=0), other("postgres")
    told: list[str] = []

    def progress(name: str, done: int, total: int) -> None:
        if name == "comparing" and done and not told:
            for urls in ((source, other("sqlite")), (other("postgres"), target)):
                with pytest.raises(StoreError) as caught:
                    postgres.run(moved(*urls))
                told.append(caught.value.detail)

    await move(source, target, progress)
    assert [one.partition(" store ")[0] for one in told] == ["Another 'rota move' is at work on the"] * 2


async def test_behind_a_pooler_a_server_is_known_by_its_signs_of_life(
    other: Callable[[str], str], tmp_path: Path
) -> None:
    source = await filled(other("postgres"), size=0)
    async with pooler(source) as between:
        server = await open_engine(between.url)
        await server.save([Note("servers", "one", b"0")])

        async def live() -> None:
            beats = 0
            while True:
                beats += 1
                await server.save([Note("servers", "one", b"%d" % beats)])
                await asyncio.sleep(0)

        living = asyncio.ensure_future(live())
        target = f"sqlite:///{tmp_path}/target.db"
        with pytest.raises(StoreError, match="Servers or workers are at work on the store"):
            await moved(between.url, target)
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await server.close()
        out = await moved(between.url, target)
        assert verify(target).jobs == verify(source).jobs
        second = other("postgres")
        async with pooler(second) as far:
            assert (await moved(target, far.url)).checksum == out.checksum


@pytest.mark.parametrize(("which", "newer"), [(0, True), (1, False), (1, True)])
@pytest.mark.parametrize("engine", ENGINES)
async def test_another_schema(engine: str, newer: bool, which: int, other: Callable[[str], str]) -> None:
    urls = [other("sqlite"), other("sqlite")]
    urls[which] = url = other(engine)
    await filled(urls[0], size=0)
    await (await open_engine(urls[1])).close()
    known = verify(url).schema
    if engine == "sqlite":
        change(url, f"PRAGMA user_version = {known + 1 if newer else known - 1}")
        undo = f"PRAGMA user_version = {known}"
    elif newer:
        change(url, f"INSERT INTO rota.migrations (number, name, checksum) VALUES ({known + 1}, 'x', 'x')")
        undo = f"DELETE FROM rota.migrations WHERE number > {known}"
    else:
        last = statements.migrations()[-1]
        change(url, f"DELETE FROM rota.migrations WHERE number = {known}")
        undo = (
            f"INSERT INTO rota.migrations (number, name, checksum) VALUES ({known}, 'x', '{last.checksum}')"
        )
    told = await refusal(*urls)
    assert f"has schema {known + 1 if newer else known - 1}, this Rota knows {known}" in told
    change(url, undo)


async def test_stores_of_other_programs(other: Callable[[str], str], tmp_path: Path) -> None:
    source = await filled(other("sqlite"), size=0)
    theirs = f"sqlite:///{tmp_path}/theirs.db"
    change(theirs, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    assert "of another program" in await refusal(source, theirs)
    assert "of another program" in await refusal(theirs, other("sqlite"))
    assert "is a folder" in await refusal(source, f"sqlite:///{tmp_path}")
    database = postgres.empty()
    try:
        change(database, "CREATE SCHEMA rota")
        change(database, "CREATE TABLE rota.theirs (a integer)")
        for urls in ((source, database), (database, other("sqlite"))):
            with pytest.raises(StoreError, match=r"belongs to another program|no server has begun one"):
                await moved(urls[0], urls[1])
    finally:
        postgres.drop(database)
    with pytest.raises(BadInput):
        await moved("mysql://x", source)
    with pytest.raises(BadInput):
        await moved(source, "postgresql://h")


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_source_that_is_not_sound(engine: str, other: Callable[[str], str]) -> None:
    source, target = await filled(other(engine), size=0), other("sqlite")
    change(source, f"DELETE FROM {'rota.' * (engine == 'postgres')}tags WHERE tag = 'a'")
    assert "is not sound; rota check --store says more" in await refusal(source, target)


# --- what PostgreSQL cannot keep ---

UNFIT = {
    "UPDATE jobs SET type = 'a' || char(0) WHERE seq = 5": "U+0000 in a name, a key or a tag",
    "UPDATE jobs SET unique_key = char(0) WHERE seq = 5": "U+0000 in a name, a key or a tag",
    "UPDATE jobs SET tags = '[\"\\u0000\"]' WHERE seq = 5; INSERT INTO tags VALUES (char(0), 5)": "a tag",
    "UPDATE bodies SET content_type = 'a/' || char(0) WHERE seq = 5": "U+0000 in a text",
    "UPDATE jobs SET lease = 2147483648 WHERE seq = 5": "is larger than PostgreSQL can keep it",
    "UPDATE jobs SET priority = -9223372036854775808 WHERE seq = 5": "is larger than PostgreSQL can keep it",
    "UPDATE jobs SET unique_key = 'k' || hex(zeroblob(2000)), unique_held = 'k' || hex(zeroblob(2000)) "
    "WHERE seq = 5": "is larger than PostgreSQL can keep it",
}


async def test_what_postgresql_cannot_keep_is_refused_by_the_name_of_its_job(
    other: Callable[[str], str], tmp_path: Path
) -> None:
    source, target = await filled(other("sqlite"), size=0), other("postgres")
    for n, (statement, why) in enumerate(UNFIT.items()):
        copy = f"sqlite:///{shutil.copy(path_of(source), tmp_path / f'{n}.db')}"
        change(copy, statement)
        change(copy, "DELETE FROM counts")
        change(copy, "INSERT INTO counts SELECT queue, type, state, count(*) FROM jobs GROUP BY 1, 2, 3")
        db = apsw.Connection(str(path_of(copy)))
        [(id,)] = db.execute("SELECT id FROM jobs WHERE seq = 5").fetchall()
        db.close()
        told = await refusal(copy, target)
        assert f"job {id}" in told
        assert why in told
        assert "nothing was changed" in told
        assert (await moved(copy, f"sqlite:///{tmp_path}/same{n}.db")).altered == ()


async def test_unfit_names_of_other_things(other: Callable[[str], str], tmp_path: Path) -> None:
    source, target = await filled(other("sqlite"), size=0), other("postgres")
    for n, statement in enumerate(
        (
            "UPDATE keys SET key = 'a' || char(0)",
            "UPDATE notes SET key = 'a' || char(0) WHERE kind = 'x'",
            "UPDATE failures SET queue = queue || char(0)",
            "UPDATE failure_hours SET queue = queue || char(0)",
            "UPDATE files SET sha256 = char(0) WHERE kind = 'upload'",
            "UPDATE attempts SET worker = 'w' || char(0)",
            "UPDATE logs SET level = 'l' || char(0)",
            "UPDATE results SET content_type = 'c' || char(0)",
        )
    ):
        copy = f"sqlite:///{shutil.copy(path_of(source), tmp_path / f'{n}.db')}"
        change(copy, statement)
        assert "U+0000" in await refusal(copy, target)


async def test_texts_for_people_lose_their_u0000_and_it_is_told(other: Callable[[str], str]) -> None:
    source, target, back = await filled(other("sqlite"), size=0), other("postgres"), other("sqlite")
    change(source, "UPDATE jobs SET reason = 'a' || char(0) || 'b' WHERE reason IS NOT NULL")
    change(source, "UPDATE logs SET text = char(0) || text; UPDATE failures SET message = 'm' || char(0)")
    out = await moved(source, target)
    assert out.altered == ("failures", "jobs", "logs")
    assert (await moved(target, back)).checksum == out.checksum
    here, there = dump(source), dump(back)
    for table in out.altered:
        assert there[table] == sorted(
            (
                tuple(v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row)
                for row in here[table]
            ),
            key=repr,
        )


async def test_a_text_that_is_none_is_told(other: Callable[[str], str]) -> None:
    source, target = await filled(other("sqlite"), size=0), other("postgres")
    change(source, "UPDATE logs SET text = CAST(x'ff00fe' AS TEXT)")
    with pytest.raises(StoreError, match="cannot be read: 'utf-8' codec"):
        await moved(source, target)
    assert await is_empty(target)
