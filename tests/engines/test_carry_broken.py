"""Moves that are broken off: the source is as it was, the target as empty as before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from rota.engines.open import move, open_engine, verify
from rota.engines.postgres.carry import PostgresTarget
from rota.engines.sqlite.carry import SqliteTarget
from rota.model.errors import StoreError
from tests import postgres
from tests.crash.disk import Disk
from tests.engines.full import dump, filled
from tests.engines.kit import ENGINES
from tests.engines.move_kit import change, is_empty, moved, path_of


@pytest.mark.parametrize("step", ["copying", "comparing"])
@pytest.mark.parametrize(("here", "there"), [("sqlite", "postgres"), ("postgres", "sqlite")])
async def test_one_that_is_cancelled_leaves_nothing(
    here: str, there: str, step: str, other: Callable[[str], str]
) -> None:
    """As by Ctrl-C."""
    source, target = await filled(other(here), size=0), other(there)
    before = dump(source)

    def progress(name: str, done: int, total: int) -> None:
        if name == step and done:
            task.cancel()

    task = asyncio.ensure_future(move(source, target, progress))
    await asyncio.wait([task])
    assert task.cancelled()
    assert dump(source) == before
    if there == "sqlite":
        assert {one.name for one in path_of(target).parent.iterdir()} <= {"rota.db.lock"}
    assert await is_empty(target)
    await moved(source, target)


@pytest.mark.parametrize("there", ENGINES)
async def test_no_server_opens_either_end_meanwhile(there: str, other: Callable[[str], str]) -> None:
    source, target = await filled(other("postgres"), size=0), other(there)
    seen: list[list[str]] = []

    def progress(name: str, done: int, total: int) -> None:
        if name == "comparing" and done and not seen:
            seen.append(postgres.run(_refused_meanwhile(source, target)))

    await move(source, target, progress)
    [told] = seen
    assert "is being moved ('rota move' is at work on it)" in told[0]
    assert ("is being moved" if there == "postgres" else "in use by another server") in told[1]
    for url in (source, target):
        await (await open_engine(url)).close()


async def _refused_meanwhile(*urls: str) -> list[str]:
    import asyncpg

    told = []
    for url in urls:
        with pytest.raises(StoreError) as caught:
            await open_engine(url)
        told.append(caught.value.detail)
        if url.startswith("postgresql:"):
            # One that was not noticed can write nothing, and read on.
            unseen = await asyncpg.connect(url, server_settings={"lock_timeout": "100ms"})
            await unseen.fetch("SELECT count(*) FROM rota.jobs")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await unseen.execute("DELETE FROM rota.notes")
            await unseen.close()
    return told


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_connection_that_is_lost(lost: int, other: Callable[[str], str]) -> None:
    urls = [await filled(other("postgres"), size=0), other("postgres")]
    before = dump(urls[0])
    killed: list[Any] = []

    def progress(name: str, done: int, total: int) -> None:
        if name == "copying" and done > 40 and not killed:
            killed.append(
                postgres.ask(
                    urls[lost],
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'rota-move' AND datname = current_database()",
                )
            )

    with pytest.raises(StoreError, match="does not answer"):
        await move(urls[0], urls[1], progress)
    assert killed
    assert dump(urls[0]) == before
    assert await is_empty(urls[1])
    await moved(urls[0], urls[1])


@pytest.mark.parametrize("what", ["write", "sync"])
async def test_a_full_disk(what: str, other: Callable[[str], str], tmp_path: Path) -> None:
    source = await filled(other("sqlite"))
    disk = Disk(f"full-{tmp_path.name}-{what}")
    target = f"sqlite:///{tmp_path}/target.db"

    def progress(name: str, done: int, total: int) -> None:
        if name == "copying" and done:
            disk.fail["write"] = apsw.FullError("full")

    try:
        with pytest.raises(StoreError, match="the disk is full") as caught:
            await move(source, f"{target}?vfs={disk.name}", progress)
        assert caught.value.code == "storage_full"
        assert {one.name for one in tmp_path.iterdir() if one.is_file()} == {"target.db.lock"}
        disk.fail.clear()
        disk.files.clear()
        assert (await moved(source, f"{target}?vfs={disk.name}")).rows["jobs"]
        assert verify(target).sound
    finally:
        disk.unregister()


async def test_ends_that_differ_make_no_store(other: Callable[[str], str]) -> None:
    source, target = await filled(other("sqlite"), size=0), other("sqlite")
    partial = path_of(target).with_name("rota.db.moving")

    def progress(name: str, done: int, total: int) -> None:
        if name == "comparing" and not done:
            assert not path_of(target).exists()
            change(f"sqlite:///{partial}", "UPDATE logs SET text = 'other' WHERE n = 2")

    with pytest.raises(StoreError, match=r"did not become what the source is.*\nlogs: .* and they differ"):
        await move(source, target, progress)
    assert not partial.exists()
    assert await is_empty(target)


@pytest.mark.parametrize("table", ["counts", "tags"])
async def test_what_is_made_anew_is_checked_too(table: str, other: Callable[[str], str]) -> None:
    source, target = await filled(other("sqlite"), size=0), other("sqlite")
    partial = path_of(target).with_name("rota.db.moving")

    def progress(name: str, done: int, total: int) -> None:
        if name == "comparing" and not done:
            change(f"sqlite:///{partial}", f"DELETE FROM {table}")

    told = "in the counters at the target" if table == "counts" else "is not sound; it is left empty"
    with pytest.raises(StoreError, match=told):
        await move(source, target, progress)
    assert await is_empty(target)


async def test_what_a_killed_move_left_is_in_nobodys_way(other: Callable[[str], str]) -> None:
    source, target = await filled(other("sqlite"), size=0), other("sqlite")
    partial = path_of(target).with_name("rota.db.moving")
    partial.write_bytes(b"half of it")
    assert await is_empty(target)
    await moved(source, target)
    assert not partial.exists()
    assert verify(target).jobs == verify(source).jobs
    assert verify(target).jobs["pending"]


@pytest.mark.parametrize("there", ENGINES)
async def test_a_ctrl_c_at_the_very_end_comes_too_late(
    there: str, other: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is told as kept."""
    source, target = await filled(other("sqlite"), size=0), other(there)
    kind: Any = {"sqlite": SqliteTarget, "postgres": PostgresTarget}[there]
    publish = kind.publish

    async def interrupted(self: Any) -> None:
        task.cancel()
        await asyncio.sleep(0)
        await publish(self)

    monkeypatch.setattr(kind, "publish", interrupted)
    task = asyncio.ensure_future(moved(source, target))
    out = await task
    assert verify(target).jobs == verify(source).jobs
    assert sum(verify(target).jobs.values()) == out.rows["jobs"]
