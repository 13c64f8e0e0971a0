"""extend: signs of life, progress, and the way a worker learns that it should stop."""

from __future__ import annotations

from rota.engines.base import Engine
from rota.model.clock import HOUR, SECOND
from rota.model.job import Beat, Held, Match, State
from tests.engines.kit import LEASE, NOBODY, NOW, again, done, ids, job, one, put, run, take


async def expired(engine: Engine, at: int) -> list[str]:
    return ids((await engine.find(Match(lease_before=at), 99)).jobs)


async def test_nothing_is_fine(engine: Engine) -> None:
    assert await engine.extend([], NOW + LEASE, NOW) == []


async def test_a_lease_ends_when_it_says(engine: Engine) -> None:
    work = await run(engine, job())
    assert await expired(engine, NOW + LEASE - 1) == []
    assert await expired(engine, NOW + LEASE + 1) == [work.id]


async def test_further_and_nearer(engine: Engine) -> None:
    work = await run(engine, job())
    for until in (NOW + HOUR, NOW + 5 * SECOND, NOW - 1):
        assert await engine.extend([Beat(work.id, 1)], until, NOW) == [Held(work.id, 1, False)]
        assert (await one(engine, work.id)).lease_until == until
        assert await expired(engine, until - 1) == []
        assert await expired(engine, until + 1) == [work.id]


async def test_it_changes_nothing_else(engine: Engine) -> None:
    work = await run(engine, job())
    before = await one(engine, work.id)
    await engine.extend([Beat(work.id, 1)], NOW + LEASE, NOW + SECOND)
    assert await one(engine, work.id) == before


async def test_progress_is_kept_until_there_is_news(engine: Engine) -> None:
    work = await run(engine, job())
    seen = []
    for news in (None, b'{"value":0.5}', None, bytes(range(256)), b""):
        await engine.extend([Beat(work.id, 1, news)], NOW + LEASE, NOW)
        seen.append((await one(engine, work.id)).progress)
    assert seen == [None, b'{"value":0.5}', b'{"value":0.5}', bytes(range(256)), b""]
    [listed] = (await engine.find(Match(), 1)).jobs
    assert listed.progress == b""


async def test_lost_ones_are_missing_and_the_rest_keeps_its_order(engine: Engine) -> None:
    works = [await run(engine, job(f"t{n}")) for n in range(3)]
    await engine.finish([again(works[0])], NOW)
    await take(engine, types=("t0",))
    await put(engine, never := job("never"))
    gone = await run(engine, job("gone"))
    await engine.finish([done(gone)], NOW)
    beats = [
        Beat(works[2].id, 1),
        Beat(works[0].id, 1, b"stale"),
        Beat(NOBODY, 1),
        Beat("no id at all", 1),
        Beat(never.id, 0),
        Beat(gone.id, 1, b"stale"),
        Beat(works[1].id, 2),
        Beat(works[1].id, 1),
        Beat(works[0].id, 2),
    ]
    before = [await one(engine, id) for id in (never.id, gone.id)]
    held = await engine.extend(beats, NOW + HOUR, NOW)
    assert [(one.id, one.lease) for one in held] == [(works[2].id, 1), (works[1].id, 1), (works[0].id, 2)]
    assert [await one(engine, id) for id in (never.id, gone.id)] == before
    assert (await one(engine, works[0].id)).progress is None


async def test_the_stop_flag_is_told_at_every_beat(engine: Engine) -> None:
    asked, other = await run(engine, job("a")), await run(engine, job("b"))
    await engine.cancel(Match(ids=(asked.id,)), "cancelled", NOW, 1)
    for _ in range(2):
        held = await engine.extend([Beat(asked.id, 1), Beat(other.id, 1)], NOW + LEASE, NOW)
        assert held == [Held(asked.id, 1, True), Held(other.id, 1, False)]


async def test_a_lease_that_has_run_out_can_be_held_on_to_until_it_is_taken(engine: Engine) -> None:
    work = await run(engine, job())
    late = NOW + HOUR
    assert await expired(engine, late) == [work.id]
    assert await engine.extend([Beat(work.id, 1)], late + LEASE, late) == [Held(work.id, 1, False)]
    assert await expired(engine, late) == []


async def test_progress_belongs_to_one_attempt(engine: Engine) -> None:
    work = await run(engine, job())
    await engine.extend([Beat(work.id, 1, b"half")], NOW + LEASE, NOW)
    await engine.finish([again(work)], NOW)
    [second] = await take(engine)
    assert (await one(engine, second.id)).progress is None


async def test_a_job_is_overdue_when_its_timeout_has_passed(engine: Engine) -> None:
    work = await run(engine, job("a", timeout=10 * SECOND))
    await run(engine, job("b"))
    await put(engine, job("c", timeout=SECOND))

    async def overdue(at: int) -> list[str]:
        return ids((await engine.find(Match(overdue_at=at), 99)).jobs)

    # A beat prolongs the lease, not the timeout.
    await engine.extend([Beat(work.id, 1)], NOW + HOUR, NOW + 5 * SECOND)
    assert await overdue(NOW + 10 * SECOND - 1) == []
    assert await overdue(NOW + 10 * SECOND + 1) == [work.id]
    await engine.finish([done(work)], NOW)
    assert await overdue(NOW + HOUR) == []


async def test_hundreds_at_once(engine: Engine) -> None:
    await put(engine, *(job() for _ in range(500)))
    works = await take(engine, 500)
    held = await engine.extend([Beat(work.id, 1, b"%d" % n) for n, work in enumerate(works)], NOW + HOUR, NOW)
    assert ids(held) == ids(works)
    kept = await engine.get(ids(works))
    assert [job.progress for job in kept] == [b"%d" % n for n in range(500)]
    assert {job.state for job in kept} == {State.RUNNING}
