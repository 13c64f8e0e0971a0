"""What a message looks like on the wire, and what is never let in."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.handlers.message import EmailPayload, Message, compose, mailbox
from rota.sdk.signature import BadPayload

NOW = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


def made(**fields: Any) -> Message:
    payload = {"to": "jo@example.com", "subject": "Hi", "text": "Hello"} | fields
    return compose(msgspec.convert(payload, EmailPayload), job_id="j1", sender="rota@example.org", now=NOW)


def parsed(message: Message) -> EmailMessage:
    """As a mail program reads it."""
    found = email.message_from_bytes(message.data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def header_names(data: bytes) -> list[str]:
    """Of the header block as it is, without any decoding."""
    block = data.split(b"\r\n\r\n")[0].decode()
    return [line.partition(":")[0] for line in block.split("\r\n") if not line.startswith(" ")]


def test_a_plain_message_byte_by_byte() -> None:
    assert made().data.decode() == (
        "From: rota@example.org\r\nTo: jo@example.com\r\nSubject: Hi\r\n"
        "Date: Sat, 31 Jan 2026 08:30:00 +0000\r\nMessage-ID: <rota.j1@example.org>\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 7bit\r\n'
        "MIME-Version: 1.0\r\n\r\nHello\r\n"
    )


def test_everything_at_once_reads_as_it_was_written() -> None:
    message = made(
        **{"from": '"Dr. Böse, Chef" <chef@example.org>'},
        to=["Jo <jo@example.com>", '"Smith, Ann \\"AA\\"" <ann@example.com>'],
        cc="cc@example.com",
        bcc=["secret@example.com", "jo@example.com"],
        reply_to=["Grüße <re@exämple.de>"],
        subject="Ümläute, " * 20 + "end",
        text="Grüße\n.\nFrom me\n" + "x" * 2000,
        html="<b>Grüße</b>",
        headers={"X-Ticket": "42", "List-Unsubscribe": "<https://example.com/" + "u" * 300 + ">"},
        attachments=[
            {
                "filename": "bericht ü.csv",
                "content_base64": "AP8=",
                "content_type": "text/csv; charset=utf-8",
            },
            {"filename": "x.bin", "content_base64": base64.b64encode(bytes(range(256))).decode()},
        ],
    )
    found = parsed(message)
    assert [(a.display_name, a.addr_spec) for a in found["from"].addresses] == [
        ("Dr. Böse, Chef", "chef@example.org")
    ]
    assert [(a.display_name, a.addr_spec) for a in found["to"].addresses] == [
        ("Jo", "jo@example.com"),
        ('Smith, Ann "AA"', "ann@example.com"),
    ]
    assert found["reply-to"].addresses[0].addr_spec == "re@xn--exmple-cua.de"
    assert found["subject"] == "Ümläute, " * 20 + "end"
    assert found["list-unsubscribe"] == "<https://example.com/" + "u" * 300 + ">"
    text, html = found.get_body(("plain",)), found.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().split("\r\n") == ["Grüße", ".", "From me", "x" * 2000, ""]
    assert html.get_content() == "<b>Grüße</b>\r\n"
    files = list(found.iter_attachments())
    assert [part.get_filename() for part in files] == ["bericht ü.csv", "x.bin"]
    assert [part.get_content_type() for part in files] == ["text/csv", "application/octet-stream"]
    assert files[1].get_content() == bytes(range(256))
    assert message.recipients == ["jo@example.com", "ann@example.com", "cc@example.com", "secret@example.com"]
    assert message.data.isascii()
    assert max(map(len, message.data.split(b"\r\n"))) <= 998
    assert all(len(line) <= 78 or b"uuuu" in line for line in message.data.split(b"\r\n"))


def test_bcc_stays_out_of_the_message() -> None:
    message = made(bcc=["Secret <secret@example.com>"])
    assert message.recipients == ["jo@example.com", "secret@example.com"]
    assert b"secret" not in message.data.lower()
    assert b"bcc" not in message.data.lower()


def test_a_repeated_attempt_has_the_same_message_id_and_another_job_another() -> None:
    assert made().id == made(text="other").id == "<rota.j1@example.org>"
    assert parsed(made(**{"from": "x@münchen.de"}))["message-id"] == "<rota.j1@xn--mnchen-3ya.de>"


def test_letters_of_any_script_before_the_at_need_smtputf8() -> None:
    message = made(to=["用户@例え.jp"])
    assert message.recipients == ["用户@xn--r8jz45g.jp"]
    assert message.utf8
    assert "To: 用户@xn--r8jz45g.jp\r\n".encode() in message.data
    assert not made(to="jo@exämple.de").utf8


INJECTIONS = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "a\0b",
    "a\x0bX-Evil: 1",
    "a\x85X-Evil: 1",
    "a\u2028X-Evil: 1",
    "=?utf-8?q?a=0d=0aX-Evil:_1?=",
    "=?UTF-8?B?YQ0KWC1FdmlsOiAx?=",
]
PLACES: list[tuple[str, Any]] = [
    ("subject", lambda bad: {"subject": bad}),
    ("from", lambda bad: {"from": f"{bad} <jo@example.com>"}),
    ("to", lambda bad: {"to": f"{bad} <jo@example.com>"}),
    ("to[1]", lambda bad: {"to": ["a@b.c", f"jo@{bad}.com"]}),
    ("cc", lambda bad: {"cc": f"{bad}@example.com"}),
    ("bcc[0]", lambda bad: {"bcc": [f"{bad}@example.com"]}),
    ("reply_to", lambda bad: {"reply_to": f'"{bad}" <a@b.c>'}),
    ("headers.X-Test", lambda bad: {"headers": {"X-Test": bad}}),
    (
        "attachments[0].filename",
        lambda bad: {"attachments": [{"filename": bad, "content_base64": ""}]},
    ),
    (
        "attachments[0].content_type",
        lambda bad: {"attachments": [{"filename": "a", "content_base64": "", "content_type": f"a/b{bad}"}]},
    ),
]


@pytest.mark.parametrize("bad", INJECTIONS, ids=ascii)
@pytest.mark.parametrize(("field", "fields"), PLACES, ids=[name for name, _ in PLACES])
def test_header_injection_is_refused_by_name(field: str, fields: Any, bad: str) -> None:
    with pytest.raises(BadPayload) as caught:
        made(**fields(bad))
    assert str(caught.value).startswith(field)


@pytest.mark.parametrize("name", ["X Evil", "X:Evil", "", "X\r\nEvil", "Ü", "x" * 77])
def test_header_names_are_checked(name: str) -> None:
    with pytest.raises(BadPayload, match="is not a header name"):
        made(headers={name: "v"})


@pytest.mark.parametrize(
    "name", ["Bcc", "TO", "From", "Date", "Message-Id", "Content-Type", "MIME-Version", "Resent-To", "Sender"]
)
def test_headers_that_rota_writes_cannot_be_given(name: str) -> None:
    with pytest.raises(BadPayload, match=f"headers.{name} is written by Rota"):
        made(headers={name: "x@example.com"})


@given(st.text(max_size=300), st.text(max_size=200), st.text(max_size=60))
def test_no_text_whatever_makes_a_header_of_its_own(subject: str, value: str, name: str) -> None:
    try:
        message = made(subject=subject, headers={"X-A": value, "X-B": "end"}, to=f"{name} <jo@example.com>")
    except BadPayload:
        return
    usual = ["From", "To", "Subject", "Date", "Message-ID", "X-A", "X-B"]
    usual += ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    assert header_names(message.data) == usual
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", message.data)
    found = parsed(message)
    assert " ".join(found["subject"].split()) == " ".join(subject.split())
    assert [a.addr_spec for a in found["to"].addresses] == ["jo@example.com"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "jo", "@example.com", "jo@", "jo@@example.com", "jo smith@example.com", "a@b, c@d", "a@b;c@d"),
        *(
            "Jo <jo@example.com> x",
            "<jo@example.com",
            "jo@example.com>",
            "Jo <a@b> <c@d>",
            "jo..x@example.com",
        ),
        *(".jo@example.com", "jo.@example.com", "jo@exa mple.com", "jo@.com", "jo@example..com", "jo@-a.com"),
        *("jo@[1.2.3]", "jo@[evil.com]", '"jo x"@example.com', "jo@exam_ple.com/..", "x" * 65 + "@a.de"),
        *(
            "jo@" + "a" * 64 + ".com",
            "jo@" + "a." * 130 + "com",
            "jo@ex\u2024ample.com\u2025",
            "(c)jo@example.com",
        ),
    ],
)
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(BadPayload, match=r"^cc must be an address such as jo@example\.com, not "):
        made(cc=text)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("jo@example.com", "", "jo@example.com"),
        ("  <jo@example.com> ", "", "jo@example.com"),
        ("Jo Smith <jo+tag@sub.example.com>", "Jo Smith", "jo+tag@sub.example.com"),
        ('"Smith, Jo" <o\'jo@localhost>', "Smith, Jo", "o'jo@localhost"),
        ("jo@[127.0.0.1]", "", "jo@[127.0.0.1]"),
        ("jo@[IPv6:::1]", "", "jo@[IPv6:::1]"),
        ("jo@Straße.DE", "", "jo@xn--strae-oqa.de"),
    ],
)
def test_good_addresses(text: str, name: str, address: str) -> None:
    found = mailbox("to", text)
    assert (found.name, found.address) == (name, address)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"to": []}, "to must name at least one address"),
        ({"text": None}, "text or html must be given"),
        ({"bcc": [f"u{n}@example.com" for n in range(500)]}, "at most 500 addresses, not 501"),
        ({"headers": {f"X-{n}": "" for n in range(101)}}, "headers may hold at most 100 names"),
        ({"headers": {"X-Long": "x" * 1000}}, "headers: a word is longer than a line"),
        ({"attachments": [{"filename": "", "content_base64": ""}]}, r"attachments\[0\].filename must be"),
        ({"attachments": [{"filename": "../x", "content_base64": ""}]}, r"attachments\[0\].filename must be"),
        ({"attachments": [{"filename": "x", "content_base64": "!"}]}, "content_base64 is not base64"),
        (
            {"attachments": [{"filename": "x", "content_base64": "", "content_type": "message/rfc822"}]},
            r"content_type must be a media type .* not 'message/rfc822'",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadPayload, match=told):
        made(**fields)


def test_control_characters_in_a_text_travel_encoded() -> None:
    message = made(text="a\0b\x1b[31m", html="<p>\0</p>")
    assert b"\0" not in message.data
    body = parsed(message).get_body(("plain",))
    assert body is not None
    assert body.get_content() == "a\0b\x1b[31m\r\n"


def test_html_alone_is_the_body() -> None:
    found = parsed(made(text=None, html="<b>x</b>"))
    assert found.get_content_type() == "text/html"
    assert found["mime-version"] == "1.0"
