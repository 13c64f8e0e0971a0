"""What could be looked for: names that there are, for whoever types a search.

From counters, from who is connected, and from the newest jobs; nothing here goes through the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from rota.core import failures
from rota.core.service import Service
from rota.core.whole import whole
from rota.model.errors import BadInput
from rota.model.job import Count, Job, Match, State
from rota.model.search import MISSING, at, member, path_text, read

FIELDS = ("state", "queue", "type", "tag", "worker", "payload", "error")
"""What suggestions can be asked for."""
RECENT = 100
"""The newest jobs that are looked at."""
TAGS, TAGGED = 200, 1000
"""Tags that are counted, and up to how many jobs."""
GROUPS = 100
LONG = 100
"""Characters of a value that is worth suggesting."""
LARGE = 64 * 1024
"""Bytes of a payload that is not looked into any more."""
ENOUGH = 1024 * 1024
"""Bytes of payloads that are looked into at a time."""
DEPTH = 8


class Suggestion(msgspec.Struct, frozen=True):
    """A value, and how many jobs have it; None: they were not counted."""

    value: str
    jobs: int | None


class Wish(msgspec.Struct, frozen=True):
    """What was typed, and which jobs it is about."""

    prefix: str
    limit: int
    queue: str | None = None
    type: str | None = None

    def recent(self) -> Match:
        return Match(
            queues=None if self.queue is None else (self.queue,),
            types=None if self.type is None else (self.type,),
        )


Found = Sequence[tuple[str, int | None]]
"""Values, best first, and how many jobs have them."""


async def suggest(service: Service, field: str, wish: Wish) -> list[Suggestion]:
    """Up to ``wish.limit`` values of one of :data:`FIELDS` that begin as it was typed, letter case ignored;
    the most used ones first. Tags have to begin just so. Of payloads: paths; behind a path and its colon,
    values with it.
    """
    found = await _SOURCES[field](service, wish)
    prefix = wish.prefix.casefold()
    fit = [Suggestion(value, jobs) for value, jobs in found if value.casefold().startswith(prefix)]
    return fit[: wish.limit]


async def _states(service: Service, wish: Wish) -> Found:
    jobs = await _counted(service, wish, lambda row: row.state)
    return [(state.value, jobs[state]) for state in State]


async def _queues(service: Service, wish: Wish) -> Found:
    served = {queue for worker in service.workers.roster.everybody() for queue in worker.queues}
    return _most(await _counted(service, wish, lambda row: row.queue), served | service.dispatch.paused)


async def _types(service: Service, wish: Wish) -> Found:
    known = {type for worker in service.workers.roster.everybody() for type in worker.types or ()}
    return _most(await _counted(service, wish, lambda row: row.type), known)


async def _counted(service: Service, wish: Wish, what: Callable[[Count], str]) -> Counter[str]:
    jobs: Counter[str] = Counter()
    for row in await service.engine.count():
        if wish.queue in (None, row.queue) and wish.type in (None, row.type):
            jobs[what(row)] += row.jobs
    return jobs


async def _tags(service: Service, wish: Wish) -> Found:
    if wish.queue is not None or wish.type is not None:
        seen = Counter(tag for job in await _recent(service, wish) for tag in job.tags)
        return [(tag, None) for tag, _ in seen.most_common() if tag.startswith(wish.prefix)]
    jobs = await service.engine.tags(wish.prefix, TAGS, TAGGED)
    many = [(tag, None) for tag, n in jobs.items() if n >= TAGGED]
    return [*many, *_most({tag: n for tag, n in jobs.items() if n < TAGGED})]


async def _workers(service: Service, wish: Wish) -> Found:
    there = {worker.id: None for worker in service.workers.roster.everybody()}
    seen = Counter(job.worker for job in await _recent(service, wish) if job.worker is not None)
    return list(there.items()) + [(id, None) for id, _ in seen.most_common() if id not in there]


async def _errors(service: Service, wish: Wish) -> Found:
    """Classes, and then messages, of what failed lately."""
    page = await failures.page(service, wish.queue, wish.type, GROUPS, None)
    jobs: Counter[str] = Counter()
    for group in page.groups:
        jobs[group.error] += group.jobs
    lines = dict.fromkeys(group.message.partition("\n")[0][:LONG].rstrip() for group in page.groups)
    return [*_most(jobs), *((line, None) for line in lines if line and line not in jobs)]


async def _payloads(service: Service, wish: Wish) -> Found:
    seen: Counter[str] = Counter()
    try:
        path = member(wish.prefix).path
    except BadInput:
        path = None
    async for value in _payload_values(service, wish):
        if path is None:
            seen.update({path_text(one) for one in _paths(value)})
        elif (text := _spelled(at(value, path))) is not None:
            seen[f"{path_text(path)}:{text}"] += 1
    return [(text, None) for text, _ in sorted(seen.items(), key=lambda one: (-one[1], one[0]))]


async def _payload_values(service: Service, wish: Wish) -> AsyncIterator[Any]:
    """What the newest jobs carry, as far as it is JSON and not large."""
    ids = [job.id for job in await _recent(service, wish)]

    async def once() -> AsyncIterator[Sequence[str]]:
        yield ids

    size = 0
    async for job in whole(service, once()):
        if job.content_type is not None or len(job.payload) > LARGE:
            continue
        size += len(job.payload)
        value = read(job.payload)
        if value is not MISSING:
            yield value
        if size > ENOUGH:
            return


async def _recent(service: Service, wish: Wish) -> Sequence[Job]:
    return (await service.engine.find(wish.recent(), RECENT)).jobs


def _paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Those that lead to something that can be looked for; of lists only the first item's."""
    inside: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = [("0", value[0])] if value else []
    elif above:
        yield above
    if len(above) < DEPTH:
        for name, one in inside:
            if 0 < len(name) <= LONG:
                yield from _paths(one, (*above, name))


def _spelled(value: Any) -> str | None:
    """A value as it is looked for; None where it cannot be, or is too long to be suggested."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str | int | Decimal):
        text = str(value)
        return text if len(text) <= LONG else None
    return None


def _most(jobs: Mapping[str, int], more: Iterable[str] = ()) -> list[tuple[str, int | None]]:
    """The most used ones first; ``more`` are there without jobs."""
    every = dict.fromkeys(more, 0) | dict(jobs)
    return [(value, every[value]) for value in sorted(every, key=lambda one: (-every[one], one))]


_SOURCES: Mapping[str, Callable[[Service, Wish], Awaitable[Found]]] = {
    "state": _states,
    "queue": _queues,
    "type": _types,
    "tag": _tags,
    "worker": _workers,
    "payload": _payloads,
    "error": _errors,
}
