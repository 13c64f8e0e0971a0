"""strip: what is kept of figures changes no answer, whoever asks for what and whatever happens meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rota.core import strip
from rota.core.history import Histories, History, Wish
from rota.core.meter import Tally
from rota.core.series import COARSE, FINE, KEPT, Depth, Series, _row, add, opened, written
from rota.core.service import Service
from rota.engines.base import Engine
from rota.model.clock import HOUR, MINUTE, SECOND, ManualClock
from rota.model.job import Note
from tests.core.kit import put_many

WISHES: list[dict[str, Any]] = [
    {},
    {"group": "queue"},
    {"group": "queue", "limit": 2},
    {"group": "type", "limit": 1},
    {"group": "queue,type", "limit": 3},
    {"queue": "q1"},
    {"queue": "q1", "group": "queue"},
    {"queue": "q1", "group": "type"},
    {"type": "b"},
    {"type": "b", "group": "queue"},
    {"queue": "nobody"},
]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000 * SECOND)


def some(chance: random.Random) -> Tally:
    """What happened in a while; times with gaps between them."""
    waits = {chance.randint(0, 200): chance.randint(1, 9) for _ in range(chance.randint(1, 12))}
    runs = {chance.randint(0, 200): chance.randint(1, 9) for _ in range(chance.randint(0, 12))}
    return Tally(chance.randint(0, 9), chance.randint(0, 9), chance.randint(0, 2), 1, 2, waits, runs)


class Day:
    """A store with figures, made up minute by minute."""

    def __init__(self, engine: Engine, service: Service, clock: ManualClock) -> None:
        self.engine, self.series, self.clock = engine, service.series, clock
        self.histories = service.histories
        self.chance = random.Random(3)

    async def minute(self, at: int, server: str = "s") -> None:
        """The document of a minute, as another server writes it."""
        chance = self.chance
        tallies = {(f"q{n}", type): some(chance) for n in range(4) for type in "abc" if chance.random() < 0.4}
        depth = {f"q{n}": Depth(n, 1, 2, at - n * SECOND) for n in range(5) if chance.random() < 0.7}
        body = b"[" + written(at, at + MINUTE - 1, depth, tallies) + b"]"
        note = Note("series-1m", f"{at // SECOND:012d}-{server}-{chance.random()}", body)
        await self.engine.save([note])

    async def told(self, wish: dict[str, Any], last: int = HOUR, *, kept: bool = True) -> History:
        now = self.clock.now()
        histories = self.histories if kept else Histories(self.series)
        return await histories.read(Wish(COARSE, now - last, now, **wish), now)

    async def same(self, last: int = HOUR) -> None:
        """What is answered from what is kept is what is answered without."""
        for wish in WISHES:
            assert await self.told(wish, last) == await self.told(wish, last, kept=False), wish

    async def pass_by(self) -> int:
        """A minute passes; when it began."""
        began = self.clock.now() - self.clock.now() % MINUTE
        self.clock.advance(MINUTE)
        await self.series.tick()
        return began


@pytest.fixture
async def day(engine: Engine, service: Service, clock: ManualClock) -> Day:
    clock.advance(-clock.now() % MINUTE)
    day = Day(engine, service, clock)
    await day.series.tick()
    first = clock.now() - 2 * HOUR
    for at in range(first, clock.now(), MINUTE):
        if day.chance.random() < 0.8:
            await day.minute(at)
    return day


async def test_what_is_kept_changes_no_answer(day: Day) -> None:
    await day.same(HOUR)
    await day.same(2 * HOUR)
    for turn in range(6):
        began = await day.pass_by()
        await day.minute(began)
        if turn % 2:
            await day.minute(began, "other")
        await day.same(HOUR)
    # Others may write a little later; from then on it is there.
    await day.minute(began - MINUTE, "third")
    await day.same(HOUR)
    await day.pass_by()
    await day.same(2 * HOUR)


async def test_a_point_in_which_nothing_wanted_happened_is_a_zero(day: Day) -> None:
    """Its document says that a server was up, if nobody else does."""
    at = day.clock.now() - 3 * HOUR
    body = b"[" + written(at, at + 1, {}, {("q1", "a"): some(day.chance)}) + b"]"
    await day.engine.save([Note("series-1m", f"{at // SECOND:012d}-only", body)])
    for wish in {"type": "b"}, {"queue": "q2"}, {"queue": "q2", "group": "type", "type": "c"}:
        told = await day.told(wish, 4 * HOUR)
        point = (at - told.since) // MINUTE
        assert [line.enqueued[point - 1 : point + 2] for line in told.series] == [[None, 0, None]], wish


@pytest.mark.parametrize("wish", [{}, {"queue": "q1"}])
async def test_who_asks_first_after_a_start_does_not_wait_for_the_day(
    day: Day, wish: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    def counted(note: Note) -> Any:
        nonlocal read
        read += 1
        return opened(note)

    cold = await day.told(wish, KEPT, kept=False)
    await day.histories.warm(day.clock.now(), by_queue="queue" in wish)
    monkeypatch.setattr(strip, "opened", counted)
    assert await day.told(wish, KEPT) == cold
    assert 0 < read < 10, "no more than the minutes that may still change"


async def test_minutes_that_are_over_are_not_read_again(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def counted(note: Note) -> Any:
        nonlocal read
        read += 1
        return opened(note)

    monkeypatch.setattr(strip, "opened", counted)
    await day.told({"group": "queue"}, 2 * HOUR)
    assert read > 60
    for wish in {"group": "queue"}, {"queue": "q1"}, {"queue": "q2"}:
        read = 0
        await day.told(wish, 2 * HOUR)
        assert read <= 4, wish


async def test_a_document_that_is_late(day: Day, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that could not write for long says so, and what was kept is read again."""
    began = await day.pass_by()
    other = Series(day.engine, day.clock, service.workers.meter)
    await put_many(service, 7, queue="late")
    for _ in range(10):
        await day.pass_by()

    async def enqueued(queue: str) -> int:
        [line] = (await day.told({"queue": queue})).series
        return sum(number or 0 for number in line.enqueued)

    assert await enqueued("late") == 7
    before = await enqueued("q1")
    service.workers.meter.stored({("q1", "a"): 5})
    # It began long ago, and ends only now.
    other._open = began
    await other.tick()
    assert await enqueued("q1") == before + 5
    await day.same()


