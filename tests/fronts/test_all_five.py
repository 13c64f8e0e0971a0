"""All five older interfaces at once, under load, and a server that is killed in the middle."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import stores
from tests.crash.kit import until
from tests.engines.kit import ENGINES
from tests.fronts import clients
from tests.fronts.clients import Crowd, Notes
from tests.fronts.kit import play
from tests.server import DEADLINE, Server, running_server

Json = dict[str, Any]
SETTINGS = {
    # What a worker of theirs held when the server died is handed out again after this.
    "ROTA_FRONTS__POLL__LEASE": "2s",
    "ROTA_FRONTS__JOBQ__WORK": "5ms",
    "ROTA_FRONTS__JOBSAPI__WORK": "5ms",
}
TRANSCRIPTS = (
    "jqgo_empty",
    "poll",
    "jobq",
    "jobq_methods",
    "jobsapi",
    "pqexec",
    "jqgo",
    "poll_bodies",
)
"""All that one server can play: ``pqexec_rest`` is another surface."""
BEFORE, AFTER = 40, 40
"""Requests accepted by each interface before the kill and after it."""


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    with stores.empty(request.param, tmp_path) as url:
        yield url


@pytest.mark.timeout(150)
def test_nothing_is_lost_doubled_or_mixed_up_when_the_server_is_killed_under_all_five(
    tmp_path: Path, store: str
) -> None:
    notes = {name: Notes() for name in clients.ALL}
    with ExitStack() as stack:
        first = stack.enter_context(served(tmp_path, store, 0))
        port = int(first.url.rpartition(":")[2])
        crowd = Crowd(port)
        with crowd.at_work():
            for name, join in clients.ALL.items():
                join(crowd, notes[name])
            accepted(notes, BEFORE)
            before = {name: dict(one.accepted) for name, one in notes.items()}
            first.kill()
            second = stack.enter_context(served(tmp_path, store, port))
            accepted(notes, {name: len(one) + AFTER for name, one in before.items()})
            crowd.send_no_more()
            with httpx2.Client(base_url=second.url, timeout=DEADLINE, trust_env=False) as http:
                until(lambda: not unfinished(http), "the end of all jobs", 60)
                for name, one in notes.items():
                    check_store(http, name, one)
                    assert one.wrong == []
                check_fronts(http, notes)
        check_events(notes["pqexec"])
        assert "Traceback" not in second.text


def test_one_server_gives_every_answer_of_all_five(tmp_path: Path, store: str) -> None:
    work = {
        "ROTA_FRONTS__JOBQ__WORK": "20ms",
        "ROTA_FRONTS__JOBSAPI__WORK": "20ms",
        "ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "2",
        # The transcript of JobQueueGo has programs that wait for a worker.
        "ROTA_PROGRAMS__ENABLED": "false",
    }
    with running_server(tmp_path, "--grace", "0", store=store, env=work) as server:
        for name in TRANSCRIPTS:
            play(server.url, name)
        assert "Traceback" not in server.text


def accepted(notes: dict[str, Notes], count: int | dict[str, int]) -> None:
    """Wait until each interface has accepted so many requests."""
    counts = dict.fromkeys(notes, count) if isinstance(count, int) else count
    for name, one in notes.items():
        until(lambda: len(one.accepted) >= counts[name], f"{counts[name]} jobs of {name}", 60)  # noqa: B023


@contextmanager
def served(folder: Path, store: str, port: int) -> Iterator[Server]:
    """The server, on the same store each time; the block may kill it."""
    with ExitStack() as stack:
        manager = running_server(folder, listen=f"127.0.0.1:{port}", store=store, env=SETTINGS)
        server = stack.enter_context(manager)
        yield server
        if server.process.poll() is not None:
            # Nothing is left to be stopped in good order.
            stack.pop_all()
            server.close()


def unfinished(http: httpx2.Client) -> int:
    """Jobs that have not ended."""
    totals = http.get("/v1/queues").raise_for_status().json()["queues"]
    return sum(one[state] for one in totals for state in ("pending", "scheduled", "running"))


def jobs_of(http: httpx2.Client, **match: str) -> Iterator[Json]:
    """All jobs that match."""
    cursor = None
    while True:
        query = {**match, "limit": "500"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/jobs", params=query).raise_for_status().json()
        yield from page["jobs"]
        if not (cursor := page.get("cursor")):
            return


def check_store(http: httpx2.Client, name: str, notes: Notes) -> None:
    """What the store holds of this interface is what was accepted, at most what was sent, each ended once."""
    jobs = [http.get(f"/v1/jobs/{one['id']}").json() for one in jobs_of(http, tag=f"front:{name}")]
    assert {job["queue"] for job in jobs} == {name}
    assert len(list(jobs_of(http, queue=name))) == len(jobs), "jobs of others are in this queue"
    keys = [KEYS[name](job["payload"]) for job in jobs]
    assert len(keys) == len(set(keys)), "a request was stored twice"
    assert set(notes.accepted.values()) <= set(keys) <= set(notes.sent)
    for job in jobs:
        ends = [one["end"] for one in job["attempts"]]
        assert job["state"] == "done", job
        assert ends.count("done") == 1, job
        # An attempt more is one that the death of the server cut off.
        assert set(ends) <= {"done", "lost", "released"}, json.dumps(job)
    if name in ("jqgo", "poll"):
        ends_of = {KEYS[name](job["payload"]): len(job["attempts"]) for job in jobs}
        assert all(runs <= ends_of[key] for key, runs in notes.ran.items())


def check_fronts(http: httpx2.Client, notes: dict[str, Notes]) -> None:
    """Each interface shows what it accepted as done, and nothing of the others."""
    ids = {name: {job["id"] for job in jobs_of(http, tag=f"front:{name}")} for name in notes}

    shown = http.get("/completedJobs").json()
    assert {one["job"]["id"] for one in shown["jobs"]} == ids["jqgo"]
    assert shown["completedJobs"] == len(shown["jobs"]) == len(ids["jqgo"])
    assert all(one["result"] == f"fakehash({one['job']['input']})" for one in shown["jobs"])
    assert {one["job"]["id"]: one["job"]["input"] for one in shown["jobs"]}.items() >= (
        notes["jqgo"].accepted.items()
    )
    assert http.get("/status").json() == {"jobs": [], "queue_length": 0}

    count = len(ids["poll"])
    assert http.get("/api/admin/stats").json() == {
        "completed": count, "pending": 0, "running": 0, "total": count,
    }  # fmt: skip
    assert http.get("/tasks").json() == {"active": {}, "scheduled": []}

    for id, key in notes["jobq"].accepted.items():
        status = http.get(f"/status/{id}").json()
        assert (status["status"], status["payload"]) == ("completed", {"key": key})
    for id in notes["jobsapi"].accepted:
        job = http.get(f"/jobs/{id}").json()
        assert (job["status"], base64.b64decode(job["result"])) == ("done", b"Processed: report")

    for name, theirs in ids.items():
        foreign = next(iter(theirs))
        if name != "jobq":
            assert http.get(f"/status/{foreign}").status_code == 404
        if name != "jobsapi":
            assert http.get(f"/jobs/{foreign}").status_code == 404
        if name != "poll":
            assert http.post(f"/api/worker/complete/{foreign}").status_code == 404


def check_events(notes: Notes) -> None:
    """No task was done twice, and each event is about a task that was sent."""
    done = [event["done"]["ID"] for event in notes.told if "done" in event]
    assert done
    assert len(done) == len(set(done))
    assert set(done) <= set(notes.sent)
    assert {key for event in notes.told for key in event} <= {"scheduled", "next", "start", "done", "message"}


KEYS: dict[str, Callable[[Any], str]] = {
    "jqgo": lambda payload: str(payload["input"]),
    "poll": lambda payload: str(payload["key"]),
    "jobq": lambda payload: str(payload["key"]),
    "jobsapi": lambda payload: str(payload["key"]),
    "pqexec": lambda payload: str(payload["id"]),
}
"""The key in a job's payload."""
