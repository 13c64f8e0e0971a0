"""What is looked for in payloads, against a slow reading of the same texts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rota.model.errors import BadInput
from rota.web import strict

# Few names and bracket-rich texts, so that collisions and confusions are the rule.
NAMES = st.sampled_from(["a", "b", ":", '"', "\\", "a:", "{", "]", "ä", "\u003a", ""])
TEXTS = st.text(alphabet='ab:"\\[]{},ä\n', max_size=6)
NUMBERS = st.sampled_from(
    [
        "0",
        "-1",
        "1.5",
        "1e3",
        "1E+400",
        "-1e999",
        "9" * 400,
        "9" * 400 + ".0",
        "1e-999",
        "7" * 4300,
        "7" * 4301,
    ]
)


def text_of(value: Any, draw: Any) -> str:
    """A text for a tree of lists and of pairs, in a spelling that is drawn."""
    if isinstance(value, tuple):
        kind, inside = value
        space = draw(st.sampled_from(["", " ", "\n"]))
        if kind == "list":
            return "[" + f",{space}".join(text_of(one, draw) for one in inside) + "]"
        return (
            "{" + ",".join(f"{spelt(name, draw)}{space}:{text_of(one, draw)}" for name, one in inside) + "}"
        )
    return value if isinstance(value, str) else spelt(value[0], draw)


def spelt(text: str, draw: Any) -> str:
    """A string, some of its characters escaped."""
    out = []
    for one in text:
        out.append(f"\\u{ord(one):04x}" if draw(st.booleans()) else json.dumps(one)[1:-1])
    return '"' + "".join(out) + '"'


LEAVES = st.one_of(NUMBERS, st.sampled_from(["true", "null"]), TEXTS.map(lambda text: [text]))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.just("list"), st.lists(inner, max_size=4)),
        st.tuples(st.just("object"), st.lists(st.tuples(NAMES, inner), max_size=4)),
    ),
    max_leaves=12,
)


@st.composite
def bodies(draw: Any) -> str:
    text = text_of(draw(TREES), draw)
    for _ in range(draw(st.sampled_from([0, 0, 60, 63, 64, 65]))):
        text = draw(st.sampled_from(["[%s]", '{"[": %s}', '["]", %s]', '["\\"]\\"", %s]'])) % text
    return text


def slowly(text: str) -> set[str]:
    """The codes of all faults, found without any of the ways of the code."""
    found = set()

    def members(pairs: list[tuple[str, Any]]) -> list[Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            found.add("duplicate_key")
        return [value for _, value in pairs]

    def number(given: str) -> None:
        if not math.isfinite(float(given)):
            found.add("non_finite_number")

    def whole(given: str) -> None:
        if len(given.lstrip("-")) > 4300:
            found.add("number_too_large")

    def depth(value: Any) -> int:
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    value = json.loads(text, object_pairs_hook=members, parse_float=number, parse_int=whole)
    if depth(value) > 64:
        found.add("too_deep")
    return found


def found(body: bytes, levels: int) -> str | None:
    """The code of the refusal."""
    try:
        strict.check(body, levels)
    except BadInput as refusal:
        return refusal.code
    return None


@given(bodies())
@example('{"\\u003a": 1, ":": 2}')
@example('{"a": 1, "\\u003a": {"b": 1, "b": 2}}')
@example('{"a": "\\\\u003a", "b": ":"}')
@example('["\\"[[[[[[\\""]')
@example('["\\"]\\"", ' * 65 + "1" + "]" * 65)
@example('["\\"[\\"", ' * 60 + "1" + "]" * 60)
def test_exactly_what_is_wrong_is_refused(text: str) -> None:
    wrong = slowly(text)
    assert found(text.encode(), 0) in (wrong or [None])


@given(st.lists(bodies(), min_size=1, max_size=4))
def test_long_bodies_are_judged_as_short_ones(texts: list[str]) -> None:
    """In pieces, once they are longer than is looked at in one go."""
    body = ('{"jobs": [' + ",".join(texts) + "]}").encode()
    wrong = {code for text in texts for code in slowly(text)}
    long = body[:-1] + b', "more": "' + b"x" * strict.PIECE + b'"}'
    for one in (body, long):
        assert found(one, 2) in (wrong or [None])


@pytest.mark.parametrize("filler", ["", "x" * strict.PIECE], ids=["short", "long"])
def test_a_key_of_the_request_itself_twice(filler: str) -> None:
    for body in ('{"jobs": [], "x": "%s", "jobs": []}', '{"jobs": [{"type": "t", "type": "t"}], "x": "%s"}'):
        with pytest.raises(BadInput) as caught:
            strict.check((body % filler).encode(), 3)
        assert caught.value.code == "duplicate_key"


@pytest.mark.parametrize("code", [0x0000, 0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_escapes_that_make_no_character(code: int) -> None:
    for text in (f'"\\u{code:04x}"', f'["\\\\", "a\\u{code:04X}b"]', f'{{"\\u{code:04x}x": 1}}'):
        with pytest.raises(BadInput):
            strict.check_escapes(text.encode())
        assert b"fffd" in strict.with_characters(text.encode())
    strict.check_escapes(rf'"\\u{code:04x}"'.encode())


@given(st.lists(st.sampled_from(["\\ud83d", "\\ude00", "\\u0061", "\\\\", "x", "\\n"]), max_size=8))
def test_surrogates_in_pairs_only(parts: list[str]) -> None:
    text = '"' + "".join(parts) + '"'
    value = json.loads(text)
    try:
        value.encode()
    except UnicodeEncodeError:
        with pytest.raises(BadInput) as caught:
            strict.check_escapes(text.encode())
        assert caught.value.code == "invalid_unicode"
        json.loads(strict.with_characters(text.encode())).encode()
    else:
        strict.check_escapes(text.encode())
        assert strict.with_characters(text.encode()) == text.encode()


@given(
    st.lists(
        st.sampled_from(["NaN", "-Infinity", "Infinity", '"NaN"', '"\\"NaN"', '"\\\\"', "1"]), max_size=6
    )
)
def test_only_numbers_that_are_none_are_replaced(parts: list[str]) -> None:
    text = "[" + ",".join(parts) + "]"
    plain = strict.with_numbers(text.encode())
    expected = ["1e999" if part.endswith(("NaN", "Infinity")) and '"' not in part else part for part in parts]
    assert plain.decode() == "[" + ",".join(expected) + "]"
