"""Servers and workers that are started again whenever they end, as a service manager would do it, and killed
as often as a test likes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

import rota
from rota.config.fronts import NAMES
from tests.crash.history import History, Job
from tests.crash.judge import Verdict, judge
from tests.crash.kit import ROOT, until
from tests.crash.load import Load
from tests.server import Process, environment

APP = "tests.crash.noted:app"
LEASE = {"lease": "3s", "beat": "1s", "socket_grace": "1s"}
SERVERS = 0.4
"""The part of all shots that is for servers."""
SHOTS = 2
"""There are at least so many."""
PROGRESS = 3
"""Requests acknowledged between two shots."""
FROZEN = 6.0
"""Seconds that somebody stands still at most: two leases."""
START = 60.0
"""Seconds for all to be there on a busy machine."""
_AGAIN = 0.2


class Member:
    """One program, started again when it ends."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self.kills = self.starts = 0
        self.ended: list[str] = []
        """When it had begun its work and then ended although nobody had killed it: what it said."""
        self._arguments, self._folder, self._env = arguments, folder, env
        self._lock = threading.Lock()
        self._stopping = self._killed = False
        self._process: Process | None = None
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def kill(self) -> None:
        """kill -9."""
        with self._lock:
            if self._process is not None and self._process.process.poll() is None:
                self._killed = True
                self.kills += 1
                self._process.send(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP for the length of the block."""
        with self._lock:
            process = self._process
            if process is not None:
                process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            if process is not None and process.process.poll() is None:
                process.send(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and not again."""
        with self._lock:
            self._stopping = True
            if self._process is not None and self._process.process.poll() is None:
                self._process.terminate()

    def wait(self) -> None:
        self._thread.join(START)
        alive = self._thread.is_alive()
        if self._process is not None:
            self._process.close()
        assert not alive, f"{self.name} does not end: {self._process and self._process.text[-2000:]}"

    def _keep(self) -> None:
        while True:
            with self._lock:
                if self._stopping:
                    return
                self._killed = False
                self._process = Process(self._arguments, self._folder, self._env)
                self.starts += 1
            status = self._process.wait(1e9)
            with (self._folder / f"{self.name}.log").open("a") as log:
                log.write(f"{self._process.text}--- {status}\n")
            with self._lock:
                if self._stopping:
                    return
                said = self._process.text
                if not self._killed and ('"listening"' in said or '"connected"' in said):
                    self.ended.append(f"{self.name} ended by itself ({status}): {said[-2000:]}")
                self._process.close()
            if not self._killed:
                time.sleep(_AGAIN)


class Fleet:
    """``servers`` on one store, and ``workers`` that know them all; every second worker polls."""

    def __init__(
        self,
        folder: Path,
        store: str,
        *,
        servers: int = 2,
        workers: int = 3,
        seed: int = 1,
        rate: float = 60.0,
    ) -> None:
        self.folder, self.store = folder, store
        self.history = History(folder / "history")
        self.chance = random.Random(seed)
        self.shots = self.freezes = 0
        self.urls = [f"http://127.0.0.1:{port}" for port in free_ports(servers)]
        self.load = Load(self.history, self.urls, seed=seed, rate=rate)
        env = environment(
            {f"ROTA_{name.upper()}": value for name, value in LEASE.items()}
            | {f"ROTA_FRONTS__{name.upper()}__ENABLED": "false" for name in NAMES}
            | {"ROTA_HANDLERS__ENABLED": "false", "ROTA_PROGRAMS__ENABLED": "false"}
            | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(rota.__file__).parents[1])])}
            | {"TEST_HISTORY": str(self.history.folder), "ROTA_LOG_FORMAT": "json"}
        )
        self.servers = [
            Member(
                f"server {n}", ["serve", "--store", store, "--listen", url.partition("//")[2]], folder, env
            )
            for n, url in enumerate(self.urls)
        ]
        work = ["work", APP, "--slots", "8", *(word for url in self.urls for word in ("--url", url))]
        self.workers = [
            Member(
                f"worker {n}",
                [*work, "--name", f"w{n}", *(["--poll"] if n % 2 else [])],
                folder,
                env | {"TEST_NAME": f"w{n}"},
            )
            for n in range(workers)
        ]

    @property
    def members(self) -> list[Member]:
        return [*self.servers, *self.workers]

    def __enter__(self) -> Fleet:
        for member in self.members:
            member.start()
        try:
            until(lambda: all(self._ready(url) for url in self.urls), "all servers", START)
            self.load.__enter__()
            names = {f"w{n}" for n in range(len(self.workers))}
            until(lambda: names == self._at_work(), "all workers", START)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.load.__exit__()
        # Workers first, so that there is somebody whom they can tell what became of their jobs.
        for kind in (self.workers, self.servers):
            for member in kind:
                member.stop()
            for member in kind:
                member.wait()

    def fault(self, kind: str) -> None:
        """Note that something is broken now."""
        self.history.note("fault", kind=kind)

    def more(self, acked: int = 40, seconds: float = START) -> None:
        """Wait until every server has acknowledged something, and all together so many requests."""
        before, each = self.load.acked, dict(self.load.by_server)
        until(
            lambda: (
                self.load.acked >= before + acked
                and all(self.load.by_server[url] > each[url] for url in self.urls)
            ),
            "acknowledged requests",
            seconds,
        )

    @contextlib.contextmanager
    def under_fire(self, every: float = 1.0, freeze: float = 0.0) -> Iterator[None]:
        """During the block, about that often, somebody is killed: kill -9. With ``freeze`` that part of them
        stands still instead, for up to twice a lease. Between two shots something has to be acknowledged: on
        a slow machine programs take long to start.
        """
        over = threading.Event()

        def fire() -> None:
            while not over.wait(every * self.chance.uniform(0.5, 1.5)):
                before = self.load.acked
                while self.load.acked < before + PROGRESS and not over.wait(0.05):
                    pass
                member = self.chance.choice(self.servers if self.chance.random() < SERVERS else self.workers)
                self.shots += 1
                if self.chance.random() < freeze:
                    self.freezes += 1
                    with member.frozen():
                        over.wait(self.chance.uniform(0.5, FROZEN))
                else:
                    member.kill()

        # Several at a time, so that the next one is killed while another one stands still.
        threads = [threading.Thread(target=fire, daemon=True) for _ in range(2 if freeze else 1)]
        for thread in threads:
            thread.start()
        before = self.shots
        try:
            yield
            until(lambda: self.shots >= before + SHOTS, "shots", START)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def verdict(self, *, gap: float | None = None, back: float | None = None) -> Verdict:
        """Send nothing new, wait until all jobs have ended, and judge."""
        self.load.finish()
        until(self._idle, "the end of all jobs", 2 * START)
        jobs = self._jobs()
        # For whoever wants to look closer.
        (self.folder / "jobs.json").write_text(json.dumps(jobs))
        verdict = judge(self.history.events(), jobs, gap=gap, back=back)
        broken = verdict.broken + [said for member in self.members for said in member.ended]
        return verdict._replace(broken=broken)

    def _ready(self, url: str) -> bool:
        try:
            return httpx2.get(url + "/readyz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def _at_work(self) -> set[str]:
        return {event["by"] for event in self.history.events("ended")}

    def _idle(self) -> bool:
        for url in self.urls:
            try:
                rows = httpx2.get(url + "/v1/queues", trust_env=False).raise_for_status().json()["queues"]
            except (httpx2.TransportError, httpx2.HTTPStatusError):
                return False
            if any(row[state] for row in rows for state in ("pending", "running", "scheduled")):
                return False
        return True

    def _jobs(self) -> list[Job]:
        """The whole store, each job as the API gives it."""
        with (
            httpx2.Client(base_url=self.urls[0], timeout=START, trust_env=False) as http,
            ThreadPoolExecutor(4) as several,
        ):

            def whole(job: dict[str, Any]) -> Job:
                found: Job = http.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
                return found

            jobs: list[Job] = []
            cursor: str | None = None
            while True:
                params: dict[str, Any] = {"limit": 500} | ({} if cursor is None else {"cursor": cursor})
                page = http.get("/v1/jobs", params=params).raise_for_status().json()
                jobs += several.map(whole, page["jobs"])
                cursor = page["cursor"]
                if cursor is None:
                    return jobs


def sound(store: str) -> None:
    """The store is as it should be, its counters, too."""
    command = [sys.executable, "-m", "rota", "check", "--store", store]
    said = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def free_ports(count: int) -> list[int]:
    """Ports of this machine on which nobody listens just now."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]
