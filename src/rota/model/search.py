"""Looking into payloads and errors: what is asked for, and whether a job has it. Pure.

An engine keeps payloads and errors as bytes; it hands those of its candidates to a :class:`Sift`, and may
leave out payloads of which :class:`Sift` says beforehand what every one of them that fits must hold.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from rota.model.errors import BadInput

TERM_CHARACTERS = 1000
"""Of one PATH:VALUE."""
ERROR_CHARACTERS = 200
"""Of a text that is looked for in errors."""
DEPTH = 64
"""Names in a path; payloads are no deeper."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS = 40
"""Longer numbers are not looked for as text."""
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
MISSING = object()
"""Where there is nothing."""


class Member(msgspec.Struct, frozen=True):
    """A member of the payload, by the names and indexes that lead to it, and its value as it was written.

    The value stands for a string that is equal to it; in double quotes, for that string of JSON alone; a
    number of JSON stands for every number of the same size, ``true``, ``false`` and ``null`` for those.
    """

    path: tuple[str, ...]
    value: str


class Needle(msgspec.Struct, frozen=True):
    """What the text of a payload must hold, unless it has a backslash: ``value``, or one of ``powers`` and a
    number with an exponent; and ``name``. None: nothing is known.
    """

    value: bytes | None
    powers: tuple[bytes, ...]
    name: bytes | None


def member(text: str, field: str = "payload") -> Member:
    """``PATH:VALUE`` taken apart. BadInput names the field and what is allowed."""
    if len(text) > TERM_CHARACTERS:
        raise _bad(field, f"one term of {field} may have {TERM_CHARACTERS} characters, not {len(text)}")
    path, name, at = [], "", 0
    while at < len(text):
        one = text[at]
        if one == "\\":
            if text[at + 1 : at + 2] not in (".", ":", "\\"):
                raise _bad(
                    field, f"in {text[:100]!r} a backslash must stand before a dot, a colon or a backslash"
                )
            name, at = name + text[at + 1], at + 2
            continue
        if one == ":":
            break
        at += 1
        if one == ".":
            path.append(name)
            name = ""
        else:
            name += one
    path.append(name)
    if at >= len(text) or "" in path:
        raise _bad(
            field,
            f"{field} must be PATH:VALUE such as user.id:42 or items.0.sku:a-1 (a dot or colon inside a name "
            f"is written with a backslash), not {text[:100]!r}",
        )
    if len(path) > DEPTH:
        raise _bad(field, f"a path of {field} may have {DEPTH} names, not {len(path)}")
    return Member(tuple(path), text[at + 1 :])


def path_text(path: tuple[str, ...]) -> str:
    """The PATH of names, as :func:`member` reads it."""
    return ".".join(re.sub(r"([.:\\])", r"\\\1", name) for name in path)


def read(payload: bytes) -> Any:
    """The value of JSON, its numbers exact; :data:`MISSING` where it is none."""
    try:
        return _read(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MISSING


def at(value: Any, path: tuple[str, ...]) -> Any:
    """What a path leads to, or :data:`MISSING`."""
    for name in path:
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif isinstance(value, list):
            # Only as it is written otherwise, too: no 01, no -1.
            if not (name.isascii() and name.isdigit() and len(name) <= 9 and str(int(name)) == name):
                return MISSING
            index = int(name)
            value = value[index] if index < len(value) else MISSING
        else:
            return MISSING
    return value


class Sift:
    """Tells the jobs that have these members in their payload, and this text in their last error."""

    def __init__(self, members: tuple[Member, ...], error: str | None) -> None:
        self.looks_at_payload = bool(members)
        self.looks_at_error = error is not None
        self._members = [(one.path, _Wanted(one.value)) for one in members]
        self._error = None if error is None else error.casefold()
        self.needles = [_needle(path, wanted) for path, wanted in self._members]

    def keeps(self, payload: bytes | None, error: bytes | None) -> bool:
        """Whether a job fits. ``payload``: JSON, None where it is none; ``error``: its last one's document.
        What was not asked for is not looked at.
        """
        return (self._error is None or self._has_text(error)) and (
            not self._members or self._has_members(payload)
        )

    def _has_text(self, error: bytes | None) -> bool:
        if error is None or self._error is None:
            return False
        try:
            told = _read_error(error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return any(
            isinstance(text, str) and self._error in text.casefold() for text in (told.type, told.message)
        )

    def _has_members(self, payload: bytes | None) -> bool:
        if payload is None:
            return False
        whole = read(payload)
        return all(wanted.is_(at(whole, path)) for path, wanted in self._members)


class _Wanted:
    """A value as it was asked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        quoted = _unquoted(text)
        if quoted is not None:
            self.text = quoted
        self.number: Decimal | None = None
        if quoted is None and _NUMBER.fullmatch(text):
            number = _number(text)
            self.number = None if number.is_nan() else number
        self.word = _WORDS.get(text, MISSING) if quoted is None else MISSING

    def is_(self, value: Any) -> bool:
        if isinstance(value, str):
            return value == self.text
        if value is None or isinstance(value, bool):
            return value is self.word
        return self.number is not None and isinstance(value, int | Decimal) and value == self.number


class _Error(msgspec.Struct):
    type: Any = None
    message: Any = None


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # Of an exponent beyond all bounds; it is equal to nothing, itself included.
        return Decimal("NaN")


_read = msgspec.json.Decoder(float_hook=_number).decode
_read_error = msgspec.json.Decoder(_Error).decode
_string = msgspec.json.Decoder(str).decode


def _needle(path: tuple[str, ...], wanted: _Wanted) -> Needle:
    value: bytes | None = _literal(wanted.text)
    powers: tuple[bytes, ...] = ()
    if wanted.number is not None:
        value, powers = _digits(wanted.number), _halves(wanted.number)
    # An index of a list does not stand in the text.
    name = None if path[-1].isdigit() else _literal(path[-1])
    return Needle(value, powers, None if name is None else b'"' + name + b'"')


def _literal(text: str) -> bytes | None:
    """How a string stands in JSON without a backslash; one that cannot is only found where there is one."""
    if not text or _ESCAPED.search(text):
        return None
    return text.encode("utf-8", "surrogatepass")


def _digits(number: Decimal) -> bytes | None:
    """What each spelling of a number without an exponent holds."""
    if number == 0:
        return b"0"
    _, digits, exponent = number.as_tuple()
    if len(digits) + abs(int(exponent)) > _DIGITS:
        return None
    text = f"{abs(number):f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


def _halves(number: Decimal) -> tuple[bytes, ...]:
    """Wherever the point stands in a number with an exponent, one half of its digits is in one piece."""
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    middle = len(digits) // 2
    return tuple(half.encode() for half in dict.fromkeys((digits[:middle], digits[middle:])) if half)


def _unquoted(text: str) -> str | None:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    try:
        return _string(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _bad(field: str, told: str) -> BadInput:
    return BadInput(told[0].upper() + told[1:] + ".", code="invalid_filter", field=field)
