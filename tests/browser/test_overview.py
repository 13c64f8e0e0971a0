"""The first page: whether all is well, figures, charts, and the timed tasks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from rota.core.series import FINE
from rota.core.service import Service
from rota.engines.open import open_engine
from rota.model.clock import MINUTE, SECOND, ManualClock
from tests.browser.dashboard import PHONE, accessible, shown
from tests.server import running_server
from tests.web.kit import Site, SocketWorker, serving

HOSTILE = "<img src=x onerror=alert(1)>"
LONG = "q" * 180
COLOURED = """([chart, name]) => {
    const canvas = document.querySelectorAll(".chart canvas")[chart];
    const hex = getComputedStyle(canvas).getPropertyValue(name).trim();
    const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const runs = [];
    for (let x = 0, last = -9; x < width; x++)
        for (let y = 0; y < height; y++) {
            const at = 4 * (y * width + x);
            if (data[at + 3] > 200 && wanted.every((one, band) => Math.abs(data[at + band] - one) < 12)) {
                if (x - last > 8) runs.push([x / width, x / width]);
                runs.at(-1)[1] = x / width;
                last = x;
                break;
            }
        }
    return runs;
}"""
"""From where to where, as parts of its width, a chart has a line of this colour."""


async def fail(worker: SocketWorker, job: dict[str, Any], message: str) -> None:
    await worker.finish(
        {
            "id": job["id"],
            "lease": job["lease"],
            "end": "failed",
            "retry": False,
            "error": {"type": "Broken", "message": message},
        }
    )


def tile(page: Page, name: str) -> Any:
    return page.get_by_label("How it is now").get_by_role("link").filter(has_text=name)


@pytest_asyncio.fixture(loop_scope="session")
async def site(store: str) -> AsyncIterator[Site]:
    """A server that tells how it is."""
    async with serving(store, timers=True) as site:
        yield site


async def test_the_first_job(browser: Browser, site: Site) -> None:
    async with shown(browser, site) as page:
        await expect(page.locator(".overview-first")).to_contain_text("No jobs yet")
        await expect(page.locator(".overview-first code").first).to_have_text(
            f"""curl --json '{{"type": "sleep", "payload": {{"ms": 3000}}}}' {site.url}/v1/jobs"""
        )
        await expect(page.get_by_role("link", name="New job").last).to_have_attribute("href", "#/new")
        await accessible(page)
        await site.enqueue()
        await expect(tile(page, "Pending")).to_contain_text("1")
        await expect(page.locator(".overview-first")).to_have_count(0)


async def test_it_says_what_is_the_matter_and_where(browser: Browser, site: Site) -> None:
    await site.post("/v1/queues/emails/pause")
    await site.enqueue_many(3, queue="emails")
    async with shown(browser, site, locale="de-DE") as page:
        condition = page.get_by_role("region", name="Zustand")
        await expect(condition).to_contain_text(
            "Die Warteschlange emails ist angehalten, 3 Jobs warten darin"
        )
        await expect(page.locator(".overview-banner")).to_have_class(re.compile("warning"))
        await expect(condition.locator("code")).to_have_text(f"rota queues resume emails --url {site.url}")
        await expect(condition.get_by_role("link", name="Die Jobs zeigen")).to_have_attribute(
            "href", "#/jobs?state=pending&queue=emails"
        )
        await expect(page.get_by_role("region", name="Im Verlauf")).to_be_visible()
        async with site.worker(queues=["emails"], slots=3) as worker:
            await site.post("/v1/queues/emails/resume")
            await worker.jobs(3)
            await expect(condition).to_contain_text("Alles in Ordnung")


async def test_figures_lead_to_what_they_count(browser: Browser, site: Site) -> None:
    await site.enqueue_many(2, type="upload", queue="files")
    await site.enqueue(queue=LONG)
    await site.enqueue(delay=3600)
    async with site.worker(queues=["files"], slots=2) as worker:
        [first, _] = await worker.jobs(2)
        await fail(worker, first, HOSTILE)
        async with shown(browser, site) as page:
            for name, figure, place in [
                ("Pending", "1", "#/jobs?state=pending"),
                ("Running", "1", "#/jobs?state=running"),
                ("Scheduled", "1", "#/jobs?state=scheduled"),
                ("Oldest wait", LONG, f"#/jobs?state=pending&queue={LONG}"),
            ]:
                await expect(tile(page, name)).to_have_attribute("href", place)
                await expect(tile(page, name)).to_contain_text(figure)
            group = page.locator(".overview-failure")
            await expect(group).to_contain_text(f"upload Broken{HOSTILE}")
            await expect(group).to_have_attribute("href", re.compile("state=failed&fingerprint=[0-9a-f]+$"))
            assert await page.locator("img[src=x]").count() == 0
            queue = page.locator(".overview-line").filter(has_text="files")
            await expect(queue.get_by_role("img")).to_have_attribute(
                "aria-label", "0 pending, 1 running, 0 scheduled"
            )
            # It moves without being asked.
            await site.enqueue_many(4, queue="files")
            await expect(queue.locator(".figure")).to_have_text("5")
            await group.click()
            await expect(page).to_have_url(re.compile("#/jobs.*fingerprint="))


async def test_charts_have_gaps_where_no_server_was(browser: Browser, store: str) -> None:
    clock = ManualClock()

    async def live(service: Service, points: int) -> None:
        for _ in range(points):
            clock.advance(FINE)
            await service.series.tick()

    service = Service(await open_engine(store), clock=clock)
    async with serving(store, service=service) as site:
        await site.enqueue_many(3, queue="a")
        await site.enqueue(queue="b")
        await live(service, 12)
        await service.series.stop()
    clock.advance(2 * MINUTE)
    service = Service(await open_engine(store), clock=clock)
    async with serving(store, service=service) as site:
        await live(service, 1)
        async with site.worker(queues=["a"]) as worker:
            job = await worker.job()
            clock.advance(SECOND // 2)
            await worker.done(job)
        await live(service, 11)
        async with shown(browser, site) as page:
            backlog = page.get_by_role("img", name=re.compile("^Backlog"))
            await expect(backlog).to_have_accessible_name(re.compile("pending: highest 4, last 2"))
            await expect(page.locator(".chart canvas")).to_have_count(5)
            [before, after] = await page.evaluate(COLOURED, [3, "--pending"])
            assert before[1] < after[0] - 0.2, "what is not known is no line"
            assert before[0] > 0.15, "before it began there was no server either"
            # The pointer shows one moment in all of them, and its figures.
            await page.locator(".chart .u-over").nth(3).hover(position={"x": 400, "y": 50})
            tip = page.locator(".chart-tip:visible")
            await expect(tip).to_have_count(1)
            await expect(tip).to_contain_text(re.compile("pending *2"))
            await expect(page.locator(".u-cursor-x:not(.u-off)")).to_have_count(5)
            # Range and queue are in the address, and the way back is the browser's.
            await page.get_by_label("Queue", exact=True).select_option("b")
            await expect(backlog).to_have_accessible_name(re.compile("pending: highest 1, last 1"))
            await page.get_by_role("button", name="24 hours").click()
            await expect(page).to_have_url(re.compile(r"#/overview\?queue=b&range=24h$"))
            await page.go_back()
            await page.go_back()
            await expect(page.get_by_label("Queue", exact=True)).to_have_value("")
            await expect(backlog).to_have_accessible_name(re.compile("pending: highest 4"))


async def test_timed_tasks_wait_in_order_and_move_up(browser: Browser, site: Site) -> None:
    async with site.worker(slots=1) as worker, shown(browser, site) as page:
        rows = page.locator(".overview-row:not(.head)")
        await rows.get_by_label("ID").fill("first")
        # Tab at the end adds a row; nothing but keys from here on.
        for text in ("60000", HOSTILE, "2500", "🐫 third", "1"):
            await page.keyboard.press("Tab")
            await page.keyboard.type(text)
        await expect(rows).to_have_count(3)
        await page.keyboard.press("Enter")
        await expect(page.locator(".overview-submit")).to_contain_text("3 tasks submitted.")
        await expect(rows).to_have_count(1)
        active = page.get_by_role("region", name="Active").locator("li")
        waiting = page.get_by_role("region", name="Scheduled").locator("li")
        job = await worker.job()
        assert job["payload"] == {"ms": 60000}
        await expect(active).to_have_text([re.compile("^first.* left(1 min|[345][0-9] s)$")])
        await expect(waiting).to_have_text([f"{HOSTILE}2.5 s", "🐫 third1 ms"])
        assert await page.locator("img[src=x]").count() == 0
        await worker.done(job)
        await expect(active).to_have_text([re.compile("^" + re.escape(HOSTILE))])
        await expect(waiting).to_have_text(["🐫 third1 ms"])
        await expect(active.get_by_role("link")).to_have_attribute("href", re.compile("^#/job/"))
        await accessible(page)


async def test_timed_tasks_that_are_none_are_not_sent(browser: Browser, site: Site) -> None:
    async with shown(browser, site) as page:
        said = page.locator(".overview-submit").get_by_role("status")
        submit = page.get_by_role("button", name="Submit")
        await submit.click()
        await expect(said).to_have_text("Fill in an ID and a duration first.")
        id, ms = page.get_by_label("ID"), page.get_by_label("Duration (ms)")
        await expect(id).to_be_focused()
        for name, duration, fault in [
            ("a", "1.5", "A duration is a whole number of milliseconds."),
            ("a", "86400001", "A task sleeps for at most 86,400,000 ms."),
            ("", "5", "A task needs an ID."),
            ("a" * 62, "5", "An ID has at most 61 characters."),
        ]:
            await id.fill(name)
            await ms.fill(duration)
            await submit.click()
            await expect(said).to_have_text(fault)
            await expect(page.locator(".overview-row [aria-invalid=true]")).to_be_focused()
        assert await site.stored() == 0
        await page.get_by_role("button", name="Timed tasks").click()
        await expect(submit).to_have_count(0)
        await page.reload()
        await expect(page.get_by_role("button", name="Timed tasks")).to_have_attribute(
            "aria-expanded", "false"
        )


async def test_timed_tasks_run(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        async with shown(browser, server) as page:
            await page.get_by_label("ID").fill("nap")
            await page.get_by_label("Duration (ms)").fill("1500")
            await page.keyboard.press("Enter")
            active = page.get_by_role("region", name="Active")
            await expect(active.locator("li")).to_contain_text("nap")
            await expect(active.locator("li").get_by_role("progressbar")).to_be_visible()
            # One in the last five seconds, for as long as these last.
            await asyncio.gather(
                expect(active).to_contain_text("No task runs."),
                expect(tile(page, "Done")).to_contain_text(re.compile(r"0\.[12]")),
            )
            await expect(tile(page, "Done")).to_contain_text("second0last")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone(browser: Browser, site: Site, scheme: str) -> None:
    await site.enqueue_many(2, queue=LONG)
    await site.enqueue(tags=["timed", "id:" + "w" * 60, "ms:500"], queue="default")
    async with site.worker() as worker:
        await fail(worker, await worker.job(), "x" * 300)
        await site.enqueue(tags=["timed", "id:" + "w" * 60, "ms:5000000"], queue="default")
        await worker.job()
        async with shown(browser, site, color_scheme=scheme, **PHONE) as page:
            await expect(page.locator(".overview-failure")).to_be_visible()
            await expect(page.get_by_role("region", name="Active").locator("li")).to_be_visible()
            await expect(page.locator(".chart canvas")).to_have_count(5)
            await accessible(page)
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
