"""What is asked for in payloads and errors, and what has it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from rota.model.errors import BadInput
from rota.model.search import DEPTH, TERM_CHARACTERS, Member, Sift, member, path_text

PAYLOAD = r"""{
  "user": {"id": 42, "name": "Anna", "vip": true, "left": null, "a.b": 1, "c:d": 2, "e\\f": 3, "": 4},
  "items": [{"sku": "a-1", "n": 1.50}, {"sku": "42", "n": -0.0}],
  "big": 12345678901234567890, "wide": 9007199254740993.0, "exp": 4.2e1, "huge": 1e300,
  "text": "100%_\\x", "uml\u00e4ut": "stra\u00dfe", "rawä": "é", "yes": "true", "no": "null",
  "0": "zero", "empty": "", "quote": "\"q\""
}""".encode()


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        ("user.id:42", True),
        ("user.id:42.0", True),
        ("user.id:4.2e1", True),
        ("user.id:4", False),
        ("user.id:042", False),
        ("user.id:+42", False),
        ("user.id: 42", False),
        ('user.id:"42"', False),
        ("user:42", False),
        ("user.id.x:42", False),
        ("id:42", False),
        ("items.1.sku:42", True),
        ('items.1.sku:"42"', True),
        ("items.1.sku:42.0", False),
        ("items.0.n:1.5", True),
        ("items.1.n:0", True),
        ("items.2.n:0", False),
        ("items.00.n:1.5", False),
        ("items.-1.n:0", False),
        ("items.٠.n:1.5", False),
        ("items.99999999999999999999.n:0", False),
        ("0:zero", True),
        ("big:12345678901234567890", True),
        ("big:12345678901234567891", False),
        ("big:1234567890123456789e1", True),
        ("wide:9007199254740993", True),
        ("wide:9007199254740992", False),
        ("exp:42", True),
        ("huge:1e300", True),
        ("huge:1" + "0" * 300, True),
        ("huge:1e301", False),
        ("huge:1e99999999999999999999", False),
        ("user.vip:true", True),
        ("user.vip:1", False),
        ("user.vip:false", False),
        ("yes:true", True),
        ('yes:"true"', True),
        ('user.vip:"true"', False),
        ("user.left:null", True),
        ("no:null", True),
        ("absent:null", False),
        ("user.left:", False),
        ("empty:", True),
        ('empty:""', True),
        (r"user.a\.b:1", True),
        (r"user.c\:d:2", True),
        (r"user.e\\f:3", True),
        ("user.a.b:1", False),
        (r"text:100%_\x", True),
        ("text:100%", False),
        ("umläut:straße", True),
        ("rawä:é", True),
        ("user.name:anna", False),
        ('quote:"q"', False),
        (r'quote:"\"q\""', True),
        ("user.name:Ann\udc00", False),
        ("user.name:Anna\x00", False),
        ("user.na\x00me:Anna", False),
        ("user.na\udc00me:Anna", False),
    ],
)
def test_a_member_is_found_by_its_value(term: str, fits: bool) -> None:
    assert Sift((member(term),), None).keeps(PAYLOAD, None) is fits


@pytest.mark.parametrize("payload", [None, b"", b"{", b"42", b'"user"', b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_such_json_does_not_fit(payload: bytes | None) -> None:
    assert not Sift((member("user.id:42"),), None).keeps(payload, None)


def test_a_list_at_the_top_is_gone_into() -> None:
    assert Sift((member("1.a:x"),), None).keeps(b'[0, {"a": "x"}]', None)


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ("", "PATH:VALUE"),
        ("user.id", "PATH:VALUE"),
        (":42", "PATH:VALUE"),
        ("a..b:1", "PATH:VALUE"),
        (".a:1", "PATH:VALUE"),
        ("a.:1", "PATH:VALUE"),
        (r"a\:1", "PATH:VALUE"),
        (r"a\n:1", "backslash"),
        ("a\\", "backslash"),
        ("a." * DEPTH + "b:1", f"{DEPTH} names"),
        ("a:" + "x" * TERM_CHARACTERS, f"{TERM_CHARACTERS} characters"),
    ],
)
def test_what_is_no_term_is_refused_by_name(term: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        member(term, "filter.payload")
    assert caught.value.field == "filter.payload"
    assert caught.value.code == "invalid_filter"


def test_a_path_is_written_as_it_is_read() -> None:
    for path in (("user", "id"), ("a.b", "c:d", "e\\f"), ("\\.", ":")):
        assert member(path_text(path) + ":x:y\\z") == Member(path, "x:y\\z")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("timeout", True),
        ("TIMEOUT", True),
        ("straSSe", True),
        ("stra\u00dfe", True),
        ("after 100% of_it", True),
        ("%", True),
        ("o%r", False),
        ("line 7", False),
        ("", True),
        ("\x00", False),
        ("\udc00", False),
    ],
)
def test_an_error_is_found_by_its_type_and_message(text: str, fits: bool) -> None:
    error = {"type": "ReadTimeout", "message": "After 100% of_it: Straße", "traceback": "line 7"}
    assert Sift((), text).keeps(None, json.dumps(error).encode()) is fits
    assert Sift((), text).keeps(None, json.dumps(error, ensure_ascii=False).encode()) is fits


@pytest.mark.parametrize(
    "error", [None, b"", b"{", b"[]", b"1", b'{"type":1,"message":{"a":"x"}}', b"{}", b"\xff"]
)
def test_what_is_no_error_document_does_not_fit(error: bytes | None) -> None:
    assert not Sift((), "x").keeps(None, error)


def test_every_spelling_of_a_number_holds_what_is_looked_for() -> None:
    """Or an exponent."""
    spellings = [
        "42",
        "42.0",
        "12345.678",
        "1234567.8e-2",
        "1.2345678e4",
        "0.12345678e5",
        "12345678000e-6",
        "420e-1",
        "4.2E+1",
        "0.42e2",
        "-42",
        "100",
        "1e2",
        "100.00",
        "0.5",
        "0.50",
        "5e-1",
        "0",
        "-0",
        "0.000",
    ]
    for asked in spellings:
        [needle] = Sift((member(f"a:{asked}"),), None).needles
        assert needle.value is not None
        for given in (one for one in spellings if Decimal(one) == Decimal(asked)):
            held = any(half in given.encode() for half in needle.powers)
            assert needle.value in given.encode() or (held and "e" in given.lower())
