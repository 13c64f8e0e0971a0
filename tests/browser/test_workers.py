"""The page of workers in a real browser, with real ones."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from playwright.async_api import Browser, expect

import rota
from rota.config import Settings
from tests.browser.dashboard import PHONE, accessible, shown
from tests.server import PROGRAMS, running, running_server
from tests.web.kit import Site, serving

TASKS = """
import rota, pathlib, time

app = rota.App()

@app.task
def wait(until: str) -> None:
    while not pathlib.Path(until).exists():
        time.sleep(0.02)
"""


async def test_a_worker_is_seen_at_work_and_drained(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    go = tmp_path / "go"
    with running_server(tmp_path, "--grace", "0", env=PROGRAMS) as server:
        async with shown(browser, server, "#/workers") as page:
            await expect(page.get_by_text("No worker of yours is connected")).to_be_visible()
            flags = ("--url", server.url, "--queues", "one,two", "--name", "<b>mine</b>", "--slots", "3")
            with running(tmp_path, "work", "tasks:app", *flags) as worker:
                mine = page.locator(".workers-one", has_text="<b>mine</b>")
                # Those that are part of the server stand apart, and do not count as somebody's.
                part = page.locator(".panel", has=page.get_by_role("heading", name="Part of the servers"))
                await expect(part.locator(".workers-one", has_text="stand-in jobq")).to_be_visible()
                await expect(part.locator(".workers-one", has_text="mine")).to_have_count(0)
                await expect(page.get_by_role("link", name=re.compile("^Workers ?1$"))).to_be_visible()
                await expect(mine).to_contain_text("0 of 3")
                await expect(page.get_by_text("No worker of yours is connected")).to_have_count(0)
                job = {"type": "wait", "queue": "two", "payload": {"until": str(go)}}
                httpx2.post(f"{server.url}/v1/jobs", json=job, trust_env=False).raise_for_status()
                await expect(mine).to_contain_text("1 of 3")
                await mine.get_by_role("button", name="More of").click()
                await expect(mine.get_by_role("link", name=re.compile("^wait"))).to_be_visible()
                await expect(mine.locator("dl")).to_contain_text(f"Version{rota.__version__}")
                await accessible(page)
                await page.get_by_role("searchbox").fill("two")
                await expect(page.locator(".workers-one")).to_have_count(1)
                await mine.get_by_role("button", name="Drain").click()
                await expect(page.get_by_role("dialog")).to_contain_text("finishes the 1 that it has")
                await page.get_by_role("dialog").get_by_role("button", name="Drain").click()
                await expect(mine).to_contain_text("draining")
                go.touch()
                assert worker.wait() == 0
                await expect(mine).to_have_count(0)


async def test_the_layers_of_the_sandbox_are_told(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, "--grace", "0", env=PROGRAMS) as server:
        async with shown(browser, server, "#/workers", **PHONE, color_scheme="dark") as page:
            await expect(page.get_by_text("Programs of others are run, in a sandbox.")).to_be_visible()
            await expect(page.locator(".workers-layers").last).to_contain_text("System-call filter")
            await accessible(page)
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_none_is_connected(browser: Browser, site: Site) -> None:
    async with shown(browser, site, "#/workers", locale="de-DE") as page:
        await expect(page.get_by_text("Kein Worker ist verbunden")).to_be_visible()
        await expect(page.locator(".empty code")).to_have_text(f"rota work app:app --url {site.url}")


async def test_one_that_gives_no_sign_of_life_stands_out(browser: Browser, store: str) -> None:
    settings = Settings(beat=0.2, lease=3600)
    async with (
        serving(store, settings, timers=True) as site,
        site.worker("w2", name="idle", queues=["other"]),
        site.worker("w1", name="frozen") as frozen,
    ):
        await site.enqueue()
        await frozen.job()
        async with shown(browser, site, "#/workers") as page:
            line = page.locator(".workers-one", has_text="frozen")
            await expect(line.locator(".workers-beat.late")).to_contain_text("late")
            # Who has nothing in hand need not give any, and has been here for longer.
            idle = page.locator(".workers-one", has_text="idle")
            await expect(idle.locator(".workers-beat")).to_be_visible()
            await expect(idle.locator(".workers-beat.late")).to_have_count(0)
            await accessible(page)
