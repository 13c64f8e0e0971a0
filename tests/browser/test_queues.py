"""The page of queues: depth, age, rates, who serves them; paused, resumed, cleared and found."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.dashboard import PHONE, accessible, shown
from tests.web.kit import Site, serving


@pytest_asyncio.fixture(loop_scope="session")
async def site(store: str) -> AsyncIterator[Site]:
    """A server that tells what changes."""
    async with serving(store, timers=True) as site:
        yield site


def queue(page: Page, name: str) -> Locator:
    return page.locator(".queues tbody", has=page.get_by_role("link", name=name, exact=True))


async def test_depth_and_who_serves(browser: Browser, site: Site) -> None:
    await site.enqueue_many(3, "mail", queue="emails")
    await site.enqueue("mail", queue="emails", delay=3600)
    await site.enqueue("resize", queue="images")
    async with site.worker("w1", queues=["images"], types=["other"], slots=4):
        async with shown(browser, site, "#/queues") as page:
            emails = queue(page, "emails")
            await expect(emails.locator("[data-label=Waiting]")).to_have_text("3")
            await expect(emails.locator("[data-label=Scheduled]")).to_have_text("1")
            await expect(emails.get_by_role("img").first).to_have_attribute(
                "aria-label", "3 waiting, 1 scheduled, 0 running, 0 failed"
            )
            await expect(emails.locator(".queues-warning")).to_contain_text("No worker serves this queue.")
            await expect(emails.locator("code")).to_have_text(
                f"rota work app:app --queues emails --url {site.url}"
            )
            warned = queue(page, "images").locator(".queues-warning")
            await expect(warned).to_contain_text("No worker knows the type resize.")
            await accessible(page)
            # What comes now is shown now.
            await site.enqueue_many(30, "resize", queue="images")
            await expect(queue(page, "images").locator("[data-label=Waiting]")).to_have_text("31")
            await expect(page.locator(".queues tbody").first).to_contain_text("emails")
            await page.locator("th").get_by_role("button", name="Waiting").click()
            await expect(page).to_have_url(re.compile(r"sort=pending$"))
            await expect(page.locator(".queues tbody").first).to_contain_text("images")
            async with site.worker("w2", queues=["emails"], slots=1):
                await expect(emails.locator(".queues-warning")).to_have_count(0)
                await expect(emails.locator("[data-label=Running]")).to_have_text("1")
            await emails.locator("[data-label=Waiting] a").click()
            await expect(page).to_have_url(re.compile("#/jobs.queue=emails&state=pending$"))


async def test_paused_resumed_and_cleared(browser: Browser, site: Site) -> None:
    await site.enqueue_many(3, "mail", queue="emails")
    await site.enqueue("mail", queue="emails", delay=3600)
    async with site.worker("w1", queues=["emails"], slots=1), shown(browser, site, "#/queues") as page:
        emails = queue(page, "emails")
        await expect(emails.locator("[data-label=Running]")).to_have_text("1")
        await emails.get_by_role("button", name="Pause: emails").click()
        await expect(emails.locator(".queues-halt")).to_have_text("paused")
        assert [one["paused"] for one in (await site.get("/v1/queues"))["queues"]] == [True]
        await page.get_by_role("button", name="Paused", exact=True).click()
        await expect(emails).to_be_visible()
        await emails.get_by_role("button", name="More for emails").click()
        await page.get_by_role("menuitem", name="Clear").click()
        asked = page.get_by_role("dialog")
        await expect(asked).to_contain_text("Clear the queue emails?")
        await asked.get_by_role("button", name="Delete 3 jobs").click()
        await expect(page.locator(".toast").last).to_contain_text("3 jobs were deleted.")
        await expect(emails.locator("[data-label=Waiting]")).to_have_text("0")
        # What runs was left alone.
        assert (await site.get("/v1/stats"))["states"]["running"] == 1
        await emails.get_by_role("button", name="Resume: emails").click()
        await expect(page.get_by_text("No queue fits")).to_be_visible()
        assert [one["paused"] for one in (await site.get("/v1/queues"))["queues"]] == [False]


async def test_five_hundred_queues(browser: Browser, site: Site) -> None:
    jobs = [{"type": "work", "queue": f"tenant-{one:03}"} for one in range(500)]
    jobs.append({"type": "work", "queue": "q" * 100})
    await site.post("/v1/jobs", {"jobs": jobs}, 201)
    options: dict[str, Any] = {**PHONE, "locale": "de-DE", "color_scheme": "dark"}
    async with shown(browser, site, "#/queues", **options) as page:
        await expect(page.locator(".queues tbody")).to_have_count(100)
        await page.get_by_role("button", name="401 weitere zeigen").click()
        await expect(page.locator(".queues tbody")).to_have_count(200)
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        await page.get_by_label("Warteschlange finden").fill("321")
        await expect(page.locator(".queues tbody")).to_have_count(1)
        await accessible(page)
        await page.get_by_label("Warteschlange finden").fill("nirgends")
        await page.get_by_role("button", name="Alle zeigen").click()
        await expect(page.locator(".queues tbody")).to_have_count(100)
