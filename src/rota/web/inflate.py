"""Request bodies that come compressed, for interfaces that always took them. What comes out is bounded."""

from __future__ import annotations

import zlib

from rota.model.errors import BadInput

_STEP = 64 * 1024
_MEMBERS = 1000
"""Of one gzip body; each costs about as much as a short one."""
_GZIP, _ZLIB, _BARE = 31, 15, -15


def inflate(body: bytes, codings: str | None, most: int) -> bytes:
    """The body without its ``codings`` (the header Content-Encoding). From one on that is not known the body
    stays as it is. BadInput: damaged (400), more than ``most`` bytes (413), compressed with Brotli (415).
    """
    for coding in reversed([one.strip().lower() for one in (codings or "").split(",")]):
        match coding:
            case "" | "identity":
                pass
            case "gzip" | "x-gzip":
                body = _gunzip(body, most) if body else body
            case "deflate":
                body = _undeflate(body, most) if body else body
            case "br":
                told = "Content-Encoding br is not taken here; use gzip or deflate."
                raise BadInput(told, code="unsupported_encoding", status=415)
            case _:
                return body
    return body


def _gunzip(body: bytes, most: int) -> bytes:
    """One member after the other."""
    parts: list[bytes] = []
    at = 0
    for _ in range(_MEMBERS):
        part, at = _member(body, at, _GZIP, most)
        most -= len(part)
        parts.append(part)
        if at == len(body):
            return b"".join(parts)
    raise _damaged()


def _undeflate(body: bytes, most: int) -> bytes:
    """With zlib's frame, as the standard says, or bare, as some send it."""
    for bits in (_ZLIB, _BARE):
        try:
            text, at = _member(body, 0, bits, most)
        except BadInput as error:
            if error.status == 413 or bits == _BARE:
                raise
            continue
        if at == len(body):
            return text
    raise _damaged()


def _member(body: bytes, at: int, bits: int, most: int) -> tuple[bytes, int]:
    """What one stream holds, and where it ends."""
    stream = zlib.decompressobj(bits)
    parts: list[bytes] = []
    while not stream.eof:
        piece = body[at : at + _STEP]
        if not piece:
            raise _damaged()
        try:
            part = stream.decompress(piece, most + 1)
        except zlib.error:
            raise _damaged() from None
        most -= len(part)
        if most < 0:
            raise BadInput("The body is too large once it is unpacked.", code="payload_too_large", status=413)
        parts.append(part)
        at += len(piece) - len(stream.unused_data)
    return b"".join(parts), at


def _damaged() -> BadInput:
    return BadInput("The compressed body is damaged.", code="bad_encoding", status=400)
