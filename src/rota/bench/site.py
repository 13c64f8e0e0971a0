"""A server and a worker in processes of their own, and the way to them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rota import supervise
from rota.engines import places

QUEUE = "rota-bench"
PICKUP_QUEUE = "rota-bench-pickup"
ACROSS_QUEUE = "rota-bench-across"
PAYLOAD = {"user": 12345, "text": "hello world, this is a job", "list": [1, 2, 3], "nested": {"a": True}}
NOOP = {"type": "noop", "queue": QUEUE, "payload": PAYLOAD}

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

PATIENCE = 120.0
"""Seconds after which something will not come any more."""

_PROGRAM = "rota_bench_tasks"
_STOP_SECONDS = 10.0
_KEPT_LINES = 20


class Broken(Exception):
    """A process under measurement did not do what it should; the text says what it said."""


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Whoever presses Ctrl-C twice still wants nothing left behind. For the main thread."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Signals take effect after the block, which they would otherwise leave between a process's start and the
    line that remembers it. For the main thread.
    """
    came: list[int] = []
    # Handlers, not a mask: a child would inherit the mask, and never hear the SIGTERM that ends it.
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came[:1]:
            signal.raise_signal(late)


class Site:
    """A running server; ``folder`` is its working folder, ``python`` the interpreter that has the Rota to
    measure. Leaving the block ends all processes.
    """

    def __init__(self, store: str, folder: Path, python: str = sys.executable) -> None:
        self.up_seconds = 0.0
        self.url = ""
        self._python = python
        self._folder = folder
        self._store = store
        self._children: list[_Child] = []
        # The load must not go through a proxy that the environment names.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def __enter__(self) -> Site:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def work(self, slots: int) -> None:
        """Start a worker, and wait until the server knows it."""
        self._work(self.url, QUEUE, slots)

    @property
    def shared(self) -> bool:
        """Whether another server can be on the same store."""
        return places.is_postgres(self._store)

    def work_elsewhere(self, slots: int) -> None:
        """Start a second server on the store, with a worker for a queue that no other one serves."""
        child = self._run("serve", "--listen", "127.0.0.1:0", "--store", self._store)
        self.wait(lambda: child.url is not None, "the second server listens", child)
        self._work(child.url or "", ACROSS_QUEUE, slots, "--queues", ACROSS_QUEUE)

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 (the address is our own server's)
            self.url + path, data, headers, method=method
        )
        try:
            with self._open(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except OSError as error:
            raise Broken(f"The server does not answer {method} {path}: {error}{self._last_words()}") from None

    def fill(self, jobs: int) -> None:
        """Store so many jobs of the kind that does nothing."""
        while jobs > 0:
            part = min(jobs, 5000)
            self.send("POST", "/v1/jobs", {"jobs": [NOOP] * part})
            jobs -= part

    def pending(self) -> int:
        """Jobs that wait in the queue."""
        queues = self.get("/v1/queues")["queues"]
        return sum(int(one["pending"]) for one in queues if one["name"] == QUEUE)

    def done(self) -> int:
        """Jobs done since the server started."""
        return int(self.get("/v1/stats")["finished"]["done"])

    def pause(self) -> None:
        self.send("POST", f"/v1/queues/{QUEUE}/pause")

    def resume(self) -> None:
        self.send("POST", f"/v1/queues/{QUEUE}/resume")

    def clear(self) -> None:
        """Delete what waits in the queue."""
        self.send("DELETE", f"/v1/queues/{QUEUE}/jobs")

    def memory(self) -> float | None:
        """Proportional set size of the server in MB, where the system tells it."""
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{self._children[0].process.pid}/smaps_rollup").read_text()
            for line in rollup.splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) / 1024
        return None

    def processor_seconds(self) -> float | None:
        """What the server has used so far, where the system tells it."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._children[0].process.pid}/stat").read_text()
            used = stat.rpartition(")")[2].split()[11:13]
            return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
        return None

    def wait(self, until: Callable[[], bool], what: str, child: _Child | None = None) -> None:
        """Ask until it is so; Broken after two minutes, or as soon as a process has ended."""
        deadline = time.perf_counter() + PATIENCE
        while not until():
            gone = [one for one in (child, *self._children) if one and one.process.poll() is not None]
            if gone or time.perf_counter() > deadline:
                raise Broken(f"It never happened that {what}.{self._last_words()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the worker, then the server; with force when they do not obey."""
        with undisturbed():
            for child in reversed(self._children):
                child.stop()
            self._children.clear()

    def _work(self, url: str, queue: str, slots: int, *options: str) -> None:
        source = Path(__file__).with_name("tasks.py")
        shutil.copyfile(source, self._folder / f"{_PROGRAM}.py")
        child = self._run("work", f"{_PROGRAM}:app", "--url", url, "--slots", str(slots), *options)
        # Also the first server has to know of it, if it is not that one's.
        self.wait(
            lambda: any(queue in worker["queues"] for worker in self.get("/v1/workers")["workers"]),
            "the worker comes",
            child,
        )

    def _start(self) -> None:
        started = time.perf_counter()
        child = self._run("serve", "--listen", "127.0.0.1:0", "--store", self._store)
        self.wait(lambda: child.url is not None, "the server listens", child)
        self.url = child.url or ""
        self.wait(lambda: bool(self.get("/readyz")["status"] == "ok"), "the server is ready")
        self.up_seconds = time.perf_counter() - started

    def _run(self, *arguments: str) -> _Child:
        with postponed():
            child = _Child([self._python, "-m", "rota", *arguments], self._folder)
            self._children.append(child)
        return child

    def _last_words(self) -> str:
        said = [line for child in self._children for line in child.lines]
        return "\nIt said:\n" + "\n".join(said) if said else ""


@functools.cache
def _knows_programs(python: str) -> bool:
    """Whether the Rota of this interpreter has the setting; an unknown one is refused."""
    if python == sys.executable:
        return True
    tried = subprocess.run([python, "-c", "import rota.config.programs"], capture_output=True, check=False)
    return tried.returncode == 0


class _Child:
    """A process of ours, and what it says."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.url: str | None = None
        self.lines: list[str] = []
        # Settings of this machine are for other servers; and traces would be measured along.
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ROTA_", "OTEL_"))}
        env |= {
            "ROTA_LOG_FORMAT": "json",
            "ROTA_LOG_LEVEL": "info",
            "ROTA_HANDLERS__ENABLED": "false",
        }
        if command[0] == sys.executable:
            # Should this process be killed, the system ends them. (Another Rota may not know this.)
            env[supervise.PARENT] = f"{os.getpid()}:0"
        if _knows_programs(command[0]):
            # Nobody runs any here, and a sandbox that opens would be measured along.
            env["ROTA_PROGRAMS__ENABLED"] = "false"
        # A session of their own: Ctrl-C is for us, who stop them in order.
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        # Nothing of theirs is worth waiting for, but the server should let go of its store in peace.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(1)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.lines = [*self.lines[1 - _KEPT_LINES :], line.rstrip()]
                with contextlib.suppress(ValueError, AttributeError):
                    self.url = self.url or json.loads(line).get("url")
