"""Pictures of the dashboard for the README, taken of a real server at work: ``make screenshots``."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, async_playwright

from tests.browser.conftest import NAMES, QUIET
from tests.browser.dashboard import DESKTOP
from tests.server import Server, running, running_server

SHOP = Path(__file__).resolve().parent / "shop"
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"
PACE = 240
"""Turns of about a second: most of what the charts of five minutes show."""
CUSTOMERS = ("ada@example.com", "grace@example.com", "edsger@example.com", "barbara@example.com")


def main() -> None:
    """Start everything, let it work for a while, and look."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copy(SHOP / "shop.py", place)
        with running_server(place, "--grace", "0") as server:
            flags = ("--url", server.url, "--slots", "4")
            with (
                running(place, "work", "shop:app", "--queues", "orders,emails,reports", *flags) as worker,
                httpx2.Client(base_url=server.url, trust_env=False, verify=False) as http,
            ):
                worker.wait_for("connected")
                _work(http)
                asyncio.run(_look(server, http))


def _work(http: httpx2.Client) -> None:
    """Some minutes of a shop: most of it goes well."""
    chance = random.Random(7)
    _send(
        http, [{"type": "sales_report", "queue": "reports", "payload": {"year": 2026}, "tags": ["monthly"]}]
    )
    _send(http, [{"type": "resize_photo", "queue": "photos", "payload": {"photo": n}} for n in range(42)])
    _send(http, [_later(n) for n in range(8)])
    for turn in range(PACE):
        order = chance.randrange(100_000, 999_999)
        busy = 3 + round(2.5 * math.sin(turn / 9))
        jobs = [_order(chance, order + n) for n in range(chance.randrange(1, busy + 3))]
        jobs += [_mail(chance, order + n) for n in range(chance.randrange(1, 6))]
        _send(http, jobs)
        # Waits for a late one, so that there is something to be seen over time.
        late = {**_mail(chance, order), "delay": 1}
        http.post("/v1/jobs?wait=20", json=late).raise_for_status()


def _order(chance: random.Random, order: int) -> dict[str, Any]:
    if chance.random() < 0.3:
        address = {"street": "Storgatan 7", "city": "Lund"}
        if chance.random() < 0.85:
            address["postcode"] = "223 50"
        payload: dict[str, Any] = {"order": order, "address": address}
        once = {"max_attempts": 1, "tags": ["parcel"]}
        return {"type": "print_label", "queue": "orders", "payload": payload, **once}
    payload = {"order": order, "amount": round(chance.uniform(5, 300), 2)}
    return {"type": "charge_card", "queue": "orders", "payload": payload, "tags": ["checkout"]}


def _mail(chance: random.Random, order: int) -> dict[str, Any]:
    to = chance.choice(CUSTOMERS) if chance.random() < 0.93 else "ada(at)example.com"
    payload = {"order": order, "to": to}
    return {"type": "order_mail", "queue": "emails", "payload": payload, "max_attempts": 1}


def _later(n: int) -> dict[str, Any]:
    payload = {"order": 900_000 + n, "to": CUSTOMERS[n % 4]}
    return {"type": "order_mail", "queue": "emails", "payload": payload, "delay": 1800 + 600 * n}


def _send(http: httpx2.Client, jobs: list[dict[str, Any]]) -> None:
    http.post("/v1/jobs", json={"jobs": jobs}).raise_for_status()


async def _look(server: Server, http: httpx2.Client) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    [failed, *_] = http.get("/v1/jobs?state=failed&type=print_label").json()["jobs"]
    places = {
        "overview": "#/overview?range=5m",
        "jobs": "#/jobs?queue=emails",
        "job": f"#/job/{failed['id']}",
        "failures": "#/failures",
    }
    async with async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)))
        browser = await playwright.chromium.launch(executable_path=found, args=QUIET)
        for name, place in places.items():
            await _shoot(browser, server.url, place, PICTURES / f"{name}.png", "light")
        await _shoot(browser, server.url, places["overview"], PICTURES / "overview-dark.png", "dark")
        await browser.close()


async def _shoot(browser: Browser, url: str, place: str, picture: Path, scheme: Any) -> None:
    context = await browser.new_context(**DESKTOP, color_scheme=scheme, locale="en-US", timezone_id="UTC")
    page = await context.new_page()
    await page.goto(f"{url}/{place}")
    await page.locator("main h1").wait_for()
    await page.locator(".link.live").wait_for()
    await page.evaluate("document.fonts.ready")
    # Until two looks show the same number of lines: what is loaded has come.
    before = -1
    while (now := len(await page.locator("main").inner_text())) != before:
        before = now
        await page.wait_for_timeout(700)
    await page.screenshot(path=picture)
    await context.close()


if __name__ == "__main__":
    main()
