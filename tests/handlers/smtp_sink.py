"""A real SMTP server on 127.0.0.1 that takes mail, or refuses it as told."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.handlers.record import certificate


@dataclass
class Mail:
    """One message that was accepted."""

    sender: str
    options: str
    recipients: list[str]
    data: bytes
    tls: bool
    login: tuple[str, str] | None


@dataclass
class SmtpSink:
    """``replies`` overrides answers: to command lines that start with the key, ``connect`` at the start,
    ``.`` after the data.

    ``hang`` answers nothing (and sets ``hanging``), ``slow`` takes its time, ``drop`` closes the connection.
    """

    replies: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("8BITMIME",)
    implicit_tls: bool = False
    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SmtpSink]:
        context = server_context() if self.implicit_tls else None
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _reply(self, line: str, usual: str) -> str:
        fitting = [key for key in self.replies if line.upper().startswith(key.upper())]
        return self.replies[max(fitting, key=len)] if fitting else usual

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls, login, sender, options = self.implicit_tls, None, "", ""
        recipients: list[str] = []

        async def say(key: str, usual: str) -> bool:
            """Answer; whether the answer was a good one."""
            reply = self._reply(key, usual)
            if reply == "hang":
                self.hanging.set()
                await asyncio.Event().wait()
            if reply == "slow":
                await asyncio.sleep(0.2)
                reply = usual
            if reply == "drop":
                raise ConnectionError
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
            return reply[0] in "23"

        if not await say("connect", "220 sink ready"):
            return
        while raw := await reader.readline():
            line = raw.decode().rstrip("\r\n")
            self.commands.append(line)
            match line.upper().split(" ")[0].split(":")[0]:
                case "EHLO":
                    offered = [e for e in self.extensions if not (tls and e == "STARTTLS")]
                    lines = ["sink", *offered]
                    head = [f"250-{text}" for text in lines[:-1]]
                    await say(line, "\r\n".join([*head, f"250 {lines[-1]}"]))
                case "STARTTLS":
                    if await say(line, "220 go"):
                        await writer.start_tls(server_context())
                        tls = True
                case "AUTH":
                    _, user, secret = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                    if await say(line, "235 welcome"):
                        login = (user, secret)
                case "MAIL":
                    sender, _, options = line[11:].partition(">")
                    recipients = []
                    await say(line, "250 ok")
                case "RCPT":
                    if await say(line, "250 ok"):
                        recipients.append(line[9:].rstrip(">"))
                case "DATA":
                    if await say(line, "354 go on"):
                        data = await reader.readuntil(b"\r\n.\r\n")
                        if await say(".", "250 2.0.0 queued as 42"):
                            text = data[:-3].replace(b"\r\n..", b"\r\n.")
                            self.mails.append(Mail(sender, options.strip(), recipients, text, tls, login))
                case "QUIT":
                    await say(line, "221 bye")
                    return
                case _:
                    await say(line, "250 ok")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate())
    return context
