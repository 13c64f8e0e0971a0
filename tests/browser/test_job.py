"""The page of one job in a real browser, with real workers: why it failed, mended, run again, watched."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, expect

from tests.browser.dashboard import PHONE, accessible, shown
from tests.server import Server, running, running_server

HTTP = httpx2.Client(trust_env=False, verify=False)
TASKS = """
import threading
import rota

app = rota.App()
go = threading.Event()

@app.task(retries=0)
def label(ctx: rota.Context, address: dict[str, str]) -> str:
    ctx.log("looking for <b>the</b> postcode")
    return address["postcode"]

@app.task
def slow(ctx: rota.Context, until: str) -> str:
    import pathlib, time
    ctx.progress(0.25, "a quarter")
    ctx.log("begun")
    while not pathlib.Path(until).exists():
        time.sleep(0.02)
    ctx.log("let go", "warning")
    return "<script>alert(1)</script>"
"""
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "tasks.py").write_text(TASKS)
    with (
        running_server(tmp_path, "--grace", "0") as server,
        running(tmp_path, "work", "tasks:app", "--url", server.url, "--queues", "q") as worker,
    ):
        worker.wait_for("connected")
        yield server


def store(server: Server, **job: Any) -> str:
    answer = HTTP.post(f"{server.url}/v1/jobs", json={"queue": "q", **job})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ended(server: Server, id: str) -> dict[str, Any]:
    job: dict[str, Any] = HTTP.get(f"{server.url}/v1/jobs/{id}?wait=20").json()
    return job


async def test_a_failed_job_is_understood_mended_and_run_again(browser: Browser, server: Server) -> None:
    """As somebody does who never saw it: the page says why, and what is to be pressed."""
    payload = {"address": {"street": HOSTILE, "number": "7"}}
    id = store(server, type="label", payload=payload, max_attempts=1, tags=["parcel"])
    ended(server, id)
    async with shown(browser, server, f"#/job/{id}") as page:
        await expect(page.locator(".page-head .state.failed")).to_be_visible()
        await expect(page.locator(".job-why")).to_contain_text("attempts are used up")
        await expect(page.locator(".job-wrong h2")).to_contain_text("KeyError")
        await expect(page.locator(".job-steps")).to_contain_text("Attempt 1: failed")
        # Markup is text, wherever it comes from.
        await expect(page.locator(".json-tree")).to_contain_text(HOSTILE)
        assert await page.locator("main img, main script").count() == 0
        await accessible(page)
        await page.get_by_role("button", name="Edit and run as new").click()
        editor = page.get_by_role("textbox", name="Payload")
        await expect(editor).to_be_focused()
        await editor.fill('{"address": {"postcode": "223 50",}}')
        await expect(page.locator(".editor-foot")).to_contain_text("Line 1, column")
        await expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        await editor.fill('{"address": {"postcode": "223 50"}}')
        await accessible(page)
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page).not_to_have_url(re.compile(id))
        await expect(page.locator(".page-head .state.done")).to_be_visible()
        await expect(page.get_by_text('"223 50"').last).to_be_visible()
        await expect(page.locator(".job-log")).to_contain_text("looking for <b>the</b> postcode")
        # The new one says where it comes from; the old one is as it was.
        await page.get_by_role("link", name=id[-12:]).click()
        await expect(page.locator(".page-head .state.failed")).to_be_visible()
    assert HTTP.get(f"{server.url}/v1/jobs/{id}").json()["attempts"][-1]["end"] == "failed"


async def test_the_way_from_the_overview_to_a_job_that_is_mended(browser: Browser, server: Server) -> None:
    """With the mouse alone, but for the payload: where it says that something failed, one gets on."""
    for number in "123":
        ended(server, store(server, type="label", payload={"address": {"number": number}}, max_attempts=1))
    ended(server, store(server, type="label", payload={"address": {"postcode": "1"}}))
    async with shown(browser, server, "") as page:
        await page.get_by_role("link", name=re.compile("label KeyError")).click()
        await expect(page.locator(".jobs-row")).to_have_count(3)
        await page.locator(".jobs-row .jobs-link").first.click()
        await expect(page.locator(".job-wrong")).to_contain_text("postcode")
        await page.get_by_role("button", name="Edit and run as new").click()
        await page.get_by_role("textbox", name="Payload").fill('{"address": {"postcode": "223 50"}}')
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page.locator(".page-head .state.done")).to_be_visible()
        # The others of the group, as they are: nothing is lost by trying again.
        await page.get_by_role("link", name="Failures").first.click()
        await page.get_by_role("button", name="Retry all").click()
        await page.get_by_role("dialog").get_by_role("button", name="Retry 3 jobs").click()
        await expect(page.get_by_text("3 jobs run again.")).to_be_visible()
        await expect(page.locator(".failures-count .figure")).to_have_text("3")


async def test_one_that_waits_for_its_time_is_run_at_once(browser: Browser, server: Server) -> None:
    id = store(server, type="label", payload={"address": {"postcode": "1"}}, delay=3600)
    async with shown(browser, server, f"#/job/{id}") as page:
        await expect(page.locator(".page-head .state.scheduled")).to_be_visible()
        await page.get_by_role("button", name="Run now").click()
        await expect(page.locator(".page-head .state.done")).to_be_visible()


async def test_it_is_watched_while_it_runs(browser: Browser, server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    id = store(server, type="slow", payload={"until": str(go)}, headers={"shop": HOSTILE}, tags=["a b"])
    async with shown(browser, server, f"#/job/{id}", **PHONE) as page:
        await expect(page.locator(".page-head .state.running")).to_be_visible()
        worker = HTTP.get(f"{server.url}/v1/jobs/{id}").json()["worker"]
        for fact in (f"shop: {HOSTILE}", "a b", worker, "Lease"):
            await expect(page.locator(".job-facts")).to_contain_text(fact)
        await expect(page.locator(".job-progress")).to_contain_text("25")
        await expect(page.locator(".job-log")).to_contain_text("begun")
        await accessible(page)
        go.touch()
        await expect(page.locator(".page-head .state.done")).to_be_visible()
        await expect(page.locator(".job-line.warning")).to_contain_text("let go")
        await expect(page.locator(".json-string")).to_have_text([f'"{go}"', '"<script>alert(1)</script>"'])
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0


async def test_numbers_are_shown_and_sent_again_as_they_are(browser: Browser, server: Server) -> None:
    body = '{"type": "nobody", "queue": "n", "payload": {"id": 12345678901234567890, "2": 0.10, "1": 1e400}}'
    json = {"content-type": "application/json"}
    refused = HTTP.post(f"{server.url}/v1/jobs", content=body, headers=json)
    assert refused.status_code in (201, 400)
    body = body.replace("1e400", "1E+2")
    id = HTTP.post(f"{server.url}/v1/jobs", content=body, headers=json).json()["id"]
    async with shown(browser, server, f"#/job/{id}", locale="de-DE") as page:
        await expect(page.locator(".job-why")).to_contain_text("Kein Worker bedient seine Warteschlange")
        numbers = page.locator(".json-number")
        await expect(numbers).to_have_text(["12345678901234567890", "0.10", "1E+2"])
        await expect(page.locator(".json-name")).to_have_text(["id", "2", "1"])
        await expect(page.locator(".job-again")).to_contain_text('{"id": 12345678901234567890, "2": 0.10')
        await page.keyboard.press("e")
        await page.get_by_role("button", name="Starten", exact=True).click()
        await expect(page).not_to_have_url(re.compile(id))
        new = page.url.rpartition("/")[2]
        assert '"id":12345678901234567890' in re.sub(r"\s", "", HTTP.get(f"{server.url}/v1/jobs/{new}").text)
        # And it is cancelled, which is asked first.
        await page.get_by_role("button", name="Job abbrechen").click()
        await page.get_by_role("dialog").get_by_role("button", name="Job abbrechen").click()
        await expect(page.locator(".page-head .state.cancelled")).to_be_visible()
        await page.get_by_role("button", name="Wiederholen", exact=True).click()
        await expect(page.locator(".page-head .state.pending")).to_be_visible()


async def test_bytes_are_shown_where_that_is_safe(browser: Browser, server: Server) -> None:
    vector = f"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>{HOSTILE}</svg>".encode()
    bodies = {"image/png": PIXEL, "image/svg+xml": vector, "text/html": HOSTILE.encode()}
    for media, data in bodies.items():
        text = base64.b64encode(data).decode()
        id = store(server, type="nobody", payload_base64=text, content_type=media)
        async with shown(browser, server, f"#/job/{id}") as page:
            await expect(page.locator(".job-bytes")).to_contain_text(media)
            async with page.expect_download() as saved:
                await page.get_by_role("button", name="Save as a file").click()
            assert (await (await saved.value).path()).read_bytes() == data
            assert await page.locator(".job-bytes img").count() == media.startswith("image")
            if media == "text/html":
                await page.get_by_role("button", name="Show").click()
                await expect(page.locator(".job-bytes pre")).to_have_text(HOSTILE)


async def test_one_that_is_not_there_says_so(browser: Browser, server: Server) -> None:
    id = store(server, type="nobody")
    async with shown(browser, server, f"#/job/{id}", quiet=re.compile("404|422|400")) as page:
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page).to_have_url(re.compile("#/jobs$"))
        await page.go_back()
        await expect(page.get_by_text("There is no job of this id")).to_be_visible()
        await page.evaluate("location.hash = '#/job/nothing%20like%20it'")
        await expect(page.get_by_text("There is no job of this id")).to_be_visible()
