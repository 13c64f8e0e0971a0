"""What ``rota jobs watch`` and ``rota jobs logs --follow`` print: jobs as found, then their events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from rota.commands import output
from rota.commands.common import raw
from rota.commands.details import error_text, progress_text, value_text
from rota.model.errors import NotFound
from rota.sdk import calls
from rota.sdk.aclient import AsyncClient
from rota.sdk.answers import JobInfo, LogLine, Progress
from rota.sdk.events import Event

MANY = 50
"""More jobs than this are picked out here, not by the server."""
STREAM = ("ready", "reset", "away")
_LEVELS = {"error": "red", "critical": "red", "warning": "yellow", "debug": "bright_black"}
_encode = msgspec.json.Encoder().encode


class Teller(Protocol):
    """Where news go."""

    def job(self, job: JobInfo, body: bytes, lines: Iterable[LogLine]) -> None:
        """A job as it is now, and lines of its log that were not told yet."""

    def event(self, event: Event) -> None:
        """Something happened."""


class Lines:
    """News as lines of text. ``several``: each names its job. ``only_log``: nothing but log lines."""

    def __init__(self, *, several: bool = False, only_log: bool = False) -> None:
        self._several = several
        self._only_log = only_log
        self._known: dict[str, JobInfo] = {}

    def job(self, job: JobInfo, body: bytes, lines: Iterable[LogLine]) -> None:
        before = self._known.get(job.id)
        self._known[job.id] = job
        if not job.ended and (before is None or _moved(before, job)):
            self._say(job.id, job.state, _state_text(job))
        for line in lines:
            self._say(job.id, line.level, line.text, line.at, log=True)
        if job.progress is not None and not job.ended:
            self._progress(job.id, None if before is None else before.progress, job.progress)
        if job.ended and (before is None or not before.ended):
            self._say(job.id, job.state, _state_text(job), job.finished_at)
            if job.state == "done" and not self._only_log:
                value = value_text(job.result, job.result_base64, job.result_type)
                output.say(output.inert(value, lines=True))

    def event(self, event: Event) -> None:
        data, id = event.data, event.id or ""
        at = _time(data.get("at"))
        known = self._known.get(id)
        match event.event:
            case "log":
                self._say(id, str(data.get("level")), str(data.get("text")), at, log=True)
            case "progress":
                news = msgspec.convert(data, Progress)
                self._progress(id, None if known is None else known.progress, news, at)
                if known is not None:
                    self._known[id] = msgspec.structs.replace(known, progress=news)
            case "started":
                attempt = data.get("attempt", 0)
                if known is not None and (known.state, known.attempt) == ("running", attempt):
                    return
                of = "" if known is None else f" of {known.max_attempts}"
                self._say(id, "running", f"attempt {attempt}{of} on {data.get('worker')}", at)
                if known is not None:
                    told = {"state": "running", "attempt": attempt, "progress": None}
                    self._known[id] = msgspec.structs.replace(known, **told)
            case "stopping":
                self._say(id, "running", "asked to stop", at)
            case "away":
                output.note(output.inert(str(data.get("why"))) + " Trying on.")
            case "back":
                output.note("The server is back.")
            case _:
                word = event.state or event.event
                if event.event == "deleted":
                    word = "deleted"
                self._say(id, word, _rest(event), at)

    def _progress(self, id: str, before: Progress | None, news: Progress, at: datetime | None = None) -> None:
        if news != before:
            self._say(id, "progress", progress_text(news), at)

    def _say(self, id: str, word: str, text: str, at: datetime | None = None, *, log: bool = False) -> None:
        if not self._only_log or log:
            say(word, text, at, id if self._several else None)


class Json:
    """News as JSON, a document a line: events as the server tells them, jobs as ``{"event": "job"}``."""

    def job(self, job: JobInfo, body: bytes, lines: Iterable[LogLine]) -> None:
        self._print({"event": "job", "job": msgspec.Raw(body)})

    def event(self, event: Event) -> None:
        if event.event not in ("back", "away"):
            self._print(event.data if "event" in event.data else {"event": event.event, **event.data})
        elif event.event == "away":
            output.note(output.inert(str(event.data.get("why"))) + " Trying on.")
        else:
            output.note("The server is back.")

    def _print(self, shape: object) -> None:
        output.line(_encode(shape))


class Log:
    """The log lines of a job, each once: what was read, and what events told meanwhile."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._read: Counter[tuple[Any, ...]] = Counter()
        self._told: Counter[tuple[Any, ...]] = Counter()

    async def news(self, client: AsyncClient, id: str) -> list[LogLine]:
        """Lines that were not told yet."""
        new: list[LogLine] = []
        self._read.clear()
        while (page := await client.logs(id, self._after)).lines:
            for line in page.lines:
                key = (line.at, line.level, line.text)
                if self._told[key]:
                    self._told[key] -= 1
                else:
                    new.append(line)
                    self._read[key] += 1
            self._after = page.next
        self._told.clear()
        return new

    def told(self, event: Event) -> bool:
        """Whether the line of an event was read before; if not, it is told now."""
        key = (_time(event.data.get("at")), event.data.get("level"), event.data.get("text"))
        if self._read[key]:
            self._read[key] -= 1
            return True
        self._told[key] += 1
        return False


async def until_ended(
    client: AsyncClient, ids: Collection[str], teller: Teller, timeout: float | None = None, after: int = 0
) -> list[JobInfo]:
    """Jobs once they have ended, or as they are after ``timeout`` seconds. Raises NotFound for one that is
    not there, or not any more.
    """
    watch = _Watch(client, ids, teller, after)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await watch.follow()
    for id in ids:
        if id not in watch.jobs:
            await watch.look(id)
    return [watch.jobs[id] for id in ids]


