"""JSON as programs written in Go read it, which is more than JSON says: some of the fronts owe it to their
clients.

Only the first value of a body counts. Names of members match whatever their case, and of two that match the
later one wins. Values are kept as they were sent, blanks, keys given twice and halves of characters included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec

MAX_MEMBERS = 1000
"""Of the object itself; what is inside them does not count."""
MENDED = 2 * 1024 * 1024
"""In longer bodies halves of characters are refused; in names of members they always are."""

_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_HALF = re.compile(rb"\\u(?=[dD][89a-fA-F][0-9a-fA-F]{2})")
_ESCAPE, _BACKSLASH = b"\xff\xff", b"\xff\xfe"
"""In no text, and as long as what they stand for."""


class _Name:
    """The name of a member. Unlike texts, two of them are never the same."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def members(body: bytes) -> list[tuple[str, bytes]]:
    """The members of the object with which ``body`` begins, in order: their names in lower case, their values
    as they were sent. Nothing for ``null``. ValueError for a body that begins with anything else.
    """
    try:
        try:
            found = _first(body)
        except msgspec.DecodeError:
            # msgspec knows no halves of characters, and they must come out as they went in.
            if len(body) > MENDED or b"\xff" in body:
                raise
            hidden = _HALF.sub(_ESCAPE, body.replace(rb"\\", _BACKSLASH))
            if _ESCAPE not in hidden:
                raise
            found = [(name, _shown(value)) for name, value in _first(hidden)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return found


def text(value: bytes) -> str:
    """A value that is a text, with U+FFFD for what is no character. ValueError when it is none."""
    if not value.startswith(b'"'):
        raise ValueError("It is no text.")
    found: str = json.loads(value.decode("utf-8", "replace"))
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shown(value: bytes) -> bytes:
    return value.replace(_ESCAPE, rb"\u").replace(_BACKSLASH, rb"\\")


def _first(body: bytes) -> list[tuple[str, bytes]]:
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        end = _TRAILING.search(str(error))
        if end is None:
            raise
        return _decode(body[: int(end[1]) - 1])


def _decode(body: bytes) -> list[tuple[str, bytes]]:
    found = msgspec.json.decode(body, type=dict[_Name, msgspec.Raw] | None, dec_hook=_naming())
    return [(name.text.lower(), bytes(value)) for name, value in (found or {}).items()]


def _naming() -> Callable[[type, str], _Name]:
    left = MAX_MEMBERS

    def name(kind: type, given: str) -> _Name:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"It has more than {MAX_MEMBERS} members.")
        return _Name(given)

    return name
