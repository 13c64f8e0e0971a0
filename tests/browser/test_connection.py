"""A server that goes away and comes back under an open page."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from playwright.async_api import Browser, expect

from tests.browser.dashboard import PHONE, shown
from tests.crash.fleet import free_ports
from tests.server import running_server
from tests.web.kit import Site

GONE = re.compile("ERR_|WebSocket|Failed to load")


async def test_the_place_is_kept_while_the_server_is_away(browser: Browser, tmp_path: Path) -> None:
    [port] = free_ports(1)
    listen = f"127.0.0.1:{port}"
    with running_server(tmp_path, "--grace", "0", listen=listen) as server:
        jobs = [{"type": "work", "queue": "emails", "payload": {"n": n}} for n in range(90)]
        _post(server.url, {"jobs": jobs})
        # Nothing but that the connection broke may be said on the console.
        async with shown(browser, server, "#/jobs?queue=emails", quiet=GONE) as page:
            rows = page.locator(".jobs-row")
            await expect(rows).to_have_count(50)
            await expect(page.locator(".link.live")).to_be_visible()
            await page.get_by_role("button", name="Older").click()
            await expect(rows).to_have_count(40)
            await rows.nth(30).scroll_into_view_if_needed()
            await page.get_by_role("checkbox", name="Select work").nth(30).check()
            address, top = page.url, await page.evaluate("scrollY")
            assert top > 0
            server.kill()
            await expect(page.locator(".link.away")).to_be_visible()
            # What is known stays there, with nothing in its way.
            await expect(rows).to_have_count(40)
            assert await page.evaluate("scrollY") == top
            with running_server(tmp_path, "--grace", "0", listen=listen):
                await expect(page.locator(".link.live")).to_be_visible()
                await expect(page.get_by_text("1 selected")).to_be_visible()
                assert (page.url, await page.evaluate("scrollY")) == (address, top)
                # And it is live again.
                id = await rows.nth(30).get_attribute("data-id")
                httpx2.post(f"{server.url}/v1/jobs/{id}/cancel", trust_env=False).raise_for_status()
                await expect(rows.nth(30).locator(".state")).to_have_text("cancelled")
                assert await page.evaluate("scrollY") == top


async def test_what_is_asked_of_a_server_that_is_away_says_so(browser: Browser, tmp_path: Path) -> None:
    [port] = free_ports(1)
    with running_server(tmp_path, "--grace", "0", listen=f"127.0.0.1:{port}") as server:
        async with shown(browser, server, "#/new", quiet=GONE) as page:
            await page.locator('[name="type"]').fill("work")
            await expect(page.get_by_text("No connected worker knows this type")).to_be_visible()
            server.kill()
            await page.get_by_role("button", name="Submit").click()
            await expect(page.get_by_role("alert")).to_contain_text("does not answer")
            await expect(page.locator('[name="type"]')).to_have_value("work")
            with running_server(tmp_path, "--grace", "0", listen=f"127.0.0.1:{port}"):
                await page.get_by_role("button", name="Submit").click()
                await expect(page.locator(".new-results li")).to_have_count(1)


async def test_the_way_back_leads_to_where_one_was(browser: Browser, site: Site) -> None:
    await site.enqueue_many(60, payload={f"key {n}": n for n in range(60)})
    async with shown(browser, site, "#/jobs", **PHONE) as page:
        row = page.locator(".jobs-row").nth(40)
        await row.scroll_into_view_if_needed()
        top = await page.evaluate("scrollY")
        assert top > 1000
        # The second time all of it is there at once.
        for _ in range(2):
            await row.locator(".jobs-link").click()
            await expect(page.get_by_role("button", name="key 59")).to_be_attached()
            await expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
            assert await page.evaluate("scrollY") == 0
            await page.go_back()
            await expect(row).to_be_in_viewport()
            assert abs(await page.evaluate("scrollY") - top) < 2
        await page.evaluate("scrollTo(0, 300)")
        await page.go_forward()
        await expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
        await page.go_back()
        await page.wait_for_function("scrollY === 300")


def _post(url: str, body: object) -> None:
    httpx2.post(f"{url}/v1/jobs", json=body, trust_env=False).raise_for_status()
