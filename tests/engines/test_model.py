"""Random verbs against the engine and against a model of it; whatever can be seen must be the same."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rota.engines.base import Engine
from rota.engines.open import open_engine
from rota.model.clock import SECOND
from rota.model.job import ENDED, LIVE, Ask, Beat, Match, Outcome, Request, State
from rota.model.spec import UNIQUE_STATES
from tests.engines.kit import ANY, ENGINES, LEASE, NOBODY, NOW, counts, done_with, found, fresh, job, turn_on
from tests.engines.model import Model, seen

Call = Callable[[], Awaitable[Any]]

EXAMPLES = {"sqlite": 60, "postgres": 20}
"""Opening a database again and again takes its time."""
FOREVER = NOW + 10**6 * SECOND
TYPES, QUEUES = ("a", "b", "c"), ("p", "q")
EARLY = (State.SCHEDULED, State.PENDING)
ENDS: dict[str, dict[str, Any]] = {
    "done": {"state": State.DONE, "result": b"r"},
    "failed": {"state": State.FAILED, "error": b"{}", "reason": "x"},
    "cancelled": {"state": State.CANCELLED, "reason": "x"},
    "timeout": {"state": State.SCHEDULED, "error": b"{}"},
    "snoozed": {"state": State.SCHEDULED, "spent": False},
    "released": {"state": State.PENDING, "spent": False},
    "lost": {"state": State.PENDING, "error": b"{}", "lost": True},
}

some = st.integers(0, 10**6)
limits = st.sampled_from((1, 2, 2, 3, 100))
matches = st.builds(
    Match,
    states=st.none() | st.lists(st.sampled_from(State), max_size=2, unique=True).map(tuple),
    queues=st.none() | st.lists(st.sampled_from(QUEUES), max_size=2).map(tuple),
    types=st.none() | st.lists(st.sampled_from(TYPES), max_size=2).map(tuple),
)
news = st.fixed_dictionaries(
    {
        "type": st.sampled_from(TYPES),
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from((0, 0, 5, -5)),
        "delay": st.sampled_from((0, 0, 0, 3, 20)).map(lambda seconds: seconds * SECOND),
        "max_attempts": st.integers(1, 3),
        "expires_in": st.none() | st.none() | st.sampled_from((4, 8)).map(lambda seconds: seconds * SECOND),
        "unique": st.none()
        | st.none()
        | st.tuples(st.sampled_from("xy"), st.sampled_from((UNIQUE_STATES, EARLY, tuple(State)))),
    }
)


def some_are(*states: State) -> Callable[[Any], bool]:
    """Few steps are wasted on verbs that would find nothing."""
    return lambda machine: any(known.state in states for known in machine.model.jobs.values())


class Machine(RuleBasedStateMachine):
    """Calls pile up until ``settle``, so that the engine may put any number of them into one commit."""

    engine_name = ENGINES[0]

    def __init__(self) -> None:
        super().__init__()
        self.closing = contextlib.ExitStack()
        self.loop = self.closing.enter_context(asyncio.Runner())
        self.url = fresh(self.engine_name, self.closing.enter_context(tempfile.TemporaryDirectory()))
        self.engine: Engine = self.loop.run(open_engine(self.url))
        self.loop.run(turn_on(self.engine, "all"))
        self.model = Model()
        self.now = NOW
        self.calls: list[tuple[Call, Any]] = []

    def teardown(self) -> None:
        self.loop.run(self.engine.close())
        done_with(self.url)
        self.closing.close()

    def call(self, call: Call, expected: Any) -> None:
        self.calls.append((call, expected))

    def pick(self, n: int, state: State | None = None) -> str:
        fit = [id for id, known in self.model.jobs.items() if state in (None, known.state)]
        return fit[n % len(fit)] if fit else NOBODY

    @initialize(first=st.lists(news, min_size=4, max_size=8))
    def start(self, first: list[dict[str, Any]]) -> None:
        self.enqueue([first])
        self.claim([Ask("w1", QUEUES, None, 3)])

    @rule(batch=st.lists(st.lists(news, max_size=4), max_size=3))
    def enqueue(self, batch: list[list[dict[str, Any]]]) -> None:
        requests = [Request(tuple(self.new(**fields) for fields in one)) for one in batch]
        now = self.now
        self.call(lambda: self.engine.enqueue(requests, now), self.model.enqueue(requests))

    def new(self, unique: tuple[str, tuple[State, ...]] | None, expires_in: int | None, **fields: Any) -> Any:
        if unique is not None:
            fields |= {"unique_key": unique[0], "unique_states": unique[1]}
        expires_at = None if expires_in is None else self.now + fields["delay"] + expires_in
        return job(now=self.now, expires_at=expires_at, **fields)

    @precondition(some_are(State.PENDING))
    @rule(
        asks=st.lists(
            st.builds(
                Ask,
                st.sampled_from(("w1", "w2")),
                st.sampled_from((("p",), ("p", "q"), ("q", "none", "p"))),
                st.sampled_from((None, None, ("a",), ("b", "c", "none"))),
                st.sampled_from((0, 1, 2, 3, 3, 50)),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def claim(self, asks: list[Ask]) -> None:
        now, until = self.now, self.now + LEASE
        self.call(lambda: self.engine.claim(asks, until, now), self.model.claim(asks, until, now))

    @precondition(some_are(State.RUNNING))
    @rule(
        picks=st.lists(
            st.tuples(
                some, st.sampled_from(["done", "done", *sorted(ENDS)]), st.sampled_from((0, 0, 0, 1, -1))
            ),
            min_size=1,
            max_size=4,
        )
    )
    def finish(self, picks: list[tuple[int, str, int]]) -> None:
        now, outcomes = self.now, []
        for n, end, wrong in picks:
            id = self.pick(n, None if n % 5 == 4 else State.RUNNING)
            lease = self.model.jobs[id].lease if id in self.model.jobs else 1
            fields = dict(ENDS[end])
            if fields["state"] in EARLY:
                fields["run_at"] = now + (3 * SECOND if fields["state"] is State.SCHEDULED else 0)
            outcomes.append(Outcome(id=id, lease=lease + wrong, end=end, **fields))
        self.call(lambda: self.engine.finish(outcomes, now), self.model.finish(outcomes, now))

    @precondition(some_are(State.RUNNING))
    @rule(
        picks=st.lists(st.tuples(some, st.sampled_from((0, 0, 1, -1))), min_size=1, max_size=3),
        news=st.none() | st.binary(max_size=2),
    )
    def extend(self, picks: list[tuple[int, int]], news: bytes | None) -> None:
        now, until = self.now, self.now + LEASE // 2
        known = [(self.pick(n, State.RUNNING), wrong) for n, wrong in picks]
        beats = [
            Beat(id, (self.model.jobs[id].lease if id in self.model.jobs else 1) + wrong, news)
            for id, wrong in known
        ]
        self.call(lambda: self.engine.extend(beats, until, now), self.model.extend(beats, until))

    @precondition(some_are(State.SCHEDULED))
    @rule(limit=limits)
    def promote(self, limit: int) -> None:
        now = self.now
        self.call(lambda: self.engine.promote(now, limit), self.model.promote(now, limit))

    @precondition(some_are(*LIVE))
    @rule(match=matches, limit=limits)
    def cancel(self, match: Match, limit: int) -> None:
        now = self.now
        self.call(lambda: self.engine.cancel(match, "x", now, limit), self.model.cancel(match, now, limit))

    @precondition(some_are(State.RUNNING))
    @rule(n=some)
    def stop_one(self, n: int) -> None:
        self.cancel(Match(ids=(self.pick(n, State.RUNNING),)), 1)

    @precondition(some_are(State.SCHEDULED, *ENDED))
    @rule(match=matches, limit=limits)
    def retry(self, match: Match, limit: int) -> None:
        now = self.now
        self.call(lambda: self.engine.retry(match, now, limit), self.model.retry(match, now, limit))

    @precondition(some_are(*ENDED))
    @rule(n=some, fields=news)
    def retry_against_a_rival(self, n: int, fields: dict[str, Any]) -> None:
        ended = [id for id, known in self.model.jobs.items() if known.state in ENDED]
        key = self.model.jobs[ended[n % len(ended)]].new.unique_key
        self.enqueue([[fields | {"unique": key and (key, UNIQUE_STATES)}]])
        self.retry(Match(ids=tuple(ended[n % len(ended) :])), 2)

    @precondition(lambda self: len(self.model.jobs) > 5)
    @rule(match=matches, limit=limits, n=some)
    def delete(self, match: Match, limit: int, n: int) -> None:
        match = Match(ids=(self.pick(n),)) if n % 3 else match
        now = self.now
        self.call(lambda: self.engine.delete(match, limit, now), self.model.delete(match, limit))

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule()
    def reopen(self) -> None:
        self.settle()
        self.loop.run(self.engine.close())
        self.engine = self.loop.run(open_engine(self.url))

    @rule()
    def settle(self) -> None:
        calls, self.calls = self.calls, []
        self.loop.run(self.compare(calls))

    @invariant()
    def not_too_many_calls(self) -> None:
        if len(self.calls) >= 4:
            self.settle()

    async def compare(self, calls: list[tuple[Call, Any]]) -> None:
        answers = await asyncio.gather(*[call() for call, _ in calls])
        for answer, (_, expected) in zip(answers, calls, strict=True):
            assert sorted_pairs(answer) == sorted_pairs(expected)
        ids = list(self.model.jobs)
        assert await found(self.engine, ANY, 7) == ids[::-1]
        kept = {job.id: seen(job) for job in await self.engine.get(ids)}
        assert kept == {id: known.seen() for id, known in self.model.jobs.items()}
        assert await counts(self.engine) == self.model.counts()
        assert await self.engine.next_due() == self.model.due()
        assert await self.logged() == self.model.events

    async def logged(self) -> dict[str, list[tuple[object, ...]]]:
        """The event log, job by job."""
        reading = await self.engine.read_events("all", "me", FOREVER, 10_000, self.now)
        found: dict[str, list[tuple[object, ...]]] = {}
        for one in reading.events:
            seen = (one.event, one.state, one.attempt, one.worker, one.end)
            found.setdefault(one.id, []).append(seen)
        return found


def sorted_pairs(answer: Any) -> Any:
    """The queues that promote names come in any order."""
    return sorted(answer) if answer and isinstance(answer[0], tuple) else answer


@pytest.mark.parametrize("name", ENGINES)
def test_the_engine_does_what_the_model_does(name: str) -> None:
    machine = type("Machine", (Machine,), {"engine_name": name})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[name],
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
