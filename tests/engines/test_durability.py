"""What was answered stays, in the order of the calls, over close and reopen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import HOUR
from rota.model.errors import RotaError, StoreError
from rota.model.job import Ask, Beat, Job, Kept, LogLine, Match, Note, Outcome, Request, State
from tests.engines.kit import (
    ANY,
    LEASE,
    NOW,
    again,
    counts,
    done,
    ended,
    failed,
    found,
    ids,
    job,
    one,
    put,
    put_keyed,
    run,
    take,
)


async def everything(engine: Engine) -> list[Any]:
    """All that can be seen of a store."""
    jobs: list[Job] = await engine.get(await found(engine))
    return [
        jobs,
        [await engine.logs(job.id, 0, 100) for job in jobs],
        await counts(engine),
        await engine.oldest(["a", "default"]),
        await engine.next_due(),
        [await engine.notes(kind) for kind in ("pause", "worker")],
    ]


async def test_a_store_is_the_same_after_close_and_open(store: str) -> None:
    engine = await open_engine(store)
    for state in (State.DONE, State.FAILED, State.CANCELLED):
        await ended(engine, state, tags=("x",), retry=None)
    await put(engine, job(delay=HOUR), job("a", queue="a", unique_key="u", payload=bytes(range(256))))
    await put_keyed(engine, "key", b"1", keyed := job("keyed", headers={"h": "v"}))
    stopping, beating = await run(engine, job("stop")), await run(engine, job("beat"))
    await engine.cancel(Match(ids=(stopping.id,)), "cancelled", NOW, 1)
    await engine.extend([Beat(beating.id, 1, b"half")], NOW + HOUR, NOW)
    twice = await run(engine, job("twice"))
    await engine.finish([again(twice, lost=True, end="lost")], NOW)
    finished = await run(engine, job("result"))
    await engine.finish([done(finished, b"result", "image/png")], NOW)
    await engine.log([LogLine(finished.id, NOW, "info", "hello")], 10)
    await engine.save([Note("pause", "a", b"1"), Note("worker", "w", b"")])
    before = await everything(engine)
    await engine.close()

    engine = await open_engine(store)
    assert await everything(engine) == before
    # Keys, unique keys, leases and the order go on where they were.
    assert [kept.id for kept in await put_keyed(engine, "key", b"1", job())] == [keyed.id]
    assert [kept.why for kept in await put_keyed(engine, "key", b"2", job())] == ["mismatch"]
    assert [kept.why for kept in await put(engine, job(unique_key="u"))] == ["unique"]
    assert [held.stop for held in await engine.extend([Beat(stopping.id, 1)], NOW + LEASE, NOW)] == [True]
    assert [one.state for one in await engine.finish([done(beating)], NOW)] == [State.DONE]
    late = job("late")
    await put(engine, late)
    got = await take(engine, 9, now=NOW + 1)
    assert ids(got) == [keyed.id, twice.id, late.id]
    assert [work.lease for work in got] == [1, 2, 1]
    await engine.close()


async def test_close_finishes_what_was_called(store: str) -> None:
    engine = await open_engine(store)
    new = job()
    stored = asyncio.ensure_future(engine.enqueue([Request((new,))], NOW))
    taken = asyncio.ensure_future(engine.claim([Ask("w", ("default",), None, 1)], NOW + LEASE, NOW))
    await engine.close()
    assert await stored == [[Kept(new.id, State.PENDING)]]
    assert [ids(got) for got in await taken] == [[new.id]]
    engine = await open_engine(store)
    assert (await one(engine, new.id)).state is State.RUNNING
    await engine.close()


async def test_calls_take_effect_in_the_order_in_which_they_were_made(engine: Engine) -> None:
    new, later = job("first"), job("second", delay=HOUR)
    ask = [Ask("w", ("default",), None, 9)]
    end = Outcome(id=new.id, lease=1, state=State.DONE, end="done", result=b"1")
    calls: list[Awaitable[Any]] = [
        engine.claim(ask, NOW + LEASE, NOW),
        engine.enqueue([Request((new, later))], NOW),
        engine.claim(ask, NOW + LEASE, NOW),
        engine.extend([Beat(new.id, 1)], NOW + HOUR, NOW),
        engine.finish([end], NOW),
        engine.finish([end], NOW),
        engine.promote(NOW + HOUR, 9),
        engine.cancel(Match(types=("second",)), "cancelled", NOW, 9),
        engine.retry(Match(ids=(new.id, later.id)), NOW, 9),
        engine.claim(ask, NOW + LEASE, NOW),
        engine.log([LogLine(new.id, NOW, "info", "x")], 9),
        engine.delete(ANY, 9),
    ]
    # Waiting for the last one first changes nothing.
    answers = (await asyncio.gather(*reversed(calls)))[::-1]
    assert answers[0] == [[]]
    assert [kept.state for kept in answers[1][0]] == [State.PENDING, State.SCHEDULED]
    assert ids(answers[2][0]) == [new.id]
    assert [(held.id, held.stop) for held in answers[3]] == [(new.id, False)]
    assert [[one.state for one in answer] for answer in answers[4:6]] == [[State.DONE], [None]]
    assert answers[6] == [("default", 1)]
    assert [one.state for one in answers[7]] == [State.CANCELLED]
    assert [one.state for one in answers[8]] == [State.PENDING, State.PENDING]
    assert [(work.id, work.lease) for work in answers[9][0]] == [(new.id, 2), (later.id, 1)]
    assert (answers[10], answers[11]) == (1, [])


async def test_what_was_answered_can_be_read_at_once(engine: Engine) -> None:
    for n in range(50):
        new = job(f"t{n}")
        work = await run(engine, new)
        assert (await found(engine, Match(states=(State.RUNNING,)), 5))[0] == new.id
        await engine.finish([done(work)], NOW)
        assert (await found(engine, Match(states=(State.DONE,)), 5))[0] == new.id
        assert (await engine.get([new.id] * 1))[0].state is State.DONE
        assert (await counts(engine))["default", new.type, State.DONE] == 1


async def test_many_callers_at_once(engine: Engine) -> None:
    async def life(n: int) -> str:
        new = job(f"t{n % 5}", queue=f"q{n % 7}")
        await put(engine, new)
        [work] = await take(engine, 1, f"q{n % 7}", worker=f"w{n}")
        await engine.extend([Beat(work.id, work.lease)], NOW + HOUR, NOW)
        [applied] = await engine.finish([done(work) if n % 2 else failed(work)], NOW)
        assert applied.state is (State.DONE if n % 2 else State.FAILED)
        return work.id

    got = await asyncio.gather(*(life(n) for n in range(200)))
    assert sorted(got) == sorted(await found(engine))
    assert sum((await counts(engine)).values()) == 200


async def test_a_long_read_sees_one_moment(engine: Engine) -> None:
    jobs = [job(max_attempts=1000) for _ in range(300)]
    await put(engine, *jobs)

    async def change() -> None:
        for n in range(0, 300, 10):
            works = await take(engine, 10)
            await engine.finish([again(work) for work in works[:5]], NOW)
            await engine.delete(Match(ids=tuple(ids(jobs[n : n + 5]))), 5)

    reads = 0
    async with asyncio.TaskGroup() as group:
        changing = group.create_task(change())
        while not changing.done():
            for kept in await engine.get(ids(jobs)):
                reads += 1
                leases = [attempt.lease for attempt in kept.attempts]
                # Not the row of one moment with the history of the next.
                assert leases == sorted(set(leases))
                assert max(leases, default=0) == kept.lease
                assert (kept.state is State.RUNNING) == any(one.end is None for one in kept.attempts)
    assert reads > 300


async def test_announcing_is_always_allowed(engine: Engine) -> None:
    await engine.announce([])
    await engine.announce(["a", "b"])


async def test_listening_for_changes_can_be_stopped_at_any_time(engine: Engine) -> None:
    async def listen() -> None:
        async for _ in engine.changes():
            pass

    listener = asyncio.ensure_future(listen())
    await put(engine, job())
    assert not listener.done()
    listener.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener


CALLS: dict[str, Callable[[Engine], Awaitable[Any]]] = {
    "enqueue": lambda engine: engine.enqueue([Request((job(),))], NOW),
    "claim": lambda engine: engine.claim([Ask("w", ("default",), None, 1)], NOW, NOW),
    "finish": lambda engine: engine.finish([], NOW),
    "extend": lambda engine: engine.extend([], NOW, NOW),
    "promote": lambda engine: engine.promote(NOW, 1),
    "cancel": lambda engine: engine.cancel(ANY, "x", NOW, 1),
    "retry": lambda engine: engine.retry(ANY, NOW, 1),
    "delete": lambda engine: engine.delete(ANY, 1),
    "log": lambda engine: engine.log([], 1),
    "save": lambda engine: engine.save([]),
    "get": lambda engine: engine.get(["x"]),
    "get many": lambda engine: engine.get(["x"] * 1000),
    "find": lambda engine: engine.find(ANY, 1),
    "logs": lambda engine: engine.logs("x", 0, 1),
    "oldest": lambda engine: engine.oldest(["default"]),
    "notes": lambda engine: engine.notes("x"),
    "next_due": lambda engine: engine.next_due(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_closed_store_says_so(store: str, call: str) -> None:
    engine = await open_engine(store)
    await put(engine, job())
    await engine.close()
    with pytest.raises(StoreError):
        await CALLS[call](engine)


async def test_closing_twice_is_fine(store: str) -> None:
    engine = await open_engine(store)
    await engine.close()
    await engine.close()


@pytest.mark.parametrize(
    "url", ["", "sqlite", "sqlite://", "sqlite:///", "mysql://x/y", "sqlite:///x?mode=ro"]
)
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RotaError) as caught:
        await open_engine(url)
    assert (caught.value.field, caught.value.code) == ("store", "invalid_store")
