"""The five older interfaces where two servers share a store: what is posted at one is done by the other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests import postgres
from tests.crash.kit import until
from tests.fronts.test_pqexec import Client, lists, schedule
from tests.server import DEADLINE, Server, running_server

NO_WORK = {
    "ROTA_FRONTS__JQGO__SLOTS": "0",
    "ROTA_FRONTS__JOBQ__SLOTS": "0",
    "ROTA_FRONTS__JOBSAPI__SLOTS": "0",
    "ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "0",
}
"""This one only takes the jobs."""
WORK = {"ROTA_FRONTS__JOBQ__WORK": "20ms", "ROTA_FRONTS__JOBSAPI__WORK": "20ms"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    store, folder = postgres.fresh(), tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(running_server(folder, "--grace", "0.1", store=store, env=env))
            for env in (NO_WORK, WORK)
        )
        until(lambda: all(len(ask(at, "GET", "/v1/stats")["servers"]) == 2 for at in (one, other)), "both")
        yield one, other
    postgres.give_back(store)


def ask(server: Server, method: str, path: str, **options: Any) -> Any:
    answer = httpx2.request(method, server.url + path, timeout=DEADLINE, trust_env=False, **options)
    return answer.raise_for_status().json()


def test_jobq(pair: tuple[Server, Server]) -> None:
    one, _ = pair
    made = ask(one, "POST", "/enqueue", json={"user": 1})
    until(lambda: ask(one, "GET", f"/status/{made['id']}")["status"] == "completed", "the end")


def test_jobsapi(pair: tuple[Server, Server]) -> None:
    one, _ = pair
    made = ask(one, "POST", "/jobs", json={"type": "report", "payload": {"key": 1}})
    done = until(
        lambda: [
            job
            for job in [ask(one, "GET", f"/jobs/{made['id']}")]
            if job["status"] not in ("pending", "running")
        ],
        "the end",
    )[0]
    assert base64.b64decode(done["result"])


def test_jqgo_a_worker_at_the_other(pair: tuple[Server, Server]) -> None:
    one, other = pair
    with connect(other.url.replace("http", "ws") + "/ws/worker", proxy=None) as socket:
        assert socket.recv(DEADLINE) == "connected to server"
        made = ask(one, "POST", "/job", json={"type": "hash", "input": "here"})
        job = json.loads(socket.recv(DEADLINE))
        assert job["id"] == made["id"]
        result = {"job": job, "result": "done there", "duration": 1, "success": True}
        socket.send(json.dumps({"RespType": "result", "Res": result}))
        until(lambda: ask(one, "GET", f"/v1/jobs/{made['id']}")["state"] == "done", "the end")

        def listed() -> list[bool]:
            workers = ask(one, "GET", "/v1/workers")["workers"]
            return [one["server"] is not None for one in workers if one["transport"] == "front"]

        # Whether the job or the news of its worker comes first is nobody's promise.
        until(lambda: listed() == [True], "the worker of the other server")


def test_poll_a_client_that_waits_at_one_is_answered_by_a_worker_at_the_other(
    pair: tuple[Server, Server],
) -> None:
    one, other = pair
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(ask, one, "POST", "/api/submit", json={"key": 1})
        job: dict[str, Any] = {}

        def polled() -> bool:
            answer = httpx2.get(other.url + "/api/worker/poll", trust_env=False)
            if answer.status_code == 200:
                job.update(answer.json())
            return bool(job)

        until(polled, "the job")
        ask(other, "POST", f"/api/worker/complete/{job['job_id']}", json={"echo": 1})
        told = waiting.result(DEADLINE)
        assert (told["job_id"], told["payload"]) == (job["job_id"], {"echo": 1})


def test_pqexec_lists_and_tells_of_what_runs_at_the_other(pair: tuple[Server, Server]) -> None:
    one, other = pair
    here, there = Client(one), Client(other)
    schedule(one, {"long": 700, "short": 5})
    until(lambda: "long" in lists(one)[0], "the task among the active ones")
    assert "long" in lists(other)[0]
    for client in (here, there):
        for id in ("long", "short"):
            until(lambda: client.of(id)[-1:] == ["done"], f"the end of {id}")  # noqa: B023
            assert client.of(id) == ["scheduled", "next", "start", "done"]
    until(lambda: [lists(at) for at in pair] == [({}, [])] * 2, "empty lists")


def test_pqexec_tasks_of_one_id_follow_each_other(pair: tuple[Server, Server]) -> None:
    one, other = pair
    client = Client(one)
    schedule(other, {"same": 300})
    until(lambda: "same" in lists(one)[0], "the first one")
    for _ in range(2):
        schedule(one, {"same": 5})
    until(lambda: client.of("same").count("done") == 3, "the end of all")
    running = [event for event in client.of("same") if event in ("start", "done")]
    assert running == ["start", "done"] * 3
