"""What servers on one store have in common: a clock, and what they tell each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.engines.places import is_postgres
from rota.engines.postgres.voice import payloads
from rota.model.clock import SECOND
from rota.model.job import Change
from tests import postgres
from tests.engines.kit import ENGINES
from tests.engines.test_postgres_many import listening

TWO = [name for name in ENGINES if name == "postgres"]


async def gather_news(changes: AsyncIterator[Change], last: bytes, ready: asyncio.Event) -> list[bytes]:
    """All messages up to the last one. ``ready``: the first one came."""
    found: list[bytes] = []
    async with asyncio.timeout(20):
        async for change in changes:
            found += change.news
            if change.news:
                ready.set()
            if last in found:
                return found
    return found


async def test_a_store_says_whether_it_is_shared(store: str, engine: Engine) -> None:
    assert engine.shared == is_postgres(store)


async def test_the_clock_of_a_store_goes_on(engine: Engine) -> None:
    before = time.time_ns() // 1000
    times = [await engine.time() for _ in range(3)]
    assert times == sorted(times)
    # The database of the tests is on this machine.
    assert abs(times[0] - before) < 60 * SECOND


async def test_messages_may_always_be_sent(engine: Engine) -> None:
    await engine.announce([], [b"hello"])
    await engine.announce(["a"], [b"", b"\x00\xff" * 5000])


@pytest.fixture(params=TWO)
def shared(request: pytest.FixtureRequest) -> str:
    return postgres.fresh()


@pytest.fixture
async def pair(shared: str) -> AsyncIterator[tuple[Engine, Engine]]:
    engines = [await open_engine(shared) for _ in range(2)]
    yield engines[0], engines[1]
    for engine in engines:
        await engine.close()
    postgres.give_back(shared)


MESSAGES = [b"1", b"", b"\x00\xff", b"x" * 3000, b"y" * 100_000, *(b"%d" % n for n in range(300)), b"end"]


def calls() -> list[Sequence[bytes]]:
    """The messages, one or some to a call."""
    return [MESSAGES[:1], MESSAGES[1:4], *([one] for one in MESSAGES[4:50]), MESSAGES[50:-1], MESSAGES[-1:]]


@pytest.mark.parametrize("options", ["", "?listen=no"], ids=["listening", "polling"])
async def test_messages_come_in_order_and_once(
    shared: str, pair: tuple[Engine, Engine], options: str
) -> None:
    sender, other = pair
    reader = await open_engine(shared + options)
    await sender.announce([], [b"before"])
    ready = asyncio.Event()
    heard = asyncio.ensure_future(gather_news(reader.changes(), b"end", ready))
    if not options:
        await listening(shared)
    knocks = 0
    while not ready.is_set():
        # It may not be listening yet.
        await sender.announce([], [b"knock"])
        knocks += 1
        await asyncio.sleep(0.01)
    for news in calls():
        await asyncio.gather(sender.announce(["q"], news), other.announce([], [b"another"]))
    found = [one for one in await heard if one not in (b"knock", b"another")]
    assert found == MESSAGES
    await reader.close()


async def test_nobody_hears_himself(shared: str, pair: tuple[Engine, Engine]) -> None:
    sender, other = pair
    ready = asyncio.Event()
    heard = asyncio.ensure_future(gather_news(sender.changes(), b"end", ready))
    await listening(shared)
    while not heard.done():
        await sender.announce(["mine"], [b"own", b"end" if ready.is_set() else b"more"])
        await other.announce([], [b"theirs", b"end" if ready.is_set() else b"more"])
        await asyncio.sleep(0.01)
    assert b"own" not in await heard


async def test_what_was_said_while_the_connection_was_cut_is_heard(
    shared: str, pair: tuple[Engine, Engine]
) -> None:
    sender, other = pair
    ready = asyncio.Event()
    heard = asyncio.ensure_future(gather_news(other.changes(), b"missed", ready))
    await listening(shared)
    while not ready.is_set():
        await sender.announce([], [b"knock"])
        await asyncio.sleep(0.01)
    postgres.ask(
        shared,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    await sender.announce([], [b"missed"])
    assert [one for one in await heard if one != b"knock"] == [b"missed"]


async def test_messages_are_forgotten_after_some_seconds(shared: str, pair: tuple[Engine, Engine]) -> None:
    sender, _ = pair
    await sender.announce([], [b"old"])
    postgres.ask(shared, "UPDATE rota.news SET at = at - interval '16 seconds'")
    await sender.announce([], [b"new"])
    care = sender._care  # type: ignore[attr-defined]
    async with sender._readers.session() as session:  # type: ignore[attr-defined]
        await care.forget_news(session)
    assert [list(row[0]) for row in postgres.ask(shared, "SELECT bodies FROM rota.news")] == [[b"new"]]


def test_notifications_are_as_few_as_there_is_room() -> None:
    many = [f"{n:0200}" for n in range(100)]
    assert len(payloads(["a"], "me", 1, [b"x" * 1000])) == 1
    assert len(payloads(["a"], "me", 1, [b"x" * 100_000])) == 1
    for texts in (payloads(many, "me"), payloads(many, "me", 1, [b"x" * 4000]), payloads([], "me", 1, [b""])):
        assert all(len(text.encode()) < 8000 for text in texts)
    assert sum(text.count("000") >= 1 for text in payloads(many, "me")) == 4
