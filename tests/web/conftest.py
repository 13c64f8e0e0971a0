"""A server with an empty store for every test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests import stores
from tests.web.kit import Site, serving

EVERYWHERE = frozenset(
    {
        "test_jobs",
        "test_poll",
        "test_socket",
        "test_events",
        "test_bulk",
        "test_operate",
        "test_enqueue",
        "test_stats",
        "test_failures",
        "test_explain",
        "test_settings",
        "test_types",
        "test_views",
        "test_condition",
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
async def site(store: str) -> AsyncIterator[Site]:
    """A server with the default settings, without timers."""
    async with serving(store) as site:
        yield site
