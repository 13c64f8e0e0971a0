"""A real store in a folder of its own, a clock that stands still, and the service over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rota.core.service import Service
from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import ManualClock
from tests import stores

EVERYWHERE = frozenset(
    {
        "test_bound",
        "test_bulk",
        "test_bus",
        "test_condition",
        "test_dispatch",
        "test_events",
        "test_exchange",
        "test_explain",
        "test_fetch",
        "test_files",
        "test_gather",
        "test_inside",
        "test_inside_files",
        "test_joblog",
        "test_programs",
        "test_pulse",
        "test_quantiles",
        "test_queues",
        "test_reports",
        "test_rescue",
        "test_series",
        "test_service",
        "test_stand_in",
        "test_turn",
        "test_upkeep",
        "test_wait",
        "test_workers",
    }
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    stores.choose(metafunc, EVERYWHERE)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    with stores.empty(request.param, tmp_path) as url:
        yield url


@pytest.fixture
async def engine(store: str) -> AsyncIterator[Engine]:
    engine = await open_engine(store)
    yield engine
    await engine.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(engine: Engine, clock: ManualClock) -> Service:
    return Service(engine, clock=clock)
