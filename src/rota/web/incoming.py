"""Bodies that are files: received piece by piece into a spool, never whole in memory."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Send

from rota.core.spool import Spool
from rota.model.errors import BadInput

ZIP = "application/zip"
LINGER = 5.0
"""Seconds for which what is left of a refused body is read away."""


def check_media(kind: str | None, coding: str | None) -> None:
    """BadInput unless a body is declared as a zip archive, and not compressed once more."""
    if not is_zip(kind):
        raise BadInput(
            f"Send a zip archive: the header Content-Type must be {ZIP}.",
            code="unsupported_media_type",
            status=415,
        )
    if coding is not None and coding.strip().lower() != "identity":
        raise BadInput(
            f"Send the archive as it is, without Content-Encoding: {coding[:40]}.",
            code="unsupported_encoding",
            status=415,
        )


def is_zip(kind: str | None) -> bool:
    """Whether a Content-Type says that."""
    return kind is not None and kind.partition(";")[0].strip().lower() == ZIP


async def receive_into(spool: Spool, receive: Receive, declared: str | None) -> None:
    """The whole body. ``declared``: the header Content-Length. BadInput when it is too large, as soon as that
    is known, or ends too early; StoreError when it cannot be kept.
    """
    if declared is not None and declared.isdigit():
        spool.expect(int(declared))
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            told = "The body ended before its declared length."
            raise BadInput(told, code="truncated_body", status=400)
        await spool.write(message.get("body", b""))
        more = message.get("more_body", False)
    await spool.flush()


async def refuse_early(
    receive: Receive, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """Answer while the body may still be coming, and close. A connection that is closed with bytes unread is
    reset, and the answer lost with it: so for a while they are read and thrown away, until the client has
    seen the answer and closes.
    """
    length = (b"content-length", b"%d" % len(body))
    headers = [*(pair for pair in headers if pair[0] not in (b"connection", b"content-length")), length]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})
