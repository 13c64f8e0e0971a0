"""What keeps a live page calm: paused, hidden, in a storm of events; and how it tells times."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.dashboard import accessible, shown
from tests.web.kit import Site, lease, serving

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""
DRAWINGS = """() => {
  window.drawings = 0;
  let frame = 0;
  new MutationObserver(() => {
    // Changes that come in one frame are drawn once.
    if (frame) return;
    drawings += 1;
    frame = requestAnimationFrame(() => { frame = 0; });
  }).observe(document.querySelector("tbody"), {subtree: true, childList: true, characterData: true});
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def site(store: str) -> AsyncIterator[Site]:
    async with serving(store, timers=True) as site:
        yield site


class Asked:
    """Counts what a page asks for."""

    def __init__(self, page: Page) -> None:
        self.lists = 0
        page.on("request", lambda request: self._count(request.url))

    def _count(self, url: str) -> None:
        self.lists += "/v1/jobs" in url


async def pulses(site: Site, count: int) -> None:
    """So many seconds of news pass."""
    with site.service.pulses.watch() as watcher:
        for _ in range(count):
            await site.enqueue(queue="elsewhere")
            await watcher.next()


@asynccontextmanager
async def listing(browser: Browser, site: Site) -> AsyncIterator[tuple[Page, Locator]]:
    """A live list with one job."""
    await site.enqueue()
    async with shown(browser, site, "#/jobs?queue=default") as page:
        rows = page.locator(".jobs-row")
        await expect(rows).to_have_count(1)
        await expect(page.locator(".link.live")).to_be_visible()
        yield page, rows


async def stands_still(page: Page, site: Site) -> None:
    """It asks for nothing although there is news."""
    asked = Asked(page)
    await site.enqueue()
    await pulses(site, 4)
    assert asked.lists == 0


async def test_a_page_that_is_paused_stands_still(browser: Browser, site: Site) -> None:
    async with listing(browser, site) as (page, rows):
        await page.keyboard.press(".")
        await expect(page.locator(".link.paused")).to_have_attribute("aria-pressed", "true")
        await accessible(page)
        await stands_still(page, site)
        await expect(rows).to_have_count(1)
        await page.keyboard.press(".")
        await expect(page.locator(".link.live")).to_be_visible()
        await expect(rows).to_have_count(2)


async def test_a_tab_that_nobody_sees_asks_for_nothing(browser: Browser, site: Site) -> None:
    async with listing(browser, site) as (page, rows):
        await page.evaluate(HIDE, True)
        await stands_still(page, site)
        await page.evaluate(HIDE, False)
        await expect(rows).to_have_count(2)


async def test_a_storm_is_drawn_ten_times_a_second_at_most(browser: Browser, site: Site) -> None:
    ids = await site.enqueue_many(40)
    async with site.worker("w1", slots=40) as worker:
        jobs = await worker.jobs(40)
        async with shown(browser, site, "#/jobs") as page:
            await expect(page.locator(".jobs-row .state.running")).to_have_count(40)
            await expect(page.locator(".link.live")).to_be_visible()
            await page.evaluate(DRAWINGS)
            began = await page.evaluate("performance.now()")
            for step in range(1, 51):
                news = [{**lease(job), "value": step / 100, "message": f"step {step}"} for job in jobs]
                await worker.send("beat", leases=[], progress=news)
                # The page is asked, so that events come while it draws.
                await page.evaluate("new Promise(requestAnimationFrame)")
            await expect(page.locator(".jobs-row", has_text="50 %")).to_have_count(40)
            drawings, seconds = await page.evaluate(f"[drawings, (performance.now() - {began}) / 1000]")
            assert 2 <= drawings <= 10 * seconds + 2, f"{drawings} in {seconds:.1f} s"
            await worker.finish(*({**lease(job), "end": "done"} for job in jobs))
            await expect(page.locator(".jobs-row .state.done")).to_have_count(len(ids))


async def test_times_are_told_as_one_likes(browser: Browser, site: Site) -> None:
    id = await site.enqueue()
    created = (await site.job(id))["created_at"]
    async with shown(browser, site, f"#/jobs?id={id}", timezone_id="Asia/Kolkata") as page:
        time = page.locator(".jobs-row time").first
        await expect(time).to_have_text(re.compile("now|ago"))
        await expect(time).to_have_attribute("datetime", f"{created[:23]}Z")
        for choice in ("Exact", "UTC"):
            await page.locator(".top .menu > button").click()
            await page.get_by_role("menuitemcheckbox", name=choice).click()
        await expect(time).to_contain_text(created[11:16])
        await page.locator(".top .menu > button").click()
        await page.get_by_role("menuitemcheckbox", name=re.compile("Your zone.*(Kolkata|Calcutta)")).click()
        hour, minute = int(created[11:13]), int(created[14:16])
        there = (hour * 60 + minute + 330) % 1440
        await expect(time).to_contain_text(f"{there // 60:02}:{there % 60:02}")
