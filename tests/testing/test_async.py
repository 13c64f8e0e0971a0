"""Tests that are coroutines: handlers run on the test's own loop, and time is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

import rota
from rota.testing import AsyncHarness, Stalled, run
from tests.testing import shop
from tests.testing.conftest import START

BEGIN = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


@pytest.fixture
async def ta() -> AsyncIterator[AsyncHarness]:
    async with run(shop.app, start=START) as harness:
        yield harness


async def test_the_whole_life_awaited(ta: AsyncHarness) -> None:
    await shop.asign_up(7)
    ta.assert_enqueued(shop.welcome, args={"user": 7})
    assert await ta.run_due() == {"done": 1}
    assert await ta.advance("3d") == {"done": 1}
    assert shop.outbox == [("welcome", 7), ("remind", 7)]
    shop.broken.append(ConnectionError("down"))
    handle = await shop.charge.aenqueue("A-1")
    assert await ta.run_until_idle() == {"failed": 1, "done": 1}
    assert ta.assert_done(handle) == {"cents": 100}
    assert await handle.aresult() == {"cents": 100}
    assert ta.now == BEGIN + timedelta(days=3, hours=1)


async def test_coroutine_handlers_share_the_loop_of_the_test() -> None:
    app = rota.App()
    news: asyncio.Queue[str] = asyncio.Queue()
    answers: asyncio.Queue[str] = asyncio.Queue()

    @app.task
    async def talks() -> str:
        await news.put(f"on {id(asyncio.get_running_loop())}")
        return await answers.get()

    async with run(app) as t:
        handle = await talks.aenqueue()
        await t.start()
        assert await news.get() == f"on {id(asyncio.get_running_loop())}"
        await answers.put("well")
        assert await t.run_due() == {"done": 1}
        assert t.assert_done(handle) == "well"


async def test_blocking_calls_of_handlers_and_of_the_test_work_too(ta: AsyncHarness) -> None:
    """A coroutine handler that enqueues without awaiting blocks its loop, not the service."""
    app = rota.App("http://jobs.example")

    @app.task
    async def blocks() -> str:
        return blocks.options(delay=60).enqueue().id

    async with run(app) as t:
        blocks.enqueue()
        assert await t.run_due() == {"done": 1}
        assert t.enqueued(blocks, state="scheduled")
    shop.sign_up(7)
    assert await ta.run_due() == {"done": 1}


async def test_a_wait_that_would_block_the_handlers_loop_is_refused(ta: AsyncHarness) -> None:
    await ta.run_due()
    handle = shop.charge.enqueue("A-1")
    with pytest.raises(RuntimeError, match="await it"):
        handle.result(timeout=5)
    assert await handle.aresult(timeout=5) == {"cents": 100}


async def test_a_handler_awaits_the_result_of_another_job() -> None:
    app = rota.App()

    @app.task
    async def half(number: int) -> int:
        return number // 2

    @app.task
    async def down(number: int) -> list[int]:
        found = [number]
        while found[-1] > 1:
            found.append(await (await half.aenqueue(found[-1])).aresult())
        return found

    async with run(app) as t:
        handle = await down.aenqueue(9)
        assert await t.run_due() == {"done": 4}
        assert t.assert_done(handle) == [9, 4, 2, 1]


async def test_a_stuck_coroutine_is_told_of(ta: AsyncHarness) -> None:
    app = rota.App("http://jobs.example")

    @app.task
    async def waits() -> None:
        await asyncio.Event().wait()

    async with run(app, patience=0.05) as t:
        await waits.aenqueue()
        with pytest.raises(Stalled, match="while waits "):
            await t.run_due()


async def test_handlers_that_still_run_at_the_end_are_cancelled() -> None:
    app = rota.App()
    told = []

    @app.task
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    async with run(app) as t:
        await waits.aenqueue()
        await t.start()
        assert told == []
    assert told == ["ended"]
    assert len(asyncio.all_tasks()) == 1, "nothing is left on the loop"


async def test_the_plain_harness_works_inside_a_running_loop() -> None:
    """Its coroutine handlers then have a loop of their own."""
    with run(shop.app) as t:
        handle = shop.charge.enqueue("A-1")
        t.run_due()
        assert t.assert_done(handle) == {"cents": 100}
        other = await shop.charge.aenqueue("A-2")
        assert t.advance("1h") == {"done": 1}
        assert await other.aresult() == {"cents": 100}


async def test_without_threads_plain_handlers_run_on_the_loop_of_the_test() -> None:
    app = rota.App()
    places = []

    @app.task
    def plain() -> None:
        places.append(asyncio.get_running_loop())

    async with run(app, threads=False) as t:
        await plain.aenqueue()
        assert await t.run_due() == {"done": 1}
    assert places == [asyncio.get_running_loop()]
