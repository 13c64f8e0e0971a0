"""Other job queues on PostgreSQL, measured by drivers of their own: the same work as ``rota bench`` does.

A driver is a program that takes ``setup``, ``one``, ``bulk [N]`` and ``paced N GAP``, prints what it did as
JSON, stores its jobs in the database that ``BENCH_PG`` names, and whose handler appends two 64-bit numbers
for each job to the file ``BENCH_HITS``: when it was stored and when its handler began, in nanoseconds of the
steady clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests import postgres

PATIENCE = 120.0


class Rival(NamedTuple):
    """``worker``: the command, after the folder of the interpreter; ``backlog``: jobs that take it some
    seconds.
    """

    driver: str
    worker: tuple[str, ...]
    backlog: int


RIVALS = {
    "Procrastinate": Rival(
        "p_procrastinate.py", ("procrastinate", "-a", "p_procrastinate.app", "worker", "-c", "30"), 2000
    ),
    "PgQueuer": Rival("p_pgqueuer.py", ("python", "p_pgqueuer.py", "worker"), 20_000),
}
PACKAGES = ("procrastinate", "pgqueuer", "asyncpg", "psycopg[binary]", "uvloop")


def install(folder: Path) -> Path:
    """The ``bin`` folder of an environment that has them; made at the first time."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run(["python3", "-m", "venv", folder], check=True)
    subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", *PACKAGES],
        check=True,
    )
    return python.parent


def measure(
    rival: Rival, drivers: Path, bin: Path, cluster: postgres.Cluster, scale: float
) -> dict[str, float]:
    """Figures under the names of ``rota.bench.figures``."""
    with tempfile.TemporaryDirectory() as place:
        bench = _Bench(rival, drivers, bin, cluster, Path(place))
        return {
            "enqueue_1_rate": bench.rate("one", 4 * scale),
            "enqueue_bulk_rate": bench.rate("bulk", 4 * scale),
            "pickup_p50": bench.pickup(max(20, int(200 * scale))),
            "both_rate": bench.both(int(rival.backlog * scale * 5)),
            "drain_rate": bench.drain(int(rival.backlog * scale * 5)),
        }


class _Bench:
    def __init__(
        self, rival: Rival, drivers: Path, bin: Path, cluster: postgres.Cluster, place: Path
    ) -> None:
        self._rival, self._drivers, self._bin, self._cluster = rival, drivers, bin, cluster
        self._hits = place / "hits"
        self._env = {
            **os.environ,
            "BENCH_HITS": str(self._hits),
            "PYTHONPATH": str(drivers),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def rate(self, command: str, seconds: float) -> float:
        """Jobs stored per second, by one client."""
        self._begin()
        self._env["BENCH_SECONDS"] = str(max(0.5, seconds))
        return float(json.loads(self._ask(command))["rate"])

    def pickup(self, jobs: int) -> float:
        """Milliseconds from before the call to the handler, the median."""
        self._begin()
        with self._working():
            self._ask("paced", str(jobs + 5), "0.02")
            self._until(jobs + 5)
            return statistics.median(done - stored for stored, done in self._found()[5:]) / 1e6

    def both(self, jobs: int) -> float:
        """Jobs per second that were stored and run at the same time."""
        self._begin()
        with self._working():
            started = json.loads(self._ask("bulk", str(jobs)))["start"]
            self._until(jobs)
            return self._per_second(jobs, started)

    def drain(self, jobs: int) -> float:
        """Jobs per second of a backlog, from the first handler on."""
        self._begin()
        self._ask("bulk", str(jobs))
        with self._working():
            self._until(jobs)
            return self._per_second(jobs, min(done for _, done in self._found()))

    def _per_second(self, jobs: int, started: int) -> float:
        # The last few wait for each other; they say nothing about speed.
        most = jobs * 14 // 15
        return most / ((sorted(done for _, done in self._found())[most - 1] - started) / 1e9)

    def _begin(self) -> None:
        """An empty database."""
        postgres.ask(self._cluster.url, "DROP DATABASE IF EXISTS rival WITH (FORCE)")
        self._env["BENCH_PG"] = self._cluster.database("rival")
        self._hits.write_bytes(b"")
        self._ask("setup")

    def _ask(self, *command: str) -> str:
        ran = subprocess.run(
            [self._bin / "python", self._rival.driver, *command],
            cwd=self._drivers,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{self._rival.driver} {' '.join(command)}: {ran.stderr[-2000:]}")
        return ran.stdout.strip().splitlines()[-1]

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        worker = subprocess.Popen(
            [self._bin / self._rival.worker[0], *self._rival.worker[1:]],
            cwd=self._drivers,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def _found(self) -> list[tuple[int, int]]:
        raw = self._hits.read_bytes()
        return list(struct.iter_unpack("qq", raw[: len(raw) // 16 * 16]))

    def _until(self, jobs: int) -> None:
        _wait(lambda: self._hits.stat().st_size >= jobs * 16)


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        if time.monotonic() > deadline:
            raise RuntimeError("The jobs never ended.")
        time.sleep(0.01)
