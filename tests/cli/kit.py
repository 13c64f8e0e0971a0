"""The command line as people and programs use it: real processes, with a pipe or a terminal around them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from tests.server import DEADLINE, environment

SHOP = """
import asyncio
import time

import rota

app = rota.App()


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
async def nap(ctx: rota.Context, seconds: float) -> str:
    ctx.log("lying down")
    ctx.progress(0.5, "half asleep")
    await asyncio.sleep(seconds)
    ctx.log("getting up", "warning")
    return "rested"


@app.task
def fails(text: str) -> None:
    raise rota.Fail(text) from ValueError(text)


@app.task
def breaks(text: str) -> None:
    raise OSError(text)


@app.task
def says(text: str) -> str:
    rota.current().log(text)
    return text


@app.task
def picture() -> bytes:
    return bytes(range(256))


@app.task
async def blocks(seconds: float) -> None:
    time.sleep(seconds)
"""
"""A program with tasks, as ``shop.py``."""


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which has to be one JSON document."""
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(f"no JSON: {self}") from None


class Cli:
    """Runs commands against one server, in one folder."""

    def __init__(self, folder: Path, url: str, **env: str | None) -> None:
        self.folder = folder
        self.url = url
        self.env: dict[str, str | None] = {
            "ROTA_URL": url,
            "NO_COLOR": None,
            "COLUMNS": None,
            "LINES": None,
            **env,
        }

    def __call__(
        self, *arguments: str | bytes, stdin: str | bytes = "", env: Mapping[str, str | None] | None = None
    ) -> Ran:
        """Run to the end, with pipes on all sides."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "rota", *arguments],
            cwd=self.folder,
            env=environment({**self.env, **(env or {})}),
            input=data,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        return Ran(
            done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        return environment(self.env)

    @property
    def command(self) -> str:
        """For a shell."""
        return f"{shlex.quote(sys.executable)} -m rota"

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start with pipes on all sides. What the test leaves behind is ended after it."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, "-m", "rota", *arguments]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, **{**pipes, **options})
        _started.append(process)
        return process

    def id(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> str:
        """``rota enqueue``, and the id."""
        ran = self("enqueue", *arguments, env=env)
        assert ran.status == 0, ran
        return ran.out.strip()

    def put(self, type: str, payload: str = "null", *, wait: float | None = None, **fields: Any) -> str:
        """Store a job (over HTTP, which is quicker than a command), and the id; ``payload`` is JSON."""
        path = "/v1/jobs" if wait is None else f"/v1/jobs?wait={wait:g}"
        spec = {"type": type, "payload": json.loads(payload), **fields}
        return str(httpx2.post(self.url + path, json=spec, timeout=DEADLINE).raise_for_status().json()["id"])

    def end(self, type: str, payload: str = "null", **fields: Any) -> str:
        """Store a job and wait for its end; the id."""
        return self.put(type, payload, wait=DEADLINE / 2, **fields)

    def get(self, path: str) -> Any:
        """What the API answers; much quicker than a command, and a second opinion."""
        return httpx2.get(self.url + path).raise_for_status().json()

    def job(self, id: str) -> dict[str, Any]:
        """A job as the API shows it."""
        job = self.get(f"/v1/jobs/{id}")
        assert isinstance(job, dict)
        return job

    def queue(self, name: str) -> dict[str, Any]:
        """A queue as the API shows it; empty when there is none."""
        return next((one for one in self.get("/v1/queues")["queues"] if one["name"] == name), {})

    def workers(self, queue: str | None = None) -> list[dict[str, Any]]:
        """The connected workers, or those of a queue."""
        workers = self.get("/v1/workers")["workers"]
        return [one for one in workers if queue is None or queue in one["queues"]]

    def outside(self) -> list[dict[str, Any]]:
        """The connected workers that are programs of their own."""
        return [one for one in self.workers() if one["transport"] != "inside"]

    def terminal(
        self, *arguments: str, columns: int = 100, env: Mapping[str, str | None] | None = None
    ) -> Terminal:
        """Start on a terminal of its own."""
        return Terminal(
            [sys.executable, "-m", "rota", *arguments],
            self.folder,
            environment({**self.env, "TERM": "xterm-256color", **(env or {})}),
            columns,
        )


class Terminal:
    """A process on a pseudo-terminal, and what appears there."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str], columns: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        _started.append(self.process)
        self.seen = ""
        self._status: int | None = None

    def until(self, text: str) -> str:
        """All that has appeared, once ``text`` is in it."""
        end = time.monotonic() + DEADLINE
        while text not in self.seen:
            assert self._read(end), f"{text!r} does not appear, but:\n{self.seen}"
        return self.seen

    def watch(self, true: Callable[[str], object], what: str) -> str:
        """All that has appeared, once that is true of it."""
        end = time.monotonic() + DEADLINE
        while not true(self.seen):
            assert self._read(end), f"never: {what}, but:\n{self.seen}"
        return self.seen

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> Ran:
        """Press Ctrl-C, and again as people do: Python overlooks one that comes just before it reads."""
        while self.process.poll() is None:
            self.type("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        return self.end()

    def end(self) -> Ran:
        """All that appeared, when the process has ended."""
        limit = time.monotonic() + DEADLINE
        while self._read(limit):
            pass
        try:
            status = self.process.wait(max(0.1, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it does not end; it said:\n{self.seen}") from None
        os.close(self._ours)
        return Ran(status, self.seen, "")

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0, end - time.monotonic()))
        data = b""
        if ready:
            # On Linux the end of a terminal is an error.
            with contextlib.suppress(OSError):
                data = os.read(self._ours, 65536)
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


_started: list[subprocess.Popen[bytes]] = []


def end_all() -> None:
    """End what was started and not waited for; nothing of it is left behind."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def wait_until(true: Callable[[], object], what: str) -> None:
    """Ask until it is true."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """The processes that it has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(") ")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return sorted(found)
