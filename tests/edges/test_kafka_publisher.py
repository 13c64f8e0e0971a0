"""A publisher and the feed that it holds, without a broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rota.core.service import Service
from rota.edges import kafka_out
from rota.edges.kafka import Cluster
from rota.edges.kafka_out import FEED, Out, Publisher
from rota.engines import feeding
from rota.engines.open import open_engine
from rota.model.clock import SECOND
from tests import stores
from tests.engines.kit import ENGINES, job, put
from tests.web.kit import until

NOBODY = Cluster(("127.0.0.1:1",))


@pytest.fixture(params=ENGINES)
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    with stores.empty(request.param, tmp_path) as url:
        engine = await open_engine(url)
        yield Service(engine)
        await engine.close()


@contextlib.asynccontextmanager
async def publishing(service: Service) -> AsyncIterator[Publisher]:
    publisher = await kafka_out.want(service, Out(NOBODY, "topic", ("enqueued",), 1000))
    task = asyncio.create_task(publisher.run())
    yield publisher
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def taken(service: Service) -> bool:
    """Whether another publisher can have the feed."""
    now = service.clock.now()
    return (await service.engine.read_events(FEED, "another", now + SECOND, 0, now)).until is not None


async def test_it_keeps_the_feed_while_the_broker_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_out, "HOLD", 2.0)
    monkeypatch.setattr(feeding, "SPARE", SECOND // 10)
    async with publishing(service):
        await until(lambda: service.feeds._states.get(FEED, ("",))[0] == "away", "word of the broker")
        [row] = await service.engine.backlog()
        end = row.until + 3 * SECOND
        while row.until < end:
            assert not await taken(service)
            [row] = await service.engine.backlog()
    assert await taken(service), "at once, when it ends"


async def test_it_goes_on_when_somebody_else_had_the_feed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_out, "HOLD", 1.0)
    async with publishing(service):
        await until(lambda: FEED in service.feeds._states, "its start")
        row = (await service.engine.backlog())[0]
        late = row.until + 60 * SECOND
        # By the store's clock its hold is over, though it does not know.
        assert (await service.engine.read_events(FEED, "another", late + SECOND, 0, late)).until
        await until(lambda: service.feeds._states[FEED][0] == "standby", "word of it")
        now = service.clock.now()
        await service.engine.read_events(FEED, "another", now, 0, now)
        await until(lambda: service.feeds._states[FEED][0] == "away", "its next turn")


async def test_what_is_switched_off_by_another_server_is_on_again(service: Service) -> None:
    async with publishing(service):
        await service.feeds._switch_off([FEED])
        await put(service.engine, job())
        await service.feeds.keep()
        await put(service.engine, job())
        await service.feeds.keep()
        [figures] = service.feeds.figures()
        assert (figures.feed, figures.waiting) == (FEED, 1)
