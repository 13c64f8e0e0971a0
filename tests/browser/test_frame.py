"""What is around the pages of the dashboard: ways, keys, colours, languages, the connection."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from rota.config import Settings
from rota.config.secret import Secret
from rota.web import dashboard
from tests.browser.dashboard import PHONE, accessible, shown
from tests.web.kit import Site, serving

PAGES = ("overview", "jobs", "failures", "queues", "workers", "new", "api", "settings")


@pytest.mark.parametrize(("scheme", "device"), [("light", "desktop"), ("dark", "phone")])
async def test_every_page_says_what_to_do_while_there_is_nothing(
    browser: Browser, site: Site, scheme: str, device: str
) -> None:
    options: dict[str, Any] = PHONE if device == "phone" else {}
    async with shown(browser, site, color_scheme=scheme, **options) as page:
        await expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        for name in PAGES:
            await page.evaluate(f"location.hash = '#/{name}'")
            await expect(page).to_have_title(re.compile("· Rota$"))
            await expect(page.locator("main h1")).to_be_visible()
            await accessible(page)
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} px too wide"


async def test_the_keyboard_goes_everywhere(browser: Browser, site: Site) -> None:
    async with shown(browser, site) as page:
        await page.keyboard.press("g")
        await page.keyboard.press("q")
        await expect(page).to_have_url(re.compile("#/queues$"))
        await page.keyboard.press("Control+k")
        await page.keyboard.type("worker")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("#/workers$"))
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Go to")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.go_back()
        await expect(page).to_have_url(re.compile("#/queues$"))


async def test_colours_and_language_are_chosen_and_kept(browser: Browser, site: Site) -> None:
    async with shown(browser, site, "#/queues") as page:
        for choice in ("Dark", "Deutsch"):
            await page.locator(".top .menu > button").click()
            await page.get_by_role("menuitemcheckbox", name=choice).click()
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await expect(page.get_by_role("navigation").first).to_contain_text("Warteschlangen")


async def test_a_token_is_asked_for_and_stays_in_the_tab(browser: Browser, store: str) -> None:
    async with serving(store, Settings(token=Secret("open sesame please"))) as site:
        # The refusals that lead to the question are told on the console; they are no fault of the page.
        async with shown(browser, site, "#/queues", quiet=re.compile("401|credentials")) as page:
            asked = page.get_by_role("dialog")
            await asked.get_by_label("Token").fill("wrong")
            await page.keyboard.press("Enter")
            await expect(asked).to_contain_text("does not take")
            await asked.get_by_label("Token").fill("open sesame please")
            await page.keyboard.press("Enter")
            await expect(asked).to_have_count(0)
            assert await page.evaluate("localStorage.length + document.cookie.length") == 0
            await page.reload()
            await expect(page.locator("main h1")).to_be_visible()
            await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_no_such_page(browser: Browser, site: Site) -> None:
    async with shown(browser, site) as page:
        await page.evaluate("location.hash = '#/<img src=x onerror=alert(1)>'")
        await expect(page.locator("main")).to_contain_text("There is no such page")
        await page.get_by_role("link", name="To the overview").click()
        await expect(page.locator("main h1")).to_have_text("Overview")


def test_the_bundle_is_small() -> None:
    built = dashboard._built()
    assert "index.html" in built, "the dashboard was not built"
    sizes = {name: len(small) for name, (_, small) in built.items() if name.endswith((".js", ".css"))}
    texts = {name: size for name, size in sizes.items() if re.match(r"ui/(en|de|sv)-", name)}
    assert len(texts) == 3
    # What it costs to open all of it: all files, of which one is in the reader's language.
    assert sum(sizes.values()) - sum(texts.values()) + max(texts.values()) <= 100_000
    assert not [name for name in built if Path(name).suffix == ".map"]
