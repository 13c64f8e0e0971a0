"""Following a job: asking again and again, a little less often each time, until it has ended."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from rota.commands import output
from rota.commands.common import DONE, FAILED, GOES_ON
from rota.commands.details import error_text, progress_text, value_text
from rota.model.errors import NotFound, Unavailable
from rota.sdk.answers import JobInfo
from rota.sdk.client import Client

QUICK, SLOW = 0.05, 1.0
"""Seconds between two questions: at first, and in the long run."""


class Lines:
    """Tells what is new as lines: states, progress, what the handler logged."""

    def __init__(self, after: int = 0, *, only_lines: bool = False) -> None:
        self.after = after
        self.only_lines = only_lines
        self._known: JobInfo | None = None

    def away(self, error: Unavailable) -> None:
        """The server cannot be asked at the moment."""
        output.note(output.inert(error.detail) + " Trying on.")

    def back(self) -> None:
        """It can again."""
        output.note("The server is back.")

    def tell(self, client: Client, job: JobInfo) -> bool:
        """Print what has changed; whether anything has."""
        before, start = self._known, self.after
        self._known = job
        if not self.only_lines and (before is None or _moved(before, job)) and not job.ended:
            self._say(job, None)
        self.after = print_lines(client, job.id, self.after)
        if not self.only_lines:
            progress = job.progress
            if progress is not None and not job.ended and (before is None or before.progress != progress):
                _line("progress", progress_text(progress))
            if job.ended:
                self._say(job, job.finished_at)
                if job.state == "done":
                    value = value_text(job.result, job.result_base64, job.result_type)
                    output.say(output.inert(value, lines=True))
        return before is None or before != job or start != self.after

    def _say(self, job: JobInfo, at: datetime | None) -> None:
        more = ""
        if job.state == "running":
            more = f"attempt {job.attempt} of {job.max_attempts}" + (
                f" on {job.worker}" if job.worker else ""
            )
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
        _line(job.state, more, at)


def until_ended(client: Client, id: str, timeout: float | None, lines: Lines | None) -> JobInfo:
    """The job once it has ended, or as it is after ``timeout`` seconds. A server that left is waited for."""
    end = None if timeout is None else time.monotonic() + timeout
    pause, seen, away = QUICK, False, False
    job: JobInfo | None = None
    while True:
        try:
            before, job, seen = job, client.job(id), True
            changed = lines.tell(client, job) if lines is not None else job != before
            if away and lines is not None:
                lines.back()
            away = False
            pause = QUICK if changed else min(pause * 1.5, SLOW)
            if job.ended:
                return job
        except Unavailable as error:
            if not seen:
                raise
            if not away and lines is not None:
                lines.away(error)
            away, pause = True, SLOW
        except NotFound:
            if seen:
                raise NotFound(f"The job {id} was deleted meanwhile.", code="job_not_found") from None
            raise
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0 and job is not None:
            return job
        nap = pause * random.uniform(0.8, 1.2)
        time.sleep(nap if left is None else min(nap, max(left, 0)))


def print_lines(client: Client, id: str, after: int) -> int:
    """Print the job's log lines after this number; the number of the last one."""
    while True:
        page = client.logs(id, after)
        for line in page.lines:
            _line(line.level, line.text, line.at)
        if not page.lines:
            return after
        after = page.next


def explain(job: JobInfo) -> None:
    """Why there is no result, on standard error."""
    if not job.ended:
        why = f": {job.waiting_because}" if job.waiting_because else "."
        output.note(output.inert(f"The job {job.id} is {job.state}{why}"))
        return
    told = error_text(job.error) if job.error else job.reason or "no reason is known"
    output.note(output.inert(f"The job {job.id} {_ENDS[job.state]}: {told}", lines=True))


def status_of(job: JobInfo) -> int:
    """The exit status that stands for a job's state."""
    if not job.ended:
        return GOES_ON
    return DONE if job.state == "done" else FAILED


_ENDS = {"failed": "failed", "cancelled": "was cancelled", "done": "is done"}
_LEVELS = {"error": "red", "warning": "yellow", "debug": "bright_black"}


def _moved(before: JobInfo, job: JobInfo) -> bool:
    return (before.state, before.attempt, before.lease, before.cancel_requested) != (
        job.state,
        job.attempt,
        job.lease,
        job.cancel_requested,
    )


def _line(word: str, text: str, at: datetime | None = None) -> None:
    """One event: time of day, what it is, and the rest; further lines of the rest are indented."""
    clock = f"{(at or datetime.now(UTC)).astimezone(UTC):%H:%M:%S}Z"
    colour = _LEVELS.get(word) or output.state(word).style
    safe = output.inert(text.rstrip("\n"), lines=True).replace("\n", "\n" + " " * 22)
    head = f"{output.styled(clock, dim=True)}  {output.styled(output.inert(word).ljust(9), fg=colour)}"
    output.say(f"{head}  {safe}".rstrip())
