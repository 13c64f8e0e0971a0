"""The server's own worker runs the handlers on uvloop, whose sockets and TLS are not asyncio's."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import uvloop

from rota.handlers.email import send_email
from rota.handlers.message import EmailPayload
from rota.handlers.settings import EmailSettings, WebhookSettings
from rota.handlers.webhook import WebhookPayload, webhook
from rota.sdk.control import Fail, Retry
from tests.handlers.http_sink import HttpSink, reply
from tests.handlers.record import Record, certificate
from tests.handlers.smtp_sink import SmtpSink

MAIL = EmailPayload(to="jo@example.com", subject="Hi", text="Hello")


def test_mail_with_starttls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificate())

    async def scenario() -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        async with SmtpSink(extensions=("STARTTLS", "AUTH PLAIN")).running() as sink:
            settings = EmailSettings(host="localhost", port=sink.port, username="u", password="p")
            await send_email(settings)(Record().context(), MAIL)
            assert sink.mails[0].tls
        with pytest.raises(Retry, match=f"localhost:{sink.port}: "):
            await send_email(settings)(Record().context(), MAIL)

    uvloop.run(scenario())


def test_requests_with_and_without_tls() -> None:
    context = ssl.create_default_context(cafile=certificate())

    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def hang(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        allowed = WebhookSettings(allow_networks=("127.0.0.1",))
        for tls in (False, True):
            async with HttpSink({"/": reply(200, b"ok"), "/hang": hang}, tls=tls).running() as sink:
                handler = webhook(allowed, resolver=resolver, context=context)
                url = sink.url(host="hook.test")
                assert (await handler(Record().context(), WebhookPayload(url))).body == "ok"
                with pytest.raises(Retry, match="gave no complete answer"):
                    await handler(Record().context(), WebhookPayload(url + "hang", timeout=0.3))
                with pytest.raises(Fail, match="which this server may not call"):
                    await webhook(WebhookSettings())(Record().context(), WebhookPayload(sink.url()))
        with pytest.raises(Retry, match="Connection refused"):
            await handler(Record().context(), WebhookPayload(url))

    uvloop.run(scenario())
