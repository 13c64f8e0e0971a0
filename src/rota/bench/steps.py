"""The steps of a measurement, each on its own feet, so that any of them can be left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import uvloop

from rota.bench.load import ask_each, hammer, post
from rota.bench.site import ACROSS_QUEUE, NOOP, PAYLOAD, PICKUP_QUEUE, QUEUE, Site

SLOTS = 200
BULK = 100
_PAUSE = 0.02


class Measured:
    """What one round has found: figures by name, and times in seconds by name."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.times: dict[str, list[float]] = {}


class Round:
    """One site under measurement. ``scale``: how much work; ``pending``: jobs that wait in the queue
    meanwhile.
    """

    def __init__(self, site: Site, scale: float, pending: int) -> None:
        self.site = site
        self.scale = scale
        self.pending = pending
        self.found = Measured()
        self._works = False

    def start(self) -> None:
        """How soon the server is up, and how large it is then."""
        self.found.figures["start_seconds"] = self.site.up_seconds
        memory = self.site.memory()
        if memory is not None:
            self.found.figures["idle_memory"] = memory

    def enqueue(self) -> None:
        """Jobs in: one by one over 1 connection and over 64, and in hundreds over 4."""
        self._backlog()
        for connections in (1, 64):
            name = f"enqueue_{connections}"
            rate, times = self._hammer(post("/v1/jobs", NOOP), connections, 4)
            self.found.figures[f"{name}_rate"] = rate
            self.found.times[name] = times
        rate, times = self._hammer(_bulk(), 4, 4)
        self.found.figures["enqueue_bulk_rate"] = rate * BULK
        self.found.times["enqueue_bulk"] = times

    def pickup(self) -> None:
        """From before the request to the start of the handler, on a server with nothing else to do."""
        self._backlog()
        self._work()
        count = max(5, int(500 * self.scale))
        # The first ones pay for code that was never run before.
        times = uvloop.run(ask_each(self.site.port, PICKUP_QUEUE, count + 5, _PAUSE))[5:]
        self.found.times["pickup"] = times

    def both(self) -> None:
        """Producers and a worker at the same time; counted is what has gone the whole way."""
        self._backlog()
        self._work()
        site = self.site
        before = site.done()
        site.resume()
        started = time.perf_counter()
        _, times = self._hammer(_bulk(), 4, 8)
        if not self.pending:
            site.wait(lambda: site.done() - before >= len(times) * BULK, "all jobs are done")
        finished = site.done() - before
        self.found.figures["both_rate"] = finished / (time.perf_counter() - started)

    def drain(self) -> None:
        """A backlog, from the moment the queue is opened until most of it is done."""
        self._work()
        jobs = max(300, int(150_000 * self.scale))
        self._backlog(max(jobs, self.pending))
        site = self.site
        before = site.done()
        # The last few wait for each other; they say nothing about speed.
        goal = before + jobs * 14 // 15
        site.resume()
        started = time.perf_counter()
        site.wait(lambda: site.done() >= goal, "the backlog is done")
        finished = site.done() - before
        self.found.figures["drain_rate"] = finished / (time.perf_counter() - started)

    def across(self) -> None:
        """The same from a request at one server to a handler at the worker of another on the same store; not
        on a store that has but one.
        """
        if not self.site.shared:
            return
        self._backlog()
        self.site.work_elsewhere(SLOTS)
        count = max(5, int(500 * self.scale))
        self.found.times["across"] = uvloop.run(ask_each(self.site.port, ACROSS_QUEUE, count + 5, _PAUSE))[5:]

    def _hammer(self, request: bytes, connections: int, seconds: float) -> tuple[float, list[float]]:
        return uvloop.run(hammer(self.site.port, request, connections, max(0.2, seconds * self.scale)))

    def _work(self) -> None:
        if not self._works:
            self.site.work(SLOTS)
            self._works = True

    def _backlog(self, jobs: int | None = None) -> None:
        """A closed queue with so many jobs in it, at least; with none, when none are asked for."""
        jobs = self.pending if jobs is None else jobs
        self.site.pause()
        waiting = self.site.pending()
        if jobs == 0 and waiting:
            self.site.clear()
        self.site.fill(jobs - waiting)


def _bulk() -> bytes:
    return post("/v1/jobs", {"jobs": [{"type": "noop", "queue": QUEUE, "payload": PAYLOAD}] * BULK})


STEPS: Mapping[str, Callable[[Round], None]] = {
    "start": Round.start,
    "enqueue": Round.enqueue,
    "pickup": Round.pickup,
    "both": Round.both,
    "drain": Round.drain,
    "across": Round.across,
}
"""By name, in the order in which they are done."""
