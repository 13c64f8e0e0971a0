"""enqueue: jobs go in, all of a call by one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rota.engines.postgres import files, statements
from rota.engines.postgres.link import Session
from rota.engines.postgres.migrate import LOCK
from rota.engines.postgres.rows import encode
from rota.model.clock import DAY
from rota.model.file import File
from rota.model.job import POSITIONS, Kept, Key, NewJob, Request, State

_SQL = statements.load("enqueue")
_ALIKE = _SQL["store"].format(source=_SQL["alike"])
_EACH = _SQL["store"].format(source=_SQL["each"])

KEY_LIFE = DAY

Arguments = tuple[Sequence[Request], int]


async def enqueue(session: Session, calls: list[Arguments]) -> list[list[list[Kept]]]:
    requests = [request for one, _ in calls for request in one]
    if any(_needs_care(request) for request in requests):
        answers = await _Careful(session).store(requests, max(now for _, now in calls))
    else:
        answers = await _store_plain(session, requests)
    rest = iter(answers)
    return [[next(rest) for _ in one] for one, _ in calls]


async def stored(session: Session, calls: list[Arguments], before: object) -> list[list[list[Kept]]]:
    """enqueue, when the same calls may have been kept just before: what they stored then is new."""
    answers = await enqueue(session, calls)
    return [
        [
            [
                Kept(one.id, one.state) if one.why == "idempotency" and one.id == new.id else one
                for new, one in zip(request.jobs, kept, strict=True)
            ]
            for request, kept in zip(requests, each, strict=True)
        ]
        for (requests, _), each in zip(calls, answers, strict=True)
    ]


def _needs_care(request: Request) -> bool:
    return (
        bool(request.keys)
        or request.upload is not None
        or request.position is not None
        or any(job.unique_key is not None for job in request.jobs)
    )


def joins(one: Arguments, other: Arguments) -> bool:
    """Keys depend on the time, which differs by next to nothing between calls that wait for each other."""
    return abs(one[1] - other[1]) < DAY // 1440


async def lock_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Keep everybody else from these keys until the end of the transaction, but for those that are answered:
    they are in the hands of somebody's transaction that is still open.
    """
    wanted = list(keys)
    return {row[0] for row in await session.fetch(_SQL["lock"], LOCK, wanted)} if wanted else set()


async def holders(session: Session, keys: Iterable[str]) -> dict[str, tuple[str, State]]:
    """Who holds these unique keys: id and state."""
    rows = await session.fetch(_SQL["holders"], list(keys))
    return {key: (id, State(state)) for key, id, state in rows}


async def _store_plain(session: Session, requests: Sequence[Request]) -> list[list[Kept]]:
    """Jobs that can clash with nothing but their own id."""
    jobs = [job for request in requests for job in request.jobs]
    if not jobs:
        return [[] for _ in requests]
    if await _insert(session, jobs) == len(jobs):
        return [[Kept(job.id, job.state) for job in request.jobs] for request in requests]
    # Some ids were there already: the first job of each new id is ours, the rest is left alone.
    states = await _states(session, [job.id for job in jobs])
    return [[Kept(job.id, states.get(job.id)) for job in request.jobs] for request in requests]


async def _states(session: Session, ids: Sequence[str]) -> dict[str, State]:
    return {id: State(state) for id, state in await session.fetch(_SQL["states"], ids)}


