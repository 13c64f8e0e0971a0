"""Queues that are paused give nothing."""

from __future__ import annotations

import asyncio

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.sqlite.paused import Paused
from rota.model.job import Ask, Note
from tests.engines.kit import LEASE, NOW, again, ids, job, put, run, take


async def pause(engine: Engine, *queues: str) -> None:
    await engine.save([Note("paused", queue, b"{}") for queue in queues])


async def resume(engine: Engine, *queues: str) -> None:
    await engine.save([Note("paused", queue, None) for queue in queues])


async def test_a_paused_queue_gives_nothing_until_it_is_resumed(engine: Engine) -> None:
    jobs = [job(queue=queue) for queue in ("a", "b", "a")]
    await put(engine, *jobs)
    await pause(engine, "a", "c")
    assert ids(await take(engine, 9, "a", "b")) == [jobs[1].id]
    assert await take(engine, 9, "a") == []
    await resume(engine, "a")
    assert ids(await take(engine, 9, "a", "b")) == [jobs[0].id, jobs[2].id]


async def test_nor_does_it_to_one_who_names_the_job(engine: Engine) -> None:
    new = job()
    await put(engine, new)
    await pause(engine, "default")
    ask = Ask("w", ("default",), None, 1, ids=(new.id,))
    assert await engine.claim([ask], NOW + LEASE, NOW) == [[]]
    await resume(engine, "default")
    assert ids((await engine.claim([ask], NOW + LEASE, NOW))[0]) == [new.id]


async def test_what_runs_goes_on_and_what_comes_back_stays(engine: Engine) -> None:
    work = await run(engine, job())
    await pause(engine, "default")
    [applied] = await engine.finish([again(work)], NOW)
    assert applied.state == "pending"
    assert await take(engine) == []


async def test_other_notes_pause_nothing(engine: Engine) -> None:
    await engine.save([Note("other", "default", b"{}"), Note("paused", "default2", b"{}")])
    await put(engine, job())
    assert len(await take(engine)) == 1


async def test_calls_without_waiting_see_it_in_their_order(engine: Engine) -> None:
    await put(engine, *(job() for _ in range(3)))
    taken = []
    for change in (pause, resume):
        changing = asyncio.ensure_future(change(engine, "default"))
        await asyncio.sleep(0)
        taken.append(await take(engine))
        await changing
    assert [len(works) for works in taken] == [0, 1]


async def test_a_pause_is_there_when_the_store_is_opened_again(store: str) -> None:
    engine = await open_engine(store)
    await pause(engine, "default")
    await put(engine, job())
    await engine.close()
    engine = await open_engine(store)
    assert await take(engine) == []
    await engine.close()


def test_a_pause_that_was_not_stored_is_none() -> None:
    paused = Paused(["a"])
    asks = [Ask("w", ("a", "b"), None, 1)]
    paused.save([Note("paused", "a", None), Note("paused", "b", b"{}")])
    assert [ask.queues for ask in paused.pass_over(asks)] == [("a",)]
    paused.rollback()
    assert [ask.queues for ask in paused.pass_over(asks)] == [("b",)]
    paused.save([Note("paused", "b", b"{}")])
    paused.commit()
    paused.rollback()
    assert [ask.queues for ask in paused.pass_over(asks)] == [()]
