"""``process_file``: checksum, counts, gzip and gunzip of files in one folder, in constant memory."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from rota.handlers.folder import Folder
from rota.handlers.settings import FileSettings
from rota.sdk.context import Context
from rota.sdk.signature import BadPayload

ALGORITHMS = ("sha256", "sha512", "sha3_256", "blake2b", "sha1", "md5")
CHUNK = 256 * 1024
"""Bytes handled at a time: enough to be fast, little enough to hold nothing up and to stop soon."""

_GZIP = 16 + zlib.MAX_WBITS
_SPACES = b" \t\n\v\f\r"
_MARKED = bytes(0x20 if byte in _SPACES else 0x78 for byte in range(256))
"""Translates every byte into a space or an x, so that a word begins wherever `` x`` stands."""


class FilePayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths are relative to the configured folder. ``algorithm`` is for checksum, ``output`` for (un)gzip."""

    operation: Literal["checksum", "count", "gzip", "gunzip"]
    path: str
    output: str | None = None
    algorithm: str | None = None


class FileResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """``bytes`` is the size of what was read; the rest depends on the operation."""

    operation: str
    path: str
    bytes: int
    algorithm: str | None = None
    checksum: str | None = None
    lines: int | None = None
    words: int | None = None
    output: str | None = None
    output_bytes: int | None = None


class _Job(msgspec.Struct, frozen=True):
    """One try: the open file, and what is allowed."""

    ctx: Context
    payload: FilePayload
    source: int
    size: int
    most: int

    def chunks(self) -> Iterator[bytes]:
        """The file, piece by piece; reports progress, stops when asked to, ends at ``most`` bytes."""
        done = 0
        self.ctx.raise_if_cancelled()
        while chunk := os.read(self.source, CHUNK):
            done += len(chunk)
            if done > self.most:
                raise BadPayload(
                    f"path: {self.payload.path!r} has more than the {self.most} bytes allowed here."
                )
            yield chunk
            self.ctx.progress(min(done / self.size, 1.0) if self.size else 1.0)
            self.ctx.raise_if_cancelled()


def process_file(settings: FileSettings) -> Callable[[Context, FilePayload], FileResult]:
    """The handler for these settings, which must name a folder. Synchronous: it belongs into a thread."""
    if settings.folder is None:
        raise ValueError("process_file needs a folder.")
    folder = Folder(settings.folder)

    def process_file(ctx: Context, payload: FilePayload) -> FileResult:
        _fitting(payload)
        with folder.read("path", payload.path) as source:
            size = os.fstat(source).st_size
            if size > settings.max_bytes:
                raise BadPayload(
                    f"path: {payload.path!r} has {size} bytes; at most {settings.max_bytes} are allowed here."
                )
            job = _Job(ctx, payload, source, size, settings.max_bytes)
            match payload.operation:
                case "checksum":
                    return _checksum(job)
                case "count":
                    return _count(job)
                case "gzip":
                    return _convert(job, folder, payload.path + ".gz", compressed)
                case "gunzip":
                    return _convert(job, folder, _without_gz(payload), decompressed)

    return process_file


def _fitting(payload: FilePayload) -> None:
    """Fields that the operation would ignore are refused, not ignored."""
    if payload.algorithm is not None and payload.operation != "checksum":
        raise BadPayload("algorithm goes with operation checksum only.")
    if payload.output is not None and payload.operation not in ("gzip", "gunzip"):
        raise BadPayload("output goes with operation gzip and gunzip only.")
    if payload.algorithm is not None and payload.algorithm not in ALGORITHMS:
        raise BadPayload(
            f"algorithm must be one of {', '.join(ALGORITHMS)}, not {payload.algorithm[:100]!r}."
        )


def _without_gz(payload: FilePayload) -> str | None:
    return payload.path.removesuffix(".gz") if payload.path.endswith(".gz") else None


def _checksum(job: _Job) -> FileResult:
    algorithm = job.payload.algorithm or "sha256"
    digest = hashlib.new(algorithm, usedforsecurity=False)
    total = 0
    for chunk in job.chunks():
        digest.update(chunk)
        total += len(chunk)
    return FileResult("checksum", job.payload.path, total, algorithm=algorithm, checksum=digest.hexdigest())


def _count(job: _Job) -> FileResult:
    lines = words = total = 0
    after_space = True
    for chunk in job.chunks():
        marked = chunk.translate(_MARKED)
        words += marked.count(b" x") + (after_space and marked.startswith(b"x"))
        after_space = marked.endswith(b" ")
        lines += chunk.count(b"\n")
        total += len(chunk)
    return FileResult("count", job.payload.path, total, lines=lines, words=words)


def _convert(
    job: _Job, folder: Folder, usual: str | None, content: Callable[[Iterator[bytes]], Iterator[bytes]]
) -> FileResult:
    """Write what ``content`` makes of the file to ``output``, which is ``usual`` when the job names none."""
    output = usual if job.payload.output is None else job.payload.output
    if output is None:
        raise BadPayload("output must be given, because path does not end in .gz.")
    written = 0
    again = job.ctx.attempt > 1
    with folder.write("output", output, source=job.source, job=job.ctx.id, again=again) as target:
        try:
            for piece in content(job.chunks()):
                written += len(piece)
                if written > job.most:
                    raise BadPayload(
                        f"output: {output!r} would have more than the {job.most} bytes allowed here."
                    )
                _write(target, piece)
                job.ctx.raise_if_cancelled()
        except zlib.error as error:
            raise BadPayload(f"path: {job.payload.path!r} is not sound gzip data: {error}.") from None
    read = os.lseek(job.source, 0, os.SEEK_CUR)
    return FileResult(job.payload.operation, job.payload.path, read, output=output, output_bytes=written)


def _write(target: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(target, rest) :]


def compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A gzip file, piece by piece."""
    # zlib leaves name and time out of the header: the same content always gives the same bytes.
    deflate = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    for chunk in chunks:
        yield deflate.compress(chunk)
    yield deflate.flush()


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """All members of a gzip file, in pieces of at most CHUNK bytes; zeros behind the last one are padding.

    zlib.error when it is none, damaged, or cut short.
    """
    inflate = zlib.decompressobj(_GZIP)
    for rest in chunks:
        while rest:
            if inflate.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                inflate = zlib.decompressobj(_GZIP)
            yield inflate.decompress(rest, CHUNK)
            rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if not inflate.eof:
        raise zlib.error("it ends too early")