class _Watch:
    """Some jobs, what is known of them, and whom to tell."""

    def __init__(self, client: AsyncClient, ids: Collection[str], teller: Teller, after: int) -> None:
        self.jobs: dict[str, JobInfo] = {}
        self._client = client
        self._teller = teller
        self._logs = {id: Log(after) for id in ids}

    async def follow(self) -> None:
        """Until all have ended."""
        ids = list(self._logs)
        topics = ["*"] if len(ids) > MANY else [f"job:{id}" for id in ids]
        link = Link(self._teller)
        async for event in self._client.events(topics):
            if event.event in STREAM:
                link.event(event)
                if event.event == "reset" or (event.event == "ready" and not self.jobs):
                    for id in ids:
                        await self.look(id)
            elif event.id in self._logs and not (event.id in self.jobs and self.jobs[event.id].ended):
                await self._take(event, event.id)
            if len(self.jobs) == len(ids) and all(job.ended for job in self.jobs.values()):
                return

    async def look(self, id: str) -> None:
        """Read a job and tell what is new of it."""
        await self._found(*await self._read(id))

    async def _take(self, event: Event, id: str) -> None:
        if event.event in ("finished", "deleted"):
            await self.look(id)
        elif event.event == "requeued":
            job, body = await self._read(id)
            if job.state == event.state:
                await self._found(job, body)
            elif job.attempt <= self.jobs[id].attempt or not job.ended:
                # It has gone on already; its events will say how.
                self._teller.event(event)
        elif event.event != "enqueued" and not (event.event == "log" and self._logs[id].told(event)):
            self._teller.event(event)

    async def _read(self, id: str) -> tuple[JobInfo, bytes]:
        try:
            body = await self._client.send(raw(calls.job(id)))
        except NotFound:
            if id in self.jobs:
                raise NotFound(f"The job {id} was deleted meanwhile.", code="job_not_found") from None
            raise
        return msgspec.json.decode(body, type=JobInfo), body

    async def _found(self, job: JobInfo, body: bytes) -> None:
        lines = await self._logs[job.id].news(self._client, job.id)
        self.jobs[job.id] = job
        self._teller.job(job, body, lines)


class Link:
    """Tells when the server goes away and comes back."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._away = False

    def event(self, event: Event) -> None:
        """One of :data:`STREAM`."""
        if event.event == "away":
            self._teller.event(event)
        elif self._away:
            self._teller.event(Event(event="back"))
        self._away = event.event == "away"


async def everything(
    client: AsyncClient, topics: Collection[str], type: str | None, teller: Teller, timeout: float | None
) -> None:
    """All events of some topics, for ever or for ``timeout`` seconds."""
    link = Link(teller)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            async for event in client.events(topics):
                if event.event in STREAM:
                    link.event(event)
                    if event.event == "reset":
                        output.note("What happened meanwhile is not known.")
                elif type is None or event.type == type:
                    teller.event(event)


def say(word: str, text: str, at: datetime | None = None, id: str | None = None) -> None:
    """One event: time of day, what it is, and the rest; further lines of the rest are indented."""
    clock = f"{(at or datetime.now(UTC)).astimezone(UTC):%H:%M:%S}Z"
    colour = _LEVELS.get(word) or output.state(word).style
    whose = "" if id is None else f"{output.inert(id):36}  "
    safe = output.inert(text.rstrip("\n"), lines=True).replace("\n", "\n" + " " * (22 + len(whose)))
    head = f"{output.styled(clock, dim=True)}  {whose}{output.styled(output.inert(word).ljust(9), fg=colour)}"
    output.say(f"{head}  {safe}".rstrip())


def _state_text(job: JobInfo) -> str:
    more = ""
    if job.state == "running":
        more = f"attempt {job.attempt} of {job.max_attempts}" + (f" on {job.worker}" if job.worker else "")
        more += ", asked to stop" if job.cancel_requested else ""
    elif job.state == "scheduled":
        more = f"due {output.moment(job.run_at)}"
    elif job.state == "pending":
        more = job.waiting_because or ""
    if job.error is not None and job.state in ("scheduled", "failed", "cancelled", "pending"):
        # The whole trace where it ends, a line where it goes on.
        told = error_text(job.error) if job.ended else f"{job.error.type}: {job.error.message}"
        more = f"{more}  {told}".strip()
    elif job.reason and job.ended:
        more = job.reason
    return more


def _rest(event: Event) -> str:
    """What an event says besides its name and its job."""
    data = event.data
    parts = [f"{event.type} in {event.queue}" if event.type else event.queue or ""]
    if event.event == "due":
        parts.append(f"{data.get('jobs')} jobs")
    why = [str(data[name]) for name in ("end", "reason") if data.get(name) not in (None, event.state)]
    parts += [f"({', '.join(why)})"] if why else []
    if event.event.startswith("worker_"):
        queues = data.get("queues") or ()
        parts.append(f"{data.get('name')} for {', '.join(map(str, queues))}, {data.get('slots')} slots")
    return "  ".join(part for part in parts if part)


def _moved(before: JobInfo, job: JobInfo) -> bool:
    return (before.state, before.attempt, before.cancel_requested) != (
        job.state,
        job.attempt,
        job.cancel_requested,
    )


def _time(text: object) -> datetime | None:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
