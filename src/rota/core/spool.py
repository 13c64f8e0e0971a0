"""A file on its way in: kept beside the store until it is whole, for a client may be slow, and go away."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, ParamSpec, TypeVar

from rota.model.errors import BadInput, StoreError
from rota.model.file import Kind

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 256 * 1024
"""Bytes that are collected before they are written."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Spool:
    """Up to ``most`` bytes in the system's temporary folder, in a file without a name, for our eyes only."""

    def __init__(self, kind: Kind, most: int, file: BinaryIO) -> None:
        self.kind: Kind = kind
        self.most = most
        self.file = file
        self._size = 0
        self._pieces: list[bytes] = []
        self._waiting = 0

    def expect(self, size: int) -> None:
        """BadInput (413) when so many bytes are announced that they cannot be taken."""
        if size > self.most:
            raise too_large(self.kind, self.most)

    async def write(self, piece: bytes) -> None:
        """BadInput (413) as soon as it becomes too large; StoreError when the disk does not take it."""
        self._size += len(piece)
        self.expect(self._size)
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= BUFFER:
            await self.flush()

    async def flush(self) -> None:
        """Have everything in :attr:`file`."""
        data = b"".join(self._pieces)
        self._pieces, self._waiting = [], 0
        try:
            await in_thread(_write, self.file, data)
        except OSError as error:
            raise _refused(error) from error


@contextlib.asynccontextmanager
async def open_spool(kind: Kind, most: int) -> AsyncIterator[Spool]:
    """An empty one. Whatever happens to this process, nothing of it is left: the file never has a name that
    lasts.
    """
    try:
        file = tempfile.TemporaryFile(buffering=0, prefix="rota-")  # noqa: SIM115
    except OSError as error:
        raise _refused(error) from error
    try:
        yield Spool(kind, most, file)
    finally:
        file.close()


async def in_thread(step: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """As ``asyncio.to_thread``, but it does not return before the thread has done with it, not even to be
    cancelled: a file that is closed under a thread gives its number to another, and the bytes go there.
    """
    running = asyncio.ensure_future(asyncio.to_thread(step, *args, **more))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        running.exception()
        raise cancelled
    return running.result()


def _write(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def too_large(kind: Kind, most: int) -> BadInput:
    """The refusal of a file of more than ``most`` bytes."""
    told = f"The {kind} is too large; this server takes at most {most} bytes ({kind}_limit)."
    return BadInput(told, code="payload_too_large", status=413)


def _refused(error: OSError) -> StoreError:
    folder = tempfile.gettempdir() if tempfile.tempdir else "the temporary folder"
    if error.errno in _FULL:
        told = f"The disk of {folder}, where files come in, is full; nothing was stored."
        return StoreError(told, code="storage_full", status=507)
    return StoreError(f"Files cannot come in: {folder}: {error.strerror or error}.")
