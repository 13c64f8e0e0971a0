"""A real store in a folder of its own, a clock that stands still, and the service over both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rota.core.service import Service
from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import ManualClock


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/rota.db"


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
