"""Whatever was acknowledged is there after a power cut, at any moment, again and again.

The disk under the store keeps each sector that was not synced with a probability of one half. As a test of
the test, the same cuts with SQLite's ``synchronous=NORMAL`` lose acknowledged jobs.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import DAY, SECOND
from rota.model.job import Ask, Claimed, Key, Match, NewJob, Outcome, Request, State
from rota.model.spec import new_id
from tests.crash.disk import Disk

NOW = 1_800_000_000 * SECOND
FILE = "rota.db"


@dataclass
class Promises:
    """What was asked for, and what was answered; both only grow."""

    asked: dict[str, NewJob] = field(default_factory=dict)
    together: list[tuple[str, ...]] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    claimed: dict[str, int] = field(default_factory=dict)
    done: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Promises:
        return Promises(
            dict(self.asked),
            list(self.together),
            set(self.stored),
            dict(self.claimed),
            dict(self.done),
            set(self.deleted),
            set(self.deleting),
            dict(self.keys),
        )


def new_job(chance: random.Random) -> NewJob:
    return NewJob(
        id=new_id(),
        type=chance.choice("abc"),
        queue="default",
        state=State.PENDING,
        payload=chance.randbytes(chance.choice((10, 10, 3000))),
        content_type="application/octet-stream",
        headers=None,
        priority=0,
        created_at=NOW,
        run_at=NOW,
        expires_at=None,
        timeout=None,
        max_attempts=3,
        retry=None,
        tags=("x",) * chance.randrange(2),
        unique_key=None,
        unique_states=(),
        retention=DAY,
    )


async def work(engine: Engine, promises: Promises, chance: random.Random, rounds: int, acked: Cutter) -> None:
    """Enqueue, claim, finish and delete; write down every answer the moment it is there."""
    held: list[Claimed] = []
    for n in range(rounds):
        jobs = tuple(new_job(chance) for _ in range(chance.choice((1, 1, 3))))
        promises.asked |= {job.id: job for job in jobs}
        promises.together.append(tuple(job.id for job in jobs))
        key = Key(f"key-{jobs[0].id}", b"1", 0, len(jobs))
        [kept] = await engine.enqueue([Request(jobs, (key,))], NOW)
        promises.stored |= {one.id for one in kept}
        promises.keys[key.key] = jobs[0].id
        acked()
        if n % 2:
            [got] = await engine.claim([Ask("w", ("default",), None, 3)], NOW + SECOND, NOW)
            promises.claimed |= {one.id: one.lease for one in got}
            held += got
            acked()
        if n % 3 == 2 and held:
            ends = [
                Outcome(id=one.id, lease=one.lease, state=State.DONE, end="done", result=one.id.encode())
                for one in held
            ]
            applied = await engine.finish(ends, NOW)
            promises.done |= {one.id: one.id.encode() for one in applied if one.state is State.DONE}
            held = []
            acked()
        if n % 5 == 4 and promises.done:
            old = next(iter(promises.done))
            promises.deleting.add(old)
            await engine.delete(Match(ids=(old,)), 1)
            promises.deleted.add(old)
            del promises.done[old]
            acked()


class Cutter:
    """Takes pictures of the disk without power: at random moments inside SQLite, and right after answers."""

    def __init__(self, disk: Disk, folder: Path, promises: Promises, seed: int) -> None:
        self.disk, self.folder, self.promises = disk, folder, promises
        self.chance = random.Random(seed)
        self.pictures: list[tuple[Path, Promises]] = []
        self.moments: Counter[str] = Counter()
        folder.mkdir()

    def __call__(self, moment: str = "answer") -> None:
        if self.chance.random() < (0.04 if moment.startswith("write") else 0.4):
            place = self.folder / f"cut-{len(self.pictures)}"
            self.disk.cut(place, self.chance)
            self.pictures.append((place, self.promises.copy()))
            self.moments[moment] += 1


async def faults(folder: Path, promises: Promises) -> list[str]:
    """Open what a cut left, on an ordinary disk; tell every promise that was broken."""
    engine = await open_engine(f"sqlite:///{folder / FILE}")
    wrong: list[str] = []
    jobs = {job.id: job for job in await engine.get(list(promises.asked))}
    wrong += [f"stored {id} is lost" for id in promises.stored - promises.deleting - set(jobs)]
    wrong += [f"deleted {id} is back" for id in promises.deleted & set(jobs)]
    for ids in promises.together:
        there = {id in jobs or id in promises.deleting for id in ids}
        wrong += [f"request {ids} is there in part"] * (len(there) != 1)
    for id, job in jobs.items():
        if job.payload != promises.asked[id].payload:
            wrong.append(f"payload of {id} is another")
        if job.lease < promises.claimed.get(id, 0):
            wrong.append(f"claim of {id} is lost")
        if id in promises.done and (job.state, job.result) != (State.DONE, promises.done[id]):
            wrong.append(f"result of {id} is lost")
    for key, first in promises.keys.items():
        ids = next(ids for ids in promises.together if ids[0] == first)
        again = tuple(promises.asked[id] for id in ids)
        [kept] = await engine.enqueue([Request(again, (Key(key, b"2", 0, len(again)),))], NOW)
        wrong += [f"key {key} is lost"] * (kept[0].why != "mismatch")
    listed = (await engine.find(Match(), 100_000)).jobs
    counted = {(row.queue, row.type, row.state): row.jobs for row in await engine.count() if row.jobs}
    for slot in {(job.queue, job.type, job.state) for job in listed} | set(counted):
        real = sum((job.queue, job.type, job.state) == slot for job in listed)
        if counted.get(slot, 0) != real:
            wrong.append(f"{slot} counts {counted.get(slot, 0)}, not {real}")
    await engine.close()
    db = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    wrong += [str(row) for row in db.execute("PRAGMA integrity_check").fetchall() if row != ("ok",)]
    db.close()
    return wrong


@contextlib.contextmanager
def settings(disk: Disk, *pragmas: str) -> Iterator[None]:
    """Give every connection on ``disk`` these settings for good, whatever the engine says afterwards."""
    names = {pragma.partition("=")[0] for pragma in pragmas}

    def keep(action: int, name: str | None, value: str | None, *_: object) -> int:
        pinned = action == apsw.SQLITE_PRAGMA and name in names and value is not None
        return apsw.SQLITE_IGNORE if pinned else apsw.SQLITE_OK

    def hook(db: apsw.Connection) -> None:
        if db.open_vfs == disk.name:
            for pragma in pragmas:
                db.execute(f"PRAGMA {pragma}")
            db.authorizer = keep

    apsw.connection_hooks.append(hook)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(hook)


async def cuts(folder: Path, seed: int, *pragmas: str) -> tuple[Counter[str], list[str]]:
    """A store that lives through three power cuts: at which moments it was cut, and what was wrong."""
    chance = random.Random(seed)
    promises = Promises()
    start: Path | None = None
    moments: Counter[str] = Counter()
    wrong: list[str] = []
    for life in range(3):
        home = folder / f"life-{life}"
        if start is None:
            home.mkdir()
        else:
            shutil.copytree(start, home)
        disk = Disk(f"disk-{seed}-{life}")
        cutter = Cutter(disk, folder / f"cuts-{life}", promises, chance.randrange(2**32))
        disk.watch = cutter
        with settings(disk, "wal_autocheckpoint=20", *pragmas):
            engine = await open_engine(f"sqlite:///{home / FILE}?vfs={disk.name}")
            await work(engine, promises, chance, 12, cutter)
            disk.watch = lambda _: None
            await engine.close()
        disk.unregister()
        moments += cutter.moments
        start, promises = chance.choice(cutter.pictures)
        keep = folder / "keep"
        shutil.copytree(start, keep / str(life))
        for place, promised in cutter.pictures:
            found = await faults(place, promised)
            wrong += [f"{place.relative_to(folder)}: {fault}" for fault in found]
            shutil.rmtree(place)
        start = keep / str(life)
        if wrong:
            break
    return moments, wrong


@pytest.mark.parametrize("seed", range(8))
async def test_what_was_acknowledged_survives_every_cut(tmp_path: Path, seed: int) -> None:
    moments, wrong = await cuts(tmp_path, seed)
    assert wrong == []
    # In the middle of a commit and of a checkpoint, and right after an answer.
    assert {"write rota.db-wal", "sync rota.db-wal", "write rota.db", "sync rota.db", "answer"} <= set(
        moments
    )
    assert moments.total() >= 50


async def test_the_same_cuts_find_a_store_that_does_not_sync_its_commits(tmp_path: Path) -> None:
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        _, wrong = await cuts(tmp_path / str(seed), seed, "synchronous=NORMAL")
        assert wrong
        # It loses the last answers, but leaves the file whole.
        assert [fault for fault in wrong if not fault.endswith(("is lost", "is back"))] == []
