"""What JSON allows and programs stumble over: keys given twice, numbers nobody can hold, nesting without end,
halves of characters.

Payloads and results are kept as they came, so this is where they are looked at. Each test is one or two
passes in C; only where one of them finds something is the text taken apart in Python, to name the field.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from rota.model.errors import BadInput

MAX_DEPTH = 64
"""Levels of lists and objects in one payload or result."""
MAX_DIGITS = 4300
"""Of a whole number; Python and others read no longer ones."""
NAMED = 64 * 1024
"""In longer texts a fault is told without its place."""
PIECE = 1024 * 1024
"""Longer bodies are looked at one job at a time, so that no body costs many times its size in memory."""

NUL = "A string holds the character NUL (\\u0000), which is not allowed."
HALF = "A string holds half of a surrogate pair."
CHARACTERS = frozenset({"nul_character", "invalid_unicode"})
"""Codes of faults that are single characters."""
DEEP = f"A value may hold lists and objects {MAX_DEPTH} levels deep, not more."

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def check(body: bytes, levels: int) -> None:
    """BadInput unless every value in ``body``, which is well-formed JSON, is one that all programs read
    alike. ``levels``: how many of our own lists and objects lie around a payload.
    """
    if len(body) <= PIECE:
        _check(body, MAX_DEPTH + levels, "")
        return
    top = _members(body)
    if body.count(b":") != len(top) + sum(bytes(value).count(b":") for value in top.values()):
        raise fault(body)
    for name, value in top.items():
        text = bytes(value)
        if text.startswith(b"["):
            for index, item in enumerate(_items(value)):
                _check(bytes(item), MAX_DEPTH + levels - 2, f"{name}[{index}]")
        else:
            _check(text, MAX_DEPTH + levels - 1, name)


def check_escapes(body: bytes) -> None:
    """Refuse NUL and lone surrogates, which half the world's databases and languages cannot hold."""
    # One character is found much faster than two.
    if b"\\" in body and b"\\u" in body and (found := next(_bad_escapes(body), None)) is not None:
        wrong = Fault("", "nul_character", NUL) if found[1] else Fault("", "invalid_unicode", HALF)
        if len(body) <= NAMED:
            with contextlib.suppress(ValueError, RecursionError):
                wrong = next((one for one in faults(body) if one.code == wrong.code), wrong)
        raise wrong.error()


def with_characters(body: bytes) -> bytes:
    """The same text with U+FFFD where it has NUL or half of a surrogate pair."""
    text = bytearray(body)
    for at, _ in _bad_escapes(body):
        text[at : at + 6] = rb"\ufffd"
    return bytes(text)


