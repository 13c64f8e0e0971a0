"""Every page with something on it, as a shop's jobs leave it: in both colours, on phone and desktop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from playwright.async_api import Browser, expect

from tests.browser.dashboard import PHONE, accessible, shown
from tests.server import PROGRAMS, Server, running, running_server

SHOP = Path(__file__).resolve().parent / "shop" / "shop.py"
MARKUP = "<script>document.body.remove()</script>"


class Shop(NamedTuple):
    server: Server
    pages: dict[str, str]
    """By address, what has to be seen there."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A server at work: jobs in every state, failures, a queue that nobody serves."""
    place = tmp_path_factory.mktemp("shop")
    shutil.copy(SHOP, place)
    flags = ("--queues", "orders,emails,reports", "--name", "till", "--slots", "3")
    with (
        running_server(place, "--grace", "0", env=PROGRAMS) as server,
        running(place, "work", "shop:app", "--url", server.url, *flags) as worker,
        httpx2.Client(base_url=server.url, trust_env=False, verify=False, timeout=30) as http,
    ):
        worker.wait_for("connected")
        yield Shop(server, _pages(http))
        # It would work on for minutes.
        worker.kill()


def _pages(http: httpx2.Client) -> dict[str, str]:
    def ended(job: dict[str, Any]) -> str:
        answer = http.post("/v1/jobs?wait=20", json={"max_attempts": 1, **job})
        told = answer.raise_for_status().json()
        assert told["state"] in ("done", "failed"), told
        return str(told["id"])

    def stored(*jobs: dict[str, Any]) -> list[str]:
        answer = http.post("/v1/jobs", json={"jobs": list(jobs)}).raise_for_status().json()
        return [job["id"] for job in answer["jobs"]]

    order = {"order": 4711, "address": {"street": "Storgatan 7", "city": "Lund"}}
    label = {"type": "print_label", "queue": "orders", "payload": order, "tags": ["parcel", MARKUP]}
    ended(label)
    failed = ended(label)
    mail = {"type": "order_mail", "queue": "emails", "payload": {"order": 1, "to": MARKUP}}
    ended(mail)
    paid = {"order": 98765432109876543210, "amount": 0.5}
    card = {"type": "charge_card", "queue": "orders", "payload": paid}
    done = ended(card)
    [report] = stored({"type": "sales_report", "queue": "reports", "payload": {"year": 2026, "days": 99_999}})
    stored(*[{"type": "resize_photo", "queue": "photos", "payload": {"photo": n}} for n in range(42)])
    [later] = stored({**mail, "delay": 86_400}, {**card, "delay": 3600})[:1]
    [gone] = stored({**card, "queue": "nowhere"})
    http.post(f"/v1/jobs/{gone}/cancel").raise_for_status()
    return {
        "overview": "42 jobs wait in photos",
        "jobs": "resize_photo",
        "jobs?state=failed": MARKUP,
        f"job/{failed}": "KeyError",
        f"job/{report}": "of 99999",
        f"job/{done}": "98765432109876543210",
        f"job/{later}": "scheduled",
        f"job/{gone}": "cancelled",
        "failures": "is no address",
        "queues": "photos",
        "workers": "till",
        "new?type=charge_card": "1 worker knows this type.",
        "api": "/v1/jobs/{id}",
        "settings": "sqlite:///",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["phone", "desktop"])
async def test_every_page_shows_what_there_is(browser: Browser, shop: Shop, scheme: str, device: str) -> None:
    options: dict[str, Any] = PHONE if device == "phone" else {}
    async with shown(browser, shop.server, color_scheme=scheme, **options) as page:
        await expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        for place, seen in shop.pages.items():
            await page.evaluate("(place) => { location.hash = place }", f"#/{place}")
            await expect(page.locator("main")).to_contain_text(seen)
            await expect(page.locator('main .waiting, main [aria-busy="true"]')).to_have_count(0)
            await accessible(page)
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{place} is {wide} px too wide"
