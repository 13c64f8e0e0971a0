"""What a record is as a job, and which records cannot be one."""

from __future__ import annotations

from typing import Any

import pytest

from rota.bridges import _strict
from rota.edges.kafka_record import Record, job
from rota.model.errors import BadInput
from rota.model.job import NewJob, State
from rota.model.spec import Limits
from tests.edges.kit import source

NOW = 1_800_000_000_000_000
SENT = 1_799_999_999_500


def made(
    value: bytes | None = b"{}",
    *headers: tuple[str, bytes | None],
    key: bytes | None = None,
    at: int | None = SENT,
    **said: Any,
) -> NewJob:
    record = Record("orders", 3, 41, key, value, headers, at)
    return job(record, source(**said), NOW, Limits(payload_bytes=1000), _strict)


def refused(*given: Any, **said: Any) -> BadInput:
    with pytest.raises(BadInput) as caught:
        made(*given, **said)
    return caught.value


def test_it_says_where_it_came_from() -> None:
    one = made(b'{"n": 1}', ("trace", b"abc"), key=b"order-5")
    assert (one.type, one.queue, one.priority, one.state) == ("work", "shop", 7, State.PENDING)
    assert (one.payload, one.content_type) == (b'{"n": 1}', None)
    assert one.headers == {
        "trace": "abc",
        "kafka-key": "order-5",
        "kafka-topic": "orders",
        "kafka-partition": "3",
        "kafka-offset": "41",
        "kafka-timestamp": "2027-01-15T07:59:59.500Z",
    }
    assert "kafka-timestamp" not in (made(at=None).headers or {})


def test_what_is_said_of_the_topic_holds_for_its_jobs() -> None:
    one = made(timeout=60.0, max_attempts=3)
    assert (one.timeout, one.max_attempts) == (60_000_000, 3)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("a", b"b\xc3\xa9", ("a", "bé")),
        ("a", b"\xff\x00", ("a.base64", "/wA=")),
        ("a", b"two\nlines", ("a.base64", "dHdvCmxpbmVz")),
        ("a", None, ("a", "")),
        ("my header: é", b"x", ("my%20header%3A%20%C3%A9", "x")),
        # Nobody says of himself that he comes from elsewhere.
        ("kafka-topic", b"other", ("kafka-topic", "orders")),
    ],
)
def test_headers_are_kept(name: str, value: bytes | None, kept: tuple[str, str]) -> None:
    headers = made(b"{}", (name, value)).headers or {}
    assert headers[kept[0]] == kept[1]
    assert len(headers) == 4 + (kept[0] != "kafka-topic")


def test_of_headers_of_one_name_the_last_one_counts_and_a_binary_key_is_base64() -> None:
    headers = made(b"{}", ("a", b"1"), ("a", b"2"), key=b"\x00\xff").headers or {}
    assert headers["a"] == "2"
    assert headers["kafka-key.base64"] == "AP8="
    assert "kafka-key" not in headers


@pytest.mark.parametrize(
    ("value", "headers", "said", "payload", "content_type"),
    [
        (b'[1, "a"]', (), {}, b'[1, "a"]', None),
        (None, (), {}, b"null", None),
        (b"", (), {}, b"", "application/octet-stream"),
        (b"{broken", (), {}, b"{broken", "application/octet-stream"),
        (b'{"a":1,"a":2}', (), {}, b'{"a":1,"a":2}', "application/octet-stream"),
        (b"\xff\x00", (), {}, b"\xff\x00", "application/octet-stream"),
        (b"{}", (), {"payload": "bytes"}, b"{}", "application/octet-stream"),
        (b"{}", ("image/png",), {}, b"{}", "image/png"),
        (b"{}", ("image/png",), {"payload": "json"}, b"{}", None),
        (b"{}", ("application/json; charset=utf-8",), {}, b"{}", None),
    ],
)
def test_payloads(
    value: bytes, headers: tuple[str, ...], said: dict[str, Any], payload: bytes, content_type: str | None
) -> None:
    one = made(value, *[("content-type", text.encode()) for text in headers], **said)
    assert (one.payload, one.content_type) == (payload, content_type)
    assert ("kafka-tombstone" in (one.headers or {})) == (value is None)


@pytest.mark.parametrize(
    ("said", "given", "type"),
    [
        ({"type_from": "key"}, {"key": b"mail.send"}, "mail.send"),
        ({"type_from": "header:kind"}, {}, "h.kind"),
        ({"type_from": "field:type"}, {}, "f.kind"),
    ],
)
def test_the_type_may_come_with_the_record(said: dict[str, Any], given: dict[str, Any], type: str) -> None:
    assert made(b'{"type": "f.kind"}', ("kind", b"h.kind"), **given, **said).type == type


def test_priority_and_delay_come_with_the_record() -> None:
    assert made(b"{}", ("priority", b" -5 ")).priority == -5
    later = made(b"{}", ("delay", b"1.5"))
    assert (later.state, later.run_at - NOW) == (State.SCHEDULED, 1_500_000)
    then = made(b"{}", ("delay", b"2027-01-15T09:00:00+01:00"))
    assert (then.state, then.run_at - NOW) == (State.PENDING, 0)
    assert made(b"{}", ("p", b"9"), ("priority", b"1"), priority_header="p").priority == 9


@pytest.mark.parametrize(
    ("value", "headers", "said", "code", "words"),
    [
        (b"x" * 1001, {}, {}, "payload_too_large", "1001 bytes; at most 1000"),
        (b"x" * 11, {}, {"max_payload": 10}, "payload_too_large", "11 bytes; at most 10"),
        (b"{", {"content-type": b"application/json"}, {}, "invalid_json", "The value is not JSON"),
        (b"{", {}, {"payload": "json"}, "invalid_json", "The value is not JSON"),
        (b'{"a":1,"a":2}', {}, {"payload": "json"}, "duplicate_key", "twice"),
        (b"{}", {"content-type": b"no type"}, {}, "invalid_content_type", "'no type'"),
        (b"{}", {"priority": b"high"}, {}, "invalid_priority", "The header priority must be an integer"),
        (b"{}", {"priority": b"101"}, {}, "invalid_priority", "from -100 to 100"),
        (b"{}", {"delay": b"-1"}, {}, "invalid_time", "RFC 3339"),
        (b"{}", {"delay": b"999999999999"}, {}, "invalid_duration", "delay must be"),
        (b"{}", {}, {"type_from": "key"}, "invalid_type", "The key, which names the type, is not there"),
        (b"{}", {}, {"type_from": "header:k"}, "invalid_type", "The header k, which names the type, is not"),
        (b"{}", {"k": b"../x"}, {"type_from": "header:k"}, "invalid_type", "type must be"),
        (b'{"t":1}', {}, {"type_from": "field:t"}, "invalid_type", "The field t of the value, which names"),
        (b"[]", {}, {"type_from": "field:t"}, "invalid_type", "is not there"),
        (b"{}", {"": b"x"}, {}, "invalid_headers", "header names are tokens"),
        (b"{}", {"big": b"x" * 40_000}, {}, "invalid_headers", "32768 characters"),
        (b"{}", {f"h{n}": b"" for n in range(100)}, {}, "invalid_headers", "at most 100 names"),
    ],
)
def test_what_cannot_be_a_job_says_why(
    value: bytes, headers: dict[str, bytes], said: dict[str, Any], code: str, words: str
) -> None:
    error = refused(value, *headers.items(), **said)
    assert error.code == code
    assert words in error.detail
