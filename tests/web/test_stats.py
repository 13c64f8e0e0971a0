"""/v1/stats: counters without parameters, figures over time with them."""

from __future__ import annotations

from typing import Any

import pytest

from rota import __version__
from rota.core.series import FINE
from rota.core.service import Service
from rota.engines.open import open_engine
from rota.model.clock import DAY, MINUTE, ManualClock, to_text
from tests.web.kit import Site, problem, serving


async def test_counters(site: Site) -> None:
    await site.enqueue()
    async with site.worker() as worker:
        await worker.done(await worker.job())
        stats = await site.get("/v1/stats")
    assert (stats["version"], stats["enqueued"], stats["started"]) == (__version__, 1, 1)
    assert stats["finished"] == {"done": 1, "failed": 0, "cancelled": 0}
    assert stats["requeued"] == 0
    assert set(stats["rates"]) == {"enqueued", "started", "done", "failed", "cancelled", "requeued"}


async def test_figures_over_time(store: str) -> None:
    clock = ManualClock()
    service = Service(await open_engine(store), clock=clock)
    start = clock.now()
    async with serving(store, service=service) as site:
        await site.enqueue_many(3, queue="a")
        await site.enqueue(queue="b")
        clock.advance(FINE)
        await service.series.tick()
        clock.advance(FINE)
        await service.series.tick()
        answer = await site.get("/v1/stats", resolution="5s", last=10, group="queue")
        assert {name: answer[name] for name in ("resolution", "since", "until", "points", "group")} == {
            "resolution": 5,
            "since": to_text(start),
            "until": to_text(start + 2 * FINE),
            "points": 2,
            "group": "queue",
        }
        assert answer["up"] == [{"since": to_text(start), "until": to_text(start + 2 * FINE)}]
        a, b = answer["series"]
        assert (a["queue"], a["enqueued"], a["pending"], a["oldest_age"]) == ("a", [3, 0], [3, 3], [5, 10])
        assert (a["totals"]["enqueued"], a["totals"]["wait"]) == (3, {"p50": None, "p95": None, "p99": None})
        assert a["run"] == {"p50": [None, None], "p95": [None, None], "p99": [None, None]}
        assert (b["queue"], b["enqueued"]) == ("b", [1, 0])
        [only] = (await site.get("/v1/stats", queue="a", last=60, resolution="5s"))["series"]
        assert (only["queue"], only["type"], only["enqueued"][-2:]) == ("a", None, [3, 0])
        clock.advance(MINUTE)
        await service.series.tick()
        minutes = await site.get("/v1/stats", since=to_text(start - DAY * 3), until=to_text(start + DAY))
        assert (minutes["resolution"], minutes["points"]) == (60, 1440)
        assert minutes["series"][0]["totals"]["enqueued"] == 4


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"resolution": "10s"}, "invalid_resolution", "resolution"),
        ({"resolution": ""}, "invalid_resolution", "resolution"),
        ({"group": "worker"}, "invalid_group", "group"),
        ({"since": "yesterday"}, "invalid_time", "since"),
        ({"until": "2026-01-01T00:00:00"}, "invalid_time", "until"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "invalid_time", "since"),
        ({"since": "2026-01-01T00:00:00Z", "last": "60"}, "conflicting_fields", "last"),
        ({"last": "0"}, "invalid_time", "since"),
        ({"last": "nan"}, "invalid_last", "last"),
        ({"last": "99999999999999"}, "invalid_last", "last"),
        ({"queue": "no such name"}, "invalid_queue", "queue"),
        ({"type": "../x"}, "invalid_type", "type"),
        ({"limit": "0"}, "invalid_limit", "limit"),
        ({"limit": "51"}, "invalid_limit", "limit"),
        ({"limit": "٣"}, "invalid_limit", "limit"),
        ({"resolutions": "5s"}, "unknown_parameter", "resolutions"),
        ({"resolution": "5s", "last": "86400"}, "too_many_points", "since"),
    ],
    ids=str,
)
async def test_refused(store: str, query: dict[str, Any], code: str, field: str) -> None:
    clock = ManualClock()
    service = Service(await open_engine(store), clock=clock)
    async with serving(store, service=service) as site:
        problem(await site.http.get("/v1/stats", params=query), 422, code, field)
