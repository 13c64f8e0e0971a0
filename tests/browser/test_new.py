"""The pages for a new job, the interface and the settings, in a real browser."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, expect

from rota.config import Settings
from rota.config.secret import Secret
from tests.browser.dashboard import PHONE, accessible, shown
from tests.server import PROGRAMS, Server, running_server
from tests.web.kit import Site, serving

HTTP = httpx2.Client(trust_env=False, verify=False)
REFUSED = re.compile("400|422")
EXACT = '{"id": 12345678901234567890, "b": 0.10, "2": 1}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, "--grace", "0", env=PROGRAMS) as server:
        yield server


async def test_a_built_in_type_has_fields_and_is_seen_to_its_end(browser: Browser, server: Server) -> None:
    async with shown(browser, server, "#/new", quiet=REFUSED) as page:
        await page.locator('[name="type"]').fill("sleep")
        await expect(page.get_by_text("1 worker knows this type.")).to_be_visible()
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator('[name="payload.ms"]')).to_be_focused()
        await expect(page.get_by_text("This is needed.")).to_be_visible()
        await page.locator('[name="payload.ms"]').fill("much")
        await expect(page.get_by_text("This is no number.")).to_be_visible()
        await page.locator('[name="payload.ms"]').fill("300")
        await page.get_by_text("Options").click()
        await page.locator('[name="tags"]').fill("a, b")
        await page.locator('[name="priority"]').fill("200")
        await page.get_by_role("button", name="Submit").click()
        # The server's refusal stands at the field that it names.
        priority = page.locator("label", has=page.locator('[name="priority"]'))
        await expect(priority.locator(".wrong")).to_contain_text("100")
        await expect(page.locator('[name="priority"]')).to_be_focused()
        await page.locator('[name="priority"]').fill("5")
        await page.locator('[name="count"]').fill("2")
        await accessible(page)
        await page.get_by_role("button", name="Submit 2 jobs").click()
        results = page.locator(".new-results li")
        await expect(results).to_have_count(2)
        await expect(results.locator(".state.done")).to_have_count(2)
        jobs = HTTP.get(f"{server.url}/v1/jobs").json()["jobs"]
        assert [(job["tags"], job["priority"], job["type"]) for job in jobs] == [(["a", "b"], 5, "sleep")] * 2
        # What was written is still there after a reload, for the next one.
        await page.reload()
        await expect(page.locator('[name="payload.ms"]')).to_have_value("300")


async def test_a_queue_that_somebody_serves_is_offered(browser: Browser, site: Site) -> None:
    async with site.worker("w1", queues=["orders", "emails"], types=["charge"]) as worker:
        async with shown(browser, site, "#/new?type=charge") as page:
            await expect(page.get_by_text("1 worker knows this type. None of those serves")).to_be_visible()
            await accessible(page)
            await page.get_by_role("button", name="orders").click()
            await expect(page.locator('[name="queue"]')).to_have_value("orders")
            await expect(page.get_by_text("None of those serves")).to_have_count(0)
            await page.get_by_role("button", name="Submit").click()
            assert (await worker.job())["type"] == "charge"


async def test_no_digit_is_lost_between_form_editor_and_store(browser: Browser, site: Site) -> None:
    async with shown(browser, site, f"#/new?type=anything&queue=q&payload={EXACT}", quiet=REFUSED) as page:
        await expect(page.get_by_text("No connected worker knows this type")).to_be_visible()
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator(".new-results li")).to_have_count(1)
        [job] = (await site.http.get("/v1/jobs")).json()["jobs"]
        whole = await site.http.get(f"/v1/jobs/{job['id']}")
        assert '"payload":{"id":12345678901234567890,"b":0.10,"2":1}' in whole.text.replace(
            ": ", ":"
        ).replace(", ", ",")
        # Broken JSON does not leave the page as it is said to be.
        await page.get_by_role("textbox", name="Payload").fill('{"a": }')
        await page.get_by_role("button", name="Submit").click()
        await expect(page.get_by_role("alert").first).to_be_visible()
        assert len((await site.http.get("/v1/jobs")).json()["jobs"]) == 1


async def test_a_file_is_a_payload_or_an_upload(browser: Browser, server: Server, tmp_path: Path) -> None:
    picture, archive = tmp_path / "<b>.bin", tmp_path / "hello.zip"
    picture.write_bytes(bytes(range(256)) * 50)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("hello/Makefile", "run:\n\t@echo hello from the page\n")
    async with shown(browser, server, "#/new?type=thumbnail") as page:
        await page.get_by_role("button", name="File").click()
        await page.locator("input[type=file]").set_input_files(picture)
        await expect(page.get_by_text("<b>.bin")).to_be_visible()
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator(".new-results li")).to_have_count(1)
        await page.locator('[name="type"]').fill("program_zip")
        await page.get_by_role("button", name="File").click()
        await page.locator("input[type=file]").set_input_files(archive)
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator(".new-results .state.done")).to_have_count(1)
    run, kept = HTTP.get(f"{server.url}/v1/jobs").json()["jobs"]
    assert HTTP.get(f"{server.url}/v1/jobs/{kept['id']}").json()["content_type"] == "application/octet-stream"
    assert "hello from the page" in json.dumps(HTTP.get(f"{server.url}/v1/jobs/{run['id']}").json()["result"])


async def test_the_interface_is_searched(browser: Browser, site: Site) -> None:
    async with shown(browser, site, "#/api?find=pause") as page:
        one = page.locator(".api-one")
        pause = one.filter(has_text="/v1/queues/{name}/pause").first
        await pause.locator("summary").click()
        await expect(pause).to_contain_text(f"curl -X POST '{site.url}/v1/queues/{{name}}/pause'")
        await page.get_by_role("searchbox").fill("nothing of that name")
        await expect(page.get_by_text("No request fits.")).to_be_visible()
        await expect(page).to_have_url(re.compile("find=nothing"))


async def test_settings_tell_the_configuration_and_no_secret(browser: Browser, store: str) -> None:
    token = "a secret that is long enough"
    async with (
        serving(store, Settings(token=Secret(token), slots=7)) as site,
        shown(browser, site, "#/settings", quiet=re.compile("401|credentials"), **PHONE) as page,
    ):
        await page.get_by_role("textbox", name="Token").fill(token)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("searchbox").fill("slots")
        await expect(page.get_by_role("row", name=re.compile("^slots"))).to_contain_text("7")
        await page.get_by_role("searchbox").fill("token")
        await expect(page.get_by_role("row", name=re.compile("^token"))).to_contain_text("***")
        assert token not in await page.content()
        saved = await site.http.put("/v1/views/mine", json={"page": "jobs", "query": "state=failed"})
        assert saved.status_code in (200, 201)
        await page.reload()
        await expect(page.get_by_role("link", name="mine")).to_have_attribute("href", "#/jobs?state=failed")
        await page.get_by_role("button", name="Delete the view mine").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete the view mine").click()
        await expect(page.get_by_role("link", name="mine")).to_have_count(0)
        await page.get_by_role("button", name="Deutsch").click()
        await expect(page.locator("h1")).to_have_text("Einstellungen")
        await accessible(page)
