"""Findings about servers, workers and what is connected; those about jobs are in
:mod:`rota.core.condition`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rota.core.causes import span, when
from rota.core.finding import Finding, many
from rota.model.clock import HOUR
from rota.model.size import size_text

if TYPE_CHECKING:
    from rota.core.condition import Figures

SLOW_COMMIT = 0.25
"""Seconds for a commit on the mean: a good disk takes 0.001, a far database 0.02; so slow, every enqueue
waits."""
LATE = 1.0
"""Seconds by which the server's timers come late; beats and leases live in seconds."""
LITTLE_ROOM, NO_ROOM = 1024**3, 128 * 1024**2
"""Bytes free on the store's disk: enough for an hour's work, and hardly enough to clean up."""
FEED_BEHIND = 60.0
"""Seconds for which the oldest event waits to be passed on."""
RECORDS_BEHIND = 10_000
"""Records of one partition that wait to become jobs."""


def findings(figures: Figures) -> Iterable[Finding]:
    """All of them."""
    if figures.store is not None:
        told = f"The store does not answer: {figures.store}"
        yield Finding("store_unavailable", "error", told)
    yield from _room(figures)
    if figures.commit is not None and figures.commit >= SLOW_COMMIT:
        told = f"The store is slow: a commit takes {span(figures.commit)} on the mean."
        yield Finding("store_slow", "warning", told, {"commit_seconds": round(figures.commit, 4)})
    if figures.lag >= LATE:
        told = f"The server is overloaded: what is to happen at a time happens {span(figures.lag)} late."
        yield Finding("server_overloaded", "warning", told, {"lag": round(figures.lag, 3)})
    if figures.stopped:
        told = "This server is draining: it hands out no jobs and is about to stop."
        yield Finding("server_draining", "warning", told)
    elif figures.stopping:
        told = f"{many(figures.stopping, 'other server')} of this store {_is(figures.stopping)} draining."
        yield Finding("server_draining", "ok", told, {"servers": figures.stopping})
    if figures.jump is not None and 0 <= figures.now - figures.jump[0] < HOUR:
        at, by = figures.jump
        far = f"{'back' if by < 0 else 'forward'} by {span(abs(by))}"
        told = (
            f"The server's clock was set {far} at {when(at, figures.now)}: times from before are off by that."
        )
        yield Finding("clock_jumped", "warning", told, {"jumped_at": at, "seconds": round(by, 3)})
    yield from _workers(figures)
    yield from _feeds(figures)
    yield from _intake(figures)


def _room(figures: Figures) -> Iterable[Finding]:
    if figures.room is None:
        return
    free, total = figures.room
    if free >= LITTLE_ROOM:
        return
    left, whole = (size_text(size - size % 1024**2) for size in (free, total))
    told = f"The disk of the store is nearly full: {left} of {whole} are free."
    level = "error" if free < NO_ROOM else "warning"
    yield Finding("disk_full", level, told, {"free": free, "total": total})  # type: ignore[arg-type]


def _workers(figures: Figures) -> Iterable[Finding]:
    if figures.lost:
        who = f"{many(figures.lost, 'job')} lost {'its worker' if figures.lost == 1 else 'their workers'}"
        told = f"{who} in the last minutes, by a crash or a connection that broke."
        yield Finding("workers_lost", "warning", told, {"jobs": figures.lost})
    silent = [one for one in figures.roster if one.silent and not one.draining]
    if silent:
        names = ", ".join(one.name for one in silent[:5])
        who = f"{many(len(silent), 'worker')} {_has(len(silent))}"
        told = f"{who} not been heard of for longer than a lease: {names}."
        yield Finding(
            "workers_silent", "warning", told, {"workers": len(silent)}, command="rota workers list"
        )
    draining = [one for one in figures.roster if one.draining]
    if draining and not figures.stopped:
        names = ", ".join(one.name for one in draining[:5])
        told = f"{many(len(draining), 'worker')} {_is(len(draining))} draining: {names}."
        yield Finding("workers_draining", "ok", told, {"workers": len(draining)}, command="rota workers list")


def _feeds(figures: Figures) -> Iterable[Finding]:
    for feed in figures.feeds:
        numbers = {"waiting": feed.waiting, "oldest_age": round(feed.oldest_age, 3), "dropped": feed.dropped}
        why = f": {feed.detail.rstrip('.')}" if feed.detail else ""
        if feed.dropped and feed.waiting:
            told = (
                f"Events of the feed {feed.feed} were dropped because too many waited ({feed.dropped}){why}."
            )
            yield Finding("events_dropped", "error", told, numbers)
        elif feed.state == "refused":
            yield Finding(
                "events_wait", "error", f"Events of the feed {feed.feed} are refused{why}.", numbers
            )
        elif feed.waiting and (feed.oldest_age >= FEED_BEHIND or feed.state == "away"):
            events = f"{many(feed.waiting, 'event')} of the feed {feed.feed} {_wait(feed.waiting)}"
            told = f"{events} to be passed on, the oldest for {span(feed.oldest_age)}{why}."
            yield Finding("events_wait", "warning", told, numbers)


def _intake(figures: Figures) -> Iterable[Finding]:
    for group, why in figures.away.items():
        if why is not None:
            told = f"No broker answers the readers of the group {group}: {why.rstrip('.')}."
            yield Finding("kafka_away", "error", told, {"group": group})
    for one in figures.stretches:
        where = f"{one.topic}, partition {one.partition}"
        numbers = {"topic": one.topic, "partition": one.partition, "group": one.group, "lag": one.lag}
        if one.stopped is not None:
            told = f"Nothing comes in from {where}: {one.stopped.rstrip('.')}."
            yield Finding("kafka_stopped", "error", told, numbers)
        elif (one.lag or 0) >= RECORDS_BEHIND:
            told = f"{one.lag} records of {where} wait to become jobs."
            yield Finding("kafka_behind", "warning", told, numbers)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"
