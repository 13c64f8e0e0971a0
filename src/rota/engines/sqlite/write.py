"""What the engine writes. Every function runs inside one transaction and may be run again after a
rollback.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import apsw
import msgspec

from rota.engines.sqlite import files, positions, rows, sift, statements
from rota.engines.sqlite.counters import Counters
from rota.engines.sqlite.events import Told, done_events, kind_of
from rota.engines.sqlite.match import where
from rota.engines.sqlite.statements import Row, run, run_many
from rota.model.clock import DAY
from rota.model.job import (
    Applied,
    Ask,
    Beat,
    Claimed,
    Held,
    Kept,
    Key,
    Match,
    NewJob,
    Note,
    Outcome,
    Request,
    State,
)

_ENQUEUE = statements.load("enqueue")
_CLAIM = statements.load("claim")
_FINISH = statements.load("finish")
_EXTEND = statements.load("extend")
_PROMOTE = statements.load("promote")
_CANCEL = statements.load("cancel")
_RETRY = statements.load("retry")
_DELETE = statements.load("delete")
_NOTES = statements.load("notes")
_COUNT = statements.load("count")

KEY_LIFE = DAY
_encode = msgspec.json.Encoder().encode
_kind = attrgetter("queue", "type", "state")
_created = attrgetter("created_at")


def enqueue(db: apsw.Connection, counts: Counters, requests: Sequence[Request], now: int) -> list[list[Kept]]:
    answers: list[list[Kept]] = []
    plain: list[Request] = []
    for request in requests:
        if request.position is not None and not positions.move(db, request.position, bool(request.jobs)):
            answers += _insert_plain(db, counts, plain)
            plain = []
            answers.append([Kept(job.id, None, "taken") for job in request.jobs])
        elif (
            request.keys
            or request.upload is not None
            or any(job.unique_key is not None for job in request.jobs)
        ):
            answers += _insert_plain(db, counts, plain)
            plain = []
            answers.append(_insert_careful(db, counts, request, now))
        else:
            plain.append(request)
    return answers + _insert_plain(db, counts, plain)


def _insert_plain(db: apsw.Connection, counts: Counters, requests: Sequence[Request]) -> list[list[Kept]]:
    """Jobs that can clash with nothing but their own id, all in one go."""
    if not requests:
        return []
    jobs = [job for request in requests for job in request.jobs]
    seqs: dict[str, int] = dict(run_many(db, _ENQUEUE["job"], [rows.new_job(job, False) for job in jobs]))
    if len(seqs) == len(jobs):
        run_many(db, _ENQUEUE["body"], [(seqs[job.id], *rows.body(job)) for job in jobs])
        _count_and_tag(db, counts, jobs, seqs)
        return [[Kept(job.id, job.state) for job in request.jobs] for request in requests]
    # Some ids were there already: the first job of each new id is ours, the rest is left alone.
    fresh = [job for job in {job.id: job for job in reversed(jobs)}.values() if job.id in seqs]
    run_many(db, _ENQUEUE["body"], [(seqs[job.id], *rows.body(job)) for job in fresh])
    _count_and_tag(db, counts, fresh, seqs)
    return [[Kept(job.id, _state(db, job.id)) for job in request.jobs] for request in requests]


def _count_and_tag(
    db: apsw.Connection, counts: Counters, jobs: Sequence[NewJob], seqs: dict[str, int]
) -> None:
    tags = [(tag, seqs[job.id]) for job in jobs if job.tags for tag in job.tags]
    if tags:
        run_many(db, _ENQUEUE["tag"], tags)
    kinds = Counter(map(_kind, jobs))
    for (queue, type, state), n in kinds.items():
        counts.add(queue, type, state.value, n)
    each = ((job.queue, job.type, seqs[job.id]) for job in jobs)
    counts.kinds.stored(db, {(queue, type) for queue, type, _ in kinds}, seqs.values(), each)
    if jobs:
        times = set(map(_created, jobs))
        counts.ages.stored(db, seqs.values(), min(times), max(times))
        counts.events.enqueued(db, jobs)


def _insert_careful(db: apsw.Connection, counts: Counters, request: Request, now: int) -> list[Kept]:
    """A request with idempotency or unique keys or an upload, job by job."""
    known, twins, clashes = _known(db, request, now)
    if clashes:
        return [
            Kept(job.id, None, "mismatch" if i in clashes else None) for i, job in enumerate(request.jobs)
        ]
    upload = None if request.upload is None else files.whole(db, request.upload)
    if request.upload is not None and upload is None and not known:
        return [Kept(job.id, None, "no_upload") for job in request.jobs]
    kept: list[Kept] = []
    for i, job in enumerate(request.jobs):
        if i in known or i in twins:
            kept.append(
                known[i] if i in known else Kept(kept[twins[i]].id, kept[twins[i]].state, "idempotency")
            )
            continue
        holders = run(db, _ENQUEUE["holder"], (job.unique_key,)) if job.unique_key else ()
        if holders:
            kept.append(Kept(holders[0][0], State(holders[0][1]), "unique"))
            continue
        seqs: dict[str, int] = dict(run(db, _ENQUEUE["job"], rows.new_job(job, job.unique_key is not None)))
        if seqs:
            run(db, _ENQUEUE["body"], (seqs[job.id], *rows.body(job)))
            _count_and_tag(db, counts, (job,), seqs)
            if request.upload is not None and upload is not None:
                files.give(db, upload, job.id, "upload", None, request.upload)
        kept.append(Kept(job.id, job.state if seqs else _state(db, job.id)))
    for key in request.keys:
        if key.start not in known and key.start not in twins:
            given = _encode([one.id for one in kept[key.start : key.stop]]).decode()
            run(db, _ENQUEUE["keep_key"], (key.key, key.fingerprint, given, now + KEY_LIFE))
    run(db, _ENQUEUE["forget_keys"], (now, 2 * len(request.keys)))
    return kept


def _known(
    db: apsw.Connection, request: Request, now: int
) -> tuple[dict[int, Kept], dict[int, int], set[int]]:
    """Of the jobs under idempotency keys, by index: those stored before, those that repeat one of this very
    request (with the index of that one), and those whose key stood for something else.
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
        got = run(db, _ENQUEUE["key"], (key.key, now))
        if not got:
            continue
        ids = msgspec.json.decode(got[0][1], type=list[str])
        if got[0][0] != key.fingerprint or len(ids) != len(span):
            clashes.update(span)
            continue
        known.update((i, Kept(id, _state(db, id), "idempotency")) for i, id in zip(span, ids, strict=True))
    known.update((i, known[twin]) for i, twin in twins.items() if twin in known)
    return known, twins, clashes


