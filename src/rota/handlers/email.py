"""``send_email``: a message by SMTP, or into a Maildir folder when no SMTP server is configured."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import aiosmtplib
import msgspec

from rota.handlers.message import EmailPayload, Message, compose
from rota.handlers.settings import EmailSettings
from rota.sdk.context import Context
from rota.sdk.control import Fail, Retry

PORTS = {"none": 25, "starttls": 587, "tls": 465}
_GOODBYE_SECONDS = 2.0
_counter = itertools.count()


class Refusal(msgspec.Struct, frozen=True):
    """What the server said to one address."""

    code: int
    message: str


class EmailResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """``delivered`` is ``smtp`` (with ``server`` and its ``answer``) or ``maildir`` (with the ``path``)."""

    delivered: str
    message_id: str
    accepted: list[str]
    refused: dict[str, Refusal] = {}
    server: str | None = None
    answer: str | None = None
    path: str | None = None


def send_email(settings: EmailSettings) -> Callable[[Context, EmailPayload], Awaitable[EmailResult]]:
    """The handler for these settings."""
    maildir = Path(settings.maildir).absolute()

    async def send_email(ctx: Context, payload: EmailPayload) -> EmailResult:
        now = datetime.now().astimezone()
        # In a thread: a message with large attachments takes its time, and the loop is the server's.
        message = await asyncio.to_thread(compose, payload, job_id=ctx.id, sender=settings.sender, now=now)
        if settings.host is None:
            path = await asyncio.to_thread(keep, maildir, ctx.id, message)
            return EmailResult("maildir", message.id, message.recipients, path=str(path))
        result = await _send(settings, settings.host, message)
        for address, refusal in result.refused.items():
            ctx.log(f"{address} was refused: {refusal.code} {refusal.message}", "warning")
        return result

    return send_email


def keep(maildir: Path, job_id: str, message: Message) -> Path:
    """Write the message into ``new`` of a Maildir folder, made when missing; durable when this returns.

    The name is made from the job's id, so a repeated attempt replaces its own unread message and adds none.
    """
    for folder in (maildir, maildir / "tmp", maildir / "new", maildir / "cur"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    unique = f"{time.time_ns()}.P{os.getpid()}Q{next(_counter)}R{secrets.token_hex(4)}.{host}"
    draft, final = maildir / "tmp" / unique, maildir / "new" / f"{job_id}.{host}"
    try:
        with open(draft, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(message.data.replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(final)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    for folder in (maildir / "new", maildir):
        _sync(folder)
    return final


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _send(settings: EmailSettings, host: str, message: Message) -> EmailResult:
    """One SMTP conversation. 4xx and broken connections raise Retry, 5xx raise Fail."""
    port = settings.port or PORTS[settings.tls]
    server = f"{host}:{port}"
    client = aiosmtplib.SMTP(
        hostname=host,
        port=port,
        username=settings.username,
        password=settings.password,
        use_tls=settings.tls == "tls",
        start_tls=settings.tls == "starttls",
        timeout=settings.timeout,
    )
    options = ["SMTPUTF8", "BODY=8BITMIME"] if message.utf8 else []
    try:
        async with asyncio.timeout(settings.timeout):
            await client.connect()
            refused, answer = await client.sendmail(
                message.sender, message.recipients, message.data, mail_options=options
            )
        await _goodbye(client)
    except aiosmtplib.SMTPRecipientsRefused as error:
        told = "; ".join(f"{one.recipient}: {one.code} {_line(one.message)}" for one in error.recipients)
        final = all(one.code >= 500 for one in error.recipients)
        raise _failure(f"{server} refused every recipient: {told}", final=final) from None
    except aiosmtplib.SMTPResponseException as error:
        told = f"{server} answered {error.code} {_line(error.message)}"
        raise _failure(told, final=500 <= error.code <= 599) from None
    except aiosmtplib.SMTPNotSupported as error:
        raise Fail(f"{server} cannot take this message: {error}") from None
    except TimeoutError:
        raise Retry(message=f"{server} did not take the message within {settings.timeout:g} s.") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Retry(message=f"{server}: {str(error) or type(error).__name__}") from None
    finally:
        client.close()
    return EmailResult(
        "smtp",
        message.id,
        [address for address in message.recipients if address not in refused],
        {address: Refusal(reply.code, _line(reply.message)) for address, reply in refused.items()},
        server,
        f"250 {_line(answer)}",
    )


async def _goodbye(client: aiosmtplib.SMTP) -> None:
    """The message is taken; nothing that goes wrong from here on may count as a failure and send it again."""
    try:
        await client.quit(timeout=_GOODBYE_SECONDS)
    except (aiosmtplib.SMTPException, OSError):
        pass


def _failure(told: str, *, final: bool) -> Exception:
    return Fail(told) if final else Retry(message=told)


def _line(text: str) -> str:
    """A server's answer on one line, at most 300 characters."""
    return " ".join(text.split())[:300]
