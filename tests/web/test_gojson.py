"""JSON as programs in Go read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.web import gojson

texts = st.text(st.characters(codec="utf-16"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(texts, inside, max_size=3),
    max_leaves=8,
)


def written(pairs: list[tuple[str, Any]], ascii: bool) -> bytes:
    """An object with its keys in this order, the same one twice included."""
    inside = " ,".join(
        f"{json.dumps(key, ensure_ascii=ascii)}:\n {json.dumps(value, ensure_ascii=ascii, indent=1)}"
        for key, value in pairs
    )
    return f"\t{{{inside}\r}} ".encode()


@given(
    st.lists(st.tuples(texts | st.sampled_from(["type", "Type"]), values), max_size=5),
    st.booleans(),
    st.sampled_from([b"", b" ", b"x", b"{", b"}", b'"', b"\0", b"\xff", b'{"type":"u"}', b"\\ud800"]),
)
def test_members_come_in_order_as_they_were_sent(
    pairs: list[tuple[str, Any]], ascii: bool, behind: bytes
) -> None:
    found = gojson.members(written(pairs, ascii) + behind)
    assert [name for name, _ in found] == [key.lower() for key, _ in pairs]
    for (_, raw), (_, value) in zip(found, pairs, strict=True):
        assert json.loads(raw) == value
        assert raw == json.dumps(value, ensure_ascii=ascii, indent=1).encode()


HALVES = [
    rb'"\ud800"',
    rb'"\uDC00 and more"',
    rb'"\ud83d\ude00\ud83d"',
    rb'"\\\ud800\\\\\uDbFf"',
    rb'["\ude00\ud83d", {"\ud800": "\\ud800"}]',
]


@pytest.mark.parametrize("behind", [b"", rb" \ud800", b"}"])
@pytest.mark.parametrize("value", HALVES)
def test_halves_of_characters_stay(value: bytes, behind: bytes) -> None:
    assert gojson.members(b'{"a":' + value + b',"b":1}' + behind) == [("a", value), ("b", b"1")]


@pytest.mark.parametrize("body", [b"null", b" null", b"nullx", b"null{}", b"{}", b"{ }]"])
def test_nothing(body: bytes) -> None:
    assert gojson.members(body) == []


WRONG = [
    *(
        b"",
        b" ",
        b"{",
        b"}",
        b"[]",
        b'"a"',
        b"1",
        b"true",
        b"nul",
        b"{a:1}",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
    ),
    *(b'{"a":NaN}', b'{"a":.5}', b'{"a":"\t"}', b'{"\xff":1}', b'{"a":"\\u12"}', b'{"a":"\\ud80x"}'),
    *(b'{"a":"\xff\\ud800"}', b'{"a":"\\ud800', b'{"a":' + b"[" * 100_000),
    b'{"a":"\\ud800' + b" " * gojson.MENDED + b'"}',
    json.dumps({str(number): 1 for number in range(gojson.MAX_MEMBERS + 1)}).encode(),
]


@pytest.mark.parametrize("body", WRONG, ids=lambda body: repr(body[:20]))
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        gojson.members(body)


@given(texts)
def test_texts(value: str) -> None:
    assert gojson.text(json.dumps(value).encode()) == value
    assert gojson.text(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(rb'"\ud800"', "\ufffd"), (rb'"a\ude00b"', "a\ufffdb"), (b'"\xff"', "\ufffd"), (rb'"\u0000"', "\0")],
)
def test_what_is_no_character_is_replaced(value: bytes, text: str) -> None:
    assert gojson.text(value) == text


@pytest.mark.parametrize("value", [b"1", b"null", b"[]", b'{"a":"b"}', b""])
def test_what_is_no_text(value: bytes) -> None:
    with pytest.raises(ValueError):
        gojson.text(value)
