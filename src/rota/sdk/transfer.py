"""Files that calls send or bring: read and written piece by piece, never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import httpx2

from rota.model.errors import BadInput
from rota.sdk.answers import FileInfo
from rota.sdk.calls import Answer, Call
from rota.sdk.transport import Damaged, Transport, answer_of

PIECE = 1 << 18
Progress = Callable[[int, int], object]
"""Called with bytes that have gone, and all of them. A try that failed begins again at 0."""


def exchange(http: httpx2.Client, transport: Transport, call: Call[Any]) -> Answer:
    """Carry out a call that has a file, once. OSError when a file on this side cannot be used."""
    request = transport.request(call)
    with _Sent(call) as sent:
        if sent.size is not None:
            request["content"], request["headers"]["Content-Length"] = sent.pieces(), str(sent.size)
        with http.stream(**request) as response:
            if call.into is None or response.status_code >= 400:
                response.read()
                return answer_of(response)
            with Arriving(call.into) as file:
                for piece in response.iter_raw(PIECE):
                    file.write(piece)
                    if call.progress is not None:
                        call.progress(file.size, _length(response) or file.size)
                file.check(response)
            return Answer(response.status_code, "", b"", file=FileInfo(file.size, file.sha256))


async def exchange_async(http: httpx2.AsyncClient, transport: Transport, call: Call[Any]) -> Answer:
    """The same, awaited; what waits for a disk does so in a thread."""
    request = transport.request(call)
    with _Sent(call) as sent:
        if sent.size is not None:
            request["content"], request["headers"]["Content-Length"] = sent.pieces_async(), str(sent.size)
        async with http.stream(**request) as response:
            if call.into is None or response.status_code >= 400:
                await response.aread()
                return answer_of(response)
            with Arriving(call.into) as file:
                async for piece in response.aiter_raw(PIECE):
                    await asyncio.to_thread(file.write, piece)
                    if call.progress is not None:
                        call.progress(file.size, _length(response) or file.size)
                file.check(response)
            return Answer(response.status_code, "", b"", file=FileInfo(file.size, file.sha256))


class Arriving:
    """A new file, for its owner's eyes, that is there only if all of it came; used as a context manager.

    FileExistsError for one that exists.
    """

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._hash = hashlib.sha256()
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, new, 0o600), "wb")

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.size += len(piece)
        self._file.write(piece)

    def check(self, response: httpx2.Response) -> None:
        """Damaged unless this is what the server says it is; OSError unless the disk took it."""
        self._file.flush()
        tag = response.headers.get("etag", "").removeprefix("W/").strip('"')
        size = _length(response)
        if not tag and size is None:
            # Made while it was sent; HTTP itself says where such a body ends.
            return
        if tag != self.sha256 or (size is not None and size != self.size):
            raise Damaged(
                f"The file came damaged: its SHA-256 is {self.sha256}, and the server said {tag or 'none'}."
            )

    def __enter__(self) -> Arriving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What cannot be written any more does not matter any more.
        with suppress(OSError):
            self._file.close()
        if error is not None:
            with suppress(OSError):
                self._path.unlink()


class _Sent:
    """The file that a call sends, if it sends one."""

    def __init__(self, call: Call[Any]) -> None:
        self._file: BinaryIO | None = None if call.file is None else call.file.open("rb")
        self._path = call.file
        self._progress = call.progress
        self.size = None if self._file is None else os.fstat(self._file.fileno()).st_size

    def pieces(self) -> Iterator[bytes]:
        left = self._begin()
        while left:
            piece = self._read(left)
            left -= len(piece)
            yield piece
            self._tell(left)

    async def pieces_async(self) -> AsyncIterator[bytes]:
        left = self._begin()
        while left:
            piece = await asyncio.to_thread(self._read, left)
            left -= len(piece)
            yield piece
            self._tell(left)

    def _begin(self) -> int:
        left = self.size or 0
        self._tell(left)
        return left

    def _read(self, left: int) -> bytes:
        assert self._file is not None
        piece = self._file.read(min(PIECE, left))
        if not piece:
            raise BadInput(f"{str(self._path)!r} became shorter while it was sent.", code="file_changed")
        return piece

    def _tell(self, left: int) -> None:
        if self._progress is not None:
            self._progress((self.size or 0) - left, self.size or 0)

    def __enter__(self) -> _Sent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _length(response: httpx2.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None
