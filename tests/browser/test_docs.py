"""The page at /docs in a real browser: it draws everything, breaks no rule, and sends requests."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from rota.config import Settings
from rota.config.secret import Secret
from tests.server import Server
from tests.web.conformance import DESCRIPTION
from tests.web.kit import Site, serving

OPERATIONS = {
    operation["operationId"]: operation
    for item in DESCRIPTION.document["paths"].values()
    for operation in item.values()
}
PATIENCE = 30_000
"""Milliseconds; a browser on a busy machine takes its time."""
expect.set_options(timeout=PATIENCE)

# In the page itself, before anything of ours runs: what a policy forbids is told to nobody else.
WATCH = """
window.broken = [];
addEventListener("securitypolicyviolation", (event) => broken.push(event.violatedDirective));
"""
DRAWN = """[...document.querySelectorAll(".operation")].map((card) => ({
    id: card.id,
    text: card.textContent,
    parameters: [...card.querySelectorAll("th code")].map((one) => one.textContent),
    answers: [...card.querySelectorAll(".reply > summary .status")].map((one) => one.textContent),
    media: [...card.querySelectorAll(".reply > p > code")].map((one) => one.textContent),
    command: card.querySelector(".command").textContent,
    fields: card.querySelectorAll("form.try input, form.try textarea").length,
}))"""


class Watched:
    """A page, and everything that went wrong in it."""

    def __init__(self, page: Page, site: Site | Server, quiet: re.Pattern[str] | None) -> None:
        self._quiet = quiet
        self.page = page
        self.faults: list[str] = []
        self.elsewhere: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._said)
        page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        page.on("request", lambda asked: self._asked(asked.url, site.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (self._quiet and self._quiet.search(message.text)):
            self.faults.append(message.text)

    def _asked(self, url: str, ours: str) -> None:
        if not url.removeprefix("blob:").startswith(ours):
            self.elsewhere.append(url)


@asynccontextmanager
async def opened(
    browser: Browser,
    site: Site | Server,
    path: str = "/docs",
    quiet: re.Pattern[str] | None = None,
    **options: Any,
) -> AsyncIterator[Watched]:
    """The page, drawn; it must do nothing wrong until it is closed. ``quiet``: what it may say all the same,
    because the test wants it refused.
    """
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    await page.add_init_script(WATCH)
    watched = Watched(page, site, quiet)
    await page.goto(site.url + path)
    yield watched
    assert await page.evaluate("broken") == []
    assert watched.faults == []
    assert watched.elsewhere == []
    await context.close()


async def test_every_operation_is_drawn(browser: Browser, site: Site) -> None:
    async with opened(browser, site) as watched:
        page = watched.page
        await expect(page.locator("html")).to_have_attribute("data-ready", str(len(OPERATIONS)))
        await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        await expect(page.locator(".operation form.try")).to_have_count(len(OPERATIONS))
        drawn = {one["id"]: one for one in await page.evaluate(DRAWN)}
        for name, operation in OPERATIONS.items():
            one = drawn[name]
            assert operation["description"].replace("`", "") in one["text"]
            assert one["parameters"] == [of["name"] for of in operation.get("parameters", [])]
            assert one["answers"] == sorted(operation["responses"])
            assert {
                media for answer in operation["responses"].values() for media in answer.get("content", {})
            } <= set(one["media"])
            assert one["command"].startswith("Copycurl ")
            assert one["fields"] >= len(one["parameters"]) + ("requestBody" in operation)
        # Schemas open within schemas.
        await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert await page.locator("details.schema[open] .properties").count() > 20


async def test_a_request_is_tried(browser: Browser, site: Site) -> None:
    async with opened(browser, site, "/docs#enqueue") as watched:
        card = watched.page.locator("#enqueue")
        await card.locator("textarea").fill(json.dumps({"type": "from-the-page"}))
        await expect(card.locator(".command pre")).to_have_text(
            "curl -X POST -H 'Content-Type: application/json' "
            f"""--data-binary '{{"type": "from-the-page"}}' '{site.url}/v1/jobs'"""
        )
        await card.locator(".send").click()
        await expect(card.locator(".answer .status")).to_contain_text("201")
        await expect(card.locator(".answer > pre")).to_contain_text('"type": "from-the-page"')
        jobs = (await site.get("/v1/jobs"))["jobs"]
        assert [job["type"] for job in jobs] == ["from-the-page"]
        await watched.page.goto(site.url + "/docs#get_job")
        card = watched.page.locator("#get_job")
        await card.locator("input[name=id]").fill(jobs[0]["id"])
        await card.locator(".send").click()
        await expect(card.locator(".answer > pre")).to_contain_text(jobs[0]["id"])


async def test_an_archive_is_tried(browser: Browser, site: Site) -> None:
    async with opened(browser, site, "/docs#enqueue") as watched:
        card = watched.page.locator("#enqueue")
        await card.locator("select").select_option(label="With an archive")
        await expect(card.locator(".command pre")).to_have_text(
            """curl -X POST -H 'Rota-Job: {"queue": "programs"}' -H 'Content-Type: application/zip' """
            f"--data-binary @archive.zip '{site.url}/v1/jobs'"
        )
        await card.locator(".send").click()
        await expect(card.locator(".answer > pre")).to_contain_text('"type": "program_zip"')
        [job] = (await site.get("/v1/jobs"))["jobs"]
        await watched.page.goto(site.url + "/docs#get_upload")
        card = watched.page.locator("#get_upload")
        await card.locator("input[name=id]").fill(job["id"])
        await card.locator(".send").click()
        await expect(card.locator(".answer > pre")).to_have_text("22 bytes of application/zip")


async def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(browser: Browser, site: Site) -> None:
    async with opened(browser, site, "/docs#events") as watched:
        card = watched.page.locator("#events")
        await card.locator(".send").click()
        await expect(card.locator(".answer > pre")).to_contain_text("event: ready")
        id = await site.enqueue()
        await expect(card.locator(".answer > pre")).to_contain_text(id)
        await card.locator(".stop").click()
        await expect(card.locator(".answer")).to_contain_text("Stopped.")


async def test_a_token_is_asked_for_and_kept_in_memory_only(browser: Browser, store: str) -> None:
    async with serving(store, Settings(token=Secret("sesame"))) as site:
        async with opened(browser, site) as watched:
            page = watched.page
            await expect(page.locator("#message")).to_contain_text("token")
            # The browser itself reports that the first request was refused; that is all it may report.
            assert all("401" in fault for fault in watched.faults)
            watched.faults.clear()
            await page.locator("#token").fill("sesame")
            await page.locator("#token").press("Enter")
            await expect(page.locator("html")).to_have_attribute("data-ready", str(len(OPERATIONS)))
            card = page.locator("#list_queues")
            await card.locator("> summary").click()
            await expect(card.locator(".command pre")).to_contain_text("$ROTA_TOKEN")
            assert "sesame" not in await page.locator("body").inner_text()
            await card.locator(".send").click()
            await expect(card.locator(".answer .status")).to_contain_text("200")
            assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
                0,
                0,
                "",
            ]


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


async def test_what_the_server_answers_is_only_ever_text(browser: Browser, site: Site) -> None:
    await site.enqueue(payload=HOSTILE, tags=[HOSTILE[:64]], headers={"x": HOSTILE})
    async with opened(browser, site, "/docs#get_job") as watched:
        page = watched.page
        [job] = (await site.get("/v1/jobs"))["jobs"]
        card = page.locator("#get_job")
        await card.locator("input[name=id]").fill(job["id"])
        await card.locator(".send").click()
        await expect(card.locator(".answer > pre")).to_contain_text(HOSTILE)
        await card.locator("input[name=id]").fill(HOSTILE)
        await expect(card.locator(".command pre")).to_contain_text("%3Cimg")
        await page.locator("#search").fill(HOSTILE)
        await expect(page.locator("#message")).to_have_text("Nothing has all these words.")
        assert await page.locator("img[src=x]").count() == 0


async def test_search_and_keys(browser: Browser, site: Site) -> None:
    async with opened(browser, site) as watched:
        page = watched.page
        await expect(page.locator("html")).to_have_attribute("data-ready", str(len(OPERATIONS)))
        await page.keyboard.press("/")
        await page.keyboard.type("stale_lease outcome")
        await expect(page.locator(".operation:visible")).to_have_count(1)
        await expect(page.locator("nav a:visible")).to_have_count(1)
        await page.keyboard.press("Control+A")
        await page.keyboard.press("Delete")
        await expect(page.locator(".operation:visible")).to_have_count(len(OPERATIONS))
        # From the search field: token, theme, the contents, then the requests; Enter opens.
        await page.locator("#pause > summary").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#pause .send")).to_be_visible()
        await page.locator("#pause .send").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#pause .answer .status")).to_contain_text("200")
        unnamed = await page.evaluate(
            "[...document.querySelectorAll('input, textarea, select, button')].filter((one) => "
            "!one.labels?.length && !one.textContent && !one.ariaLabel).map((one) => one.outerHTML)"
        )
        assert unnamed == []


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
async def test_light_and_dark(browser: Browser, site: Site, scheme: str, other: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with opened(browser, site, color_scheme=scheme) as watched:
        first = await watched.page.evaluate(ground)
        await watched.page.locator("#theme").click()
        second = await watched.page.evaluate(ground)
        await watched.page.locator("#theme").click()
        assert await watched.page.evaluate(ground) == first != second
    async with opened(browser, site, color_scheme=other) as watched:
        assert await watched.page.evaluate(ground) == second
