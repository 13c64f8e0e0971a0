from __future__ import annotations

import asyncio
import time

import pytest

from rota.handlers.settings import SleepSettings
from rota.handlers.sleep import pause, sleep
from rota.sdk.control import JobStopped
from rota.sdk.signature import BadPayload
from tests.handlers.record import Record


async def test_sleeps_as_long_as_asked_and_says_so() -> None:
    record = Record()
    before = time.monotonic()
    result = await sleep(SleepSettings())(record.context(), 300)
    assert time.monotonic() - before >= 0.299
    assert result.slept_ms == 300
    assert record.reports == sorted(record.reports)
    assert len(record.reports) >= 2
    assert record.reports[0] < 0.2 < record.reports[-1]


async def test_the_time_may_be_over_at_any_moment() -> None:
    record = Record()
    for n in range(5000):
        await pause(record.context(), n * 1e-8)
    assert record.reports
    assert 0 <= min(record.reports) <= max(record.reports) <= 1


async def test_zero_returns_at_once() -> None:
    assert (await sleep(SleepSettings())(Record().context(), 0)).slept_ms == 0


@pytest.mark.parametrize("ms", [-1, 5001, 10**30])
async def test_bounds_are_named(ms: int) -> None:
    with pytest.raises(BadPayload, match=f"ms must be from 0 to 5000 milliseconds, not {ms}"):
        await sleep(SleepSettings(max_ms=5000))(Record().context(), ms)


async def test_stops_soon_when_asked_to() -> None:
    record = Record()
    running = asyncio.ensure_future(sleep(SleepSettings())(record.context(), 3_600_000))
    await asyncio.sleep(0)
    record.stop = "cancelled"
    before = time.monotonic()
    with pytest.raises(JobStopped):
        await asyncio.wait_for(running, 5)
    assert time.monotonic() - before < 1


async def test_does_not_hold_up_the_loop() -> None:
    before = time.monotonic()
    await asyncio.gather(*(sleep(SleepSettings())(Record().context(), 100) for _ in range(200)))
    assert time.monotonic() - before < 1
