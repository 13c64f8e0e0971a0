"""A disk that refuses: nobody gets an answer that is not true, and the store goes on when the disk does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import DAY, SECOND
from rota.model.errors import StoreError
from rota.model.job import Ask, Kept, Match, NewJob, Outcome, Request, State
from rota.model.spec import JobSpec, Limits, new_job
from tests.crash.disk import Disk

NOW = 1_800_000_000 * SECOND
BROKEN = apsw.IOError("disk I/O error")


def job() -> NewJob:
    return new_job(JobSpec(type="work", retention=DAY / SECOND), NOW, Limits())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(f"failing-{tmp_path.name}")
    yield disk
    disk.unregister()


@pytest.fixture
async def engine(disk: Disk, tmp_path: Path) -> AsyncIterator[Engine]:
    engine = await open_engine(f"sqlite:///{tmp_path}/rota.db?vfs={disk.name}")
    yield engine
    disk.fail.clear()
    await engine.close()


async def ids(engine: Engine) -> set[str]:
    return {job.id for job in (await engine.find(Match(), 500)).jobs}


@pytest.mark.parametrize("what", ["sync", "write"])
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BROKEN, "store_unavailable", 503),
        (apsw.FullError("full"), "storage_full", 507),
    ],
)
async def test_what_did_not_reach_the_disk_is_refused(
    engine: Engine, disk: Disk, tmp_path: Path, what: str, error: Exception, code: str, status: int
) -> None:
    first, second, third = job(), job(), job()
    assert await engine.enqueue([Request((first,))], NOW) == [[Kept(first.id, State.PENDING)]]
    disk.fail[what] = error
    ask = [Ask("w", ("default",), None, 5)]
    calls = [engine.enqueue([Request((second,))], NOW), engine.claim(ask, NOW + SECOND, NOW)]
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, StoreError)
        assert (answer.code, answer.status) == (code, status)
    # What was there can still be read, and is as it was.
    assert await ids(engine) == {first.id}
    assert [job.state for job in await engine.get([first.id, second.id])] == [State.PENDING]
    assert [(row.state, row.jobs) for row in await engine.count() if row.jobs] == [(State.PENDING, 1)]

    disk.fail.clear()
    assert await engine.enqueue([Request((third,))], NOW) == [[Kept(third.id, State.PENDING)]]
    [got] = await engine.claim(ask, NOW + SECOND, NOW)
    assert [(one.id, one.lease) for one in got] == [(first.id, 1), (third.id, 1)]
    assert [(row.state, row.jobs) for row in await engine.count() if row.jobs] == [(State.RUNNING, 2)]
    await engine.close()
    again = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    assert await ids(again) == {first.id, third.id}
    await again.close()


async def test_a_result_that_was_refused_can_be_reported_again(engine: Engine, disk: Disk) -> None:
    new = job()
    await engine.enqueue([Request((new,))], NOW)
    [[work]] = await engine.claim([Ask("w", ("default",), None, 1)], NOW + SECOND, NOW)
    end = Outcome(id=work.id, lease=work.lease, state=State.DONE, end="done", result=b"1")
    disk.fail["sync"] = BROKEN
    for _ in range(3):
        with pytest.raises(StoreError):
            await engine.finish([end], NOW)
    disk.fail.clear()
    assert [one.state for one in await engine.finish([end], NOW)] == [State.DONE]
    assert [one.state for one in await engine.finish([end], NOW)] == [None]


async def test_a_disk_that_fails_once_in_a_while_loses_nothing(
    engine: Engine, disk: Disk, tmp_path: Path
) -> None:
    stored, refused = set(), set()
    for n in range(120):
        if n % 3 == 1:
            disk.fail["sync" if n % 2 else "write"] = BROKEN
        new = job()
        try:
            await engine.enqueue([Request((new,))], NOW)
            stored.add(new.id)
        except StoreError:
            refused.add(new.id)
        disk.fail.clear()
    assert (len(stored), len(refused)) == (80, 40)
    assert await ids(engine) == stored
    await engine.close()
    again = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    assert await ids(again) == stored
    await again.close()
