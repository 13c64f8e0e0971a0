"""Jobs as a test looks at them, and the words for what it expected and did not find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from rota.model.job import State
from rota.sdk.answers import Failure, JobInfo, LogLine
from rota.sdk.tasks import Task
from rota.sdk.values import encode
from rota.testing.spans import Span, micros, tell

SHOWN = 20
"""Jobs that a message lists."""
WIDTH = 100
CLOSE = 1_000_000
"""Microseconds by which a delay may be off: who computes a time from the real clock is never exact."""


class Job(JobInfo, frozen=True, kw_only=True):
    """A job as it is now: all that ``handle.status()`` tells, and what only a test can know."""

    logs: tuple[LogLine, ...] = ()
    """What its handler wrote with ``ctx.log``."""
    exception: BaseException | None = None
    """What its handler raised last, itself."""
    pruned: bool = False
    """Whether it is gone from the store, and this is how it last was."""
    delay: float = 0.0
    """Seconds from the enqueue to the time at which it could run first."""

    @property
    def args(self) -> Any:
        """The payload; for a task's job its arguments by name."""
        return self.payload


Where = Callable[[Job], bool]


class Expected(TypedDict, total=False):
    """What a test expects of jobs; all that is given must hold."""

    args: Any
    queue: str | None
    delay: Span | None
    state: State | str | None
    priority: int | None
    tags: Sequence[str] | None
    unique_key: str | None
    where: Where | None


class Wanted:
    """What a test looks for. None does not narrow."""

    def __init__(
        self,
        task: Task[Any, Any] | str | None,
        *,
        args: Any = None,
        queue: str | None = None,
        delay: Span | None = None,
        state: State | str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        unique_key: str | None = None,
        where: Where | None = None,
    ) -> None:
        self.type = task.name if isinstance(task, Task) else task
        self.state = None if state is None else State(state)
        self._delay = None if delay is None else micros(delay)
        self._args = args
        self._where = where
        self._plain = {
            "queue": queue,
            "state": self.state,
            "priority": priority,
            "unique_key": unique_key,
        }
        self._tags = None if tags is None else tuple(tags)

    def misses(self, job: Job) -> Iterator[str]:
        """What is different, line by line; nothing when the job is what is wanted."""
        if self.type is not None and job.type != self.type:
            yield f"type: expected {self.type}, was {job.type}"
        for name, value in self._plain.items():
            if value is not None and getattr(job, name) != value:
                yield f"{name}: expected {_short(value)}, was {_short(getattr(job, name))}"
        if self._tags is not None and not set(self._tags) <= set(job.tags):
            yield f"tags: expected {_short(self._tags)}, was {_short(job.tags)}"
        if self._delay is not None:
            delay = micros(job.delay)
            if abs(delay - self._delay) > CLOSE:
                yield f"delay: expected {tell(self._delay)}, was {tell(delay)}"
        if callable(self._args):
            if not self._args(job.payload):
                yield f"args: {_name(self._args)} is not true of {_short(job.payload)}"
        elif self._args is not None:
            yield from differences("args", self._args, job.payload)
        if self._where is not None and not self._where(job):
            yield f"where: {_name(self._where)} is not true"

    def __str__(self) -> str:
        lines = [] if self.type is None else [f"type: {self.type}"]
        lines += [f"{name}: {_short(value)}" for name, value in self._plain.items() if value is not None]
        if self._tags is not None:
            lines.append(f"tags: {_short(self._tags)}")
        if self._delay is not None:
            lines.append(f"delay: {tell(self._delay)}")
        if self._args is not None:
            lines.append(f"args: {_name(self._args) if callable(self._args) else _short(self._args)}")
        if self._where is not None:
            lines.append(f"where: {_name(self._where)}")
        return "\n".join(f"    {line}" for line in lines) or "    (anything)"


def differences(path: str, wanted: Any, given: Any) -> Iterator[str]:
    """Where ``given`` is not what was wanted. A mapping may have more keys than were wanted; everything else
    must be equal, itself or as JSON writes it.
    """
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        for key, value in wanted.items():
            if key not in given:
                yield f"{path}.{key}: expected {_short(value)}, was not there"
            else:
                yield from differences(f"{path}.{key}", value, given[key])
    elif not _equal(wanted, given):
        yield f"{path}: expected {_short(wanted)}, was {_short(given)}"


def too_few(wanted: Wanted, count: int | None, found: int, jobs: Sequence[Job]) -> str:
    """For an ``assert_enqueued`` that fails."""
    many = "No job was" if not found else f"{_count(found)} {'was' if found == 1 else 'were'}"
    expected = "" if count is None else f", not {count},"
    return f"{many} enqueued{expected} with\n{wanted}\n{_listed(wanted, jobs)}"


def too_many(wanted: Wanted, found: Sequence[Job], jobs: Sequence[Job]) -> str:
    """For a ``refute_enqueued`` that fails."""
    were = "was" if len(found) == 1 else "were"
    return f"{_count(len(found))} {were} enqueued that should not be:\n{wanted}\n{_listed(wanted, jobs)}"


def other_state(job: Job, state: State) -> str:
    """For an ``assert_state`` that fails."""
    lines = [f"Job {job.id} ({job.type}) is {job.state}, not {state}."]
    if job.reason is not None:
        lines.append(f"    reason: {job.reason}")
    if job.waiting_because is not None:
        lines.append(f"    waits: {job.waiting_because}")
    if job.state is State.SCHEDULED and job.run_at is not None:
        lines.append(f"    runs at: {job.run_at.isoformat()}")
    for one in job.attempts:
        end = one.end or "still running"
        told = "" if one.error is None else f": {one.error.type}: {one.error.message}"
        lines.append(f"    attempt {one.attempt}: {end}{told}")
    lines += [f"    log: {line.text}" for line in job.logs[-SHOWN:]]
    lines += _trace(job.error)
    return "\n".join(lines)


def _listed(wanted: Wanted, jobs: Sequence[Job]) -> str:
    if not jobs:
        return "Nothing was enqueued."
    lines = [f"{_count(len(jobs))} {'was' if len(jobs) == 1 else 'were'} enqueued:"]
    for number, job in enumerate(jobs[:SHOWN], 1):
        later = f" delay={tell(micros(job.delay))}" if job.delay > 0 else ""
        what = _short(job.payload) if job.content_type in (None, "application/json") else job.content_type
        lines.append(f"{number:>3}. {job.type} {job.state} queue={job.queue}{later} args={what}")
        if wanted.type is None or job.type == wanted.type:
            lines += [f"       {line}" for line in wanted.misses(job)]
    if len(jobs) > SHOWN:
        lines.append(f"     and {len(jobs) - SHOWN} more")
    return "\n".join(lines)


def _trace(error: Failure | None) -> list[str]:
    if error is None or error.traceback is None:
        return []
    return [f"    {line}" for line in error.traceback.rstrip().splitlines()]


def _equal(wanted: Any, given: Any) -> bool:
    if bool(wanted == given):
        return True
    try:
        return bool(msgspec.json.decode(encode(wanted)) == given)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", repr(function))


def _count(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, State) else str(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
