"""Whether a store is sound: the file itself, what belongs together in it, and the counters."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import apsw

from rota.engines.care import Finding, Verdict
from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import run
from rota.engines.sqlite.steps import APPLICATION_ID
from rota.engines.sqlite.store import lock, open_connection
from rota.engines.steps import AHEAD
from rota.model.errors import StoreError

_VERIFY = statements.load("verify")
SHOWN = 5
"""Examples of each fault."""
REPAIRABLE = "wrong_count"
DAMAGED = "damaged"

FAULTS: Mapping[str, str] = {
    "wrong_count": "counters do not say how many jobs there are",
    "job_without_body": "jobs have no payload",
    "body_without_job": "payloads belong to no job",
    "result_without_job": "results belong to no job",
    "attempt_without_job": "attempts belong to no job",
    "log_without_job": "log lines belong to no job",
    "tag_without_job": "tags belong to no job",
    "wrong_tags": "jobs cannot be found by their tags",
    "unknown_state": "jobs are in a state that does not exist",
    "running_without_lease": "jobs run without a lease, a worker or an attempt",
    "wrong_end": "jobs have ended without a time of their end, or have one without having ended",
    "wrong_unique_key": "jobs hold a unique key that is not theirs",
    "file_without_job": "files belong to a job that is not there",
    "part_without_file": "files are not there, but parts of them are",
    "wrong_file": "files of jobs have not the bytes that they should have",
    "wrong_event": "events say what cannot have happened",
    "event_without_feed": "events are for nobody",
}
"""What is looked for, in the order in which it is told: the names of the statements."""


class Damaged(StoreError):
    """The file itself is broken."""


def verify(path: str, vfs: str | None = None, *, repair: bool = False) -> Verdict:
    """Check everything at one moment; nothing is changed, and a server may be at work meanwhile.

    ``repair`` sets the counters right, for which the store must be free and its file undamaged. Raises
    StoreError when there is no store, or none that can be read.
    """
    verdict = _look(path, vfs)
    faults = {finding.code for finding in verdict.findings}
    if not repair or REPAIRABLE not in faults:
        return verdict
    repaired = _recount(path, vfs)
    again = _look(path, vfs)
    return Verdict(
        path=path,
        size=again.size,
        schema=again.schema,
        known=again.known,
        live=again.live,
        jobs=again.jobs,
        findings=again.findings,
        repaired=repaired,
    )


def is_live(path: str) -> bool:
    """Whether a server has the store open."""
    try:
        handle = os.open(path + ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def open_reading(path: str, vfs: str | None) -> apsw.Connection:
    """A connection that changes nothing, also where the folder is not writable. Raises StoreError."""
    if not Path(path).is_file():
        raise StoreError(f"There is no store at {path}.")
    try:
        db = open_connection(path, vfs, apsw.SQLITE_OPEN_READONLY)
        try:
            ours = db.pragma("application_id") == APPLICATION_ID
        except apsw.CantOpenError:
            # No way to share it, so nobody does, unless there is a log of writes that we could not see then.
            db.close()
            wal = Path(path + "-wal")
            if wal.exists() and wal.stat().st_size:
                raise
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            uri = Path(path).resolve().as_uri() + "?immutable=1"
            db = open_connection(uri, vfs, flags)
            ours = db.pragma("application_id") == APPLICATION_ID
    except apsw.NotADBError:
        raise StoreError(f"{path} is not a SQLite file.") from None
    except (apsw.CorruptError, apsw.IOError) as error:
        raise Damaged(f"The store {path} is damaged: {error}.") from error
    except apsw.Error as error:
        raise StoreError(f"The store {path} cannot be read: {error}.") from error
    if not ours:
        db.close()
        raise StoreError(f"{path} is a SQLite file of another program.")
    # So that Ctrl-C comes through while a long statement runs.
    db.set_progress_handler(lambda: False, 1_000_000)
    return db


def damage(db: apsw.Connection) -> list[Finding]:
    """What is wrong with the file itself."""
    told = [str(row[0]) for row in run(db, "PRAGMA integrity_check(100)") if row[0] != "ok"]
    return [_damaged(told)] if told else []


def examine(db: apsw.Connection) -> list[Finding]:
    """All faults in a store of this schema."""
    return damage(db) or list(_faults(db))


def _look(path: str, vfs: str | None) -> Verdict:
    known = statements.migrations()[-1].number
    jobs: dict[str, int] = {}
    findings: list[Finding] = []
    schema = 0
    try:
        with closing(open_reading(path, vfs)) as db:
            db.execute("BEGIN")
            schema = db.pragma("user_version")
            if schema > known + AHEAD:
                raise StoreError(
                    f"{path} was written by a newer Rota (schema {schema}, this one knows {known})."
                )
            if schema >= known:
                findings += examine(db)
                if not any(finding.code == DAMAGED for finding in findings):
                    jobs = dict(run(db, _VERIFY["state_counts"]))
            else:
                findings += damage(db)
    except Damaged as error:
        findings = [_damaged([error.detail])]
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
        findings = [_damaged([str(error)])]
    except apsw.Error as error:
        raise StoreError(f"The store {path} cannot be read: {error}.") from error
    return Verdict(
        path=path,
        size=Path(path).stat().st_size,
        schema=schema,
        known=known,
        live=is_live(path),
        jobs=jobs,
        findings=tuple(findings),
    )


def _faults(db: apsw.Connection) -> Iterable[Finding]:
    for code, sentence in FAULTS.items():
        count, examples = 0, []
        for (example,) in db.execute(_VERIFY[code]):
            count += 1
            if count <= SHOWN:
                examples.append(str(example))
        if count:
            yield Finding(code, f"{count} {sentence}.", count, tuple(examples), code == REPAIRABLE)


def _damaged(told: list[str]) -> Finding:
    sentence = "The file is damaged: bring back a backup."
    return Finding(DAMAGED, sentence, len(told), tuple(told[:SHOWN]))


def _recount(path: str, vfs: str | None) -> int:
    """Set the counters right; how many were wrong."""
    held = lock(path)
    try:
        with closing(open_connection(path, vfs, apsw.SQLITE_OPEN_READWRITE)) as db, db:
            wrong = len(run(db, _VERIFY["wrong_count"]))
            run(db, _VERIFY["forget_counts"])
            run(db, _VERIFY["recount"])
        return wrong
    except apsw.Error as error:
        raise StoreError(f"The store {path} cannot be repaired: {error}.") from error
    finally:
        os.close(held)
