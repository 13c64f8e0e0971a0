"""What an engine should do, written down as plainly as possible: dictionaries and loops, nothing stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rota.model.job import (
    ENDED,
    Applied,
    Ask,
    Beat,
    Claimed,
    Held,
    Job,
    Kept,
    Match,
    NewJob,
    Outcome,
    Request,
    State,
)

WAITING = (State.SCHEDULED, State.PENDING)


@dataclass
class Known:
    """One job of the model; ``holds`` while it has its unique key."""

    new: NewJob
    state: State
    run_at: int
    max_attempts: int
    holds: bool
    expires_at: int | None
    attempt: int = 0
    lease: int = 0
    losses: int = 0
    stop: bool = False
    until: int | None = None
    worker: str | None = None
    finished_at: int | None = None
    result: bytes | None = None
    progress: bytes | None = None
    ends: list[str] = field(default_factory=list)

    def enter(self, state: State) -> None:
        self.state = state
        self.holds = self.holds and state in self.new.unique_states

    def applied(self, state: State | None = None) -> Applied:
        return Applied(self.new.id, self.lease, state or self.state, self.new.queue, self.new.type)

    def seen(self) -> tuple[object, ...]:
        return (
            self.state,
            self.run_at,
            self.max_attempts,
            self.expires_at,
            self.attempt,
            self.lease,
            self.losses,
            self.stop if self.state is State.RUNNING else None,
            self.until if self.state is State.RUNNING else None,
            self.worker if self.state is State.RUNNING else None,
            self.finished_at,
            self.result,
            self.progress if self.state is State.RUNNING else None,
            tuple(end for end in self.ends if end != "done"),
        )


def seen(job: Job) -> tuple[object, ...]:
    """The same of a real job."""
    running = job.state is State.RUNNING
    return (
        job.state,
        job.run_at,
        job.max_attempts,
        job.expires_at,
        job.attempt,
        job.lease,
        job.losses,
        job.cancel_requested if running else None,
        job.lease_until if running else None,
        job.worker if running else None,
        job.finished_at,
        job.result,
        job.progress if running else None,
        tuple(attempt.end for attempt in job.attempts if attempt.end not in (None, "done")),
    )


class Model:
    """The verbs of an engine over one dictionary, oldest job first."""

    def __init__(self) -> None:
        self.jobs: dict[str, Known] = {}
        self.events: dict[str, list[tuple[object, ...]]] = {}
        """What is logged of each job: event, state, and of a try its number, its worker and its end."""

    def tell(self, event: str, job: Known, *rest: object) -> None:
        self.events.setdefault(job.new.id, []).append((event, job.state, *(rest or (None, None, None))))

    def enqueue(self, requests: Sequence[Request]) -> list[list[Kept]]:
        return [[self._enqueue(new) for new in request.jobs] for request in requests]

    def _enqueue(self, new: NewJob) -> Kept:
        holder = self.holder(new.unique_key)
        if holder is not None:
            return Kept(holder.new.id, holder.state, "unique")
        holds = new.unique_key is not None
        self.jobs[new.id] = Known(new, new.state, new.run_at, new.max_attempts, holds, new.expires_at)
        self.tell("enqueued", self.jobs[new.id])
        return Kept(new.id, new.state)

    def holder(self, key: str | None) -> Known | None:
        return next((job for job in self.jobs.values() if job.holds and job.new.unique_key == key), None)

    def claim(self, asks: Sequence[Ask], until: int, now: int) -> list[list[Claimed]]:
        return [[self._start(job, ask, until) for job in self._best(ask, now)] for ask in asks]

    def _best(self, ask: Ask, now: int) -> list[Known]:
        best: list[Known] = []
        for queue in ask.queues:
            fit = [
                job
                for job in self.jobs.values()
                if job.state is State.PENDING
                and job.new.queue == queue
                and (ask.types is None or job.new.type in ask.types)
                and (job.expires_at is None or job.expires_at > now)
            ]
            fit.sort(key=lambda job: -job.new.priority)
            best += fit[: ask.slots - len(best)]
        return best

    def _start(self, job: Known, ask: Ask, until: int) -> Claimed:
        job.enter(State.RUNNING)
        job.attempt, job.lease, job.until, job.worker = job.attempt + 1, job.lease + 1, until, ask.worker
        self.tell("started", job, job.attempt, ask.worker, None)
        new = job.new
        return Claimed(
            id=new.id,
            lease=job.lease,
            type=new.type,
            queue=new.queue,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            payload=new.payload,
            content_type=new.content_type,
            headers=new.headers,
            timeout=new.timeout,
            run_at=job.run_at,
        )

    def finish(self, outcomes: Sequence[Outcome], now: int) -> list[Applied]:
        return [self._finish(outcome, now) for outcome in outcomes]

    def _finish(self, outcome: Outcome, now: int) -> Applied:
        job = self.held(outcome.id, outcome.lease)
        if job is None:
            return Applied(outcome.id, outcome.lease, None)
        goes_on = outcome.state in WAITING and not job.stop
        job.enter(State.CANCELLED if outcome.state in WAITING and job.stop else outcome.state)
        job.ends.append(outcome.end)
        event = "requeued" if goes_on else "finished"
        self.tell(event, job, job.attempt, job.worker, outcome.end)
        job.attempt -= not outcome.spent
        job.losses += outcome.lost
        job.progress = None
        if goes_on:
            job.run_at = outcome.run_at or now
        else:
            job.finished_at, job.result = now, outcome.result
        return job.applied()

    def held(self, id: str, lease: int) -> Known | None:
        job = self.jobs.get(id)
        return job if job and job.state is State.RUNNING and job.lease == lease else None

    def extend(self, beats: Sequence[Beat], until: int) -> list[Held]:
        held: list[Held] = []
        for beat in beats:
            job = self.held(beat.id, beat.lease)
            if job is not None:
                job.until = until
                job.progress = job.progress if beat.progress is None else beat.progress
                held.append(Held(beat.id, beat.lease, job.stop))
        return held

    def promote(self, now: int, limit: int) -> list[tuple[str, int]]:
        due = [job for job in self.jobs.values() if job.state is State.SCHEDULED and job.run_at <= now]
        due = sorted(due, key=lambda job: job.run_at)[:limit]
        for job in due:
            job.enter(State.PENDING)
        return list(Counter(job.new.queue for job in due).items())

    def _chosen(self, match: Match, limit: int, fits: Callable[[Known], bool]) -> Iterator[Known]:
        """Oldest first; of the filters only ids, states, queue and type."""
        chosen = [
            job
            for job in self.jobs.values()
            if fits(job)
            and (match.ids is None or job.new.id in match.ids)
            and (match.states is None or job.state in match.states)
            and (match.queues is None or job.new.queue in match.queues)
            and (match.types is None or job.new.type in match.types)
        ]
        yield from chosen[:limit]

    def cancel(self, match: Match, now: int, limit: int) -> list[Applied]:
        answers: list[Applied] = []
        for job in self._chosen(match, limit, lambda job: job.state not in ENDED and not job.stop):
            if job.state is State.RUNNING:
                job.stop = True
            else:
                job.enter(State.CANCELLED)
                job.finished_at = now
                self.tell("finished", job)
            answers.append(job.applied())
        return answers

    def retry(self, match: Match, now: int, limit: int) -> list[Applied]:
        answers: list[Applied] = []
        for job in self._chosen(match, limit, lambda job: job.state in ENDED or job.state is State.SCHEDULED):
            if job.state in ENDED:
                if job.new.unique_key is not None and self.holder(job.new.unique_key) not in (None, job):
                    answers.append(Applied(job.new.id, job.lease, None, job.new.queue, job.new.type))
                    continue
                job.holds = job.new.unique_key is not None
                job.losses, job.finished_at, job.result, job.stop = 0, None, None, False
            job.enter(State.PENDING)
            if job.expires_at is not None and job.expires_at <= now:
                job.expires_at = None
            job.run_at, job.max_attempts = now, max(job.max_attempts, job.attempt + 1)
            self.tell("requeued", job)
            answers.append(job.applied())
        return answers

    def delete(self, match: Match, limit: int) -> list[Applied]:
        gone = list(self._chosen(match, limit, lambda job: job.state is not State.RUNNING))
        for job in gone:
            self.tell("deleted", job)
            del self.jobs[job.new.id]
        return [job.applied() for job in gone]

    def counts(self) -> dict[tuple[str, str, State], int]:
        return dict(Counter((job.new.queue, job.new.type, job.state) for job in self.jobs.values()))

    def due(self) -> int | None:
        return min((job.run_at for job in self.jobs.values() if job.state is State.SCHEDULED), default=None)
