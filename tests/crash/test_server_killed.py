"""kill -9 of the server: what was acknowledged is there, and what ran goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import httpx2
import pytest

from tests.crash.kit import PATIENCE, Scene, until


class Clients:
    """Threads that enqueue under idempotency keys, one job or several at a time, and never give up."""

    def __init__(self, scene: Scene, threads: int = 6) -> None:
        self._scene = scene
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.acked: dict[str, list[str]] = {}
        self._bodies: dict[str, bytes] = {}
        self.retried = 0
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def finish(self) -> None:
        """Send nothing new; what is under way is retried until it is acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a request was never acknowledged"

    def again(self) -> None:
        """Every request once more: the same ids come back."""
        with httpx2.Client(base_url=self._url, timeout=PATIENCE, trust_env=False) as http:
            for name, body in self._bodies.items():
                assert self._send(http, name, body) == 200

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._scene.port}"

    def _run(self, number: int) -> None:
        with httpx2.Client(base_url=self._url, timeout=PATIENCE, trust_env=False) as http:
            for turn in range(100_000):
                if self._stop.is_set():
                    return
                name = f"{number}-{turn}"
                keys = [f"{name}-{n}" for n in range(1 if turn % 3 else 15)]
                for key in keys:
                    self._scene.history.note("sent", key=key)
                jobs = [{"type": "quick", "payload": {"key": key}} for key in keys]
                body = self._bodies[name] = json.dumps({"jobs": jobs}).encode()
                while True:
                    try:
                        if self._send(http, name, body) in (200, 201):
                            break
                    except httpx2.TransportError:
                        self.retried += 1
                        time.sleep(0.01)

    def _send(self, http: httpx2.Client, name: str, body: bytes) -> int:
        headers = {"content-type": "application/json", "idempotency-key": name}
        answer = http.post("/v1/jobs", content=body, headers=headers)
        if answer.status_code in (200, 201):
            sent = json.loads(body)["jobs"]
            ids = [job["id"] for job in answer.json()["jobs"]]
            for job, id in zip(sent, ids, strict=True):
                self._scene.history.note("acked", key=job["payload"]["key"], id=id)
            with self._lock:
                self.acked[name] = ids
        return answer.status_code


def test_nothing_acknowledged_is_lost_or_doubled(scene: Callable[..., Scene]) -> None:
    """Three kills under load, with a worker that takes and reports jobs all the time."""
    here = scene(lease="1s", beat="300ms", socket_grace="500ms")
    with ExitStack() as stack:
        clients = Clients(here)
        for _ in range(3):
            with here.server() as server:
                if not clients.acked:
                    worker = stack.enter_context(here.worker("w1"))
                    stack.enter_context(clients)
                before = len(clients.acked)
                until(lambda before=before: len(clients.acked) > before + 40, "acknowledged requests")  # type: ignore[misc]
                server.kill()
        with here.server():
            clients.finish()
            assert clients.retried > 0, "the kills hit somebody"
            clients.again()
            ids = [id for ids in clients.acked.values() for id in ids]
            here.ended(*ids)
            here.check()
            worker.stop()


@pytest.mark.parametrize("gate", ["opens while the server is away", "opens when it is back"])
@pytest.mark.parametrize("transport", ["socket", "poll"])
def test_a_running_job_survives_the_server(scene: Callable[..., Scene], gate: str, transport: str) -> None:
    """Its worker comes back, is not taken for lost, and its result counts: the job ran just once."""
    here = scene()
    with ExitStack() as stack:
        with here.server() as server:
            worker = stack.enter_context(here.worker("w1", *(["--poll"] if transport == "poll" else [])))
            [id] = here.send("hold", payload={"gate": "go"})
            here.began(id)
            server.kill()
        if "away" in gate:
            here.open("go")
            until(lambda: here.history.events("ended", id=id), "the end of the handler")
        with here.server():
            until(lambda: "w1" in here.roster(), "w1")
            here.open("go")
            here.ended(id)
            here.check(once=True)
            worker.stop()


def test_a_server_that_is_away_for_longer_than_a_lease(scene: Callable[..., Scene]) -> None:
    """Nobody could beat meanwhile; the holders get one more lease, and their results still count."""
    here = scene(lease="3s", beat="1s")
    with ExitStack() as stack:
        with here.server() as server:
            stack.enter_context(here.bare_worker())
            [id] = here.send("hold", payload={"gate": "go"})
            here.began(id)
            server.kill()
        killed = time.monotonic()
        until(lambda: time.monotonic() > killed + 3.1, "the end of the lease")
        with here.server():
            started = time.monotonic()
            until(lambda: time.monotonic() > started + 1.2, "two rounds of rescue")
            here.open("go")
            [job] = here.ended(id)
            assert job["result"]["by"] == "bare"
            here.check(once=True)


def test_what_the_server_ran_itself_runs_again_at_once(scene: Callable[..., Scene]) -> None:
    """Nobody else can hold these jobs, so that there is no lease to wait for."""
    here = scene(handlers__enabled="sleep")
    with here.server() as server:
        id = here.http.post("/v1/jobs", json={"type": "sleep", "payload": {"ms": 700}}).json()["id"]
        until(lambda: here.state(id) == "running", "the job")
        server.kill()
    started = time.monotonic()
    with here.server():
        [job] = here.ended(id)
        assert time.monotonic() - started < 6, "the lease is 15 seconds"
        assert [one["end"] for one in job["attempts"]] == ["lost", "done"]
        assert job["result"] == {"slept_ms": 700}


def test_a_pause_and_scheduled_jobs_survive(scene: Callable[..., Scene]) -> None:
    here = scene()
    with here.server() as server:
        here.http.post("/v1/queues/default/pause").raise_for_status()
        later = here.send("quick", 3, delay=1)
        now = here.send("quick", 3)
        server.kill()
    with here.server(), here.worker("w1"):
        until(lambda: all(here.state(id) == "pending" for id in later), "the time of the scheduled jobs")
        assert here.history.events("began") == []
        here.http.post("/v1/queues/default/resume").raise_for_status()
        here.ended(*now, *later)
        here.check(once=True)
