"""Figures over time outlive a server that is stopped, and one that is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.cli.kit import wait_until
from tests.server import Server, running_server


def put(server: Server, jobs: int) -> None:
    body = {"jobs": [{"type": "sleep", "queue": "kept", "delay": 3600}] * jobs}
    httpx2.post(server.url + "/v1/jobs", json=body).raise_for_status()


def figures(server: Server) -> dict[str, Any]:
    query: dict[str, str | int] = {"resolution": "5s", "last": 600, "queue": "kept"}
    answer: dict[str, Any] = httpx2.get(server.url + "/v1/stats", params=query).raise_for_status().json()
    return answer


def enqueued(server: Server) -> int:
    return int(figures(server)["series"][0]["totals"]["enqueued"])


def test_figures_outlive_a_stop_and_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        put(server, 3)
    with running_server(tmp_path) as server:
        wait_until(lambda: enqueued(server) == 3, "what the first server wrote as it stopped")
        put(server, 4)
        wait_until(lambda: enqueued(server) == 7, "the interval is over and written")
        server.kill()
        with running_server(tmp_path) as third:
            put(third, 5)
            wait_until(lambda: enqueued(third) == 12, "all three runs")
            answer = figures(third)
            [line] = answer["series"]
            assert line["scheduled"][-1] == 12
            assert None in line["enqueued"], "before the first one there was no server"
            assert answer["up"][0]["since"] > answer["since"]
        server.close()
