"""send_email against a real SMTP server, and into a real Maildir."""

from __future__ import annotations

import asyncio
import mailbox
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.handlers.email import EmailResult, send_email
from rota.handlers.message import EmailPayload
from rota.handlers.settings import EmailSettings
from rota.sdk.control import Fail, Retry
from rota.sdk.signature import BadPayload
from tests.handlers.record import JOB_ID, Record, certificate
from tests.handlers.smtp_sink import SmtpSink


def payload(**fields: Any) -> EmailPayload:
    whole = {"to": "jo@example.com", "subject": "Hi", "text": "Hello"} | fields
    return msgspec.convert(whole, EmailPayload)


async def send(sink: SmtpSink, record: Record | None = None, **fields: Any) -> EmailResult:
    settings = EmailSettings(host="127.0.0.1", port=sink.port, tls="none", timeout=10)
    return await send_email(settings)((record or Record()).context(), payload(**fields))


async def test_delivers_by_smtp_and_tells_the_servers_answer() -> None:
    async with SmtpSink().running() as sink:
        result = await send(sink, cc="Ann <ann@example.com>", bcc="bo@example.com", text="one\n.two\n")
        assert result == EmailResult(
            "smtp",
            f"<rota.{JOB_ID}@localhost>",
            ["jo@example.com", "ann@example.com", "bo@example.com"],
            server=f"127.0.0.1:{sink.port}",
            answer="250 2.0.0 queued as 42",
        )
        (mail,) = sink.mails
        assert (mail.sender, mail.login, mail.tls) == ("rota@localhost", None, False)
        assert mail.recipients == ["jo@example.com", "ann@example.com", "bo@example.com"]
        assert mail.data.endswith(b"\r\n\r\none\r\n.two\r\n")
        assert b"bo@example.com" not in mail.data
        assert sink.commands[-1] == "QUIT"


async def test_every_attempt_sends_the_same_message_id() -> None:
    async with SmtpSink().running() as sink:
        first, second = await send(sink), await send(sink)
        assert first.message_id == second.message_id
        assert all(f"\r\nMessage-ID: {first.message_id}\r\n".encode() in mail.data for mail in sink.mails)


async def test_starttls_and_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificate())
    async with SmtpSink(extensions=("STARTTLS", "AUTH PLAIN")).running() as sink:
        settings = EmailSettings(
            host="localhost", port=sink.port, tls="starttls", username="u", password="p w"
        )
        await send_email(settings)(Record().context(), payload())
        assert (sink.mails[0].tls, sink.mails[0].login) == (True, ("u", "p w"))


async def test_tls_from_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificate())
    async with SmtpSink(implicit_tls=True).running() as sink:
        settings = EmailSettings(host="127.0.0.1", port=sink.port, tls="tls")
        await send_email(settings)(Record().context(), payload())
        assert sink.mails[0].tls


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_nobody_vouches_for_is_not_trusted(tls: Any) -> None:
    async with SmtpSink(extensions=("STARTTLS",), implicit_tls=tls == "tls").running() as sink:
        settings = EmailSettings(host="127.0.0.1", port=sink.port, tls=tls)
        with pytest.raises(Retry, match="certificate verify failed"):
            await send_email(settings)(Record().context(), payload())
        assert sink.mails == []


async def test_without_starttls_nothing_is_sent_in_the_clear() -> None:
    async with SmtpSink(extensions=("AUTH PLAIN",)).running() as sink:
        settings = EmailSettings(host="127.0.0.1", port=sink.port, username="u", password="p")
        with pytest.raises(Retry, match="STARTTLS"):
            await send_email(settings)(Record().context(), payload())
        assert {line.split(" ")[0] for line in sink.commands} <= {"EHLO", "QUIT"}


@pytest.mark.parametrize(
    ("replies", "kind", "told"),
    [
        ({"connect": "421 busy"}, Retry, "421 busy"),
        ({"connect": "554 go away"}, Fail, "554 go away"),
        ({"connect": "drop"}, Retry, ""),
        ({"MAIL": "451 later"}, Retry, "451 later"),
        ({"MAIL": "550 not you"}, Fail, "550 not you"),
        ({"RCPT": "450 greylisted"}, Retry, "refused every recipient: jo@example.com: 450 greylisted"),
        ({"RCPT": "550 no such user"}, Fail, "refused every recipient: jo@example.com: 550 no such user"),
        ({"DATA": "452 full"}, Retry, "452 full"),
        ({".": "451 disk full"}, Retry, "451 disk full"),
        ({".": "554 spam"}, Fail, "554 spam"),
        ({".": "drop"}, Retry, ""),
        ({"MAIL": "gibberish"}, Retry, "gibberish"),
    ],
)
async def test_which_refusals_are_tried_again(
    replies: dict[str, str], kind: type[Exception], told: str
) -> None:
    async with SmtpSink(replies).running() as sink:
        with pytest.raises(kind) as caught:
            await send(sink)
        assert type(caught.value) is kind
        assert f"127.0.0.1:{sink.port}" in str(caught.value)
        assert told in str(caught.value)
        assert sink.mails == []


@pytest.mark.parametrize(("reply", "kind"), [("535 wrong", Fail), ("454 later", Retry)])
async def test_a_refused_login(reply: str, kind: type[Exception]) -> None:
    async with SmtpSink({"AUTH": reply}, extensions=("AUTH PLAIN",)).running() as sink:
        settings = EmailSettings(
            host="127.0.0.1", port=sink.port, tls="none", username="u", password="s3cret"
        )
        with pytest.raises(kind) as caught:
            await send_email(settings)(Record().context(), payload())
        assert "s3cret" not in str(caught.value)


