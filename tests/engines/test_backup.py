"""backup: a copy of one moment of a store at work, whole and checked, or none."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from rota.engines.base import Engine
from rota.engines.open import backup, open_engine, verify
from rota.engines.sqlite import backup as inner
from rota.model.errors import StoreError
from tests.engines.kit import NOW, counts, done, found, fresh, job, put, run
from tests.engines.test_verify import change, digest, fill


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty file: files are what this is about."""
    return fresh("sqlite", tmp_path)


def left(folder: Path) -> list[str]:
    """What is in a folder besides the store."""
    return sorted(one.name for one in folder.iterdir() if not one.name.startswith("rota.db"))


async def test_the_copy_has_everything(engine: Engine, store: str, tmp_path: Path) -> None:
    await fill(engine)
    target = tmp_path / "copy.db"
    copied = await asyncio.to_thread(backup, store, str(target))
    assert (copied.path, copied.size) == (str(target), target.stat().st_size)
    assert copied.verdict.jobs == verify(store).jobs
    assert stat.S_IMODE(target.stat().st_mode) == 0o600, "payloads are nobody else's business"
    assert left(tmp_path) == ["copy.db"]
    again = await open_engine(f"sqlite:///{target}")
    ids = await found(engine)
    assert await found(again) == ids
    assert await again.get(ids) == await engine.get(ids)
    assert await counts(again) == await counts(engine)
    await put(again, job())
    await again.close()


async def test_a_copy_of_a_store_at_work_is_of_one_moment(
    engine: Engine, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a write between any two steps: the copy goes on, does not begin anew, and is sound."""
    monkeypatch.setattr(inner, "PAGES", 20)
    await put(engine, *[job(payload=b"x" * 1000) for _ in range(1000)])
    loop = asyncio.get_running_loop()
    steps: list[tuple[int, int]] = []

    async def write() -> None:
        taken = await run(engine, job(type=f"t{len(steps)}", priority=9))
        await engine.finish([done(taken)], NOW)

    def on_step(at: int, total: int) -> None:
        steps.append((at, total))
        asyncio.run_coroutine_threadsafe(write(), loop).result(20)

    copied = await asyncio.to_thread(backup, store, str(tmp_path / "copy.db"), progress=on_step)
    assert copied.verdict.jobs == {"pending": 1000}, "as of the moment it began"
    assert len(steps) > 10
    assert steps == sorted(steps), "from the first page to the last, once"
    assert {total for _, total in steps} == {steps[-1][0]}
    assert len(await found(engine)) == 1000 + len(steps)


async def test_a_store_that_nobody_has_open(store: str, tmp_path: Path) -> None:
    engine = await open_engine(store)
    await fill(engine)
    await engine.close()
    assert backup(store, str(tmp_path / "copy.db")).verdict.jobs == verify(store).jobs


@pytest.mark.parametrize("there", ["copy.db", "copy.db-wal"])
async def test_what_is_there_is_not_replaced_unasked(
    engine: Engine, store: str, tmp_path: Path, there: str
) -> None:
    await fill(engine)
    (tmp_path / there).write_bytes(b"dear to me")
    with pytest.raises(StoreError, match="is there already"):
        backup(store, str(tmp_path / "copy.db"))
    assert left(tmp_path) == [there]
    assert (tmp_path / there).read_bytes() == b"dear to me"
    backup(store, str(tmp_path / "copy.db"), replace=True)
    assert left(tmp_path) == ["copy.db"], "the log of another file must not be taken for its own"
    assert verify(f"sqlite:///{tmp_path}/copy.db").jobs == verify(store).jobs


async def test_what_appears_meanwhile_is_not_replaced_either(
    engine: Engine, store: str, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"

    def write(done: int, total: int) -> None:
        target.write_bytes(b"faster")

    with pytest.raises(StoreError, match="is there already"):
        backup(store, str(target), progress=write)
    assert target.read_bytes() == b"faster"
    assert left(tmp_path) == ["copy.db"]


async def test_a_store_in_use_is_no_target(engine: Engine, store: str, tmp_path: Path) -> None:
    await fill(engine)
    other = await open_engine(f"sqlite:///{tmp_path}/other.db")
    for target, told in (("other.db", "in use by a server"), ("rota.db", "is the store itself")):
        with pytest.raises(StoreError, match=told):
            backup(store, str(tmp_path / target), replace=True)
    (tmp_path / "link.db").hardlink_to(tmp_path / "rota.db")
    with pytest.raises(StoreError, match="is the store itself"):
        backup(store, str(tmp_path / "link.db"), replace=True)
    await other.close()


@pytest.mark.parametrize(
    ("target", "told"), [(".", "is a folder"), ("no/such/folder/copy.db", "No such file or directory")]
)
async def test_an_impossible_target(
    engine: Engine, store: str, tmp_path: Path, target: str, told: str
) -> None:
    with pytest.raises(StoreError, match=told):
        backup(store, str(tmp_path / target))


async def test_a_faulty_store_gives_no_copy(engine: Engine, store: str, tmp_path: Path) -> None:
    await fill(engine)
    change(store, "DELETE FROM bodies")
    before = digest(store)
    with pytest.raises(StoreError, match="The copy is not sound and was thrown away: 6 jobs have no payload"):
        backup(store, str(tmp_path / "copy.db"))
    assert left(tmp_path) == []
    assert digest(store) == before


async def test_an_interrupt_leaves_nothing(engine: Engine, store: str, tmp_path: Path) -> None:
    await fill(engine)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(store, str(tmp_path / "copy.db"), progress=stop)
    assert left(tmp_path) == []


async def test_a_disk_without_room(
    engine: Engine, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of this process on file sizes stands for a full disk."""
    import resource
    import signal

    await put(engine, *[job(payload=b"x" * 1000) for _ in range(1000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreError):
            backup(store, str(tmp_path / "copy.db"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert left(tmp_path) == []


async def test_it_is_on_disk_before_it_has_its_name(
    engine: Engine, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.db"
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{handle}").readlink()), target.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    await fill(engine)
    backup(store, str(target))
    assert synced == [(f"{target}.{os.getpid()}.partial", False), (str(tmp_path), True)]
