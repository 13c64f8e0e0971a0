"""The one heap behind all timeouts."""

from __future__ import annotations

import asyncio

from rota.sdk.timers import Timers
from tests.sdk.memory import until


class Item:
    def __init__(self, name: str) -> None:
        self.name = name
        self.over = False


async def test_items_are_due_in_order_of_time() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    timers: Timers[Item] = Timers(loop, lambda item: seen.append(item.name), lambda item: item.over)
    now = loop.time()
    for delay, name in ((0.09, "d"), (0.03, "b"), (0.06, "c"), (0.0, "a"), (60.0, "never")):
        timers.add(now + delay, Item(name))
    await until(lambda: len(seen) == 4)
    assert seen == ["a", "b", "c", "d"]
    assert loop.time() - now >= 0.09
    timers.close()
    assert len(timers) == 0


async def test_what_is_over_is_not_called() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    timers: Timers[Item] = Timers(loop, lambda item: seen.append(item.name), lambda item: item.over)
    early, late = Item("early"), Item("late")
    timers.add(loop.time() + 0.01, early)
    timers.add(loop.time() + 0.02, late)
    early.over = True
    await until(lambda: seen)
    assert seen == ["late"]
    timers.close()


async def test_a_due_item_may_be_added_again() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    def due(item: Item) -> None:
        seen.append(item.name)
        if len(seen) < 3:
            timers.add(loop.time() + 0.001, item)

    timers: Timers[Item] = Timers(loop, due, lambda item: item.over)
    timers.add(loop.time(), Item("x"))
    await until(lambda: len(seen) == 3)
    timers.close()


async def test_the_heap_does_not_grow_with_jobs_that_are_over() -> None:
    """Of 20,000 jobs a second with a timeout of an hour each, none must be kept for an hour."""
    loop = asyncio.get_running_loop()
    timers: Timers[Item] = Timers(loop, lambda item: None, lambda item: item.over)
    most = 0
    for _ in range(50_000):
        item = Item("x")
        timers.add(loop.time() + 3600, item)
        item.over = True
        most = max(most, len(timers))
    assert most <= 2_000
    timers.close()
