"""A real Chromium, the system's own, and a server in the test's loop."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.web.kit import Site, serving

HERE = Path(__file__).resolve().parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Nothing that a browser does of its own accord, least of all on the network."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where it is. A machine without one fails: `make test` leaves this folder out there, and says so."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium here; Debian: apt-get install chromium"
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one loop, and so one browser: starting it takes longer than most of them. Each has
    a context of its own in it.
    """
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=QUIET)
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/rota.db"


@pytest_asyncio.fixture(loop_scope="session")
async def site(store: str) -> AsyncIterator[Site]:
    """A server with the default settings."""
    async with serving(store) as site:
        yield site