async def test_it_takes_only_so_much_room(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.told({"group": "queue"}, 2 * HOUR)
    [kept] = day.histories.strips._kept.values()
    monkeypatch.setattr(strip, "MAX_CELLS", kept.size + 10)
    await day.told({}, 2 * HOUR)
    assert [cut.by_queue for cut in day.histories.strips._kept] == [False]
    day.clock.advance(KEPT + 3 * HOUR)
    await day.series.tick()
    await day.told({}, HOUR)
    [kept] = day.histories.strips._kept.values()
    assert len(kept.cells) <= HOUR // MINUTE


async def test_a_clock_that_is_set_back(day: Day) -> None:
    await day.same(2 * HOUR)
    day.clock.advance(-30 * MINUTE)
    await day.series.tick()
    for _ in range(3):
        await day.minute(await day.pass_by(), "again")
    await day.same()


async def test_points_of_five_seconds(day: Day, service: Service) -> None:
    for number in range(60):
        await put_many(service, 1 + number % 3, queue=f"q{number % 2}")
        day.clock.advance(FINE)
        await day.series.tick()
        if number % 10 == 0:
            now = day.clock.now()
            wish = Wish(FINE, now - 5 * MINUTE, now, group="queue")
            told = await day.histories.read(wish, now)
            assert told == await Histories(day.series).read(wish, now)


def test_adding_up(clock: ManualClock) -> None:
    total = Tally(waits={}, runs={})
    chance = random.Random(1)
    parts = [some(chance) for _ in range(5)]
    for part in parts:
        add(total, part)
    cells = [strip._cell(_row(part)) for part in parts]
    together = strip._together(cells)
    assert together.started == sum(total.waits.values())
    for packed, buckets in (together.waits, total.waits), (together.runs, total.runs):
        assert {number: count for number, count in strip._buckets(packed).items() if count} == buckets
