"""Where the figures of ``rota top`` come from: read now and then, and soon after events told of a change."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from rota.model.errors import BadInput, NotFound, RotaError, Unauthorized, Unavailable
from rota.sdk.aclient import AsyncClient
from rota.sdk.answers import JobInfo, QueueInfo, WorkerInfo

SOON = 0.25
"""Seconds in which what events say is collected before figures are read."""
BUSY = 300
"""Events a second above which they are not followed: what watches a busy server must not slow it down."""
CALM = 60.0
"""Jobs started a second below which they are followed again."""
FAILURES = 10
SPARK = 300
"""Seconds of history in the little curves."""
FRESH = 5.0
"""Seconds after which there are new points."""


class Line(msgspec.Struct, frozen=True):
    """What the last minute was like for a queue: per second, and seconds."""

    enqueued: float = 0.0
    ended: float = 0.0
    failed: float = 0.0
    wait: float | None = None
    run: float | None = None
    curve: tuple[int | None, ...] = ()
    """Jobs started in each five seconds of the last minutes; None while no server was up."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page shows. ``away``: why the server cannot be asked; the rest is then of before."""

    stats: dict[str, Any]
    queues: tuple[QueueInfo, ...]
    workers: tuple[WorkerInfo, ...]
    failures: tuple[JobInfo, ...]
    lines: dict[str, Line]
    curve: tuple[int | None, ...]
    away: str | None = None
    live: bool = False
    """Events are followed."""

    def shape(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "stats": self.stats,
            "queues": self.queues,
            "last_minute": {
                name: {
                    "enqueued": line.enqueued,
                    "ended": line.ended,
                    "failed": line.failed,
                    "wait_p95": line.wait,
                    "run_p95": line.run,
                }
                for name, line in self.lines.items()
            },
            "workers": self.workers,
            "failures": self.failures,
        }


class Source:
    """Reads figures, and follows events to know when."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._figures: Figures | None = None
        self._history_at = 0.0
        self._failures_old = True
        self._news = asyncio.Event()
        self._following = False

    async def read(self) -> Figures:
        """The figures of now."""
        client = self._client
        before = self._figures
        stats, queues, workers = await asyncio.gather(client.stats(), client.queues(), client.workers())
        lines, curve = ({}, ()) if before is None else (before.lines, before.curve)
        if time.monotonic() - self._history_at >= FRESH:
            lines, curve = await self._history()
            self._history_at = time.monotonic()
        failures = () if before is None else before.failures
        if self._failures_old or stats["states"]["failed"] != (before and before.stats["states"]["failed"]):
            self._failures_old = False
            failures = await self._failed(failures)
        self._figures = Figures(
            stats=stats,
            queues=tuple(queues),
            workers=tuple(workers),
            failures=failures,
            lines=lines,
            curve=curve,
            live=self._following,
        )
        return self._figures

    async def _failed(self, known: tuple[JobInfo, ...]) -> tuple[JobInfo, ...]:
        """The youngest failed jobs with their errors, the last to fail first."""
        page = await self._client.jobs(state="failed", limit=FAILURES)
        before = {(job.id, job.attempt): job for job in known}
        jobs = []
        for one in page.jobs:
            job = before.get((one.id, one.attempt), one)
            if job is one:
                # Lists are without errors; a job that is gone by now is shown as the list told it.
                with contextlib.suppress(NotFound):
                    job = await self._client.job(one.id)
            jobs.append(job)
        return tuple(sorted(jobs, key=lambda job: str(job.finished_at), reverse=True))

    async def follow(self, interval: float) -> AsyncIterator[Figures]:
        """Figures again and again: after ``interval`` seconds, and soon after something happened."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                try:
                    yield await self.read()
                except (BadInput, NotFound, Unauthorized):
                    raise
                except RotaError as error:
                    assert self._figures is not None
                    yield msgspec.structs.replace(self._figures, away=_why(error), live=False)
                self._news.clear()
                await asyncio.sleep(min(SOON, interval))
                if not self._news.is_set():
                    await self._wait(interval - SOON)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
                # More of the same usually follows at once.
                await asyncio.sleep(SOON / 2)
        except TimeoutError:
            pass

    async def _listen(self) -> None:
        while True:
            await self._calm()
            try:
                await self._while_calm()
            except RotaError:
                # Reading figures says what is wrong.
                await asyncio.sleep(1)
            finally:
                self._following = False

    async def _while_calm(self) -> None:
        since, count = time.monotonic(), 0
        async for event in self._client.events():
            self._following = event.event != "away"
            now = time.monotonic()
            count += 1
            if now - since >= 1:
                since, count = now, 0
            if count > BUSY:
                return
            if event.event == "finished" and event.state == "failed":
                self._failures_old = True
            if event.event not in ("log", "progress"):
                self._news.set()

    async def _calm(self) -> None:
        """Until there are few events."""
        while True:
            rates = {} if self._figures is None else self._figures.stats.get("rates", {})
            if rates.get("started", 0.0) < CALM and rates.get("enqueued", 0.0) < CALM:
                return
            await asyncio.sleep(FRESH)

    async def _history(self) -> tuple[dict[str, Line], tuple[int | None, ...]]:
        stats = self._client.stats
        minute, curves = await asyncio.gather(
            stats(resolution="5s", last=60, group="queue", limit=50),
            stats(resolution="5s", last=SPARK, group="queue", limit=50),
        )
        seconds = max(1.0, sum(_seconds(minute)))
        shapes = {one["queue"]: tuple(one["started"]) for one in curves["series"]}
        lines = {}
        for one in minute["series"]:
            if one["queue"] is None:
                continue
            total = one["totals"]
            ended = total["done"] + total["failed"] + total["cancelled"]
            lines[one["queue"]] = Line(
                total["enqueued"] / seconds,
                ended / seconds,
                total["failed"] / seconds,
                total["wait"]["p95"],
                total["run"]["p95"],
                shapes.get(one["queue"], ()),
            )
        for name in shapes.keys() - lines.keys() - {None}:
            lines[name] = Line(curve=shapes[name])
        columns = list(zip(*shapes.values(), strict=True))
        curve = tuple(None if None in column else sum(column) for column in columns)
        return lines, curve


def _seconds(answer: dict[str, Any]) -> list[float]:
    """How long servers were up in an answer's time."""
    points = max((len(one["enqueued"]) for one in answer["series"]), default=answer["points"])
    known = next((one["enqueued"] for one in answer["series"]), [0] * points)
    return [answer["resolution"] for value in known if value is not None]


def _why(error: RotaError) -> str:
    return "reconnecting" if isinstance(error, Unavailable) else error.detail
