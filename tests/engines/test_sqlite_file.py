"""What only the SQLite engine has: a file, which may be missing, taken, foreign or damaged."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from rota.engines.open import open_engine
from rota.model.errors import StoreError
from tests.engines.kit import ANY, NOW, found, job, one, put


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def refusal(path: Path | str) -> str:
    with pytest.raises(StoreError) as caught:
        await open_engine(f"sqlite:///{path}")
    assert str(path) in caught.value.detail
    return caught.value.detail


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "rota.db"
    engine = await open_engine(f"sqlite:///{path}")
    await engine.close()
    assert path.exists()


async def test_a_relative_path_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = await open_engine("sqlite:///rota.db")
    await engine.close()
    assert (tmp_path / "rota.db").exists()


@pytest.mark.bad(116)
async def test_a_store_has_one_server(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    first = await open_engine(f"sqlite:///{path}")
    assert "in use" in await refusal(path)
    await put(first, new := job())
    await first.close()
    second = await open_engine(f"sqlite:///{path}")
    assert await found(second) == [new.id]
    await second.close()


async def test_another_process_is_refused_too_and_a_dead_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    code = (
        "import asyncio, sys; from rota.engines.open import open_engine\n"
        "async def main():\n"
        f"    engine = await open_engine('sqlite:///{path}')\n"
        "    print('open', flush=True); sys.stdin.read()\n"
        "asyncio.run(main())"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert await other.stdout.readline() == b"open\n"
        assert "in use" in await refusal(path)
    finally:
        other.kill()
        await other.communicate()
    engine = await open_engine(f"sqlite:///{path}")
    await engine.close()


async def test_a_failed_opening_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    await refusal(path)
    path.unlink()
    engine = await open_engine(f"sqlite:///{path}")
    await engine.close()


@pytest.mark.bad(116)
@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"\x00" * 5000, b"SQLite format 3\x00" + b"x" * 5000]
)
async def test_another_kind_of_file_is_refused_and_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rota.db"
    path.write_bytes(content)
    await refusal(path)
    assert path.read_bytes() == content


@pytest.mark.bad(116)
async def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE jobs (x); INSERT INTO jobs VALUES (1)")
    db.close()
    before = digest(path)
    assert "another program" in await refusal(path)
    assert digest(path) == before


@pytest.mark.bad(116)
async def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    engine = await open_engine(f"sqlite:///{path}")
    await engine.close()
    db = apsw.Connection(str(path))
    db.pragma("user_version", 1000)
    db.close()
    before = digest(path)
    assert "newer" in await refusal(path)
    assert digest(path) == before


@pytest.mark.bad(116)
async def test_a_folder_is_no_store(tmp_path: Path) -> None:
    await refusal(tmp_path)


@pytest.mark.bad(116)
async def test_a_place_that_cannot_be_written_is_refused() -> None:
    await refusal("/proc/nowhere/rota.db")


async def test_every_commit_is_synced_and_the_log_is_a_wal(tmp_path: Path) -> None:
    seen: list[apsw.Connection] = []
    apsw.connection_hooks.append(seen.append)
    try:
        engine = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    finally:
        apsw.connection_hooks.remove(seen.append)
    writers = [db for db in seen if not db.readonly("main")]
    assert [(db.pragma("journal_mode"), db.pragma("synchronous")) for db in writers] == [("wal", 2)]
    # The others cannot write, even by mistake.
    assert [db.pragma("query_only") for db in seen if db not in writers] == [1] * (len(seen) - 1)
    await engine.close()


def test_the_sqlite_inside_is_one_without_the_wal_reset_race() -> None:
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)


async def test_a_long_life_leaves_no_long_log(tmp_path: Path) -> None:
    engine = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    for _ in range(40):
        await put(engine, *(job(payload=b"x" * 10_000) for _ in range(50)))
    # 20 MB went through it.
    assert (tmp_path / "rota.db-wal").stat().st_size < 10_000_000
    await engine.close()
    assert not (tmp_path / "rota.db-wal").exists()
    engine = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    newest = (await engine.find(ANY, 1)).jobs[0]
    assert (await one(engine, newest.id)).created_at == NOW
    await engine.close()