async def _insert(session: Session, jobs: Sequence[NewJob], held: Sequence[str | None] = ()) -> int:
    """Write jobs; how many were new. ``held``: the unique key that each takes."""
    first = _rest(jobs[0])
    each = [first]
    alike = not any(held)
    for job in jobs[1:]:
        rest = _rest(job)
        alike = alike and rest == first
        each.append(rest)
    ids = [job.id for job in jobs]
    payloads = [job.payload for job in jobs]
    created = [job.created_at for job in jobs]
    due = [job.run_at for job in jobs]
    one = session.fetch if held else session.only
    if alike:
        rows = await one(_ALIKE, ids, payloads, created, due, *_columns(first, first[9], None))
    else:
        taken = held or [None] * len(jobs)
        # Lists in a list cannot differ in length there: tags go as one text each.
        values = [
            _columns(rest, "\x01".join(rest[9]) if rest[9] else "", key)
            for rest, key in zip(each, taken, strict=True)
        ]
        columns = [list(column) for column in zip(*values, strict=True)]
        rows = await one(_EACH, ids, payloads, created, due, *columns)
    return int(rows[0][0])


def _rest(job: NewJob) -> tuple[Any, ...]:
    """All that jobs of one kind mostly share."""
    return (
        job.queue,
        job.type,
        job.state,
        job.priority,
        job.max_attempts,
        job.expires_at,
        job.timeout,
        job.retention,
        job.retry,
        job.tags,
        job.unique_key,
        job.unique_states,
        job.content_type,
        job.headers,
    )


def _columns(rest: tuple[Any, ...], tags: Any, held: str | None) -> tuple[Any, ...]:
    queue, type, state, priority, most, expires, timeout, retention, retry, _, key, states, kind, headers = (
        rest
    )
    return (
        queue,
        type,
        state.value,
        priority,
        most,
        expires,
        timeout,
        retention,
        None if retry is None else encode(retry),
        tags or (None if not isinstance(tags, str) else ""),
        key,
        ",".join(states) if key is not None else None,
        held,
        kind,
        None if headers is None else encode(headers),
    )


