"""The target of a request: what percent-encoding must not smuggle in."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from rota.model.errors import BadInput

_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ENDS = re.compile(rb"[\x00\r\n]")


def check(path: bytes, query: bytes) -> None:
    """BadInput unless path and query, as they were sent, decode to UTF-8 without NUL and line ends."""
    if b"%" in path:
        _check(path, None)
    if b"%" in query:
        for part in query.split(b"&"):
            name, _, value = part.partition(b"=")
            _check(name, None)
            _check(value, unquote_to_bytes(name).decode())


def _check(text: bytes, name: str | None) -> None:
    what = "The target" if name is None else f"{name[:100]!r}"
    field = name[:100] if name else None
    if _BROKEN.search(text):
        told = f"{what} holds a % that two hexadecimal digits do not follow."
        raise BadInput(told, code="bad_encoding", status=400, field=field)
    plain = unquote_to_bytes(text)
    if _ENDS.search(plain):
        told = f"{what} holds a NUL or a line end."
        raise BadInput(told, code="bad_character", status=400, field=field)
    try:
        plain.decode()
    except UnicodeDecodeError:
        told = f"{what} is not UTF-8 once its percent-encoding is undone."
        raise BadInput(told, code="bad_encoding", status=400, field=field) from None
