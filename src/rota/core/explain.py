"""Why a job is not running, and when it will: from gathered facts (:mod:`rota.core.facts`) to causes.

Pure. Causes come in the order of their importance: what keeps a job from ever running, what somebody has to
mend, what passes by itself, what is good to know. The code of a cause is stable, its sentence is for people.
Times are microseconds UTC; in the numbers of a cause they have names that end in ``_at``, and durations are
seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from rota.core.causes import Cause, ended, failure, running, span, when
from rota.core.programs import Programs
from rota.core.turn import Turn, estimate
from rota.model.clock import HOUR, SECOND
from rota.model.job import ENDED, Job, State

Certainty = Literal["known", "estimate", "not_before", "never"]

SHOWN = 10
"""Names that a cause lists at most; its counts are whole."""


class Serving(Protocol):
    """What is asked of a worker, see :class:`rota.core.workers.Worker`."""

    id: str
    name: str
    queues: tuple[str, ...]
    types: tuple[str, ...] | None
    slots: int
    taken: dict[tuple[str, int], tuple[str, str, int]]
    draining: bool
    silent: bool
    stand_in: bool

    @property
    def working(self) -> bool: ...

    def knows(self, type: str) -> bool: ...


AnyServing = TypeVar("AnyServing", bound=Serving)


class Line(msgspec.Struct, frozen=True):
    """What the server knows by heart: of the job's queue, of itself, and of all its workers."""

    paused: bool
    stopped: bool
    roster: Sequence[Serving]
    programs: Programs = Programs()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an explanation rests on.

    ``ahead``: jobs that a claim takes before this one, by type, counted up to ``limit``; None unless pending.
    ``runs``: mean seconds of a run, by type, as far as there were any. ``holder``: who holds the job's unique
    key. ``jump``: when the clock was set last, and by how many seconds.
    """

    now: int
    job: Job
    line: Line
    ahead: Mapping[str, int] | None = None
    limit: int = 0
    runs: Mapping[str, float] = {}
    holder: Job | None = None
    jump: tuple[int, float] | None = None


class Explanation(msgspec.Struct, frozen=True):
    """The causes, the first one being the headline, and when the job is expected to start.

    ``certainty`` of ``at``: ``known``, ``estimate``, ``not_before`` (something else has to change first), or
    ``never`` (``at`` None: it expires first). None where nothing can be said, or the job runs or has ended.
    """

    job: Job
    now: int
    causes: Sequence[Cause]
    at: int | None
    certainty: Certainty | None


def explain(facts: Facts) -> Explanation:
    """The whole answer."""
    job, now = facts.job, facts.now
    if job.state in ENDED:
        return Explanation(job, now, [ended(job, now), *_refused(facts)], None, None)
    if job.state is State.RUNNING:
        names = {worker.id: worker.name for worker in facts.line.roster}
        return Explanation(job, now, [*running(job, names, now), *_asides(facts)], None, None)
    blocked = blockers(job, facts.line)
    causes = [_scheduled(job, now)] if job.state is State.SCHEDULED else []
    causes += blocked
    at: int | None = None
    certainty: Certainty | None = None
    if job.state is State.SCHEDULED:
        at, certainty = job.run_at, "not_before" if blocked else "known"
    elif not blocked:
        turn = estimate(able(job, facts.line), facts.ahead or {}, facts.limit, facts.runs, now)
        causes.append(_turn(turn, now))
        at = turn.at
        if at is not None:
            certainty = "not_before" if turn.more else "estimate"
    expiry = _expiry(job, at, certainty, now)
    if expiry is not None and expiry.code != "expires":
        causes.insert(0, expiry)
        if expiry.code == "expiring" or certainty in ("known", "not_before"):
            at, certainty = None, "never"
    elif expiry is not None:
        causes.append(expiry)
    return Explanation(job, now, causes + _asides(facts), at, certainty)


def in_short(job: Job, line: Line) -> str | None:
    """Why a pending job is not running, in one sentence, from what needs no look into the store."""
    if job.state is not State.PENDING:
        return None
    found = blockers(job, line)
    return found[0].sentence if found else "All slots are taken, or other jobs are ahead of it."


def serving(queue: str, roster: Iterable[AnyServing]) -> list[AnyServing]:
    """Who is given jobs of a queue, types aside. Where any other worker takes jobs, no stand-in does."""
    here = [worker for worker in roster if queue in worker.queues and worker.working]
    return [worker for worker in here if not worker.stand_in] or here


def able(job: Job, line: Line) -> list[Serving]:
    """The workers that the job may go to."""
    return [worker for worker in serving(job.queue, line.roster) if worker.knows(job.type)]


def blockers(job: Job, line: Line) -> list[Cause]:
    """What has to change before anybody gets this job, whatever its place in the line."""
    found = []
    if line.paused:
        found.append(Cause("queue_paused", f"The queue {job.queue} is paused.", numbers={"queue": job.queue}))
    nobody = [] if able(job, line) else [_nobody(job, line)]
    if nobody and (refused := line.programs.cause(job)) is not None:
        nobody.insert(0, refused)
    if line.stopped:
        draining = Cause("server_draining", "The server is draining.")
        # Its own workers drain because it does; of other workers there will be too few when it is back, too.
        first = any(cause.code == "workers_draining" for cause in nobody)
        nobody.insert(0 if first else len(nobody), draining)
    return found + nobody


def _nobody(job: Job, line: Line) -> Cause:
    """Why no worker can have it."""
    there = [worker for worker in line.roster if job.queue in worker.queues and not worker.silent]
    elsewhere = [one for one in line.roster if one not in there and job.type in (one.types or ())]
    there = serving(job.queue, there) or there
    numbers: dict[str, Any] = {
        "queue": job.queue,
        "type": job.type,
        "workers": len(there),
        "names": [worker.name for worker in there[:SHOWN]],
        "elsewhere": [{"name": one.name, "queues": one.queues} for one in elsewhere[:SHOWN]],
    }
    if not there:
        hint = ""
        if elsewhere:
            queues = sorted({queue for worker in elsewhere for queue in worker.queues})[:SHOWN]
            hint = f" Workers that know the type {job.type} serve {', '.join(queues)}."
        return Cause("no_worker", f"No worker serves the queue {job.queue}.{hint}", numbers=numbers)
    if all(worker.draining for worker in there):
        told = f"All workers of the queue {job.queue} are draining."
        return Cause("workers_draining", told, numbers=numbers)
    told = f"No connected worker of the queue {job.queue} knows the type {job.type}."
    return Cause("unknown_type", told, numbers=numbers)


def _scheduled(job: Job, now: int) -> Cause:
    last = job.attempts[-1] if job.attempts else None
    numbers: dict[str, Any] = {"run_at": job.run_at, "seconds": max(0.0, (job.run_at - now) / SECOND)}
    if job.run_at <= now:
        return Cause("due", "It is due and about to become pending.", job.run_at, numbers)
    then = when(job.run_at, now)
    if last is not None and last.end in ("failed", "timeout"):
        error = failure(last.error)
        numbers |= {"attempt": job.attempt, "max_attempts": job.max_attempts, "error": error}
        how = f" with {error}" if error else ""
        told = f"Attempt {job.attempt} of {job.max_attempts} failed{how}; the next one is due at {then}."
        return Cause("backoff", told, job.run_at, numbers)
    if last is not None and last.end == "snoozed":
        return Cause("snoozed", f"Its handler asked to be called again at {then}.", job.run_at, numbers)
    return Cause("scheduled", f"It is scheduled for {then}.", job.run_at, numbers)


def _turn(turn: Turn, now: int) -> Cause:
    count = f"more than {turn.ahead}" if turn.more else str(turn.ahead) if turn.ahead else "no"
    line = f"{count} {'job is' if turn.ahead == 1 else 'jobs are'} ahead of it"
    places = f"{turn.slots} {'slot' if turn.slots == 1 else 'slots'}"
    numbers: dict[str, Any] = {
        "ahead": turn.ahead,
        "ahead_is_exact": not turn.more,
        "workers": turn.workers,
        "slots": turn.slots,
        "free_slots": turn.free,
        "run_seconds": turn.run,
    }
    if turn.free > turn.ahead:
        return Cause("starting", "A slot is free for it; it is about to be handed out.", turn.at, numbers)
    guess = ""
    if turn.at is not None and turn.run is not None:
        about = "after" if turn.more else "at about"
        guess = f"; at {span(turn.run)} a run it starts {about} {when(turn.at, now)}"
    if turn.free:
        return Cause("jobs_ahead", f"{line.capitalize()}, {places} can take it{guess}.", turn.at, numbers)
    told = f"All {places} that can take it are taken" if turn.slots > 1 else "The only slot for it is taken"
    return Cause("slots_full", f"{told}, and {line}{guess}.", turn.at, numbers)


def _expiry(job: Job, at: int | None, certainty: Certainty | None, now: int) -> Cause | None:
    if job.expires_at is None:
        return None
    numbers = {"expires_at": job.expires_at, "seconds": (job.expires_at - now) / SECOND}
    then = when(job.expires_at, now)
    if job.expires_at <= now:
        told = f"It expired at {then} and is about to be cancelled."
        return Cause("expiring", told, job.expires_at, numbers)
    if at is not None and job.expires_at <= at:
        surely = "It will" if certainty in ("known", "not_before") else "It will probably"
        told = f"{surely} not run: it expires at {then}, before its turn."
        return Cause("expires_first", told, job.expires_at, numbers)
    return Cause("expires", f"Unless it starts before, it expires at {then}.", job.expires_at, numbers)


def _refused(facts: Facts) -> list[Cause]:
    """Why an ended job could not be retried."""
    job, holder = facts.job, facts.holder
    if holder is None or holder.id == job.id:
        return []
    told = (
        f"A retry is refused: the job {holder.id} ({holder.state}) holds the unique key {job.unique_key!r}."
    )
    numbers = {"unique_key": job.unique_key, "holder": holder.id, "holder_state": holder.state}
    return [Cause("unique_held", told, numbers=numbers)]


def _asides(facts: Facts) -> list[Cause]:
    """What keeps nothing from running, but is good to know."""
    job, found = facts.job, []
    if facts.holder is not None and facts.holder.id == job.id:
        told = f"It holds the unique key {job.unique_key!r}: no second job with that key is stored meanwhile."
        found.append(Cause("holds_unique_key", told, numbers={"unique_key": job.unique_key}))
    early = (job.created_at - facts.now) / SECOND
    if facts.jump is not None and facts.now - facts.jump[0] < HOUR:
        at, by = facts.jump
        far = f"{'back' if by < 0 else 'forward'} by {span(abs(by))}"
        late = "later" if by < 0 else "sooner"
        told = f"The clock was set {far} at {when(at, facts.now)}: times from before come {late} than meant."
        found.append(Cause("clock_jumped", told, numbers={"jumped_at": at, "seconds": by}))
    elif early > 1:
        told = f"By the server's clock it was made {span(early)} from now: the clock was set back since."
        found.append(Cause("clock_jumped", told, numbers={"jumped_at": None, "seconds": -early}))
    return found
