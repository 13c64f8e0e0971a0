"""``make bench``: what this machine does with no-op jobs, one server process and one worker process.

Every figure is taken through the public interfaces, with an fsync at every commit. Machines are noisy:
compare ratios within one run, not numbers between runs. ``--peer FOLDER`` runs each step in turn on this
checkout and on another one (``make setup`` done in both), so that a change can be judged side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from bench.load import hammer, post

HERE = Path(__file__).resolve().parent.parent
PAYLOAD = {"user": 12345, "text": "hello world, this is a job", "list": [1, 2, 3], "nested": {"a": True}}
QUEUE = "bench"


class Rota:
    """A server process on a fresh store, and worker processes."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.python = checkout / ".venv/bin/python"
        self._env = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "ROTA_LOG_FORMAT": "json",
            "ROTA_LOG_LEVEL": "info",
        }
        self._workers: list[subprocess.Popen[bytes]] = []
        started = time.perf_counter()
        store = f"sqlite:///{folder}/bench.db"
        self._server = subprocess.Popen(
            [self.python, "-m", "rota", "serve", "--listen", "127.0.0.1:0", "--store", store],
            env=self._env,
            cwd=folder,
            stderr=subprocess.PIPE,
        )
        assert self._server.stderr is not None
        for line in self._server.stderr:
            said = json.loads(line) if line.startswith(b"{") else {}
            if "url" in said:
                self.url = str(said["url"])
                break
        else:
            raise RuntimeError("the server did not start")
        while self.get("/readyz")["status"] != "ok":
            pass
        self.up_seconds = time.perf_counter() - started
        self.port = int(self.url.rpartition(":")[2])

    def work(self, slots: int) -> None:
        command = [
            self.python,
            "-m",
            "rota",
            "work",
            "bench.tasks:app",
            "--url",
            self.url,
            "--slots",
            str(slots),
        ]
        self._workers.append(subprocess.Popen(command, env=self._env, cwd=HERE, stderr=subprocess.DEVNULL))
        wait(lambda: any(QUEUE in worker["queues"] for worker in self.get("/v1/workers")["workers"]))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def send(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def fill(self, jobs: int) -> None:
        body = {"jobs": [{"type": "noop", "queue": QUEUE, "payload": PAYLOAD}] * 5000}
        for _ in range(jobs // 5000):
            self.send("POST", "/v1/jobs", body)

    def done(self) -> int:
        return int(self.get("/v1/stats")["finished"]["done"])

    def clear(self) -> None:
        self.send("DELETE", f"/v1/queues/{QUEUE}/jobs")

    def memory(self) -> float:
        """Proportional set size of the server in MB."""
        rollup = Path(f"/proc/{self._server.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024

    def stop(self) -> None:
        for process in (*self._workers, self._server):
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.perf_counter() + seconds
    while not until():
        if time.perf_counter() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def enqueue(rota: Rota, connections: int, seconds: float) -> tuple[float, float]:
    body = json.dumps({"type": "noop", "queue": QUEUE, "payload": PAYLOAD}).encode()
    request = post("/v1/jobs", body, f"127.0.0.1:{rota.port}")
    rate, times = uvloop.run(hammer("127.0.0.1", rota.port, request, connections, seconds))
    return rate, times[int(len(times) * 0.99)] * 1000


def enqueue_bulk(rota: Rota, seconds: float) -> float:
    body = json.dumps({"jobs": [{"type": "noop", "queue": QUEUE, "payload": PAYLOAD}] * 1000}).encode()
    request = post("/v1/jobs", body, f"127.0.0.1:{rota.port}")
    return 1000 * uvloop.run(hammer("127.0.0.1", rota.port, request, 2, seconds))[0]


def drain(rota: Rota, jobs: int) -> float:
    """Jobs finished per second, from the moment the queue is opened."""
    before = rota.done()
    rota.send("POST", f"/v1/queues/{QUEUE}/resume")
    started = time.perf_counter()
    wait(lambda: rota.done() - before >= jobs)
    took = time.perf_counter() - started
    rota.send("POST", f"/v1/queues/{QUEUE}/pause")
    return (rota.done() - before) / took


def both(rota: Rota, seconds: float, batch: int = 100) -> float:
    """Jobs through the whole way per second, producers sending batches at the same time."""
    rota.send("POST", f"/v1/queues/{QUEUE}/resume")
    body = json.dumps({"jobs": [{"type": "noop", "queue": QUEUE, "payload": PAYLOAD}] * batch}).encode()
    request = post("/v1/jobs", body, f"127.0.0.1:{rota.port}")
    before = rota.done()
    started = time.perf_counter()
    _, times = uvloop.run(hammer("127.0.0.1", rota.port, request, 4, seconds))
    sent = len(times) * batch
    wait(lambda: rota.done() - before >= sent)
    return sent / (time.perf_counter() - started)


async def _pickup(rota: Rota, samples: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rota.port)
    times = []
    for _ in range(samples):
        await asyncio.sleep(0.02)
        body = json.dumps({"type": "stamp", "queue": QUEUE, "payload": time.time()}).encode()
        writer.write(post("/v1/jobs?wait=5", body, f"127.0.0.1:{rota.port}"))
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length: ") + 16
        job = json.loads(await reader.readexactly(int(head[at : head.index(b"\r\n", at)])))
        times.append(job["result"] * 1000)
    writer.close()
    return sorted(times)


def pickup(rota: Rota, samples: int) -> tuple[float, float]:
    """Milliseconds from before the request to the start of the handler, on an idle system: p50, p99."""
    times = uvloop.run(_pickup(rota, samples))
    return times[len(times) // 2], times[int(len(times) * 0.99)]


def measure(checkout: Path, quick: bool) -> dict[str, float]:
    """All figures on a fresh store."""
    scale = 0.2 if quick else 1.0
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        rota = Rota(checkout, Path(folder))
        try:
            figures["start, s"] = rota.up_seconds
            figures["idle server, MB"] = rota.memory()
            figures["enqueue, 1 connection, jobs/s"] = enqueue(rota, 1, 4 * scale)[0]
            rate, p99 = enqueue(rota, 64, 5 * scale)
            figures["enqueue, 64 connections, jobs/s"] = rate
            figures["enqueue, 64 connections, p99 ms"] = p99
            figures["enqueue in thousands, jobs/s"] = enqueue_bulk(rota, 4 * scale)
            rota.clear()
            rota.work(slots=200)
            figures["pickup p50, ms"], figures["pickup p99, ms"] = pickup(rota, int(500 * scale))
            figures["both at once, jobs/s"] = both(rota, 8 * scale)
            rota.send("POST", f"/v1/queues/{QUEUE}/pause")
            rota.fill(int(150_000 * scale))
            figures["drain, jobs/s"] = drain(rota, int(140_000 * scale))
            rota.clear()
            rota.fill(int(1_000_000 * scale))
            rate, _ = enqueue(rota, 64, 5 * scale)
            figures["enqueue over 1M pending, slower by"] = figures["enqueue, 64 connections, jobs/s"] / rate
            rate = drain(rota, int(140_000 * scale))
            figures["drain over 1M pending, slower by"] = figures["drain, jobs/s"] / rate
        finally:
            rota.stop()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--peer", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="how often (the median is shown)")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    checkouts = [HERE, *([options.peer.resolve()] if options.peer else [])]
    found: list[list[dict[str, float]]] = [[] for _ in checkouts]
    for _ in range(options.rounds):
        for checkout, results in zip(checkouts, found, strict=True):
            results.append(measure(checkout, options.quick))
    medians = [
        {name: sorted(r[name] for r in results)[len(results) // 2] for name in results[0]}
        for results in found
    ]
    if options.json:
        print(json.dumps(medians))
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, SQLite, fsync at every commit")
    for name in medians[0]:
        values = [median[name] for median in medians]
        shown = "  ".join(f"{value:12,.2f}" if value < 100 else f"{value:12,.0f}" for value in values)
        print(f"{name:36}{shown}" + (f"   x{values[0] / values[1]:.2f}" if len(values) > 1 else ""))


if __name__ == "__main__":
    sys.exit(main())