def _state(db: apsw.Connection, id: str) -> State | None:
    got = run(db, _ENQUEUE["state"], (id,))
    return State(got[0][0]) if got else None


def claim(
    db: apsw.Connection, counts: Counters, asks: Sequence[Ask], lease_until: int, now: int
) -> list[list[Claimed]]:
    answers: list[list[Claimed]] = []
    empty: set[tuple[str, tuple[str, ...] | None, tuple[str, ...]]] = set()
    for ask in asks:
        got: list[Claimed] = []
        for queue in ask.queues:
            wanted = ask.slots - len(got)
            if wanted <= 0 or (queue, ask.types, ask.except_types) in empty:
                continue
            types = counts.waiting(queue)
            if ask.types is not None:
                types = [type for type in types if type in ask.types]
            elif ask.except_types:
                types = [type for type in types if type not in ask.except_types]
            if not types:
                continue
            values = (_encode(types).decode(), queue, now, wanted)
            if ask.ids is None:
                best = run(db, _CLAIM["best"], values)
            else:
                best = run(db, _CLAIM["these"], (*values, _encode(ask.ids).decode()))
            if len(best) < wanted and ask.ids is None:
                empty.add((queue, ask.types, ask.except_types))
            if not best:
                continue
            run_many(db, _CLAIM["take"], [(now, lease_until, ask.worker, row[0]) for row in best])
            for type, n in Counter(row[3] for row in best).items():
                counts.add(queue, type, State.PENDING.value, -n)
                counts.add(queue, type, State.RUNNING.value, n)
            taken = [rows.claimed(row) for row in best]
            counts.events.started(db, taken, ask.worker, now)
            got += taken
        answers.append(got)
    return answers


