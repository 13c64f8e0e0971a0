"""finish and extend: what workers report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rota.engines.postgres import statements
from rota.engines.postgres.failures import Groups
from rota.engines.postgres.link import Session
from rota.engines.postgres.rows import plain, plain_or_none
from rota.model.job import Applied, Beat, Held, Outcome, State

_SQL = statements.load("finish")
_EXTEND = statements.load("extend")
_WAITING = (State.SCHEDULED, State.PENDING)

_REMEMBERED = 10_000
"""Outcomes of which it is not known whether they were kept."""

Finish = tuple[Sequence[Outcome], int]
Extend = tuple[Sequence[Beat], int]


class Doubts:
    """Outcomes whose commit nobody heard of. Whoever brings one again is answered as if for the first time:
    that it was kept then, if it was.
    """

    def __init__(self) -> None:
        self._at: dict[tuple[str, int], int] = {}

    async def finish(self, session: Session, calls: list[Finish]) -> list[list[Applied]]:
        """The verb."""
        return await finish(session, calls, self._at)

    async def again(self, session: Session, calls: list[Finish], before: object) -> list[list[Applied]]:
        """The verb, when the same calls may have been kept just before."""
        return await finish(session, calls, {**self._at, **_times(calls)})

    def unknown(self, calls: list[Finish]) -> None:
        """Nobody will know what became of these, unless they come again."""
        self._at.update(_times(calls))
        while len(self._at) > _REMEMBERED:
            del self._at[next(iter(self._at))]


def _times(calls: list[Finish]) -> dict[tuple[str, int], int]:
    return {(outcome.id, outcome.lease): now for some, now in calls for outcome in some}


async def finish(
    session: Session, calls: list[Finish], doubts: Mapping[tuple[str, int], int]
) -> list[list[Applied]]:
    """``doubts``: when outcomes were reported before that may have been kept."""
    outcomes = [(outcome, now) for some, now in calls for outcome in some]
    # Of several outcomes under one lease the first one counts: after it the lease is over.
    seen: set[tuple[str, int]] = set()
    done: list[int] = []
    others: list[int] = []
    for i, (outcome, _) in enumerate(outcomes):
        key = (outcome.id, outcome.lease)
        if key not in seen:
            seen.add(key)
            (done if outcome.state is State.DONE else others).append(i)
    answers = [Applied(outcome.id, outcome.lease, None) for outcome, _ in outcomes]
    if others:
        await session.begin()
    if done:
        await _write(session, _SQL["done"], outcomes, done, _done, answers)
    if others:
        await _write(session, _SQL["otherwise"], outcomes, others, _otherwise, answers)
        await _follow(session, outcomes, others, answers)
    if doubts:
        await _look(session, outcomes, [*done, *others], doubts, answers)
    rest = iter(answers)
    return [[next(rest) for _ in some] for some, _ in calls]


async def _write(
    session: Session,
    sql: str,
    outcomes: Sequence[tuple[Outcome, int]],
    chosen: Sequence[int],
    values: Any,
    answers: list[Applied],
) -> None:
    columns = [
        list(column) for column in zip(*(values(outcomes[i][0], outcomes[i][1]) for i in chosen), strict=True)
    ]
    for n, queue, type, state in await session.only(sql, *columns):
        i = chosen[n - 1]
        outcome = outcomes[i][0]
        answers[i] = Applied(outcome.id, outcome.lease, State(state), queue, type)


async def _look(
    session: Session,
    outcomes: Sequence[tuple[Outcome, int]],
    chosen: Sequence[int],
    doubts: Mapping[tuple[str, int], int],
    answers: list[Applied],
) -> None:
    """Of those that did not apply: whether they did before."""
    asked = [
        i for i in chosen if answers[i].state is None and (outcomes[i][0].id, outcomes[i][0].lease) in doubts
    ]
    if not asked:
        return
    some = [outcomes[i][0] for i in asked]
    rows = await session.fetch(
        _SQL["before"],
        [one.id for one in some],
        [one.lease for one in some],
        [doubts[one.id, one.lease] for one in some],
        [one.end for one in some],
        [one.state.value for one in some],
    )
    for n, queue, type, state in rows:
        one = some[n - 1]
        answers[asked[n - 1]] = Applied(one.id, one.lease, State(state), queue, type)


def _done(outcome: Outcome, now: int) -> tuple[Any, ...]:
    return outcome.id, outcome.lease, now, outcome.result, _result_type(outcome), outcome.end


def _result_type(outcome: Outcome) -> str | None:
    return None if outcome.result is None else outcome.content_type


def _otherwise(outcome: Outcome, now: int) -> tuple[Any, ...]:
    cause = outcome.cause
    return (
        outcome.id,
        outcome.lease,
        now,
        outcome.state.value,
        outcome.end,
        outcome.run_at,
        outcome.result,
        _result_type(outcome),
        outcome.error,
        plain_or_none(outcome.reason),
        outcome.spent,
        outcome.lost,
        None if cause is None else cause.fingerprint,
    )


async def _follow(
    session: Session,
    outcomes: Sequence[tuple[Outcome, int]],
    chosen: Sequence[int],
    answers: Sequence[Applied],
) -> None:
    """What else comes of outcomes that applied: groups of failures, and jobs that go to the back."""
    groups = Groups()
    back: list[str] = []
    for i in chosen:
        (outcome, now), applied = outcomes[i], answers[i]
        if applied.state is State.FAILED and outcome.cause is not None:
            groups.failed(applied.queue or "", applied.type or "", outcome.id, outcome.cause, now)
        if applied.state in _WAITING and outcome.back:
            back.append(outcome.id)
    if back:
        await session.fetch(_SQL["back"], back)
    await groups.write(session)


async def extend(session: Session, calls: list[Extend]) -> list[list[Held]]:
    beats: dict[tuple[str, int], tuple[int, bytes | None]] = {}
    for some, until in calls:
        for beat in some:
            before = beats.get((beat.id, beat.lease), (until, None))
            progress = before[1] if beat.progress is None else beat.progress
            beats[beat.id, beat.lease] = (until, progress)
    if not beats:
        return [[] for _ in calls]
    # In order, so that servers which beat for the same jobs do not wait in a ring.
    keys = sorted(beats)
    rows = await session.only(
        _EXTEND["beat"],
        [plain(id) for id, _ in keys],
        [lease for _, lease in keys],
        [beats[key][0] for key in keys],
        [beats[key][1] for key in keys],
    )
    held = {(id, lease): Held(id, lease, stop) for id, lease, stop in rows}
    return [
        [held[beat.id, beat.lease] for beat in some if (beat.id, beat.lease) in held] for some, _ in calls
    ]