class _Careful:
    """Requests with idempotency or unique keys: what is there is read under locks, decided here, and
    written."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._states: dict[str, State] = {}
        self._holders: dict[str, tuple[str, State]] = {}
        self._keys: dict[str, tuple[bytes, list[str]]] = {}
        self._new: list[NewJob] = []
        self._held: list[str | None] = []
        self._uploads: dict[str, int] = {}
        self._given: list[tuple[str, int, File]] = []
        self._written: dict[str, tuple[bytes, list[str]]] = {}
        self._busy: set[str] = set()
        self._read: dict[str, int] = {}
        self._moved: dict[str, int] = {}

    async def store(self, requests: Sequence[Request], now: int) -> list[list[Kept]]:
        keys = {key.key for request in requests for key in request.keys}
        unique = {
            job.unique_key for request in requests for job in request.jobs if job.unique_key is not None
        }
        sources = {request.position.source for request in requests if request.position is not None}
        self._busy = await lock_keys(
            self._session,
            {f"i{key}" for key in keys} | {f"u{key}" for key in unique} | {f"p{key}" for key in sources},
        )
        if sources:
            rows = await self._session.fetch(_SQL["positions"], POSITIONS, list(sources))
            self._read = {key: int(body) for key, body in rows}
        ids = {job.id for request in requests for job in request.jobs}
        if keys:
            rows = await self._session.fetch(_SQL["keys"], list(keys), now)
            self._keys = {key: (fingerprint, list(given)) for key, fingerprint, given in rows}
            ids.update(id for _, given in self._keys.values() for id in given)
        self._states = await _states(self._session, list(ids))
        if unique:
            self._holders = await holders(self._session, unique)
        for request in requests:
            if request.upload is not None:
                n = await files.whole(self._session, request.upload)
                if n is not None:
                    self._uploads[request.upload.id] = n
        answers = [self._decide(request) for request in requests]
        if self._new:
            await _insert(self._session, self._new, self._held)
        for job, n, upload in self._given:
            await files.give(self._session, n, job, "upload", None, upload)
        if self._written:
            names = list(self._written)
            prints = [self._written[name][0] for name in names]
            given = [" ".join(self._written[name][1]) for name in names]
            await self._session.fetch(_SQL["keep_keys"], names, prints, given, now + KEY_LIFE)
        if self._moved:
            bodies = [b"%d" % at for at in self._moved.values()]
            await self._session.fetch(_SQL["keep_positions"], POSITIONS, list(self._moved), bodies)
        if keys:
            await self._session.fetch(_SQL["forget_keys"], now, 2 * len(keys))
        return answers

    def _decide(self, request: Request) -> list[Kept]:
        if self._busy and self._is_busy(request):
            return [Kept(job.id, None, "busy") for job in request.jobs]
        place = request.position
        if place is None:
            return self._decide_jobs(request)
        read = self._read.get(place.source, place.first)
        if read > place.first and request.jobs:
            return [Kept(job.id, None, "taken") for job in request.jobs]
        self._read[place.source] = self._moved[place.source] = max(read, place.next)
        return self._decide_jobs(request)

    def _decide_jobs(self, request: Request) -> list[Kept]:
        known, twins, clashes = self._known(request)
        if clashes:
            return [
                Kept(job.id, None, "mismatch" if i in clashes else None) for i, job in enumerate(request.jobs)
            ]
        upload = request.upload
        if upload is not None and upload.id not in self._uploads and not known:
            return [Kept(job.id, None, "no_upload") for job in request.jobs]
        kept: list[Kept] = []
        for i, job in enumerate(request.jobs):
            if i in known:
                kept.append(known[i])
            elif i in twins:
                first = kept[twins[i]]
                kept.append(Kept(first.id, first.state, "idempotency"))
            else:
                before = len(self._new)
                kept.append(self._take(job))
                if upload is not None and upload.id in self._uploads and len(self._new) > before:
                    self._given.append((job.id, self._uploads.pop(upload.id), upload))
        for key in request.keys:
            if key.start not in known and key.start not in twins:
                given = (key.fingerprint, [one.id for one in kept[key.start : key.stop]])
                self._written[key.key] = self._keys[key.key] = given
        return kept

    def _is_busy(self, request: Request) -> bool:
        return any(f"i{key.key}" in self._busy for key in request.keys) or any(
            f"u{job.unique_key}" in self._busy for job in request.jobs if job.unique_key is not None
        )

    def _take(self, job: NewJob) -> Kept:
        holder = self._holders.get(job.unique_key) if job.unique_key is not None else None
        # A job that holds its own key is one that was stored by a call whose answer was lost.
        if holder is not None and holder[0] != job.id:
            return Kept(*holder, "unique")
        if job.id in self._states:
            return Kept(job.id, self._states[job.id])
        self._states[job.id] = job.state
        self._new.append(job)
        self._held.append(job.unique_key)
        if job.unique_key is not None:
            self._holders[job.unique_key] = (job.id, job.state)
        return Kept(job.id, job.state)

    def _known(self, request: Request) -> tuple[dict[int, Kept], dict[int, int], set[int]]:
        """Of the jobs under idempotency keys, by index: those stored before, those that repeat one of this
        very request (with the index of that one), and those whose key stood for something else.
        """
        known: dict[int, Kept] = {}
        twins: dict[int, int] = {}
        clashes: set[int] = set()
        first: dict[str, Key] = {}
        for key in request.keys:
            span = range(key.start, key.stop)
            before = first.setdefault(key.key, key)
            if before is not key:
                if before.fingerprint == key.fingerprint and before.stop - before.start == len(span):
                    twins.update(zip(span, range(before.start, before.stop), strict=True))
                else:
                    clashes.update(span)
                continue
            got = self._keys.get(key.key)
            if got is None:
                continue
            fingerprint, ids = got
            if fingerprint != key.fingerprint or len(ids) != len(span):
                clashes.update(span)
                continue
            for i, id in zip(span, ids, strict=True):
                known[i] = Kept(id, self._states.get(id), "idempotency")
        known.update((i, known[twin]) for i, twin in twins.items() if twin in known)
        return known, twins, clashes