def finish(db: apsw.Connection, counts: Counters, outcomes: Sequence[Outcome], now: int) -> list[Applied]:
    answers: list[Applied] = []
    for done, group in groupby(outcomes, key=lambda outcome: outcome.state is State.DONE):
        if done:
            answers += _finish_done(db, counts, list(group), now)
        else:
            answers += [_finish_otherwise(db, counts, outcome, now) for outcome in group]
    return answers


def _finish_done(
    db: apsw.Connection, counts: Counters, outcomes: Sequence[Outcome], now: int
) -> list[Applied]:
    changed = run_many(db, _FINISH["done"], [(now, o.id, o.lease) for o in outcomes])
    results: list[Row] = []
    answers: list[Applied] = []
    # Answers come in the order of the outcomes; those that did not apply are missing.
    rest = iter(changed)
    row = next(rest, None)
    for outcome in outcomes:
        if row is None or row[1] != outcome.id or row[2] != outcome.lease:
            answers.append(Applied(outcome.id, outcome.lease, None))
            continue
        answers.append(Applied(outcome.id, outcome.lease, State.DONE, row[3], row[4]))
        if outcome.result is not None:
            results.append((row[0], outcome.result, outcome.content_type))
        row = next(rest, None)
    if results:
        run_many(db, _FINISH["result"], results)
    counts.events.told(db, "finished", done_events(changed, outcomes), now)
    for (queue, type), n in Counter((row[3], row[4]) for row in changed).items():
        counts.add(queue, type, State.RUNNING.value, -n)
        counts.add(queue, type, State.DONE.value, n)
    return answers


def _finish_otherwise(db: apsw.Connection, counts: Counters, outcome: Outcome, now: int) -> Applied:
    got = run(db, _FINISH["running"], (outcome.id, outcome.lease))
    if not got:
        return Applied(outcome.id, outcome.lease, None)
    seq, id, lease, queue, type, attempt, worker, started_at, stop = got[0]
    state, reason = outcome.state, outcome.reason
    if stop and state in (State.SCHEDULED, State.PENDING):
        state, reason = State.CANCELLED, reason or "cancelled"
    run(db, _FINISH["attempt"], (seq, lease, attempt, worker, started_at, now, outcome.end, outcome.error))
    if state in (State.SCHEDULED, State.PENDING):
        run_at = now if outcome.run_at is None else outcome.run_at
        run(db, _FINISH["go_on"], (state.value, run_at, not outcome.spent, outcome.lost, seq))
        if outcome.back:
            _to_the_back(db, counts, seq, queue, type)
    else:
        cause = outcome.cause if state is State.FAILED else None
        fingerprint = None if cause is None else cause.fingerprint
        run(db, _FINISH["end"], (seq, state.value, reason, not outcome.spent, outcome.lost, now, fingerprint))
        if cause is not None:
            counts.failures.failed(queue, type, id, cause, now)
        if outcome.result is not None:
            run(db, _FINISH["result"], (seq, outcome.result, outcome.content_type))
    counts.move(queue, type, State.RUNNING.value, state.value)
    counts.events.told(
        db, kind_of(state), [Told.by(outcome, queue, type, state, reason, attempt, worker)], now
    )
    return Applied(id, lease, state, queue, type)


def _to_the_back(db: apsw.Connection, counts: Counters, seq: int, queue: str, type: str) -> None:
    """A job gets the age of one that is stored now, with all that belongs to it."""
    [(last,)] = run(db, _FINISH["last"])
    if seq == last:
        return
    [(created_at,)] = run(db, _FINISH["move_jobs"], (last + 1, seq))
    for table in ("bodies", "results", "attempts", "logs", "tags"):
        run(db, _FINISH["move_" + table], (last + 1, seq))
    counts.kinds.stored(db, {(queue, type)}, (last + 1,), [(queue, type, last + 1)])
    counts.kinds.deleted(db, (seq,))
    counts.ages.stored(db, (last + 1,), created_at, created_at)


def extend(db: apsw.Connection, beats: Sequence[Beat], until: int) -> list[Held]:
    got = run_many(db, _EXTEND["beat"], [(until, b.progress, b.id, b.lease) for b in beats])
    return [Held(id, lease, bool(stop)) for id, lease, stop in got]


