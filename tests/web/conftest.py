"""A server with an empty store for every test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.kit import Site, serving


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/rota.db"


@pytest.fixture
async def site(store: str) -> AsyncIterator[Site]:
    """A server with the default settings, without timers."""
    async with serving(store) as site:
        yield site
