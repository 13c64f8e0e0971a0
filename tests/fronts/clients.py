"""Clients and workers of the five older programs, written from their documented interfaces, as threads.

Each client notes what it sent and what was accepted; none of them knows that there is a new server behind the
old address, and all of them go on when that goes away and comes back.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.server import DEADLINE

Json = dict[str, Any]


class Notes:
    """What one interface's clients and workers have seen."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        """Keys, each in the payload of one request."""
        self.accepted: dict[str, str] = {}
        """Key by id; for interfaces that tell no id, key by key."""
        self.ran: Counter[str] = Counter()
        """How often an outside worker ran a key."""
        self.told: list[Any] = []
        """What was told to them without being asked for."""
        self.wrong: list[str] = []
        """Answers that should not have come."""


class Crowd:
    """Threads that repeat a step each until the block ends; a step may fail for want of a server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.socket_url = f"ws://127.0.0.1:{port}"
        self.sending = True
        self.working = True
        self.clients: list[threading.Thread] = []
        self.workers: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self._number = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    def key(self, name: str) -> str:
        """One that nobody else has."""
        with self._lock:
            self._number += 1
            return f"{name}-{self._number}"

    def client(self, step: Callable[[httpx2.Client], None], pause: float = 0.002) -> None:
        """Repeat until all are told to send no more."""
        self.clients.append(self._thread(step, lambda: self.sending, pause))

    def worker(self, step: Callable[[httpx2.Client], None], pause: float = 0.005) -> None:
        """Repeat until all is done."""
        self.workers.append(self._thread(step, lambda: self.working, pause))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """All of them."""
        try:
            yield
        finally:
            self.sending = self.working = False
            self._over.set()
            for thread in (*self.clients, *self.workers):
                thread.join(DEADLINE)
        assert not self.errors, self.errors
        assert not any(thread.is_alive() for thread in (*self.clients, *self.workers))

    def send_no_more(self) -> None:
        """Until every client has its last answer."""
        self.sending = False
        for thread in self.clients:
            thread.join(DEADLINE)

    def _thread(
        self, step: Callable[[httpx2.Client], None], on: Callable[[], bool], pause: float
    ) -> threading.Thread:
        def run() -> None:
            with httpx2.Client(base_url=self.url, timeout=DEADLINE, trust_env=False) as http:
                while on():
                    try:
                        step(http)
                    except (httpx2.TransportError, OSError, WebSocketException):
                        # There is no server: not as fast as it goes.
                        self._over.wait(0.02)
                    except BaseException as error:
                        self.errors.append(error)
                        raise
                    self._over.wait(pause)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


def jqgo(crowd: Crowd, notes: Notes) -> None:
    """Two clients, and two workers that dial in again when they are cut off."""

    def submit(http: httpx2.Client) -> None:
        key = crowd.key("jqgo")
        notes.sent.append(key)
        answer = http.post("/job", json={"type": "hash", "input": key})
        assert (answer.status_code, answer.json()["status"]) == (202, "enqueued"), answer.text
        notes.accepted[answer.json()["id"]] = key

    def work(http: httpx2.Client) -> None:
        with connect(f"{crowd.socket_url}/ws/worker", ping_interval=None) as socket:
            assert socket.recv() == "connected to server"
            while crowd.working:
                try:
                    told = socket.recv(timeout=0.2)
                except TimeoutError:
                    continue
                if told == "ack result was recived":
                    continue
                job = json.loads(told)
                notes.ran[job["input"]] += 1
                result = {"job": job, "result": f"fakehash({job['input']})", "duration": 1, "success": True}
                socket.send(json.dumps({"RespType": "result", "Res": result}))

    for _ in range(2):
        crowd.client(submit)
        crowd.worker(work)


def poll(crowd: Crowd, notes: Notes) -> None:
    """Clients that wait, and two workers that ask for work."""

    def submit(http: httpx2.Client) -> None:
        key = crowd.key("poll")
        notes.sent.append(key)
        answer = http.post("/api/submit", json={"key": key}, headers={"X-Key": key})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        notes.accepted[body["job_id"]] = key
        if body["payload"] != {"echo": key}:
            notes.wrong.append(f"{key} was answered with {body['payload']}")

    def work(http: httpx2.Client) -> None:
        answer = http.get("/api/worker/poll")
        if answer.status_code == 204:
            return
        job = answer.json()
        key = job["payload"]["key"]
        notes.ran[key] += 1
        if job["headers"]["X-Key"] != key:
            notes.wrong.append(f"{key} came with the headers of {job['headers']['X-Key']}")
        done = http.post(f"/api/worker/complete/{job['job_id']}", json={"echo": key})
        assert done.json() == {"job_id": job["job_id"], "message": "Job completed"}, done.text

    for _ in range(3):
        crowd.client(submit)
    for _ in range(2):
        crowd.worker(work)


def jobq(crowd: Crowd, notes: Notes) -> None:
    """Clients; the server does the work."""

    def submit(http: httpx2.Client) -> None:
        key = crowd.key("jobq")
        notes.sent.append(key)
        answer = http.post("/enqueue", json={"key": key})
        assert (answer.status_code, answer.json()["status"]) == (200, "pending"), answer.text
        notes.accepted[answer.json()["id"]] = key

    for _ in range(2):
        crowd.client(submit)


def jobsapi(crowd: Crowd, notes: Notes) -> None:
    """Clients; the server does the work."""

    def submit(http: httpx2.Client) -> None:
        key = crowd.key("jobsapi")
        notes.sent.append(key)
        answer = http.post("/jobs", json={"type": "report", "payload": {"key": key}})
        assert (answer.status_code, answer.json()["status"]) == (202, "pending"), answer.text
        assert json.loads(base64.b64decode(answer.json()["payload"])) == {"key": key}
        notes.accepted[answer.json()["id"]] = key

    for _ in range(2):
        crowd.client(submit)


def pqexec(crowd: Crowd, notes: Notes) -> None:
    """Clients that send a few tasks at a time, and one that listens."""

    def submit(http: httpx2.Client) -> None:
        keys = [crowd.key("pqexec") for _ in range(3)]
        notes.sent += keys
        answer = http.post("/schedule", json=dict.fromkeys(keys, 3))
        assert (answer.status_code, answer.json()) == (200, {"message": "success"}), answer.text
        notes.accepted |= {key: key for key in keys}

    def listen(http: httpx2.Client) -> None:
        with connect(f"{crowd.socket_url}/ws", ping_interval=None) as socket:
            while crowd.working:
                try:
                    notes.told.append(json.loads(socket.recv(timeout=0.2)))
                except TimeoutError:
                    continue

    crowd.client(submit, pause=0.02)
    crowd.client(submit, pause=0.02)
    crowd.worker(listen)


ALL: dict[str, Callable[[Crowd, Notes], None]] = {
    "jqgo": jqgo,
    "poll": poll,
    "jobq": jobq,
    "jobsapi": jobsapi,
    "pqexec": pqexec,
}
