"""Queues that stand-ins share with others, at a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.crash.kit import until
from tests.server import DEADLINE, running, running_server

QUICK = {"ROTA_FRONTS__JOBQ__WORK": "20ms"}

ANYTHING = """
import rota

app = rota.App(queue="shared")


@app.fallback
def anything(ctx: rota.Context, payload):
    return ["mine", ctx.type]


only = rota.App(queue="shared")


@only.task
def known(payload):
    return "known"
"""


class Line:
    """A server whose prototype's queue is not its own."""

    def __init__(self, http: httpx2.Client, queue: str) -> None:
        self.http = http
        self.queue = queue

    def enqueue(self) -> str:
        return str(self.http.post("/enqueue").json()["id"])

    def job(self, id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/v1/jobs/{id}").json()
        return job

    def ended(self, id: str) -> dict[str, Any]:
        until(lambda: self.job(id)["finished_at"], f"the end of {id}")
        return self.job(id)

    def cause(self, id: str) -> str:
        return str(self.http.get(f"/v1/jobs/{id}/explain").json()["cause"])

    def shown(self) -> dict[str, Any]:
        [found] = [one for one in self.http.get("/v1/queues").json()["queues"] if one["name"] == self.queue]
        return dict(found)


@contextmanager
def line(folder: Path, queue: str, **env: str) -> Iterator[tuple[str, Line]]:
    with (
        running_server(folder, env={**QUICK, "ROTA_FRONTS__JOBQ__QUEUE": queue, **env}) as server,
        httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False) as http,
    ):
        yield server.url, Line(http, queue)


def test_the_built_in_worker_of_a_queue_comes_before_a_stand_in(tmp_path: Path) -> None:
    """It serves the queue; what it does not know waits, and says so."""
    with line(tmp_path, "default") as (_, default):
        until(lambda: default.shown()["workers"], "the built-in worker")
        waiting = default.enqueue()
        slept = default.http.post("/v1/jobs?wait=10", json={"type": "sleep", "payload": {"ms": 1}}).json()
        assert slept["state"] == "done"
        assert default.job(waiting)["state"] == "pending"
        assert default.cause(waiting) == "unknown_type"
        shown = default.shown()
        assert (shown["types_without_worker"], shown["workers"]) == (["jobq"], 1)


def test_without_one_the_stand_in_serves_what_it_knows_and_nothing_else(tmp_path: Path) -> None:
    with line(tmp_path, "default", ROTA_HANDLERS__ENABLED="false") as (_, default):
        assert default.ended(default.enqueue())["state"] == "done"
        other = default.http.post("/v1/jobs", json={"type": "resize"}).json()["id"]
        default.ended(default.enqueue())
        assert default.job(other)["state"] == "pending"
        assert default.shown()["types_without_worker"] == ["resize"]


def test_a_worker_takes_the_queue_over_and_gives_it_back(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ANYTHING)
    with line(tmp_path, "shared") as (url, shared):
        assert shared.ended(shared.enqueue())["result"] is None
        with running(tmp_path, "work", "mine:app", env={"ROTA_URL": url}) as worker:
            worker.wait_for("connected")
            assert shared.ended(shared.enqueue())["result"] == ["mine", "jobq"]
            worker.stop()
        assert shared.ended(shared.enqueue())["result"] is None
        with running(tmp_path, "work", "mine:only", env={"ROTA_URL": url}) as worker:
            worker.wait_for("connected")
            waiting = shared.enqueue()
            known = shared.http.post("/v1/jobs?wait=10", json={"type": "known", "queue": "shared"}).json()
            assert known["result"] == "known"
            assert (shared.job(waiting)["state"], shared.cause(waiting)) == ("pending", "unknown_type")
            worker.kill()
        assert shared.ended(waiting)["result"] is None


def test_a_worker_that_polls_counts_until_it_is_silent(tmp_path: Path) -> None:
    with line(tmp_path, "shared", ROTA_LEASE="1s", ROTA_BEAT="200ms") as (_, shared):
        ask = {"worker": "somebody", "queues": ["shared"], "types": ["other"], "slots": 1, "wait": 0}
        assert shared.http.post("/v1/fetch", json=ask).status_code == 200
        waiting = shared.enqueue()
        assert shared.cause(waiting) == "unknown_type"
        assert shared.ended(waiting)["state"] == "done"
