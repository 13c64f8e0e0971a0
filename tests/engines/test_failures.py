"""failures: groups of failed jobs from counters that never drift."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.sqlite import statements
from rota.model.clock import DAY, HOUR, SECOND
from rota.model.errors import BadInput
from rota.model.failure import Cause, FailureGroup, cause
from rota.model.job import Claimed, Match, NewJob, Outcome, State
from tests.engines.kit import (
    ANY,
    NOW,
    again,
    check_counts,
    done,
    failed,
    found,
    job,
    one,
    put,
    released,
    run,
    take,
)

NOON = NOW - NOW % HOUR


def why(type: str = "work", error: str = "E", message: str = "no") -> Cause:
    return cause(type, msgspec.json.encode({"type": error, "message": message}), None)


def broken(work: Claimed, error: str = "E", message: str = "no") -> Outcome:
    return failed(work, cause=why(work.type, error, message))


async def fail(
    engine: Engine, *, error: str = "E", message: str = "no", now: int = NOW, **fields: Any
) -> str:
    work = await run(engine, job(now=now, **fields), now)
    await engine.finish([broken(work, error, message)], now)
    return work.id


async def groups(
    engine: Engine, queue: str | None = None, type: str | None = None, *, now: int = NOW, limit: int = 100
) -> list[FailureGroup]:
    """All groups, page by page."""
    all_: list[FailureGroup] = []
    cursor = None
    while True:
        page = await engine.failures(queue, type, now, limit, cursor)
        assert len(page.groups) <= limit
        all_ += page.groups
        cursor = page.cursor
        if cursor is None:
            return all_


async def kept(engine: Engine, queue: str | None = None) -> dict[str, int]:
    return {one.fingerprint: one.jobs for one in await groups(engine, queue)}


async def recounted(engine: Engine, queue: str | None = None) -> dict[str, int]:
    """What the groups ought to say."""
    queues = None if queue is None else (queue,)
    jobs = await engine.get(await found(engine, Match(queues=queues, states=(State.FAILED,))))
    return dict(Counter(one.fingerprint for one in jobs if one.fingerprint is not None))


async def test_a_group_says_what_its_jobs_have_in_common(engine: Engine) -> None:
    first = await fail(engine, message="first", now=NOW)
    second = await fail(engine, message="second", now=NOW + HOUR)
    other = await fail(engine, error="F", now=NOW + 1)
    [newest, older] = await groups(engine, now=NOW + HOUR)
    assert newest == FailureGroup(
        fingerprint=why().fingerprint,
        type="work",
        error="E",
        frame=None,
        message="second",
        job=second,
        jobs=2,
        first_seen=NOW,
        last_seen=NOW + HOUR,
        hours=(0,) * 22 + (1, 1),
    )
    assert (older.error, older.job, older.jobs) == ("F", other, 1)
    assert (await one(engine, first)).fingerprint == newest.fingerprint
    assert await found(engine, Match(fingerprint=newest.fingerprint)) == [second, first]
    assert await found(engine, Match(fingerprint="nothing")) == []


async def test_only_failed_jobs_have_a_fingerprint(engine: Engine) -> None:
    await put(engine, *(job(f"t{n}") for n in range(4)))
    works = await take(engine, 4)
    cause = why()
    await engine.cancel(Match(ids=(works[1].id,)), "cancelled", NOW, 1)
    await engine.finish(
        [
            msgspec.structs.replace(outcome, cause=cause)
            for outcome in (done(works[0]), again(works[1]), again(works[2]), released(works[3]))
        ],
        NOW,
    )
    assert [(await one(engine, work.id)).fingerprint for work in works] == [None] * 4
    assert await groups(engine) == []


async def test_a_failure_without_a_cause_is_in_no_group(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.finish([failed(work)], NOW)
    await engine.retry(ANY, NOW, 10)
    await engine.delete(ANY, 10)
    assert await groups(engine) == []


async def test_a_retried_job_leaves_its_group_and_may_come_back(engine: Engine) -> None:
    id = await fail(engine)
    await engine.retry(ANY, NOW, 10)
    assert await groups(engine) == []
    assert (await one(engine, id)).fingerprint is None
    [work] = await take(engine)
    await engine.finish([broken(work, "F")], NOW + HOUR)
    assert await kept(engine) == {why(error="F").fingerprint: 1}
    await engine.retry(ANY, NOW, 10)
    [work] = await take(engine)
    await engine.finish([broken(work)], NOW + HOUR)
    # It remembers when it was seen first, and what happened in between.
    [group] = await groups(engine, now=NOW + HOUR)
    assert (group.jobs, group.first_seen, group.hours[-2:]) == (1, NOW, (1, 1))


@pytest.mark.parametrize("way", ["delete", "prune"])
async def test_deleted_jobs_leave_their_group(engine: Engine, way: str) -> None:
    ids = [await fail(engine, retention=DAY) for _ in range(3)]
    match = Match(ids=(ids[0], ids[1])) if way == "delete" else Match(delete_at=NOW + DAY)
    await engine.delete(match, 2)
    [group] = await groups(engine)
    assert (group.jobs, group.job) == (1, ids[2])
    await engine.delete(ANY, 9)
    assert await groups(engine) == []


async def test_the_job_named_is_always_one_of_the_group(engine: Engine) -> None:
    ids = [await fail(engine) for _ in range(3)]
    elsewhere = await fail(engine, queue="q")
    for last, left in ((elsewhere, ids[2]), (ids[2], ids[1]), (ids[0], ids[1])):
        if last == ids[2]:
            await engine.retry(Match(ids=(last,)), NOW, 1)
        else:
            await engine.delete(Match(ids=(last,)), 1)
        assert [group.job for group in await groups(engine)] == [left]
        assert [group.job for group in await groups(engine, "default")] == [left]


async def test_queue_and_type_narrow_the_list(engine: Engine) -> None:
    for queue, type, jobs in (("a", "x", 3), ("b", "x", 2), ("b", "y", 1)):
        for n in range(jobs):
            await fail(engine, queue=queue, type=type, now=NOW + n)
    x, y = why("x").fingerprint, why("y").fingerprint
    assert await kept(engine) == {x: 5, y: 1}
    assert await kept(engine, "a") == {x: 3}
    assert await kept(engine, "b") == {x: 2, y: 1}
    assert [(g.type, g.jobs, sum(g.hours)) for g in await groups(engine, type="x")] == [("x", 5, 5)]
    assert [(g.type, g.jobs, sum(g.hours)) for g in await groups(engine, "b", "x")] == [("x", 2, 2)]
    assert await groups(engine, "c") == await groups(engine, type="z") == await groups(engine, "a", "y") == []
    await engine.delete(Match(queues=("a",)), 10)
    assert await kept(engine) == {x: 2, y: 1}


async def test_pages_are_in_order_without_gaps_and_repeats(engine: Engine) -> None:
    chance = random.Random(7)
    seen: dict[str, int] = {}
    for _ in range(40):
        error, now = f"E{chance.randrange(15)}", NOW + chance.randrange(6) * SECOND
        await fail(engine, error=error, queue=chance.choice("ab"), now=now)
        print_ = why(error=error).fingerprint
        seen[print_] = max(seen.get(print_, 0), now)
    expected = sorted(seen, key=lambda name: (seen[name], name), reverse=True)
    for limit in (1, 2, 5, 100):
        assert [one.fingerprint for one in await groups(engine, limit=limit)] == expected
    assert {g.fingerprint: g.last_seen for g in await groups(engine)} == seen


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "czE", "é", "ZjE", "Zi01OmE", "Zjk5OTk5OTk5OTk5OTk5OTk5OTk5OmE"]
)
async def test_a_cursor_that_is_none_is_refused(engine: Engine, cursor: str) -> None:
    with pytest.raises(BadInput) as caught:
        await engine.failures(None, None, NOW, 10, cursor)
    assert (caught.value.field, caught.value.code) == ("cursor", "invalid_cursor")


async def test_the_hours_move_on_and_old_ones_are_forgotten(engine: Engine) -> None:
    for hour, jobs in ((0, 1), (1, 2), (23, 3)):
        for _ in range(jobs):
            await fail(engine, now=NOON + hour * HOUR)

    async def hours(at: int) -> Sequence[int]:
        [group] = await groups(engine, now=NOON + at * HOUR)
        assert len(group.hours) == 24
        return group.hours

    assert await hours(23) == (1, 2, *[0] * 21, 3)
    assert await hours(24) == (2, *[0] * 21, 3, 0)
    assert await hours(46) == (3, *[0] * 23)
    assert await hours(47) == (0,) * 24
    await fail(engine, now=NOON + 30 * HOUR)
    assert (await hours(30))[-8:] == (3, 0, 0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize("seed", range(4))
async def test_groups_equal_a_recount_after_anything(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    held: list[Claimed] = []
    for step in range(60):
        now = NOW + step * 600 * SECOND
        some = Match(types=(f"t{chance.randrange(3)}",), queues=(chance.choice("ab"),))
        match chance.randrange(7):
            case 0 | 1:
                make: list[NewJob] = [
                    job(
                        f"t{chance.randrange(3)}",
                        queue=chance.choice("ab"),
                        retention=chance.choice((0, DAY)),
                    )
                    for _ in range(9)
                ]
                await put(engine, *make, now=now)
            case 2:
                held += await take(engine, 6, "a", "b", now=now)
            case 3 | 4:
                ends = [chance.choice((done, broken, broken, again))(work) for work in held]
                await engine.finish(ends + ends[:3], now)
                held = held[:2]
            case 5:
                await engine.cancel(some, "cancelled", now, 4)
                await engine.retry(some, now, chance.choice((1, 5)))
            case 6:
                await engine.delete(chance.choice((some, Match(delete_at=now))), 5)
        for queue in (None, "a", "b"):
            assert await kept(engine, queue) == await recounted(engine, queue)
        await check_counts(engine)
        for group in await groups(engine):
            assert group.job is not None
            assert (await one(engine, group.job)).fingerprint == group.fingerprint


async def test_groups_survive_a_restart_and_a_refused_write(store: str) -> None:
    engine = await open_engine(store)
    work, other = await run(engine, job("x")), await run(engine, job("y"))
    id = await fail(engine)
    # The second of these cannot be written; nothing of its transaction may count.
    bad: Any = msgspec.structs.replace(broken(other), end=None)
    with pytest.raises(Exception, match="refused"):
        await engine.finish([broken(work), bad], NOW)
    await put(engine, job())
    assert await kept(engine) == await recounted(engine) == {why().fingerprint: 1}
    await engine.close()
    engine = await open_engine(store)
    assert [group.job for group in await groups(engine)] == [id]
    await engine.close()


async def test_empty_groups_are_forgotten_after_a_day(tmp_path: Path) -> None:
    engine = await open_engine(f"sqlite:///{tmp_path}/rota.db")
    for error in ("E", "F"):
        await fail(engine, error=error)
        await engine.delete(ANY, 9)
    await fail(engine, error="G", now=NOW + DAY + 1)
    await engine.close()
    db = apsw.Connection(str(tmp_path / "rota.db"))
    for table in ("failures", "failure_hours"):
        assert db.execute(f"SELECT count(DISTINCT fingerprint) FROM {table}").fetchall() == [(1,)]
    db.close()


async def test_a_store_from_before_is_migrated(tmp_path: Path) -> None:
    """Made by the first schema, with a job in every state that matters."""
    path = tmp_path / "rota.db"
    first = resources.files("rota.engines.sqlite") / "migrations" / "0001_start.sql"
    db = apsw.Connection(str(path))
    db.execute(first.read_text(encoding="utf-8"))
    db.pragma("application_id", 0x526F7461)
    db.pragma("user_version", 1)
    for n, state in enumerate(("failed", "pending", "done")):
        db.execute(
            "INSERT INTO jobs (seq, id, queue, type, state, priority, attempt, max_attempts, created_at, "
            "run_at, finished_at, retention) VALUES (?, ?, 'default', 'work', ?, 0, 1, 1, ?, ?, ?, 0)",
            (n + 1, f"old-{state}", state, NOW, NOW, None if state == "pending" else NOW),
        )
        db.execute("INSERT INTO bodies (seq, payload) VALUES (?, ?)", (n + 1, b"null"))
        db.execute("INSERT INTO counts VALUES ('default', 'work', ?, 1)", (state,))
    db.close()

    engine = await open_engine(f"sqlite:///{path}")
    assert await found(engine) == ["old-done", "old-pending", "old-failed"]
    assert (await one(engine, "old-failed")).fingerprint is None
    assert await groups(engine) == []
    [work] = await take(engine)
    await engine.finish([broken(work)], NOW)
    assert [group.job for group in await groups(engine)] == ["old-pending"]
    # What failed before belongs to no group, and can be retried and deleted all the same.
    await engine.retry(Match(ids=("old-failed",)), NOW, 1)
    [work] = await take(engine)
    await engine.finish([broken(work)], NOW)
    assert await kept(engine) == {why().fingerprint: 2}
    await engine.delete(ANY, 9)
    await check_counts(engine)
    await engine.close()
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == statements.migrations()[-1].number
    db.close()
