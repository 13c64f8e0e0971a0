"""``python -m bench.dashboards``: what open dashboards cost the server.

Producers and a worker at full speed, by turns with no dashboard and with 200. Each is what a page does: a
socket with the pulse and the 50 jobs that it lists, a list every 2 s, figures and the condition every 5 s,
all of these three times as rarely among 200. They run in a process of their own, which throws away what it
reads, but on the same machine: the server's processor time per job says what they cost the server, the
throughput also what they cost the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from rota.bench.load import hammer, post
from rota.bench.site import NOOP, Site
from rota.bench.steps import BULK, SLOTS

LIST, FIGURES, CONDITION = "/v1/jobs?limit=50", "/v1/stats?last=3600", "/v1/condition"
EVERY = {LIST: 2.0, FIGURES: 5.0, CONDITION: 5.0}
"""Seconds between two requests of one page alone."""
CROWD = 100
"""So many more pages, and each asks half as often (ui/src/live/socket.ts)."""
_ID = re.compile(rb'"id":"([0-9a-f-]{36})"')
_PING, _CLOSE = 9, 8


class Told:
    """What all dashboards together were told."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.closed = 0
        self.times: dict[str, list[float]] = {path: [] for path in EVERY}
        self.faults = 0


class Socket(asyncio.Protocol):
    """As little of a WebSocket client as will do."""

    def __init__(self, told: Told, topics: int) -> None:
        self._told = told
        self._topics = topics
        self._data = b""
        self._open = False
        self._skip = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._told.bytes += len(data)
        data = self._data + data
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._data = head
                return
            self._open = True
            self.subscribe(())
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            length, size = data[at + 1] & 127 if at + 1 < len(data) else -1, 2
            size += {126: 2, 127: 8}.get(length, 0)
            if length < 0 or at + size > len(data):
                break
            if size > 2:
                length = int.from_bytes(data[at + 2 : at + size], "big")
            self._told.frames += 1
            if data[at] & 15 == _PING:
                self._transport.write(b"\x8a\x80\x00\x00\x00\x00")
            self._told.closed += data[at] & 15 == _CLOSE
            at += size
            self._skip = length
        self._data = data[at:]

    def subscribe(self, ids: Sequence[str]) -> None:
        """The pulse and these jobs."""
        if not self._open or self._transport.is_closing():
            return
        topics = ["pulse", *(f"job:{id}" for id in ids[: self._topics])]
        text = json.dumps({"op": "subscribe", "topics": topics}).encode()
        # A mask of zeros changes nothing.
        length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self._transport.write(b"\x81" + length + b"\0\0\0\0" + text)


async def fetches(port: int, told: Told, socket: Socket, dashboards: int) -> None:
    """What one of so many pages asks for again and again, over a connection of its own."""
    every = {path: seconds * (1 + dashboards / CROWD) for path, seconds in EVERY.items()}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = {path: time.monotonic() + random.random() * seconds for path, seconds in every.items()}
    while True:
        path = min(due, key=due.__getitem__)
        await asyncio.sleep(max(0.0, due[path] - time.monotonic()))
        due[path] += every[path]
        started = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCache-Control: max-age=1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(found[1])) if found else b""
        told.times[path].append(time.perf_counter() - started)
        told.faults += head[9:12] != b"200"
        if path == LIST:
            socket.subscribe([one.decode() for one in _ID.findall(body)])


async def watch(port: int, dashboards: int, topics: int) -> None:
    """Be so many pages until told to stop; then print what they were told."""
    told = Told()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    tasks = []
    for _ in range(dashboards):
        _, socket = await loop.create_connection(lambda: Socket(told, topics), "127.0.0.1", port)
        tasks.append(asyncio.ensure_future(fetches(port, told, socket, dashboards)))
    # All pages are there, each somewhere in its rhythm.
    await asyncio.sleep(max(EVERY.values()) * (1 + dashboards / CROWD))
    before, began = (told.frames, told.bytes), time.perf_counter()
    for times in told.times.values():
        times.clear()
    print("ready", flush=True)
    await stop.wait()
    seconds = time.perf_counter() - began
    broken = sum(task.done() for task in tasks)
    p95 = {path: sorted(times)[int(len(times) * 0.95)] * 1000 for path, times in told.times.items() if times}
    print(
        json.dumps(
            {
                "frames": (told.frames - before[0]) / seconds,
                "megabytes": (told.bytes - before[1]) / seconds / 1e6,
                "requests": sum(map(len, told.times.values())) / seconds,
                "closed": told.closed + broken,
                "faults": told.faults,
                "p95_ms": p95,
            }
        )
    )


