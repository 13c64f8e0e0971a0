"""A job that comes with a zip archive: the body is the archive, the header ``Rota-Job`` the job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from rota.core.files import described
from rota.core.service import Service
from rota.core.spool import in_thread
from rota.model.errors import BadInput
from rota.model.file import File
from rota.model.job import Kept, Request
from rota.model.spec import JobSpec, request
from rota.web import strict, wire
from rota.web.asgi import Call
from rota.web.incoming import check_media, receive_into
from rota.web.trace import traced

Index = Callable[[BinaryIO], int]
"""How many entries an archive has. BadInput when its directory is not sound. It waits for the disk."""

HEADER = "Rota-Job"
HEADER_BYTES = 8 * 1024
TYPE = "program_zip"
"""The type of a job that names none."""
_UNKNOWN = File("", 2**50, "0" * 64)
"""Stands for the file as long as it has not come."""

_any = msgspec.json.Decoder(msgspec.Raw)
_spec = msgspec.json.Decoder(JobSpec)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def no_archives(source: BinaryIO) -> int:
    """The index of a server that takes none."""
    raise BadInput("This server takes no archives.", code="unsupported_media_type", status=415)


class Uploads:
    """Bound to one service."""

    def __init__(self, service: Service, index: Index) -> None:
        self._service = service
        self._index = index
        # A directory is work for the interpreter: threads that look at many would leave the loop no room.
        self._looking = asyncio.Lock()

    async def enqueue(self, call: Call) -> tuple[Request, Kept]:
        """Store the job once all of its upload is stored. Whatever else happens leaves nothing behind."""
        check_media(call.header(b"content-type"), call.header(b"content-encoding"))
        spec, text = _job_of(call)
        # All that can be refused before the body comes.
        self._request(spec, text, _UNKNOWN, 0, call)
        files = self._service.files
        async with files.spooling("upload") as spool:
            await receive_into(spool, call.receive, call.header(b"content-length"))
            call.unread = False
            async with self._looking:
                entries = await in_thread(self._index, spool.file)
            async with files.storing(spool.file) as file:
                asked = self._request(spec, text, file, entries, call)
                [kept] = await self._service.enqueue(asked)
        return asked, kept

    def _request(self, spec: JobSpec, text: bytes, file: File, entries: int, call: Call) -> Request:
        service = self._service
        key = call.header(b"idempotency-key")
        asked = request(
            [described(spec, file, entries)],
            service.clock.now(),
            service.limits,
            many=False,
            key=None if key is None else key.strip('"'),
            body=text + file.sha256.encode(),
        )
        return traced(msgspec.structs.replace(asked, upload=file), call)


def _job_of(call: Call) -> tuple[JobSpec, bytes]:
    """The job in the header, and the header as it came."""
    given = call.all(HEADER.lower().encode())
    if len(given) > 1:
        raise BadInput(f"There are two headers {HEADER}.", code="invalid_json", status=400, field=HEADER)
    text = given[0].strip().encode("latin-1") if given else b"{}"
    if len(text) > HEADER_BYTES:
        told = f"The header {HEADER} may have {HEADER_BYTES} bytes; it has {len(text)}."
        raise BadInput(told, code="headers_too_large", status=431, field=HEADER)
    if not text.isascii():
        told = f"The header {HEADER} is JSON in ASCII: write other characters as \\u escapes."
        raise BadInput(told, code="invalid_json", status=400, field=HEADER)
    try:
        wire.shape(_any, text)
        strict.check(text, 1)
        if text.startswith(b"{") and "type" not in (members := _members.decode(text)):
            return wire.shape(_spec, wire.encode({"type": TYPE, **members})), text
        return wire.shape(_spec, text), text
    except BadInput as error:
        # The same rules as in a body.
        error.detail = error.detail.replace("The body", f"The header {HEADER}", 1)
        raise