def with_numbers(body: bytes) -> bytes:
    """The same text with a number that is out of range where it has NaN or Infinity, which are no JSON."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _NO_NUMBER.sub(lambda match: match[0] if match[0].startswith(b'"') else b"1e999", body)


def _check(text: bytes, most: int, prefix: str) -> None:
    # Short texts seldom have so many brackets, long ones always.
    if (len(text) > 1024 or text.count(b"[") + text.count(b"{") > most) and _deeper(text, most):
        raise Fault(prefix, "too_deep", DEEP).error()
    # Thousands of small objects that are gone in a moment would only set the collector to work.
    collecting = len(text) > 4096 and gc.isenabled()
    if collecting:
        gc.disable()
    try:
        value = _decode(text)
        kept = _encode(value).count(b":")
        del value
    except msgspec.ValidationError:
        raise fault(text, prefix) from None
    finally:
        if collecting:
            gc.enable()
    # A key that is there twice is lost on the way, and its colon with it. Nothing else loses one, and only an
    # escaped colon makes one more.
    colons = text.count(b":")
    if b"\\" in text and b"\\u003" in text:
        colons += sum(match[1] is not None and int(match[1], 16) == 58 for match in _ESCAPE.finditer(text))
    if colons != kept:
        raise fault(text, prefix)


def _deeper(text: bytes, most: int) -> bool:
    """Whether brackets are nested deeper than ``most``."""
    escaped = b"\\" in text and b'\\"' in text
    shape = b'"' if escaped else text.translate(_BRACKETS, _NOT_BRACKETS).replace(b'""', b"")
    if b'"' in shape:
        # Strings with brackets or quotes of their own: without them.
        shape = _STRING.sub(b"", text).translate(_BRACKETS, _NOT_BRACKETS)
    # As many brackets as levels are left cannot go too deep: on to the end of these. Texts that stay near the
    # bound all the time are rare and are counted one by one.
    depth = at = 0
    for _ in range(len(shape) // 8 + 1):
        ahead = min(most - depth, len(shape) - at)
        if ahead < 1:
            break
        depth += 2 * shape.count(b"[", at, at + ahead) - ahead
        at += ahead
    if at == len(shape):
        return False
    return max(accumulate(array("b", shape.translate(_STEPS)))) > most


def _bad_escapes(body: bytes) -> Iterator[tuple[int, bool]]:
    """Where an escape stands that makes no character, and whether it makes NUL instead."""
    high_at = high_end = -1
    for match in _ESCAPE.finditer(body):
        code = -1 if match[1] is None else int(match[1], 16)
        low = 0xDC00 <= code <= 0xDFFF
        paired = low and match.start() == high_end
        if high_at >= 0 and not paired:
            yield high_at, False
        if low and not paired:
            yield match.start(), False
        if code == 0:
            yield match.start(), True
        high = 0xD800 <= code <= 0xDBFF
        high_at, high_end = (match.start(), match.end()) if high else (-1, -1)
    if high_at >= 0:
        yield high_at, False


class Fault(NamedTuple):
    """What is wrong with a value, and where it is (``jobs[3].payload.a``)."""

    path: str
    code: str
    told: str

    def error(self) -> BadInput:
        status = 422 if self.code == "nul_character" else 400
        return BadInput(self.told, code=self.code, status=status, field=self.path[:100] or None)


def faults(text: bytes, prefix: str = "", most: int = MAX_DEPTH) -> Iterator[Fault]:
    """Everything that is wrong, from the front to the back, in text that is JSON but for its escapes."""
    made: list[_Wrong] = []
    value = _load(text, made)
    for path, one, depth in _walk(value, prefix):
        if isinstance(one, _Wrong):
            where = f"{path}.{one}".removeprefix(".") if one.code == "duplicate_key" else path
            yield Fault(where, one.code, one.told())
        elif isinstance(one, str):
            if "\0" in one:
                yield Fault(path, "nul_character", NUL)
            elif _SURROGATE.search(one):
                yield Fault(path, "invalid_unicode", HALF)
        elif depth > most:
            yield Fault(path, "too_deep", DEEP)


def fault(text: bytes, prefix: str = "") -> BadInput:
    """The first thing that is wrong with text that is known to have a fault."""
    if len(text) > NAMED:
        made: list[_Wrong] = []
        _load(text, made)
        found = Fault(prefix, made[0].code, made[0].told()) if made else None
    else:
        found = next(faults(text, prefix, len(text)), None)
    return (found or Fault(prefix, "invalid_json", "The body holds a value that cannot be kept.")).error()


class _Wrong(str):
    """In place of a value that is refused; the text is the key, or the number."""

    __slots__ = ("code",)
    code: str

    def told(self) -> str:
        match self.code:
            case "duplicate_key":
                return f"The key {str(self)[:100]!r} is given twice in one object."
            case "non_finite_number":
                return f"{self[:40]} is beyond what a number can hold; infinity and NaN are none in JSON."
            case _:
                return f"A whole number may have {MAX_DIGITS} digits, not {len(self)}."


def _load(text: bytes, wrong: list[_Wrong]) -> Any:
    def note(given: str, code: str) -> _Wrong:
        one = _Wrong(given)
        one.code = code
        wrong.append(one)
        return one

    def members(pairs: list[tuple[str, Any]]) -> Any:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        seen = Counter(name for name, _ in pairs)
        return note(next(name for name in made if seen[name] > 1), "duplicate_key")

    def number(given: str) -> Any:
        try:
            _decode(given)
        except msgspec.ValidationError:
            return note(given, "non_finite_number")
        return None

    def whole(given: str) -> Any:
        digits = given.removeprefix("-")
        return note(digits, "number_too_large") if len(digits) > MAX_DIGITS else None

    return json.loads(text, object_pairs_hook=members, parse_float=number, parse_int=whole)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any, int]]:
    """Every value with its place and depth, from the front to the back; names of members too."""
    todo: list[tuple[str, Any, int]] = [(path, value, 1)]
    while todo:
        path, value, depth = todo.pop()
        yield path, value, depth
        inside: list[tuple[str, Any, int]] = []
        if isinstance(value, dict):
            for name, one in value.items():
                yield path, name, depth
                inside.append((f"{path}.{name[:100]}".removeprefix("."), one, depth + 1))
        elif isinstance(value, list):
            inside = [(f"{path}[{index}]", one, depth + 1) for index, one in enumerate(value)]
        todo += reversed(inside)