class Found(NamedTuple):
    """Of one turn: jobs that went the whole way per second, and the server's processor time for each."""

    rate: float
    micros: float
    pages: dict[str, object]


def turn(site: Site, dashboards: int, options: argparse.Namespace) -> Found:
    """A while of load, with so many dashboards."""
    pages = None
    if dashboards:
        command = [sys.executable, "-m", "bench.dashboards", "--watch", str(site.port)]
        command += ["--dashboards", str(dashboards), "--topics", str(options.topics)]
        pages = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert pages.stdout is not None
        assert pages.stdout.readline() == "ready\n"
    try:
        before, used, started = site.done(), site.processor_seconds() or 0.0, time.perf_counter()
        _load(site, options.seconds)
        jobs = site.done() - before
        rate = jobs / (time.perf_counter() - started)
        micros = ((site.processor_seconds() or 0.0) - used) / jobs * 1e6
    finally:
        if pages is not None:
            pages.terminate()
    told = {} if pages is None else json.loads(pages.communicate()[0])
    return Found(rate, micros, told)


def _load(site: Site, seconds: float) -> None:
    body = {"jobs": [NOOP] * BULK}
    before = site.done()
    _, times = uvloop.run(hammer(site.port, post("/v1/jobs", body), 4, seconds))
    site.wait(lambda: site.done() - before >= len(times) * BULK, "all jobs are done")


def turns(options: argparse.Namespace) -> Iterator[tuple[int, Found]]:
    """Pairs on one server, for two servers differ by more than what is looked for; each the other way round
    than the one before.
    """
    with tempfile.TemporaryDirectory() as folder, Site(f"sqlite:///{folder}/bench.db", Path(folder)) as site:
        site.work(SLOTS)
        # Code that was run before, and jobs to list.
        _load(site, 2.0)
        for number in range(2 * options.rounds):
            dashboards = options.dashboards if number % 4 in (1, 2) else 0
            found = turn(site, dashboards, options)
            cost = f"{found.rate:8,.0f} jobs/s, {found.micros:6.1f} µs of the server's processor a job"
            told = json.dumps(found.pages) if found.pages else ""
            print(f"{dashboards:4} dashboards: {cost} {told}", flush=True)
            yield dashboards, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboards", description=__doc__)
    parser.add_argument("--dashboards", type=int, default=200)
    parser.add_argument("--topics", type=int, default=50, help="jobs that each watches")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load in a turn")
    parser.add_argument("--rounds", type=int, default=8, help="pairs of turns")
    parser.add_argument("--watch", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        uvloop.run(watch(options.watch, options.dashboards, options.topics))
        return 0
    sides: dict[int, list[Found]] = {}
    for dashboards, found in turns(options):
        sides.setdefault(dashboards, []).append(found)
    without, with_them = (sides[number] for number in (0, options.dashboards))
    ratios = [there.rate / alone.rate for alone, there in zip(without, with_them, strict=True)]
    taken = statistics.median(
        (there.micros - alone.micros) * there.rate / 1e6
        for alone, there in zip(without, with_them, strict=True)
    )
    more = [there.micros / alone.micros for alone, there in zip(without, with_them, strict=True)]
    print(f"throughput on this machine, pair by pair: {_told(ratios)}")
    print(f"the server's processor time a job, pair by pair: {_told(more)}")
    print(f"the dashboards take {taken:.1%} of one processor of the server's")
    return 0


def _told(ratios: list[float]) -> str:
    return f"x{statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    sys.exit(main())
