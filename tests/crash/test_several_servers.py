"""Real servers on one PostgreSQL: what is asked of one is done by another, and what one held when it was
killed or frozen goes on at another.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from rota.config.fronts import NAMES
from tests import postgres
from tests.crash.kit import PATIENCE, frozen, until
from tests.pooler import pooler
from tests.server import Server, running_server

Json = dict[str, Any]
BARE = {f"ROTA_FRONTS__{name.upper()}__ENABLED": "false" for name in NAMES} | {
    "ROTA_HANDLERS__ENABLED": "false"
}
SLEEPER = BARE | {"ROTA_HANDLERS__ENABLED": "true"}
AHEAD = (sys.executable, str(Path(__file__).with_name("other_time.py")), "300")
"""A machine whose clock is five minutes ahead."""


class Place:
    """A server, and somebody who speaks to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx2.Client(base_url=server.url, timeout=PATIENCE * 2, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        return self.http.get(path, params=params).raise_for_status().json()

    def post(self, path: str, body: object = None, **params: Any) -> Any:
        return self.http.post(path, json=body, params=params).raise_for_status().json()

    def send(self, type: str = "work", **fields: Any) -> str:
        return str(self.post("/v1/jobs", {"type": type, **fields})["id"])

    def fetch(self, worker: str, queue: str, wait: float = PATIENCE) -> list[Json]:
        jobs: list[Json] = self.post("/v1/fetch", {"worker": worker, "queues": [queue], "wait": wait})["jobs"]
        return jobs

    def finish(self, worker: str, job: Json, **fields: Any) -> Json:
        ending = {"id": job["id"], "lease": job["lease"], "end": "done", **fields}
        answer: Json = self.post("/v1/finish", {"worker": worker, "outcomes": [ending]})["answers"][0]
        return answer

    def servers(self) -> set[str]:
        return {one["server"] for one in self.get("/v1/stats")["servers"]}

    def workers(self) -> dict[str, Json]:
        return {one["worker"]: one for one in self.get("/v1/workers")["workers"]}


@contextmanager
def places(folder: Path, store: str, *servers: dict[str, Any]) -> Iterator[list[Place]]:
    """Servers that know each other; ``env`` and ``python`` of each."""
    with ExitStack() as stack:
        there = [stack.enter_context(place(folder, store, **options)) for options in servers]
        until(lambda: all(len(one.servers()) == len(there) for one in there), "all servers")
        yield there


@contextmanager
def place(folder: Path, store: str, **options: Any) -> Iterator[Place]:
    with ExitStack() as stack:
        options = {"env": BARE} | options
        server = stack.enter_context(running_server(folder, "--grace", "0.1", store=store, **options))
        one = Place(server)
        try:
            yield one
        finally:
            one.http.close()
        if server.process.poll() is not None:
            # It was killed: nothing is left to be stopped in good order.
            stack.pop_all()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """Two servers, the second on a machine with a wrong clock."""
    store = postgres.fresh()
    folder = tmp_path_factory.mktemp("pair")
    with places(folder, store, {}, {"python": AHEAD}) as (one, other):
        yield one, other
    postgres.give_back(store)


class Stream(threading.Thread):
    """The events of a server, read as they come."""

    def __init__(self, place: Place, topic: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{place.server.url}/v1/events"
        self._topic = topic
        self.ready = threading.Event()
        self.events: list[Json] = []
        self.start()
        assert self.ready.wait(PATIENCE)

    def run(self) -> None:
        with httpx2.stream(
            "GET", self._url, params={"topic": self._topic}, timeout=PATIENCE * 2, trust_env=False
        ) as answer:
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    if kind == "ready":
                        self.ready.set()
                    else:
                        self.events.append(json.loads(line.removeprefix("data: ")))
                        if kind in ("finished", "resumed"):
                            return


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_client_of_one_is_answered_when_a_worker_of_another_is_done(pair: tuple[Place, Place]) -> None:
    one, other = pair
    with ThreadPoolExecutor() as threads:
        fetching = threads.submit(other.fetch, "p1", "answer")
        asking = threads.submit(
            one.post, "/v1/jobs", {"type": "work", "queue": "answer", "payload": 1}, wait=PATIENCE
        )
        [job] = fetching.result()
        assert other.finish("p1", job, result=7)["applied"]
        told = asking.result()
    assert (told["state"], told["result"], told["id"]) == ("done", 7, job["id"])


def test_clocks_that_differ_by_minutes_agree_on_jobs(pair: tuple[Place, Place]) -> None:
    one, other = pair
    id = one.send(queue="clock", delay=1)
    [job] = other.fetch("p2", "clock")
    running = one.get(f"/v1/jobs/{id}")
    lease = moment(running["lease_until"]) - moment(running["started_at"])
    assert timedelta(seconds=14) < lease < timedelta(seconds=16)
    assert moment(running["run_at"]) <= moment(running["started_at"])
    other.finish("p2", job)
    done = one.get(f"/v1/jobs/{id}")
    assert moment(done["created_at"]) < moment(done["run_at"]) <= moment(done["started_at"])
    assert moment(done["started_at"]) <= moment(done["finished_at"])
    assert moment(done["finished_at"]) - moment(done["created_at"]) < timedelta(seconds=60)
    # Nobody took it for lost, however far its lease seemed to be over.
    assert [attempt["end"] for attempt in done["attempts"]] == ["done"]


def test_the_stream_of_one_shows_what_happens_at_another(pair: tuple[Place, Place]) -> None:
    one, other = pair
    stream = Stream(one, "queue:stream")
    id = one.send(queue="stream")
    [job] = other.fetch("p3", "stream")
    other.finish("p3", job)
    stream.join(PATIENCE)
    assert [event["event"] for event in stream.events] == ["enqueued", "started", "finished"]
    assert {event["id"] for event in stream.events} == {id}
    times = [moment(event["at"]) for event in stream.events]
    assert max(times) - min(times) < timedelta(seconds=60)
    marks = Stream(one, "queue:marks")
    other.post("/v1/queues/marks/pause")
    other.post("/v1/queues/marks/resume")
    marks.join(PATIENCE)
    assert [event["event"] for event in marks.events] == ["paused", "resumed"]


def test_pause_and_resume_hold_at_both(pair: tuple[Place, Place]) -> None:
    one, other = pair
    one.post("/v1/queues/held/pause")
    until(lambda: [q for q in other.get("/v1/queues")["queues"] if q["name"] == "held" and q["paused"]], "it")
    id = other.send(queue="held")
    assert other.fetch("p4", "held", 0.3) == []
    with ThreadPoolExecutor() as threads:
        fetching = threads.submit(other.fetch, "p4", "held")
        until(lambda: "p4" in one.workers(), "the worker")
        one.post("/v1/queues/held/resume")
        [job] = fetching.result()
    assert job["id"] == id
    other.finish("p4", job)


def test_cancel_reaches_a_worker_of_the_other(pair: tuple[Place, Place]) -> None:
    one, other = pair
    url = other.server.url.replace("http", "ws") + "/v1/worker"
    with connect(url, proxy=None) as socket:
        socket.send(json.dumps({"op": "hello", "worker": "s1", "queues": ["stop"], "slots": 1}))
        assert json.loads(socket.recv(PATIENCE))["op"] == "welcome"
        id = one.send(queue="stop")
        assert json.loads(socket.recv(PATIENCE))["jobs"][0]["id"] == id
        one.post(f"/v1/jobs/{id}/cancel")
        assert json.loads(socket.recv(PATIENCE))["op"] == "cancel"
        shown = until(lambda: one.workers().get("s1"), "the worker")
        assert (shown["server"] in other.servers(), shown["transport"]) == (True, "socket")
        drained = one.post("/v1/workers/s1/drain")
        assert drained["worker"] == "s1"
        assert json.loads(socket.recv(PATIENCE))["op"] == "drain"
        assert one.http.post("/v1/workers/nobody/drain").status_code == 404


def test_figures_add_up(pair: tuple[Place, Place]) -> None:
    one, other = pair
    counted = ("enqueued", "started", "finished")

    def same() -> bool:
        here, there = one.get("/v1/stats"), other.get("/v1/stats")
        return all(here[name] == there[name] for name in counted)

    until(same, "what happened before")
    before = one.get("/v1/stats")
    for at, back in ((one, other), (other, one)):
        at.send(queue="figures")
        [job] = back.fetch("p5", "figures")
        back.finish("p5", job)

    def more(name: str) -> int:
        stats = one.get("/v1/stats")
        return int(stats[name] - before[name])

    until(lambda: more("enqueued") == 2 and more("started") == 2, "the figures of both")
    until(lambda: one.get("/v1/stats")["finished"]["done"] - before["finished"]["done"] == 2, "the ends")

    def points() -> int:
        told = one.get("/v1/stats", resolution="5s", last=60, queue="figures")["series"]
        return sum(n or 0 for line in told for n in line["done"])

    until(lambda: points() == 2, "the figures over time")


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_jobs_inside_a_lost_server_go_on(tmp_path: Path, how: str) -> None:
    store = postgres.fresh()
    with places(tmp_path, store, {}, {"env": SLEEPER}) as (one, lost):
        id = one.send("sleep", payload={"ms": 600_000})
        until(lambda: one.get(f"/v1/jobs/{id}")["state"] == "running", "the start")
        with ExitStack() as stack:
            if how == "killed":
                lost.server.kill()
            else:
                stack.enter_context(frozen(lost.server.pid))
            with place(tmp_path, store, env=SLEEPER) as third:
                again = until(
                    lambda: [
                        job
                        for job in [third.get(f"/v1/jobs/{id}")]
                        if len(job["attempts"]) == 2 and job["state"] == "running"
                    ],
                    "the job at another server",
                )[0]
                assert [attempt["end"] for attempt in again["attempts"]] == ["lost", None]
                until(lambda: len(third.servers()) == 2, "that it is missed")
                stack.close()
                if how == "frozen":
                    # It is back, and its worker learns that the job is not its own any more.
                    until(lambda: len(third.servers()) == 3, "the frozen server")
                third.post(f"/v1/jobs/{id}/cancel")
                until(lambda: third.get(f"/v1/jobs/{id}")["state"] == "cancelled", "the end")
                ends = [attempt["end"] for attempt in third.get(f"/v1/jobs/{id}")["attempts"]]
                assert ends == ["lost", "cancelled"]
    postgres.drop(store)


async def test_behind_a_pooler_without_anything_to_listen_to(tmp_path: Path) -> None:
    store = postgres.fresh()
    async with pooler(store) as between:
        await asyncio.to_thread(_through, tmp_path, between.url)
    postgres.drop(store)


def _through(folder: Path, store: str) -> None:
    with places(folder, store, {}, {}) as (one, other), ThreadPoolExecutor() as threads:
        fetching = threads.submit(other.fetch, "p1", "q")
        asking = threads.submit(one.post, "/v1/jobs", {"type": "work", "queue": "q"}, wait=PATIENCE)
        [job] = fetching.result()
        other.finish("p1", job)
        assert asking.result()["state"] == "done"
