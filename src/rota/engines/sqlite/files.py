"""Files of jobs: how the engine keeps them. What writes runs inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from rota.engines.sqlite import statements
from rota.engines.sqlite.statements import run, run_many
from rota.model.file import Attachment, File, Kind, Loose, Part

_PUT = statements.load("put_parts")
_ATTACH = statements.load("attach")
_DROP = statements.load("drop_files")
_SWEEP = statements.load("sweep_files")
_FILES = statements.load("files")
_READ = statements.load("read_parts")
_LOOSE = statements.load("loose_files")

RELEASE = 16
"""Parts after which what the cache holds of them is given back."""
_encode = msgspec.json.Encoder().encode


def put_parts(db: apsw.Connection, parts: Sequence[Part]) -> list[bool]:
    answers: list[bool] = []
    for part in parts:
        if part.n == 0:
            run(db, _PUT["begin"], (part.file,))
        got = run(db, _PUT["loose"], (part.file,))
        if got:
            if part.n % RELEASE == RELEASE - 1:
                # Parts would fill the cache, and nobody reads them there again.
                db.release_memory()
            run(db, _PUT["part"], (got[0][0], part.n, part.data))
        answers.append(bool(got))
    return answers


def attach(db: apsw.Connection, attachments: Sequence[Attachment]) -> list[bool]:
    answers: list[bool] = []
    for one in attachments:
        holds = run(db, _ATTACH["holds"], (one.job, one.lease, one.worker))
        n = whole(db, one.file) if holds else None
        if n is not None:
            run(db, _ATTACH["replace"], (one.job, "artifact"))
            give(db, n, one.job, "artifact", one.lease, one.file)
        answers.append(n is not None)
    return answers


def whole(db: apsw.Connection, file: File) -> int | None:
    """The number of a file that belongs to nobody yet, if just as many bytes of it are there as it says."""
    got = run(db, _ATTACH["whole"], (file.id, file.bytes))
    return got[0][0] if got else None


def give(db: apsw.Connection, n: int, job: str, kind: Kind, lease: int | None, file: File) -> None:
    """File number ``n`` belongs to a job from here on."""
    run(db, _ATTACH["attach"], (job, kind, lease, file.bytes, file.sha256, n))


def drop(db: apsw.Connection, ids: Sequence[str]) -> list[str]:
    return [row[0] for row in run(db, _DROP["drop"], (_encode(ids).decode(),))]


def drop_loose(db: apsw.Connection) -> None:
    """What was being written when the store was closed: nobody goes on with it."""
    if run(db, _DROP["any_loose"]):
        run(db, _DROP["drop_loose"])


def sweep(db: apsw.Connection, limit: int) -> int:
    parts = run(db, _SWEEP["parts"], (limit,))
    run_many(db, _SWEEP["part"], parts)
    run(db, _SWEEP["files"], (limit,))
    return len(parts)


def files(db: apsw.Connection, jobs: Sequence[str], kind: Kind) -> dict[str, File]:
    got = run(db, _FILES["read"], (_encode(jobs).decode(), kind))
    return {job: File(id, size, sha256) for job, id, size, sha256 in got}


def read_parts(db: apsw.Connection, asked: Sequence[tuple[str, int]]) -> list[bytes | None]:
    found: list[bytes | None] = []
    for file, n in asked:
        got = run(db, _READ["part"], (file, n))
        found.append(got[0][0] if got else None)
    return found


def loose(db: apsw.Connection) -> list[Loose]:
    return [Loose(*row) for row in run(db, _LOOSE["read"])]
