"""The dashboard in a browser: opened, watched for faults, looked over by axe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.browser.test_docs import opened
from tests.server import Server
from tests.web.kit import Site

AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1360, "height": 900}}


@asynccontextmanager
async def shown(
    browser: Browser, site: Site | Server, place: str = "#/overview", **options: Any
) -> AsyncIterator[Page]:
    """A page of the dashboard. Until it is closed nothing may be said on the console, break the policy or
    come from elsewhere.
    """
    options = {**DESKTOP, "locale": "en-US", "timezone_id": "UTC", **options}
    async with opened(browser, site, f"/{place}", **options) as watched:
        await watched.page.locator("main h1").wait_for()
        yield watched.page


async def accessible(page: Page) -> None:
    """Fails with what axe finds that is serious or worse."""
    await page.evaluate(_axe())
    found = await page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then((it) => it.violations)"
    )
    faults = [
        f"{one['id']} ({one['impact']}): {node['target']}\n  {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert not faults, "\n".join(faults)


@cache
def _axe() -> str:
    return AXE.read_text()
