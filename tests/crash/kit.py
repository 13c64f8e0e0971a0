"""Servers and workers as processes, a client that writes down what it was promised, and the whole store."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

import rota
from rota.config.fronts import NAMES
from tests.crash.history import History, Job, check
from tests.server import Process, Server, environment, running, running_server

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
APP = "tests.crash.jobs:app"


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until ``condition`` gives something, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} seconds"
        time.sleep(0.01)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP, and inside the block every thread stands still; SIGCONT at its end."""

    def still() -> bool:
        states = [
            task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in threads.iterdir()
        ]
        return set(states) == {"T"}

    threads = Path(f"/proc/{pid}/task")
    os.kill(pid, signal.SIGSTOP)
    try:
        until(still, f"the freezing of {pid}")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Scene:
    """A folder with a store and a history, and the processes that work on them. ``url``: of a store that is
    somewhere else.
    """

    def __init__(self, folder: Path, *, url: str | None = None, **settings: str) -> None:
        self.folder = folder
        self.url = url
        self.history = History(folder / "history")
        self.port = 0
        self.env = {f"ROTA_{name.upper()}": value for name, value in settings.items()} | {
            # Only our own tasks; the built-in worker is switched on where it is wanted.
            "ROTA_HANDLERS__ENABLED": settings.get("handlers__enabled", "false"),
        }
        for name in NAMES:
            self.env.setdefault(f"ROTA_FRONTS__{name.upper()}__ENABLED", "false")
        path = os.pathsep.join([str(ROOT), str(Path(rota.__file__).parents[1])])
        self.tasks_env = {"PYTHONPATH": path, "TEST_HISTORY": str(self.history.folder)}
        self.keys = 0
        self.http: httpx2.Client

    @contextlib.contextmanager
    def server(self, *flags: str) -> Iterator[Server]:
        """``rota serve``; after a restart on the same port."""
        listen = f"127.0.0.1:{self.port}"
        env = self.env | self.tasks_env
        with running_server(self.folder, *flags, listen=listen, store=self.url, env=env) as server:
            self.port = int(server.url.rpartition(":")[2])
            with httpx2.Client(base_url=server.url, timeout=PATIENCE, trust_env=False) as self.http:
                yield server

    @contextlib.contextmanager
    def worker(self, name: str, *flags: str) -> Iterator[Process]:
        """``rota work`` on the server's address, connected when the block begins."""
        arguments = ["work", APP, "--url", f"http://127.0.0.1:{self.port}", "--name", name, *flags]
        with running(self.folder, *arguments, env=self.tasks_env) as process:
            until(lambda: name in self.roster(), f"worker {name}")
            yield process

    @contextlib.contextmanager
    def bare_worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of the simplest kind, for one job; it hears nothing until it reports."""
        url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "tests.crash.bare", url, str(self.history.folder)]
        with subprocess.Popen(command, env=environment(self.tasks_env)) as process:
            try:
                yield process
            finally:
                process.kill()

    def roster(self) -> dict[str, dict[str, Any]]:
        """The connected workers by name."""
        return {worker["name"]: worker for worker in self.http.get("/v1/workers").json()["workers"]}

    def send(
        self, type: str, count: int = 1, *, payload: dict[str, Any] | None = None, **fields: Any
    ) -> list[str]:
        """Enqueue jobs, each under a key of its own, and write down what was acknowledged; their ids."""
        keys = list(range(self.keys, self.keys + count))
        self.keys += count
        jobs = [{"type": type, "payload": {"key": key, **(payload or {})}, **fields} for key in keys]
        for key in keys:
            self.history.note("sent", key=key)
        answer = self.http.post("/v1/jobs", json={"jobs": jobs})
        assert answer.status_code == 201, answer.text
        ids = [str(job["id"]) for job in answer.json()["jobs"]]
        for key, id in zip(keys, ids, strict=True):
            self.history.note("acked", key=key, id=id)
        return ids

    def job(self, id: str) -> Job:
        job: Job = self.http.get(f"/v1/jobs/{id}").raise_for_status().json()
        return job

    def state(self, id: str) -> str:
        return str(self.job(id)["state"])

    def ended(self, *ids: str, seconds: float = PATIENCE) -> list[Job]:
        """These jobs, once they have ended."""
        deadline = time.monotonic() + seconds
        jobs = []
        for id in ids:
            wait = max(0.0, deadline - time.monotonic())
            answer = self.http.get(f"/v1/jobs/{id}", params={"wait": wait}, timeout=seconds + 5)
            job = answer.raise_for_status().json()
            assert job["state"] in ("done", "failed", "cancelled"), job
            jobs.append(job)
        return jobs

    def began(self, id: str, times: int = 1, seconds: float = PATIENCE) -> dict[str, Any]:
        """The note of the job's run number ``times``, once it has begun."""
        found = until(
            lambda: self.history.events("began", id=id)[times - 1 :], f"run {times} of {id}", seconds
        )
        event: dict[str, Any] = found[0]
        return event

    def open(self, gate: str) -> None:
        """Let the jobs go on that wait for this file."""
        (self.history.folder / gate).touch()

    def store(self) -> list[Job]:
        """Every job of the store, whole."""
        jobs = []
        cursor: str | None = None
        while True:
            params: dict[str, Any] = {"limit": 500} | ({} if cursor is None else {"cursor": cursor})
            page = self.http.get("/v1/jobs", params=params).raise_for_status().json()
            jobs += [self.job(job["id"]) for job in page["jobs"]]
            cursor = page["cursor"]
            if cursor is None:
                return jobs

    def check(self, *, once: bool = False) -> None:
        """Nothing that was promised was broken."""
        told = check(self.history.events(), self.store(), once=once)
        assert not told, "\n".join(told)
