"""``python -m bench.page``: the dashboard over a full store, and in a storm of events, in headless Chromium.

Opens every page some times on a store of a million jobs (``--keep FILE`` keeps it for next time, and takes
the one of ``bench.lists``): when it can be used, and how long its requests took, in a browser that is busy
with drawing, and asked all at once by somebody who is not. Then 2,000 events a second, with the list of jobs
open: how often it draws, and how long it does not answer.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, Page, async_playwright

from bench.lists import build
from tests.browser.conftest import NAMES, QUIET
from tests.server import running_server

PAGES = ("overview", "jobs", "jobs?state=failed", "failures", "queues", "workers", "new", "settings")
USABLE, ANSWER = 1000.0, 100.0
"""Milliseconds: what is asked of a page, and of each of its requests (p95)."""
WATCH = """
window.gaps = []; window.slow = []; window.drawings = 0;
new PerformanceObserver((list) => list.getEntries().forEach((it) => slow.push(it.duration)))
  .observe({type: "longtask", buffered: true});
let before = performance.now();
const beat = (now) => { gaps.push(now - before); before = now; requestAnimationFrame(beat); };
requestAnimationFrame(beat);
addEventListener("DOMContentLoaded", () => {
  // Changes that come in one frame are drawn once.
  let drawn = 0;
  new MutationObserver(() => {
    const frame = Math.round(performance.now() / 16);
    if (frame !== drawn) { drawn = frame; drawings += 1; }
  }).observe(document.documentElement, {subtree: true, childList: true, characterData: true});
});
"""
REQUESTS = """performance.getEntriesByType("resource").filter((it) => it.name.includes("/v1/"))
  .map((it) => [it.name, it.responseEnd - it.requestStart])"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.keep or Path(folder) / "full.db"
        if not path.exists():
            asyncio.run(build(f"sqlite:///{path}", asked.jobs - asked.jobs // 11, asked.jobs // 11))
        with running_server(Path(folder), "--grace", "0", "--store", f"sqlite:///{path}") as server:
            asyncio.run(_measure(server.url, asked))


async def _measure(url: str, asked: argparse.Namespace) -> None:
    async with async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)))
        browser = await playwright.chromium.launch(executable_path=found, args=QUIET)
        print(f"{'page':24}{'usable p50':>12}{'max':>8}   slowest requests, p95 (ms): alone; while drawing")
        for page in PAGES:
            await _page(browser, url, page, asked.rounds)
        await _storm(browser, url, asked.rate, asked.seconds)
        await browser.close()


async def _page(browser: Browser, url: str, name: str, rounds: int) -> None:
    """Each time as somebody who was never there: nothing in any cache."""
    usable: list[float] = []
    requests: dict[str, list[float]] = {}
    alone: dict[str, list[float]] = {}
    for _ in range(rounds):
        context = await browser.new_context(viewport={"width": 1360, "height": 900})
        page = await context.new_page()
        start = time.perf_counter()
        await page.goto(f"{url}/#/{name}", wait_until="commit")
        await page.locator("main h1").wait_for()
        await page.locator("main .waiting").first.wait_for(state="detached")
        usable.append((time.perf_counter() - start) * 1000)
        await page.locator(".link.live").wait_for()
        for asked, took in await page.evaluate(REQUESTS):
            requests.setdefault(asked, []).append(took)
        await context.close()
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        for _ in range(4 * rounds):
            for asked, took in await asyncio.gather(*(_timed(http, one) for one in requests)):
                alone.setdefault(asked, []).append(took)
    slowest = _slowest(alone)
    told = "; ".join(
        ", ".join(f"{asked.removeprefix(url)[:40]} {took:.0f}" for took, asked in some)
        for some in (slowest, _slowest(requests))
    )
    print(f"{name:24}{statistics.median(usable):12.0f}{max(usable):8.0f}   {told}")
    if statistics.median(usable) > USABLE or any(took > ANSWER for took, _ in slowest):
        print(f"  above {USABLE:.0f} or {ANSWER:.0f} ms", file=sys.stderr)


async def _timed(http: httpx2.AsyncClient, asked: str) -> tuple[str, float]:
    start = time.perf_counter()
    # An answer that was made for nobody else.
    (await http.get(asked, headers={"cache-control": "no-cache"})).raise_for_status()
    return asked, (time.perf_counter() - start) * 1000


def _slowest(requests: dict[str, list[float]]) -> list[tuple[float, str]]:
    return sorted(((_p95(some), asked) for asked, some in requests.items()), reverse=True)[:2]


async def _storm(browser: Browser, url: str, rate: int, seconds: float) -> None:
    """Every job that nobody serves is one event: it was stored."""
    page = await (await browser.new_context(viewport={"width": 1360, "height": 900})).new_page()
    await page.add_init_script(WATCH)
    await page.goto(f"{url}/#/jobs")
    await page.locator(".link.live").wait_for()
    await page.evaluate("gaps.length = slow.length = 0; drawings = 0")
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
        jobs: dict[str, Any] = {"jobs": [{"type": "storm", "queue": "storm"}] * (rate // 10)}
        start, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - start) < seconds:
            if sent / rate <= now:
                (await http.post("/v1/jobs", json=jobs)).raise_for_status()
                sent += rate // 10
            else:
                await asyncio.sleep(sent / rate - now)
        took = time.perf_counter() - start
    await _tell(page, sent / took, took)


async def _tell(page: Page, rate: float, took: float) -> None:
    gaps, slow, drawings = await page.evaluate("[gaps, slow, drawings]")
    print(
        f"storm of {rate:,.0f} events/s for {took:.0f} s: {drawings / took:.1f} drawings/s, longest frame "
        f"{max(gaps):.0f} ms, p99 {sorted(gaps)[int(len(gaps) * 0.99)]:.0f} ms, tasks over 50 ms: "
        f"{len(slow)} ({sum(slow):.0f} ms in all)"
    )


def _p95(some: list[float]) -> float:
    return sorted(some)[min(len(some) - 1, int(len(some) * 0.95))]


if __name__ == "__main__":
    main()
