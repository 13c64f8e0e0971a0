"""One fresh store per test, for every engine named in kit.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from tests.engines.kit import ENGINES, fresh


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return fresh(request.param, tmp_path)


@pytest.fixture
async def engine(store: str) -> AsyncIterator[Engine]:
    engine = await open_engine(store)
    yield engine
    await engine.close()