async def test_one_final_refusal_among_temporary_ones_is_tried_again() -> None:
    async with SmtpSink({"RCPT TO:<a": "550 no", "RCPT TO:<b": "450 later"}).running() as sink:
        with pytest.raises(Retry, match="a@x: 550 no; b@x: 450 later"):
            await send(sink, to=["a@x", "b@x"])


async def test_some_recipients_refused_is_a_success_that_names_them() -> None:
    record = Record()
    async with SmtpSink({"RCPT TO:<bad": "550 no such user"}).running() as sink:
        result = await send(sink, record, to=["bad@example.com", "jo@example.com"])
        assert result.accepted == ["jo@example.com"]
        assert {a: (r.code, r.message) for a, r in result.refused.items()} == {
            "bad@example.com": (550, "no such user")
        }
        assert sink.mails[0].recipients == ["jo@example.com"]
    assert record.lines == [("warning", "bad@example.com was refused: 550 no such user")]


@pytest.mark.parametrize("key", ["connect", "EHLO", "RCPT", "."])
async def test_a_server_that_falls_silent_does_not_hold_the_slot(key: str) -> None:
    async with SmtpSink({key: "hang"}).running() as sink:
        settings = EmailSettings(host="127.0.0.1", port=sink.port, tls="none", timeout=0.4)
        before = time.monotonic()
        with pytest.raises(Retry):
            await send_email(settings)(Record().context(), payload())
        assert time.monotonic() - before < 3


async def test_many_slow_answers_have_one_deadline_together() -> None:
    async with SmtpSink({"RCPT": "slow"}).running() as sink:
        settings = EmailSettings(host="127.0.0.1", port=sink.port, tls="none", timeout=0.6)
        before = time.monotonic()
        with pytest.raises(Retry, match=r"did not take the message within 0\.6 s"):
            await send_email(settings)(Record().context(), payload(to=[f"u{n}@x" for n in range(20)]))
        assert time.monotonic() - before < 2


@pytest.mark.parametrize("reply", ["hang", "drop", "421 cross"])
async def test_nothing_after_the_message_was_taken_makes_it_fail(reply: str) -> None:
    async with SmtpSink({"QUIT": reply}).running() as sink:
        assert (await send(sink)).delivered == "smtp"
        assert len(sink.mails) == 1


async def test_nobody_listening_is_tried_again() -> None:
    async with SmtpSink().running() as sink:
        pass
    with pytest.raises(Retry, match=f"127.0.0.1:{sink.port}: "):
        await send(sink)


async def test_cancelling_the_task_ends_it_at_once() -> None:
    async with SmtpSink({"DATA": "hang"}).running() as sink:
        settings = EmailSettings(host="127.0.0.1", port=sink.port, tls="none")
        running = asyncio.ensure_future(send_email(settings)(Record().context(), payload()))
        async with asyncio.timeout(10):
            await sink.hanging.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


async def test_addresses_in_any_script_need_a_server_that_can() -> None:
    async with SmtpSink(extensions=("SMTPUTF8", "8BITMIME")).running() as sink:
        result = await send(sink, to="用户@example.com")
        assert result.accepted == ["用户@example.com"]
        assert sink.mails[0].recipients == ["用户@example.com"]
        assert "SMTPUTF8" in sink.mails[0].options
    async with SmtpSink().running() as sink:
        with pytest.raises(Fail, match="SMTPUTF8 is not supported"):
            await send(sink, to="用户@example.com")


async def test_injected_headers_reach_no_server() -> None:
    async with SmtpSink().running() as sink:
        for field, bad in (("subject", "a\r\nBcc: x@y.z"), ("to", "a@b.c>\r\nRCPT TO:<x@y.z")):
            with pytest.raises(BadPayload):
                await send(sink, None, **{field: bad})
        assert sink.commands == []


async def test_without_a_host_mail_goes_into_a_maildir(tmp_path: Path) -> None:
    folder = tmp_path / "mail" / "dir"
    result = await send_email(EmailSettings(maildir=str(folder)))(Record().context(), payload(bcc="bo@x"))
    assert (result.delivered, result.server, result.answer) == ("maildir", None, None)
    assert result.accepted == ["jo@example.com", "bo@x"]
    assert result.path is not None
    assert Path(result.path).parent == folder / "new"
    assert list((folder / "tmp").iterdir()) == []
    (kept,) = mailbox.Maildir(folder, create=False)
    assert kept["subject"] == "Hi"
    assert kept["message-id"] == result.message_id
    data = Path(result.path).read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"\n\nHello\n")
    assert Path(result.path).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_repeated_attempt_adds_no_second_message(tmp_path: Path) -> None:
    handler = send_email(EmailSettings(maildir=str(tmp_path)))
    first = await handler(Record().context(), payload())
    second = await handler(Record().context(attempt=2), payload())
    assert first.path == second.path
    assert len(mailbox.Maildir(tmp_path, create=False)) == 1


async def test_a_maildir_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("in the way")
    with pytest.raises(OSError, match="new"):
        await send_email(EmailSettings(maildir=str(tmp_path)))(Record().context(), payload())


def test_the_password_shows_in_no_print() -> None:
    assert "hunter2" not in repr(EmailSettings(host="x", password="hunter2"))
    assert "host='x'" in repr(EmailSettings(host="x", password="hunter2"))
