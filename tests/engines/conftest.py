"""One fresh store per test, for every engine named in kit.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rota.engines.base import Engine
from rota.engines.open import open_engine
from tests.engines.kit import ENGINES, done_with, fresh


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    url = fresh(request.param, tmp_path)
    yield url
    done_with(url)


@pytest.fixture
async def engine(store: str) -> AsyncIterator[Engine]:
    engine = await open_engine(store)
    yield engine
    await engine.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Further stores, by engine."""
    made: list[str] = []

    def make(engine: str) -> str:
        folder = tmp_path / f"other{len(made)}"
        folder.mkdir()
        made.append(fresh(engine, folder))
        return made[-1]

    yield make
    for url in made:
        done_with(url)