def promote(db: apsw.Connection, counts: Counters, now: int, limit: int) -> list[tuple[str, int]]:
    moved = Counter(run(db, _PROMOTE["due"], (now, limit)))
    queues: Counter[str] = Counter()
    for (queue, type), n in moved.items():
        counts.add(queue, type, State.SCHEDULED.value, -n)
        counts.add(queue, type, State.PENDING.value, n)
        queues[queue] += n
    return list(queues.items())


def cancel(
    db: apsw.Connection, counts: Counters, match: Match, reason: str, now: int, limit: int
) -> list[Applied]:
    answers: list[Applied] = []
    ended: list[Told] = []
    for seq, id, lease, queue, type, state in _chosen(db, _CANCEL["chosen"], match, limit):
        if state == State.RUNNING:
            run(db, _CANCEL["stop"], (seq,))
        else:
            run(db, _CANCEL["end"], (seq, reason, now))
            counts.move(queue, type, state, State.CANCELLED.value)
            ended.append(Told(id, type, queue, "cancelled", reason=reason))
        after = State.RUNNING if state == State.RUNNING else State.CANCELLED
        answers.append(Applied(id, lease, after, queue, type))
    counts.events.told(db, "finished", ended, now)
    return answers


def retry(db: apsw.Connection, counts: Counters, match: Match, now: int, limit: int) -> list[Applied]:
    answers: list[Applied] = []
    chosen = _chosen(db, _RETRY["chosen"], match, limit)
    for seq, id, lease, queue, type, state, key, held, fingerprint in chosen:
        takes_key = key is not None and held is None and state != State.SCHEDULED
        if takes_key and run(db, _ENQUEUE["holder"], (key,)):
            answers.append(Applied(id, lease, None, queue, type))
            continue
        run(db, _RETRY["keep_done"], (seq,))
        run(db, _RETRY["again"], (seq, now))
        run(db, _RETRY["drop_result"], (seq,))
        counts.move(queue, type, state, State.PENDING.value)
        counts.failures.gone(queue, fingerprint)
        answers.append(Applied(id, lease, State.PENDING, queue, type))
    again = (Told(one.id, one.type or "", one.queue or "", "pending") for one in answers if one.state)
    counts.events.told(db, "requeued", again, now)
    return answers


def delete(db: apsw.Connection, counts: Counters, match: Match, limit: int, now: int | None) -> list[Applied]:
    chosen = _chosen(db, _DELETE["chosen"], match, limit)
    if not chosen:
        return []
    run(db, _DELETE["files"], (_encode([row[1] for row in chosen]).decode(),))
    seqs = (_encode([row[0] for row in chosen]).decode(),)
    for table in ("tags", "logs", "attempts", "results", "bodies", "jobs"):
        run(db, _DELETE[table], seqs)
    for (queue, type, state), n in Counter((row[3], row[4], row[5]) for row in chosen).items():
        counts.add(queue, type, state, -n)
    counts.kinds.deleted(db, (row[0] for row in chosen))
    for row in chosen:
        counts.failures.gone(row[3], row[6])
    if now is not None:
        counts.events.told(db, "deleted", (Told(row[1], row[4], row[3], row[5]) for row in chosen), now)
    return [Applied(id, lease, State(state), queue, type) for _, id, lease, queue, type, state, _ in chosen]


def save(db: apsw.Connection, counts: Counters, notes: Sequence[Note]) -> None:
    for note in notes:
        counts.events.changed(db, note)
        if note.body is None:
            run(db, _NOTES["remove"], (note.kind, note.key))
        else:
            run(db, _NOTES["save"], (note.kind, note.key, note.body))


def counts(db: apsw.Connection, counters: Counters) -> None:
    """Write what the open transaction changed in the counters."""
    changes = counters.changes()
    if changes:
        run_many(db, _COUNT["add"], changes)
    counters.failures.write(db)
    counters.events.write(db)


def _chosen(db: apsw.Connection, sql: str, match: Match, limit: int) -> list[Row]:
    condition, values = where(match)
    chosen, sifting = sql.format(match=condition), match.sift()
    if sifting is not None:
        return sift.fitting(db, sifting, chosen, (*values, -1), limit)
    return run(db, chosen, (*values, limit))
