"""Failures in groups, and acts on all jobs of one: counted, asked for, watched, stopped, gone on with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from rota.model.errors import StoreError
from tests.browser.dashboard import PHONE, accessible, shown
from tests.web.kit import Site, lease, serving, until

HOSTILE = "<img src=x onerror=alert(1)> & <b>bold</b>"
LONG = "w" * 400


@pytest_asyncio.fixture(loop_scope="session")
async def site(store: str) -> AsyncIterator[Site]:
    """A server that tells what changes."""
    async with serving(store, timers=True) as site:
        yield site


async def fail(site: Site, count: int, error: str, message: str, type: str = "mail", **fields: Any) -> None:
    """So many jobs that failed alike."""
    await site.enqueue_many(count, type, max_attempts=1, **fields)
    async with site.worker(queues=[fields.get("queue", "default")], slots=count) as worker:
        jobs = await worker.jobs(count)
        ending = {"end": "failed", "error": {"type": error, "message": message}}
        await worker.finish(*({**lease(job), **ending} for job in jobs))


def group(page: Page, error: str) -> Locator:
    return page.locator(".failures-group", has_text=error)


async def test_groups_say_what_broke_how_often_and_where_it_is(browser: Browser, site: Site) -> None:
    await fail(site, 3, "SmtpError", HOSTILE, queue="emails")
    await fail(site, 1, LONG, LONG, type="t" * 190)
    async with shown(browser, site, "#/failures") as page:
        mail = group(page, "SmtpError")
        await expect(mail.locator(".failures-said")).to_have_text(HOSTILE)
        await expect(mail.locator(".failures-count")).to_have_text("3failed jobs")
        await expect(mail.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile("3 in all, 3 in this")
        )
        await accessible(page)
        # What fails now is shown now, but nothing moves below a mouse that is about to click.
        first = page.locator(".failures-said").first
        await expect(first).to_have_text(re.compile("^w+$"))
        await first.hover()
        await fail(site, 2, "SmtpError", "later", queue="emails")
        await expect(mail.locator(".failures-count")).to_have_text("5failed jobs")
        await expect(first).to_have_text(re.compile("^w+$"))
        await page.mouse.move(5, 5)
        await expect(first).to_have_text("later")
        await page.keyboard.press("/")
        await page.keyboard.type("smtp")
        await expect(page.locator(".failures-group")).to_have_count(1)
        await page.get_by_role("button", name="Clear filters").click()
        await page.get_by_label("Queue").fill("default")
        await expect(page).to_have_url(re.compile(r"#/failures\?queue=default$"))
        await expect(page.locator(".failures-group")).to_have_count(1)
        await expect(mail).to_have_count(0)
        await page.get_by_label("Type").fill("nothing")
        await expect(page.get_by_text("No group of failures fits")).to_be_visible()
        await page.locator(".empty").get_by_role("button", name="Clear filters").click()
        [smtp, _] = (await site.get("/v1/failures"))["failures"]
        latest = mail.get_by_role("link", name="Latest job")
        await expect(latest).to_have_attribute("href", f"#/job/{smtp['job']}")
        await mail.get_by_role("link", name="SmtpError").click()
        await expect(page).to_have_url(re.compile(f"#/jobs.fingerprint={smtp['fingerprint']}$"))
        await expect(page.locator("main tbody tr")).to_have_count(5)


async def test_many_groups_come_in_pages(browser: Browser, site: Site) -> None:
    await site.enqueue_many(51, max_attempts=1)
    async with site.worker(slots=51) as worker:
        for one, job in enumerate(await worker.jobs(51)):
            error = {"type": f"Error{one:02}", "message": "so"}
            await worker.finish({**lease(job), "end": "failed", "error": error})
    async with shown(browser, site, "#/failures") as page:
        await expect(page.locator(".failures-group")).to_have_count(50)
        await page.get_by_role("button", name="Older groups").click()
        await expect(page.locator(".failures-error")).to_have_text(["Error00"])
        await page.go_back()
        await expect(page.locator(".failures-group")).to_have_count(50)


async def test_a_group_is_retried_after_a_question(browser: Browser, site: Site) -> None:
    await fail(site, 3, "SmtpError", "no", queue="emails")
    await fail(site, 1, "Other", "no", queue="emails")
    async with shown(browser, site, "#/failures") as page:
        await group(page, "SmtpError").get_by_role("button", name="Retry all").click()
        asked = page.get_by_role("dialog")
        await expect(asked).to_contain_text("A retried job runs again from the start")
        await accessible(page)
        await page.keyboard.press("Escape")
        await expect(asked).to_have_count(0)
        assert (await site.get("/v1/stats"))["states"]["failed"] == 4
        await group(page, "SmtpError").get_by_role("button", name="Retry all").click()
        await asked.get_by_role("button", name="Retry 3 jobs").click()
        await expect(page.locator(".toast.done")).to_contain_text("3 jobs run again.")
        await expect(group(page, "SmtpError")).to_have_count(0)
        await expect(group(page, "Other")).to_be_visible()
        states = (await site.get("/v1/stats"))["states"]
        assert (states["pending"], states["failed"]) == (3, 1)


async def test_a_group_is_deleted_only_in_the_chosen_queue(browser: Browser, site: Site) -> None:
    await fail(site, 2, "SmtpError", "no", queue="emails")
    await fail(site, 1, "SmtpError", "no", queue="other")
    options: dict[str, Any] = {**PHONE, "locale": "de-DE", "color_scheme": "dark"}
    async with shown(browser, site, "#/failures?queue=emails", **options) as page:
        await group(page, "SmtpError").get_by_role("button", name="Mehr zu SmtpError").click()
        await page.get_by_role("menuitem", name="Alle löschen").click()
        asked = page.get_by_role("dialog")
        await expect(asked).to_contain_text("Nur die der Warteschlange emails.")
        await asked.get_by_role("button", name="2 Jobs löschen").click()
        await expect(page.get_by_text("Keine Fehlergruppe passt")).to_be_visible()
        await accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert (await site.get("/v1/stats"))["states"]["failed"] == 1


class Steps:
    """The steps of a bulk delete, each let through by the test; one of them may fail as a store does."""

    def __init__(self, site: Site) -> None:
        self.free = asyncio.Semaphore(0)
        self.broken = False
        self.given_up = False
        self._delete = site.service.delete_all
        site.service.delete_all = self.one  # type: ignore[assignment, method-assign]

    async def one(self, *given: Any) -> Any:
        try:
            await self.free.acquire()
        except asyncio.CancelledError:
            self.given_up = True
            raise
        if self.broken:
            raise StoreError("The store is away.")
        return await self._delete(*given)


@asynccontextmanager
async def deleting(browser: Browser, site: Site) -> AsyncIterator[tuple[Page, Locator, Steps]]:
    """All 600 jobs of a group are being deleted; the first step of three is done, the next one waits."""
    await fail(site, 600, "SmtpError", "no")
    steps = Steps(site)
    async with shown(browser, site, "#/failures") as page:
        await group(page, "SmtpError").get_by_role("button", name="More for").click()
        await page.get_by_role("menuitem", name="Delete all").click()
        asked = page.get_by_role("dialog")
        await asked.get_by_role("button", name="Delete 600 jobs").click()
        steps.free.release()
        await expect(asked.locator(".bulk-told")).to_contain_text("200 of 600")
        yield page, asked, steps


async def test_an_act_is_watched_and_stopped(browser: Browser, site: Site) -> None:
    async with deleting(browser, site) as (page, asked, steps):
        await asked.get_by_role("button", name="Stop").click()
        await expect(page.locator(".toast")).to_contain_text("Stopped. 200 jobs were deleted.")
        await expect(asked).to_have_count(0)
        await until(lambda: steps.given_up, "the end of the act in the server")
        assert (await site.get("/v1/stats"))["states"]["failed"] == 400


async def test_an_act_goes_on_where_it_broke(browser: Browser, site: Site) -> None:
    async with deleting(browser, site) as (page, asked, steps):
        steps.broken = True
        steps.free.release()
        await expect(asked.get_by_role("alert")).to_contain_text("The store is away.")
        await expect(asked.locator(".bulk-told")).to_contain_text("200 of 600")
        steps.broken = False
        for _ in range(3):
            steps.free.release()
        await asked.get_by_role("button", name="Go on").click()
        await expect(page.locator(".toast")).to_contain_text("600 jobs were deleted.")
        await expect(page.get_by_text("Nothing has failed")).to_be_visible()
        assert await site.stored() == 0
