"""What a handler raises to say how its try ends, when that is neither a result nor an error."""

from __future__ import annotations

from rota.sdk.values import Duration, as_seconds


class Retry(Exception):
    """This try failed, try again: after ``delay`` (seconds or timedelta), or as the job's retry policy says.

    The attempt is spent, and after the last one the job is failed. ``details`` are kept with the error: any
    JSON value, for programs to read.
    """

    def __init__(
        self, delay: Duration | None = None, message: str = "", *, details: object | None = None
    ) -> None:
        super().__init__(message or "The handler asked for another try.")
        self.delay = None if delay is None else as_seconds("delay", delay)
        self.details = details


class Fail(Exception):
    """This job failed and trying again would not help. ``details`` are kept with the error: any JSON value,
    for programs to read.
    """

    def __init__(self, message: str = "", *, details: object | None = None) -> None:
        super().__init__(message or "The handler gave the job up.")
        self.details = details


class Snooze(Exception):
    """Not now: call me again after ``delay`` (seconds or timedelta). Costs no attempt."""

    def __init__(self, delay: Duration) -> None:
        self.delay = as_seconds("delay", delay)
        super().__init__(f"Snoozed for {self.delay:g} s.")


class JobStopped(BaseException):
    """Raised by ``Context.raise_if_cancelled`` in a handler that was asked to stop.

    No ``Exception``, so that a handler's own ``except Exception`` does not swallow it by accident.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(f"The job was asked to stop ({reason or 'no reason given'}).")
        self.reason = reason


# The names by which programs import them, and under which they show up in a job's error.
for _public in (Retry, Fail, Snooze, JobStopped):
    _public.__module__ = "rota"
