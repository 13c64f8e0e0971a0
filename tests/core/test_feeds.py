"""Feeds as the server keeps them: which are on, and which come to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rota.core.feeds import LIFE
from rota.core.service import Service
from rota.engines.open import open_engine
from rota.model.clock import MINUTE, SECOND, ManualClock
from rota.model.event import FEEDS
from tests import stores
from tests.engines.kit import ENGINES, NOW, job, put, turn_on


@pytest.fixture(params=ENGINES)
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    with stores.empty(request.param, tmp_path) as url:
        engine = await open_engine(url)
        yield Service(engine, clock=ManualClock(NOW))
        await engine.close()


def moved(service: Service, by: int) -> None:
    assert isinstance(service.clock, ManualClock)
    service.clock.advance(by)


async def on(service: Service) -> list[str]:
    return [note.key for note in await service.engine.notes(FEEDS)]


async def test_a_feed_keeps_its_token_and_takes_new_wishes(service: Service) -> None:
    first = await service.feeds.want("kafka", ("enqueued",), 1000, 10)
    again = await service.feeds.want("kafka", ("finished",), 2000, 10)
    assert again.token == first.token
    assert (again.events, again.backlog) == (("finished",), 2000)
    assert await on(service) == ["kafka"]


async def test_a_feed_of_nobody_ends_where_nobody_else_can_have_it(service: Service) -> None:
    await turn_on(service.engine, "old")
    await service.feeds.want("kafka", ("enqueued",), 1000, 10)
    await service.feeds.settle()
    assert await on(service) == (["kafka", "old"] if service.engine.shared else ["kafka"])


async def test_a_feed_that_nobody_passes_on_for_a_day_ends(service: Service) -> None:
    await turn_on(service.engine, "other")
    await put(service.engine, job())
    await service.feeds.keep()
    moved(service, LIFE - MINUTE)
    await service.engine.read_events("other", "them", service.clock.now() + SECOND, 0, service.clock.now())
    moved(service, LIFE - MINUTE)
    await service.feeds.keep()
    assert await on(service) == ["other"], "somebody had it meanwhile"
    moved(service, 2 * MINUTE)
    await service.feeds.keep()
    assert await on(service) == []
    await service.feeds.keep()
    assert service.feeds.figures() == []


async def test_one_that_this_server_wants_does_not(service: Service) -> None:
    await service.feeds.want("kafka", ("enqueued",), 1000, 10)
    await service.feeds.keep()
    moved(service, 3 * LIFE)
    await service.feeds.keep()
    assert await on(service) == ["kafka"]


async def test_the_bound_is_kept_and_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    await service.feeds.want("kafka", ("enqueued",), 1000, 10)
    await put(service.engine, *(job() for _ in range(1200)))
    await service.feeds.keep()
    [figures] = service.feeds.figures()
    assert (figures.waiting, figures.dropped) == (1000, 200)
    assert "events were dropped: the backlog is full" in caplog.text
