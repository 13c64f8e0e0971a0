"""The page of jobs: found, watched, turned through, acted on and taken away, in a real browser."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, expect

from rota.config import Settings
from rota.config.secret import Secret
from rota.engines.sqlite import walk
from tests.browser.dashboard import PHONE, accessible, shown
from tests.web.kit import Json, Site, lease, serving

MARKUP = "<img src=x onerror=alert(1)>"


@pytest_asyncio.fixture(loop_scope="session")
async def site(store: str) -> AsyncIterator[Site]:
    """With timers: the pulse is what tells the page to look again."""
    async with serving(store, timers=True) as site:
        yield site


def rows(page: Page) -> Locator:
    return page.locator(".jobs-row")


def box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search jobs")


async def failing(site: Site, count: int, type: str = "work", **fields: Any) -> list[str]:
    """Jobs that failed for good."""
    ids = await site.enqueue_many(count, type, max_attempts=1, **fields)
    async with site.worker("w1", queues=[fields.get("queue", "default")], slots=count) as worker:
        error = {"type": "TimeoutError", "message": f"no answer {MARKUP}"}
        jobs = await worker.jobs(count)
        await worker.finish(*({**lease(job), "end": "failed", "error": error} for job in jobs))
    return ids


async def test_jobs_are_found_by_typing(browser: Browser, site: Site) -> None:
    await site.enqueue("mail", queue="emails", payload={"user": {"id": 42}}, tags=["two words"])
    await site.enqueue("mail", queue="exports", payload={"user": {"id": 12345678901234567890}})
    await site.enqueue("other", queue="emails")
    async with shown(browser, site, "#/jobs") as page:
        await expect(rows(page)).to_have_count(3)
        await page.keyboard.press("/")
        await page.keyboard.type("que")
        await expect(page.get_by_role("option")).to_have_text([re.compile("^queue:")])
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        # Values that there are, with how many jobs have them.
        await expect(page.get_by_role("option").first).to_have_text("emails2 jobs")
        await accessible(page)
        await page.get_by_role("option", name="emails").click()
        await expect(page).to_have_url(re.compile(r"#/jobs\?queue=emails$"))
        await expect(rows(page)).to_have_count(2)
        await page.keyboard.type("payload.us")
        await page.get_by_role("option", name="payload.user.id:").click()
        await page.get_by_role("option", name="42").click()
        await expect(rows(page)).to_have_count(1)
        await expect(box(page)).to_have_value("queue:emails payload.user.id:42 ")
        await page.go_back()
        await expect(rows(page)).to_have_count(2)
        await box(page).fill('tag:"two words" mail')
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(r"tag=two\+words&q=mail$"))
        await expect(rows(page)).to_have_count(1)
        await box(page).fill("colour:red")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text(
            "There is no “colour:”. There are state, queue"
        )
        await page.get_by_role("button", name="Clear the search").click()
        await box(page).fill("payload.user.id:12345678901234567890")
        await page.keyboard.press("Enter")
        await expect(rows(page)).to_contain_text(["exports"])
        await page.get_by_role("button", name=re.compile("^Failed")).click()
        await expect(page.get_by_text("No job matches")).to_be_visible()
        await page.get_by_role("button", name="Clear all filters").click()
        await expect(rows(page)).to_have_count(3)


async def test_pages_are_in_the_address(browser: Browser, site: Site) -> None:
    ids = (await site.enqueue_many(120))[::-1]
    async with shown(browser, site, "#/jobs") as page:
        first = rows(page).first
        await expect(rows(page)).to_have_count(50)
        await page.get_by_role("button", name="Older").click()
        await expect(first).to_have_attribute("data-id", ids[50])
        await expect(page).to_have_url(re.compile("cursor="))
        await page.keyboard.press("n")
        await expect(first).to_have_attribute("data-id", ids[100])
        await expect(rows(page)).to_have_count(20)
        await expect(page.get_by_role("button", name="Older")).to_be_disabled()
        await page.keyboard.press("p")
        await expect(first).to_have_attribute("data-id", ids[50])
        await page.reload()
        await expect(first).to_have_attribute("data-id", ids[50])
        await page.get_by_role("button", name="Newest").click()
        await expect(first).to_have_attribute("data-id", ids[0])
        # The way back from a job is to the same page.
        await page.go_back()
        await expect(first).to_have_attribute("data-id", ids[50])
        await first.locator(".jobs-c-queue").click()
        await expect(page).to_have_url(re.compile(f"#/job/{ids[50]}$"))
        await page.go_back()
        await expect(first).to_have_attribute("data-id", ids[50])


async def test_a_long_search_tells_how_far_it_is_and_goes_on(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every request looks at a few jobs and says where the next one begins.
    monkeypatch.setattr(walk, "BUDGET", -1.0)
    wanted = await site.enqueue(payload={"n": 7})
    await site.enqueue_many(600, payload={"n": 1})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    asked = 0

    async def look(route: Route) -> None:
        nonlocal asked
        asked += 1
        # Seconds pass with the second one, and the page's patience is over.
        await page.clock.set_fixed_time(now + timedelta(seconds=5 * (asked - 1)))
        await route.continue_()

    async with shown(browser, site, "#/new") as page:
        await page.clock.set_fixed_time(now)
        await page.route(re.compile(r"/v1/jobs\?.*payload"), look)
        await page.evaluate("location.hash = '#/jobs?payload=n:7'")
        await expect(page.locator(".jobs-short")).to_contain_text("Only a part of the jobs")
        await expect(page.locator(".jobs-short")).to_contain_text("0 found so far")
        await expect(page.get_by_text("No job matches")).to_have_count(0)
        await accessible(page)
        await page.unroute_all()
        await page.get_by_role("button", name="Search on").click()
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page).first).to_have_attribute("data-id", wanted)
        await expect(page.locator(".jobs-short")).to_have_count(0)


async def test_rows_change_in_place_and_new_ones_do_not_push(browser: Browser, site: Site) -> None:
    id = await site.enqueue()
    async with shown(browser, site, "#/jobs") as page:
        row = page.locator(f'.jobs-row[data-id="{id}"]')
        await expect(row.locator(".state")).to_have_text("pending")
        async with site.worker() as worker:
            job = await worker.job()
            await expect(row.locator(".state")).to_have_text("running")
            await worker.send("beat", leases=[], progress=[{**lease(job), "value": 0.43, "message": "half"}])
            await expect(row).to_contain_text("43 %")
            await worker.done(job)
        await expect(row.locator(".state")).to_have_text("done")
        await site.enqueue()
        await expect(rows(page)).to_have_count(2)
        await expect(page.get_by_role("button", name="Pending")).to_contain_text("1")
        # With a job selected nothing moves, until one asks for it.
        await row.get_by_role("checkbox").click()
        await site.enqueue_many(2)
        pill = page.get_by_role("button", name="2 new jobs")
        await expect(pill).to_be_visible()
        await expect(rows(page)).to_have_count(2)
        await accessible(page)
        await pill.click()
        await expect(rows(page)).to_have_count(4)
        await expect(page.get_by_text("1 selected")).to_be_visible()


async def test_all_that_match_are_retried(browser: Browser, site: Site) -> None:
    failed = await failing(site, 5, queue="emails")
    other = await failing(site, 1, queue="others")
    async with shown(browser, site, "#/jobs?state=failed&queue=emails") as page:
        await expect(rows(page)).to_have_count(5)
        await page.get_by_role("button", name="Act on all that match").click()
        await expect(page.get_by_role("menuitem", name="Cancel all")).to_be_disabled()
        await page.get_by_role("menuitem", name="Retry all").click()
        dialog = page.get_by_role("dialog", name="Retry 5 jobs?")
        await expect(dialog).to_contain_text("state:failed queue:emails")
        assert await site.state(failed[0]) == "failed", "counted, and nothing done"
        await accessible(page)
        await dialog.get_by_role("button", name="Retry 5 jobs").click()
        await expect(page.get_by_text("5 jobs run again.")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_text("No job matches")).to_be_visible()
    assert {await site.state(id) for id in failed} == {"pending"}
    assert await site.state(other[0]) == "failed"


async def test_a_selection_is_deleted_by_keys(browser: Browser, site: Site) -> None:
    ids = (await site.enqueue_many(6))[::-1]
    async with shown(browser, site, "#/jobs") as page:
        await expect(rows(page)).to_have_count(6)
        for key in ("j", "j", "x", "j", "j", "Shift+X"):
            await page.keyboard.press(key)
        await expect(page.get_by_text("3 selected")).to_be_visible()
        await page.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("button", name="Delete 3 jobs")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("3 jobs were deleted.")).to_be_visible()
        await expect(rows(page)).to_have_count(3)
        left = await rows(page).evaluate_all("rows => rows.map((row) => row.dataset.id)")
        assert left == [ids[0], *ids[4:]]
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(f"#/job/{ids[0]}$"))


async def test_what_was_begun_can_be_stopped(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.enqueue_many(600, queue="old")
    gate, act = asyncio.Event(), site.service.delete_all
    steps = 0

    async def slow(*given: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 1:
            await gate.wait()
        return await act(*given)

    monkeypatch.setattr(site.service, "delete_all", slow)
    async with shown(browser, site, "#/jobs") as page:
        await page.get_by_role("checkbox", name="Select this page").click()
        await page.get_by_role("button", name="Select everything that matches").click()
        await page.get_by_role("button", name="Delete").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("every job in the store")
        await dialog.get_by_role("button", name="Delete 600 jobs").click()
        await expect(dialog).to_contain_text("200 of 600")
        await expect(dialog.get_by_role("button", name="Stop")).to_be_focused()
        # There is no other way out of it, however often one tries.
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await dialog.get_by_role("button", name="Stop").click()
        await expect(page.get_by_text("Stopped. 200 jobs were deleted.")).to_be_visible()
        await expect(dialog).to_have_count(0)
        gate.set()
        await expect(rows(page)).to_have_count(50)
    assert await site.stored() >= 200


async def test_views_keep_search_and_columns_for_everybody(browser: Browser, site: Site) -> None:
    await failing(site, 2, queue="emails")
    await site.enqueue()
    async with shown(browser, site, "#/jobs?state=failed&queue=emails") as page:
        await page.get_by_role("button", name="Columns").click()
        await page.get_by_role("menuitemcheckbox", name="Worker").click()
        await page.get_by_role("menuitemcheckbox", name="Tags").click()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("columnheader", name="Worker")).to_be_visible()
        await page.get_by_role("button", name="Views").click()
        await page.get_by_role("menuitem", name="Save this view").click()
        await page.get_by_label("Name").fill(f"Broken {MARKUP}")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name=f"Broken {MARKUP}")).to_be_visible()
    async with shown(browser, site, "#/jobs") as page:
        await expect(rows(page)).to_have_count(3)
        await expect(page.get_by_role("columnheader", name="Tags")).to_be_visible()
        await page.get_by_role("button", name="Views").click()
        await page.get_by_role("menuitemcheckbox", name="Broken").click()
        await expect(rows(page)).to_have_count(2)
        await expect(page.get_by_role("columnheader", name="Worker")).to_be_visible()
        await expect(page.get_by_role("columnheader", name="Tags")).to_have_count(0)
        await page.get_by_role("button", name=f"Broken {MARKUP}").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("button", name="Delete the view").click()
        await expect(page.get_by_role("button", name="Views")).to_be_visible()
    assert await site.get("/v1/views") == {"views": []}


async def test_all_that_match_are_taken_away_as_a_file(browser: Browser, store: str, tmp_path: Path) -> None:
    async with serving(store, Settings(token=Secret("open sesame please"))) as site:
        await site.enqueue_many(60, queue="emails", tags=["a,b"])
        await site.enqueue("other")
        async with shown(browser, site, quiet=re.compile("401|credentials")) as page:
            await page.get_by_role("textbox", name="Token").fill("open sesame please")
            await page.keyboard.press("Enter")
            await page.evaluate("location.hash = '#/jobs?queue=emails'")
            await expect(rows(page)).to_have_count(50)
            for choice in ("CSV, columns shown", "NDJSON, whole jobs"):
                await page.get_by_role("button", name="Export").click()
                async with page.expect_download() as download:
                    await page.get_by_role("menuitem", name=choice).click()
                await (await download.value).save_as(tmp_path / choice)
    table = list(csv.DictReader((tmp_path / "CSV, columns shown").read_text().splitlines()))
    assert [list(table[0])[:3], len(table)] == [["id", "state", "type"], 60]
    lines: list[Json] = [
        json.loads(one) for one in (tmp_path / "NDJSON, whole jobs").read_text().splitlines()
    ]
    assert len(lines) == 60
    assert all("payload" in one and one["queue"] == "emails" for one in lines)


async def test_on_a_phone_in_german_with_markup_in_everything(browser: Browser, site: Site) -> None:
    await failing(site, 1, "w" * 200, queue="q" * 200, tags=[MARKUP, "t" * 64, "🚀"], payload={MARKUP: 1})
    options = {**PHONE, "locale": "de-DE", "color_scheme": "dark"}
    async with shown(browser, site, "#/jobs?tag=" + MARKUP.replace(" ", "+"), **options) as page:
        await expect(rows(page)).to_contain_text([MARKUP])
        await expect(page.get_by_role("button", name="Alle Treffer")).to_be_visible()
        await expect(rows(page).locator(".state")).to_have_text("gescheitert")
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        await accessible(page)
        await page.get_by_role("button", name="Gescheitert").click()
        await expect(page).to_have_url(re.compile("state=failed"))
        await page.get_by_role("button", name="Alle Treffer").click()
        await page.get_by_role("menuitem", name="Alle löschen").click()
        await expect(page.get_by_role("dialog", name="1 Job löschen?")).to_contain_text(MARKUP)
        await page.get_by_role("button", name="1 Job löschen").click()
        await expect(page.get_by_text("1 Job wurde gelöscht.")).to_be_visible()


async def test_an_empty_store_says_how_to_begin(browser: Browser, site: Site) -> None:
    async with shown(browser, site, "#/jobs") as page:
        await expect(page.get_by_text("No jobs yet")).to_be_visible()
        await expect(page.locator("main code")).to_contain_text(f"{site.url}/v1/jobs")
        await site.enqueue()
        await expect(rows(page)).to_have_count(1)
