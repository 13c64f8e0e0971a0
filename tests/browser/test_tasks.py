"""The page of the parallel queue in a real browser, at a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.browser.test_docs import HOSTILE, PATIENCE, opened
from tests.server import running_server

LIMIT = {"ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "2"}
FLAGS = ("--grace", "0", "--surface", "html_ws")


async def fill(page: Page, *tasks: tuple[str, str]) -> None:
    """Into the rows from the first one on, a new one for each further task."""
    for row, (id, ms) in enumerate(tasks):
        if row:
            await page.locator("#addTask").click()
        await page.locator("input[name=taskID]").nth(row).fill(id)
        await page.locator("input[name=taskDuration]").nth(row).fill(ms)


async def submit(page: Page, *tasks: tuple[str, str]) -> None:
    await fill(page, *tasks)
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#message")).to_contain_text("scheduled.")
    # The words may be those of the submission before; an empty form is of this one.
    await expect(page.locator("input[name=taskID]")).to_have_count(1)
    await expect(page.locator("input[name=taskID]")).to_have_value("")


async def test_tasks_are_added_submitted_and_seen_to_their_end(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, *FLAGS, env=LIMIT) as server:
        async with opened(browser, server, "/") as watched:
            page = watched.page
            await expect(page).to_have_title("Home")
            await expect(page.locator("th")).to_have_text(["ID", "Duration (ms)", "Actions"])
            await expect(page.locator("#connection")).to_have_text("Live")
            active, scheduled = page.locator("#activeTasks > *"), page.locator("#scheduledTasks > *")
            await submit(page, ("10", "60000"), ("first", "60000"), ("2", "7"), ("1", "8"))
            # In the order of the rows, although a JavaScript object would begin with the numbers.
            await expect(active).to_have_text(["10: 60000 ms", "first: 60000 ms"])
            await expect(scheduled).to_have_text(["2: 7 ms", "1: 8 ms"])
            await expect(active.nth(0)).to_have_class(re.compile(r"\bactive\b"))
            await expect(active.nth(1)).to_have_class(re.compile(r"\bstarted\b"))
            await expect(scheduled.nth(0)).to_have_class(re.compile(r"\bscheduled\b"))
            assert await page.locator("#first").text_content() == "first: 60000 ms"
            await expect(page.locator("input[name=taskID]")).to_have_count(1)
            # What others send is seen, too; and what ends goes.
            await page.evaluate(
                """fetch("/schedule", {method: "POST", headers: {"content-type": "application/json"},
                   body: '{"other": 1}'})"""
            )
            await expect(scheduled).to_have_text(["2: 7 ms", "1: 8 ms", "other: 1 ms"])
            [job] = await page.evaluate(
                "fetch('/v1/jobs?state=running').then((it) => it.json())"
                ".then((it) => it.jobs.slice(-1).map((one) => one.id))"
            )
            await page.evaluate(f"fetch('/v1/jobs/{job}/cancel', {{method: 'POST'}})")
            await expect(scheduled).to_have_count(0)
            await expect(active).to_have_count(1)
            await expect(page.locator("#activeCount")).to_have_text("1")


async def test_ids_are_text_and_clash_with_nothing(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, *FLAGS, env=LIMIT) as server:
        async with opened(browser, server, "/") as watched:
            page = watched.page
            await submit(page, ("a", "60000"), ("b", "60000"))
            names = [HOSTILE, "addTask", "activeTasks", "__proto__", "ID", "two words", "a"]
            await submit(page, *((name, "5") for name in names))
            await submit(page, ("a", "6"))
            await expect(page.locator("#scheduledTasks > *")).to_have_text(
                [*(f"{name}: 5 ms" for name in names), "a: 6 ms"]
            )
            assert await page.locator("img[src=x], li script").count() == 0
            await expect(page.locator("#activeTasks > *")).to_have_count(2)
            assert await page.locator("#a").text_content() == "a: 60000 ms"
            shown = await page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
            assert len(shown) == len(set(shown))
            data = await page.evaluate(
                "[...document.querySelectorAll('#scheduledTasks > *')].map((one) => one.dataset.task)"
            )
            assert data == [*names, "a"]
            # After a reload the same is there.
            await page.reload()
            await expect(page.locator("#scheduledTasks > *")).to_have_text(
                [*(f"{name}: 5 ms" for name in names), "a: 6 ms"]
            )


async def test_the_form_is_worked_by_keys_and_says_what_is_missing(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, *FLAGS) as server:
        async with opened(browser, server, "/") as watched:
            page = watched.page
            ids, times = page.locator("input[name=taskID]"), page.locator("input[name=taskDuration]")
            await page.get_by_role("button", name="Submit").click()
            await expect(page.locator("#message")).to_contain_text("no task")
            await ids.first.focus()
            await page.keyboard.type("one")
            await page.keyboard.press("Tab")
            await expect(ids).to_have_count(2)
            await expect(ids.nth(1)).to_be_focused()
            await page.keyboard.type("two")
            await page.keyboard.press("Shift+Tab")
            await expect(ids.first).to_be_focused()
            await times.first.focus()
            await page.keyboard.type("1.5")
            await page.keyboard.press("Tab")
            await expect(times.nth(1)).to_be_focused()
            await page.keyboard.type("3600000")
            await page.keyboard.press("Enter")
            await expect(page.locator("#message")).to_contain_text("whole number")
            await expect(times.first).to_be_focused()
            await times.first.fill("9223372036854775808")
            await page.keyboard.press("Enter")
            await expect(page.locator("#message")).to_have_text("Nothing was scheduled: Invalid JSON")
            # The browser itself says that a request was refused; that is all it may say.
            assert [fault for fault in watched.faults if "400" not in fault] == []
            watched.faults.clear()
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("button", name="Submit")).to_be_focused()
            await page.get_by_role("button", name="Remove").first.click()
            await expect(ids).to_have_count(1)
            await page.keyboard.press("Enter")
            await expect(page.locator("#activeTasks")).to_have_text("two: 3600000 ms")
            await page.get_by_role("button", name="Remove").click()
            await expect(ids).to_have_count(1)


async def test_without_events_it_asks_again_and_again(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, "--grace", "0", "--surface", "html", env=LIMIT) as server:
        async with opened(browser, server, "/") as watched:
            page = watched.page
            await expect(page.locator("#connection")).to_contain_text("every second")
            await submit(page, ("a", "60000"), ("b", "1"))
            await expect(page.locator("#activeTasks")).to_have_text("a: 60000 ms")
            await expect(page.locator("#scheduledTasks > *")).to_have_count(0)


async def test_it_finds_the_server_again(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, *FLAGS, env=LIMIT) as server:
        place = server.url.removeprefix("http://")
        async with opened(browser, server, "/") as watched:
            page = watched.page
            await expect(page.locator("#connection")).to_have_text("Live")
            await submit(page, ("a", "60000"), ("a", "60000"), ("b", "60000"), ("c", "60000"))
            server.kill()
            await expect(page.locator("#connection")).not_to_have_text("Live")
            with running_server(tmp_path, *FLAGS, listen=place, env=LIMIT):
                await expect(page.locator("#connection")).to_have_text("Live")
                await submit(page, ("d", "5"))
                await expect(page.locator("#activeTasks > *")).to_have_text(["a: 60000 ms", "b: 60000 ms"])
                await expect(page.locator("#scheduledTasks > *")).to_have_text(["c: 60000 ms", "d: 5 ms"])
                assert [fault for fault in watched.faults if "ERR_" not in fault] == []
                watched.faults.clear()
                await page.goto("about:blank")
                await page.evaluate("window.broken = []")


async def test_a_token_is_asked_for_and_kept_in_memory_only(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame")
    with running_server(tmp_path, *FLAGS, "--token-file", str(tmp_path / "token"), env=LIMIT) as server:
        async with opened(browser, server, "/") as watched:
            page = watched.page
            await expect(page.locator("#message")).to_contain_text("token")
            await expect(page.locator("#token")).to_be_focused()
            assert all("401" in fault for fault in watched.faults)
            watched.faults.clear()
            await page.locator("#token").fill("sesame")
            await page.locator("#token").press("Enter")
            await expect(page.locator("#connection")).to_contain_text("every second")
            await submit(page, ("a", "60000"))
            await expect(page.locator("#activeTasks")).to_have_text("a: 60000 ms")
            stored = await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
            assert stored == [0, 0, ""]


async def test_it_fits_a_phone_and_everything_has_a_name(browser: Browser, tmp_path: Path) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    with running_server(tmp_path, *FLAGS, env=LIMIT) as server:
        async with opened(browser, server, "/", **phone) as watched:
            page = watched.page
            page.set_default_timeout(PATIENCE)
            await submit(page, ("a" * 300, "60000"), ("b", "60000"), ("c", "1"))
            await expect(page.locator("#scheduledTasks > *")).to_have_count(1)
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            unnamed = await page.evaluate(
                """[...document.querySelectorAll("input, button, a")].filter((one) =>
                    !(one.getAttribute("aria-label") || one.closest("label") || one.textContent.trim())
                ).length"""
            )
            assert unnamed == 0
            links = await page.evaluate("[...document.querySelectorAll('a')].map((one) => one.pathname)")
            assert "/docs" in links
