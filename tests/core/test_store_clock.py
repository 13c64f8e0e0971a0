"""The time of the store: near it, whatever the machine's own clock shows, and never going back a little."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rota.core.store_clock import LARGE, RATE, StoreClock
from rota.engines.open import open_engine
from rota.model.clock import MINUTE, SECOND
from tests import postgres

STORE = 1_800_000_000 * SECOND


class World:
    """A store whose clock can be set, a steady clock, and a way between them that takes time."""

    def __init__(self) -> None:
        self.passed = 0
        self.ahead = 0
        self.ways = [(0, 0)]
        """Microseconds there and back of the questions, in turn."""
        self._asked = 0

    async def ask(self) -> int:
        there, back = self.ways[self._asked % len(self.ways)]
        self._asked += 1
        self.passed += there
        told = self.time
        self.passed += back
        return told

    @property
    def time(self) -> int:
        return STORE + self.passed + self.ahead

    def steady(self) -> int:
        return (5 * MINUTE + self.passed) * 1000


async def test_it_shows_what_the_store_shows() -> None:
    world = World()
    clock = StoreClock(world.ask, world.steady)
    world.ways = [(300, 300)]
    await clock.measure()
    assert clock.now() == world.time
    world.passed += 10 * MINUTE
    assert clock.now() == world.time


async def test_the_quickest_answer_counts_and_is_halved() -> None:
    world = World()
    world.ways = [(90_000, 10), (200, 400), (50, 70_000)]
    clock = StoreClock(world.ask, world.steady)
    await clock.measure()
    assert world.time - clock.now() == 100


@pytest.mark.parametrize("ahead", [SECOND // 2, -SECOND // 2])
async def test_a_small_difference_is_made_up_for_bit_by_bit(ahead: int) -> None:
    world = World()
    clock = StoreClock(world.ask, world.steady)
    await clock.measure()
    world.ahead = ahead
    before = clock.now()
    await clock.measure()
    assert clock.now() == before
    for _ in range(60):
        world.passed += SECOND
        now = clock.now()
        assert 0 < now - before <= SECOND * (1 + RATE)
        before = now
        # Measured meanwhile, too.
        await clock.measure()
    assert clock.now() == world.time


@pytest.mark.parametrize("ahead", [5 * MINUTE, -5 * MINUTE])
async def test_a_large_one_means_that_the_stores_clock_was_set(ahead: int) -> None:
    world = World()
    clock = StoreClock(world.ask, world.steady)
    await clock.measure()
    assert abs(ahead) > LARGE
    world.ahead = ahead
    await clock.measure()
    assert clock.now() == world.time


async def test_what_cannot_be_told_from_that_distance_is_left_alone() -> None:
    world = World()
    clock = StoreClock(world.ask, world.steady)
    await clock.measure()
    world.ways = [(0, 2000)]
    await clock.measure()
    world.passed += 10 * SECOND
    assert clock.now() == world.time


@pytest.fixture
def shared() -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.give_back(url)


async def test_two_servers_with_other_clocks_agree(shared: str) -> None:
    engine = await open_engine(shared)
    clocks = [
        StoreClock(engine.time),
        StoreClock(engine.time, older),
    ]
    for clock in clocks:
        await clock.measure()
    store = await engine.time()
    one, other = (clock.now() for clock in clocks)
    assert abs(one - other) < SECOND
    assert abs(one - store) < SECOND
    await engine.close()


def older() -> int:
    """The steady clock of a machine that was started a week before this one."""
    return time.monotonic_ns() + 7 * 24 * 3600 * 10**9
