"""Files of jobs: into the store part by part, and out of it again, whatever their size in bounded memory.

::

    async with files.storing(source) as file:           # an upload
        spec = described(spec, file, entries)
        await service.enqueue(Request((new_job(spec, ...),), upload=file))

    file = await files.keep_artifact(job, lease, worker, source)
    async for piece in files.pieces(await files.artifact(job)): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any, BinaryIO

import msgspec

from rota.core.spool import Spool, in_thread, open_spool, too_large
from rota.engines.base import Engine
from rota.model.errors import BadInput, NotFound, RotaError, StaleLease, StoreError, Unavailable
from rota.model.file import Attachment, File, Kind, Part
from rota.model.job import Job, State
from rota.model.spec import JobSpec, Limits, new_id

log = logging.getLogger("rota.files")

SPOOLS = 64
"""Files that may come in at a time: each takes an open file, and room in the system's temporary folder."""
PART = 256 * 1024
"""Bytes in a part: one transaction, which everybody else waits for."""
SWEPT = 8
"""Parts that are removed in one transaction."""
QUIET = 120.0
"""Seconds without a new part after which a file that belongs to no job counts as given up."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Files:
    """All files of one store. A ``source`` is anything that reads bytes, from its beginning, and can seek."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._turn = asyncio.Lock()
        self._writing: set[str] = set()
        self._seen: dict[str, tuple[int, float]] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._spools = 0

    @contextlib.asynccontextmanager
    async def spooling(self, kind: Kind) -> AsyncIterator[Spool]:
        """A place for a file of this kind while it comes in; gone with the block, or with the process. Raises
        Unavailable when there are :data:`SPOOLS` already, and StoreError.
        """
        most = self._limits.upload_bytes if kind == "upload" else self._limits.artifact_bytes
        if self._spools >= SPOOLS:
            told = f"{SPOOLS} files are coming in already; try again in a moment."
            raise Unavailable(told, code="too_many_uploads")
        self._spools += 1
        try:
            async with open_spool(kind, most) as spool:
                yield spool
        finally:
            self._spools -= 1

    @contextlib.asynccontextmanager
    async def storing(self, source: BinaryIO) -> AsyncIterator[File]:
        """A file with the bytes of ``source``, to be given to a job within the block. Otherwise it goes
        again. Raises StoreError.
        """
        id = new_id()
        self._writing.add(id)
        try:
            yield await self._store(id, source)
        finally:
            self._writing.discard(id)
            # Changes nothing where the file has become a job's, which who was cancelled cannot know.
            self._soon(self._drop(id))

    async def keep_artifact(self, job: str, lease: int, worker: str, source: BinaryIO) -> File:
        """The bytes of ``source`` become the artifact of a job that runs, in place of one that it has. Raises
        StaleLease (nothing is changed), NotFound, BadInput (too large) and StoreError.
        """
        await self.check_held(job, lease, worker)
        size = await in_thread(source.seek, 0, 2)
        if size > self._limits.artifact_bytes:
            raise too_large("artifact", self._limits.artifact_bytes)
        async with self.storing(source) as file:
            [attached] = await self._engine.attach([Attachment(job, lease, worker, file)])
            if not attached:
                await self.check_held(job, lease, worker)
                raise _lost()
        return file

    async def check_held(self, job: str, lease: int, worker: str) -> None:
        """StaleLease unless this worker runs the job under just this lease; NotFound: there is no job."""
        now = await self._job(job)
        if now.state is not State.RUNNING or now.lease != lease or now.worker != worker:
            raise StaleLease(
                "This worker does not run the job under this lease (any more); nothing was changed.",
                state=now.state.value,
            )

    async def upload(self, job: str) -> File:
        """What came with a job. NotFound: no such job, or it came alone."""
        return await self._file(job, "upload", "The job came without an upload.")

    async def artifact(self, job: str) -> File:
        """What the latest try of a job left. NotFound: no such job, or it left nothing (yet)."""
        return await self._file(job, "artifact", "The job has no artifact (yet).")

    async def pieces(self, file: File) -> AsyncIterator[bytes]:
        """The bytes of a file, at most :data:`PART` at a time. NotFound when it goes away meanwhile."""
        left, n = file.bytes, 0
        while left:
            [piece] = await self._engine.read_parts([(file.id, n)])
            if not piece or len(piece) > left:
                raise NotFound("The file was removed while it was read.")
            left, n = left - len(piece), n + 1
            yield piece

    async def sweep(self, quiet: float = QUIET, breath: float = 0.01) -> None:
        """Remove, in small steps, what belongs to no job: files of jobs that are gone, and those that
        somebody began, here or in another server, and did not go on with for ``quiet`` seconds.
        """
        # By what is seen here and by the steady clock: the wall clocks of servers differ and are set.
        now = asyncio.get_running_loop().time()
        seen = {}
        for one in await self._engine.loose_files():
            parts, since = self._seen.get(one.id, (-1, now))
            seen[one.id] = (one.parts, since if one.parts == parts else now)
        self._seen = seen
        given_up = [id for id, (_, since) in seen.items() if now - since >= quiet and id not in self._writing]
        if given_up:
            dropped = await self._engine.drop_files(given_up)
            log.info("files that nobody went on with", extra={"files": len(dropped)})
        swept = SWEPT
        while swept == SWEPT:
            swept = await self._engine.sweep_files(SWEPT)
            await asyncio.sleep(breath)

    async def _store(self, id: str, source: BinaryIO) -> File:
        digest = hashlib.sha256()

        def read() -> bytes:
            piece = source.read(PART)
            digest.update(piece)
            return piece

        size = n = 0
        await in_thread(source.seek, 0)
        try:
            while (piece := await in_thread(read)) or n == 0:
                # However many files come in at once, no transaction has more than one part.
                async with self._turn:
                    [kept] = await self._engine.put_parts([Part(id, n, piece)])
                if not kept:
                    raise _lost()
                size, n = size + len(piece), n + 1
        except OSError as error:
            raise StoreError(f"The file could not be read: {error.strerror}.") from error
        return File(id, size, digest.hexdigest())

    async def _drop(self, id: str) -> None:
        try:
            await self._engine.drop_files([id])
        except RotaError as error:
            # It is swept as those of others are.
            log.warning("a file could not be dropped", extra={"detail": error.detail})

    def _soon(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _file(self, job: str, kind: Kind, told: str) -> File:
        file = (await self._engine.files([job], kind)).get(job)
        if file is None:
            await self._job(job)
            raise NotFound(told, code=f"no_{kind}")
        return file

    async def _job(self, id: str) -> Job:
        jobs = await self._engine.get([id])
        if not jobs:
            raise NotFound(f"There is no job {id[:100]!r}.", code="job_not_found", field="id")
        return jobs[0]


def described(spec: JobSpec, file: File, entries: int) -> JobSpec:
    """The job that comes with a file: its payload says so in ``upload``. BadInput: it cannot."""
    if spec.payload_base64 is not None:
        told = (
            "The body is the upload; a payload that goes with it is JSON: give payload, not payload_base64."
        )
        raise BadInput(told, code="conflicting_fields", field="payload_base64")
    given = b"null" if isinstance(spec.payload, msgspec.UnsetType) else bytes(spec.payload)
    try:
        payload = {} if given == b"null" else _members(given)
    except msgspec.DecodeError:
        told = "payload must be an object, or null, where a file comes with the job."
        raise BadInput(told, code="wrong_type", field="payload") from None
    if "upload" in payload:
        told = "payload.upload is what the server says of the upload; leave it out."
        raise BadInput(told, code="conflicting_fields", field="payload.upload")
    about = {"bytes": file.bytes, "sha256": file.sha256, "entries": entries}
    whole = _encode({**payload, "upload": about})
    return msgspec.structs.replace(spec, payload=msgspec.Raw(whole))


def _lost() -> StoreError:
    return StoreError("The file went away before it belonged to a job; send it again.")
