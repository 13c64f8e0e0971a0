"""Files of jobs: how the engine keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from rota.engines.postgres import statements
from rota.engines.postgres.link import Session
from rota.engines.postgres.rows import plain
from rota.model.file import Attachment, File, Kind, Loose, Part

_PUT = statements.load("put_parts")
_ATTACH = statements.load("attach")
_DROP = statements.load("drop_files")
_SWEEP = statements.load("sweep_files")
_FILES = statements.load("files")
_READ = statements.load("read_parts")
_LOOSE = statements.load("loose_files")


async def put_parts(session: Session, calls: list[Sequence[Part]]) -> list[list[bool]]:
    [parts] = calls
    if not parts:
        return [[]]
    ids = sorted({part.file for part in parts})
    begun = {id for id, _ in await session.fetch(_PUT["loose"], ids)}
    beginning = sorted({part.file for part in parts if part.n == 0})
    if beginning:
        await session.fetch(_PUT["begin"], beginning)
    numbers = dict(await session.fetch(_PUT["loose"], ids))
    answers: list[bool] = []
    last: dict[tuple[int, int], bytes] = {}
    for part in parts:
        if part.n == 0:
            begun.add(part.file)
        number = numbers.get(part.file) if part.file in begun else None
        if number is not None:
            last[number, part.n] = part.data
        answers.append(number is not None)
    if last:
        files, places = ([key[i] for key in last] for i in (0, 1))
        await session.fetch(_PUT["parts"], files, places, list(last.values()))
    return [answers]


async def attach(session: Session, calls: list[Sequence[Attachment]]) -> list[list[bool]]:
    [attachments] = calls
    answers: list[bool] = []
    for one in attachments:
        holds = await session.fetch(_ATTACH["holds"], one.job, one.lease, one.worker)
        n = await whole(session, one.file) if holds else None
        if n is not None:
            await session.fetch(_ATTACH["replace"], one.job, "artifact")
            await give(session, n, one.job, "artifact", one.lease, one.file)
        answers.append(n is not None)
    return [answers]


async def attached(session: Session, calls: list[Sequence[Attachment]], before: object) -> list[list[bool]]:
    """attach, when the same call may have been kept just before."""
    [attachments] = calls
    rest: list[Attachment] = []
    answers: list[bool | None] = []
    for one in attachments:
        there = await session.fetch(_ATTACH["there"], one.file.id, one.job, one.lease)
        answers.append(True if there else None)
        if not there:
            rest.append(one)
    others = iter((await attach(session, [rest]))[0])
    return [[next(others) if answer is None else answer for answer in answers]]


async def whole(session: Session, file: File) -> int | None:
    """The number of a file that belongs to nobody yet, if just as many bytes of it are there as it says;
    nobody else can take it until the end of the transaction.
    """
    got = await session.fetch(_ATTACH["whole"], file.id, file.bytes)
    return got[0][0] if got else None


async def give(session: Session, n: int, job: str, kind: Kind, lease: int | None, file: File) -> None:
    """File number ``n`` belongs to a job from here on."""
    await session.fetch(_ATTACH["attach"], job, kind, lease, file.bytes, file.sha256, n)


async def drop(session: Session, calls: list[Sequence[str]]) -> list[list[str]]:
    [ids] = calls
    return [[row[0] for row in await session.only(_DROP["drop"], [plain(id) for id in ids])]]


async def sweep(session: Session, calls: list[int]) -> list[int]:
    [limit] = calls
    [(parts,)] = await session.fetch(_SWEEP["parts"], limit)
    await session.fetch(_SWEEP["files"], limit)
    return [parts]


async def files(session: Session, jobs: Sequence[str], kind: Kind) -> dict[str, File]:
    got = await session.only(_FILES["read"], [plain(job) for job in jobs], kind)
    return {job: File(id, size, sha256) for job, id, size, sha256 in got}


async def read_parts(session: Session, asked: Sequence[tuple[str, int]]) -> list[bytes | None]:
    got = await session.only(_READ["part"], [plain(id) for id, _ in asked], [n for _, n in asked])
    found = {i - 1: data for i, data in got}
    return [found.get(i) for i in range(len(asked))]


async def loose(session: Session) -> list[Loose]:
    return [Loose(*row) for row in await session.only(_LOOSE["read"])]
