"""Whether all is well, in words, and if not, why and what to do: from figures to findings.

Pure; :mod:`rota.core.conditions` gathers the figures. What keeps jobs from running comes first, then what
somebody has to look at, then what is good to know. Codes are stable, and those of :mod:`rota.core.explain`
where they mean the same; sentences are for people, who may be shown ``command`` behind them. It works as it
is typed, where ``app:app`` is the user's program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from rota.core import condition_server as server
from rota.core.causes import span
from rota.core.explain import Serving, serving
from rota.core.feeds import FeedFigures
from rota.core.finding import Finding, Level, many
from rota.core.intake import Stretch
from rota.core.programs import Programs
from rota.model.clock import SECOND
from rota.model.failure import FailureGroup
from rota.model.job import Count, State

Overall = Literal["ok", "warning", "error"]

ARRIVING = 5.0
"""Seconds that jobs may wait for nobody: a worker that starts anew is back by then."""
WAITING = 60.0
"""Seconds for which the oldest job may wait for a slot: a short rush is no fault."""
FEW_FAILURES = 3
"""Failed jobs in a minute that are no pattern yet."""
FAILING = 0.1
"""The part of the jobs that end as failed from which on it is told; from half on it is an error."""
SHOWN = 20
"""Findings of one kind that are told one by one: the fullest queues; the rest is one more."""

_ORDER: Mapping[str, int] = {"error": 0, "warning": 1, "ok": 2}


class Figures(msgspec.Struct, kw_only=True):
    """What findings rest on. ``oldest``: since when the oldest pending job of a queue waits. ``rates``: ends
    per second in the last minute, by state, on all servers; ``measured``: over how many seconds. ``lost``:
    jobs whose workers were lost in the last minutes. ``commit``: mean seconds of a commit. ``room``: bytes
    free and in all on the store's disk.
    """

    now: int
    counts: Sequence[Count] = ()
    oldest: Mapping[str, int] = {}
    paused: frozenset[str] = frozenset()
    roster: Sequence[Serving] = ()
    programs: Programs = msgspec.field(default_factory=Programs)
    stopped: bool = False
    stopping: int = 0
    """Other servers that drain."""
    rates: Mapping[str, float] = {}
    measured: float = 60.0
    failure: FailureGroup | None = None
    """What failed last."""
    lost: int = 0
    jump: tuple[int, float] | None = None
    lag: float = 0.0
    commit: float | None = None
    room: tuple[int, int] | None = None
    feeds: Sequence[FeedFigures] = ()
    stretches: Sequence[Stretch] = ()
    away: Mapping[str, str | None] = {}
    store: str | None = None
    """Why the store does not answer; all that is in it is unknown then."""


class Condition(msgspec.Struct, frozen=True):
    """The findings, the worst first. ``sentence``: the headline."""

    level: Overall
    at: int
    sentence: str
    findings: list[Finding]


def judge(figures: Figures) -> Condition:
    """The whole answer."""
    found = sorted(
        [*server.findings(figures), *_queues(figures), *_failures(figures)], key=lambda one: _ORDER[one.level]
    )
    level: Overall = found[0].level if found else "ok"
    return Condition(level, figures.now, _headline(figures, found, level), found)


def _headline(figures: Figures, found: Sequence[Finding], level: Level) -> str:
    bad = [one for one in found if one.level != "ok"]
    if bad:
        more = f" And {many(len(bad) - 1, 'more finding')}." if len(bad) > 1 else ""
        return bad[0].sentence + more
    running = sum(row.jobs for row in figures.counts if row.state is State.RUNNING)
    pending = sum(row.jobs for row in figures.counts if row.state is State.PENDING)
    workers = len([one for one in figures.roster if not one.stand_in])
    jobs = f"{many(running, 'job')} running, {pending} waiting for a slot"
    return f"All is well: {many(workers, 'worker')}, {jobs}."


def _queues(figures: Figures) -> Iterable[Finding]:
    waiting: dict[str, dict[str, int]] = {}
    for row in figures.counts:
        if row.state is State.PENDING and row.jobs > 0:
            types = waiting.setdefault(row.queue, {})
            types[row.type] = types.get(row.type, 0) + row.jobs
    fullest = sorted(waiting, key=lambda queue: (-sum(waiting[queue].values()), queue))
    by_code: dict[str, list[Finding]] = {}
    for queue in fullest:
        for one in _queue(figures, queue, waiting[queue]):
            by_code.setdefault(one.code, []).append(one)
    for code, found in by_code.items():
        yield from found[:SHOWN]
        if rest := found[SHOWN:]:
            jobs = sum(one.numbers["jobs"] for one in rest)
            told = f"The same is so in {many(len(rest), 'more case')}, with {many(jobs, 'job')}."
            yield Finding(code, rest[0].level, told, {"cases": len(rest), "jobs": jobs})


def _queue(figures: Figures, queue: str, types: Mapping[str, int]) -> Iterable[Finding]:
    jobs = sum(types.values())
    age = max(0.0, (figures.now - figures.oldest.get(queue, figures.now)) / SECOND)
    numbers: dict[str, Any] = {"jobs": jobs, "oldest_age": round(age, 3)}
    wait = f"{many(jobs, 'job')} {'waits' if jobs == 1 else 'wait'}"
    oldest = f"the oldest for {span(age)}"
    if queue in figures.paused:
        told = f"The queue {queue} is paused, and {wait} in it, {oldest}."
        yield Finding("queue_paused", "warning", told, numbers, queue, command=f"rota queues resume {queue}")
        return
    if age < ARRIVING:
        return
    there = [one for one in figures.roster if queue in one.queues and not one.silent]
    here = serving(queue, figures.roster)
    start = f"rota work app:app --queues {queue}"
    ours, types = _programs(figures, queue, types, here)
    yield from ours
    if not types:
        return
    left = sum(types.values())
    numbers = {**numbers, "jobs": left}
    wait = f"{many(left, 'job')} {'waits' if left == 1 else 'wait'}"
    if not there:
        told = f"{wait} in {queue}, {oldest}, and no worker serves it."
        yield Finding("no_worker", "error", told, numbers, queue, command=start)
        return
    if not here:
        told = f"{wait} in {queue}, {oldest}, and all workers that serve it are draining."
        numbers |= {"workers": len(there)}
        yield Finding("workers_draining", "error", told, numbers, queue, command=start)
        return
    for type, count in types.items():
        if not any(worker.knows(type) for worker in here):
            told = (
                f"{many(count, 'job')} of the type {type} {'waits' if count == 1 else 'wait'} in {queue}, "
                "and no worker there knows it."
            )
            numbers = {"jobs": count, "workers": len(here)}
            yield Finding("unknown_type", "error", told, numbers, queue, type, start)
    known = [worker for worker in here if any(worker.knows(type) for type in types)]
    slots = sum(worker.slots for worker in known)
    taken = sum(min(worker.slots, len(worker.taken)) for worker in known)
    if known and age >= WAITING and taken >= slots:
        full = (
            f"All {slots} slots for {queue} are taken" if slots > 1 else f"The only slot for {queue} is taken"
        )
        told = f"{full}, and {wait}, {oldest}."
        numbers = {"jobs": left, "oldest_age": round(age, 3), "slots": slots, "workers": len(known)}
        yield Finding("slots_full", "warning", told, numbers, queue, command=start)


def _programs(
    figures: Figures, queue: str, types: Mapping[str, int], here: Sequence[Serving]
) -> tuple[list[Finding], Mapping[str, int]]:
    """Jobs that the server would run, but refuses to; and the other types."""
    programs = figures.programs
    if programs.state == "on" or queue not in programs.queues:
        return [], types
    refused = {
        type: jobs
        for type, jobs in types.items()
        if type in programs.types and not any(worker.knows(type) for worker in here)
    }
    rest = {type: jobs for type, jobs in types.items() if type not in refused}
    if not refused or programs.state == "opening":
        return [], rest
    jobs = sum(refused.values())
    told = (
        f"{many(jobs, 'job')} in {queue} {'is a program' if jobs == 1 else 'are programs'} to be run, which "
        f"this server {'does not do' if programs.state == 'off' else 'refuses'}: {programs.reason}."
    )
    code = "programs_off" if programs.state == "off" else "programs_refused"
    numbers = {"jobs": jobs, "reason": programs.reason}
    type = next(iter(refused)) if len(refused) == 1 else None
    return [Finding(code, "error", told, numbers, queue, type, "rota check")], rest


def _failures(figures: Figures) -> Iterable[Finding]:
    done, failed = (round(figures.measured * figures.rates.get(name, 0.0)) for name in ("done", "failed"))
    if failed < FEW_FAILURES or failed < FAILING * (done + failed):
        return
    share = failed / (done + failed)
    last, type = "", None
    if figures.failure is not None:
        type = figures.failure.type
        message = " ".join(figures.failure.message.split())
        message = message if len(message) <= 100 else f"{message[:100]}..."
        last = f" The last: {type}, {figures.failure.error}{': ' if message else ''}{message}."
    told = f"{share:.0%} of the jobs that ended lately failed: {failed} of {done + failed} in a minute."
    told += last
    numbers = {"failed": failed, "done": done, "share": round(share, 4)}
    level: Level = "error" if share >= 0.5 else "warning"
    yield Finding("many_failures", level, told, numbers, None, type, "rota failures")
