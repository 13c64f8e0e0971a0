"""finish and extend: what workers report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rota.engines.postgres import statements
from rota.engines.postgres.failures import Groups
from rota.engines.postgres.link import Session
from rota.engines.postgres.rows import plain, plain_or_none
from rota.model.job import Applied, Beat, Held, Outcome, State

_SQL = statements.load("finish")
_EXTEND = statements.load("extend")
_WAITING = (State.SCHEDULED, State.PENDING)

Finish = tuple[Sequence[Outcome], int]
Extend = tuple[Sequence[Beat], int]


async def finish(session: Session, calls: list[Finish]) -> list[list[Applied]]:
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


def _done(outcome: Outcome, now: int) -> tuple[Any, ...]:
    return outcome.id, outcome.lease, now, outcome.result, _result_type(outcome)


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
