"""What a server says to the others on the database: one statement on a connection of its own, so that it
neither waits for long reads nor holds up what is written.

Messages are kept for some seconds in a table without a log, and go with the notification where they fit:
whoever listens needs no look into the table then.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence

from rota.engines.postgres.errors import lost, refused
from rota.engines.postgres.link import Gate, Link, Session
from rota.model.errors import StoreError

CHANNEL = "rota_queues"
FORGET_NEWS = "DELETE FROM rota.news WHERE at < clock_timestamp() - interval '15 seconds'"
_MOST = 7000
"""Bytes of a notification; PostgreSQL takes 8000."""
_TRIES = 3
# To notify takes a transaction's number, and with it a commit that waits for the disk and the standby. There
# is nothing to be kept: what it tells of is on stable storage already, or is gone with the server anyway.
_NOTIFY = """
SELECT pg_notify($1, t), set_config('synchronous_commit', 'off', true) FROM unnest($2::text[]) AS t
"""
_KEEP = "INSERT INTO rota.news (sender, n, bodies) VALUES ($3, $4, $5::bytea[]) ON CONFLICT DO NOTHING"
_NEWS = f"WITH kept AS ({_KEEP}) {_NOTIFY}"


class Voice:
    """Says one thing after the other."""

    def __init__(self, gate: Gate, sender: str) -> None:
        self._link = Link(gate)
        self._sender = sender
        self._said = 0
        self._turn = asyncio.Lock()
        self._closed = False

    async def say(self, queues: Sequence[str], news: Sequence[bytes]) -> None:
        """Raises StoreError."""
        if not queues and not news:
            return
        async with self._turn:
            tries = 0
            self._said += bool(news)
            texts = payloads(queues, self._sender, self._said if news else None, news)
            while True:
                if self._closed:
                    raise StoreError("The store is closed.")
                try:
                    await self._send(await self._link.session(), texts, news)
                    return
                except BaseException as error:
                    # Also when nobody waits any more: what the database still answers is not for the next.
                    self._link.drop()
                    tries += 1
                    if not isinstance(error, Exception):
                        raise
                    if isinstance(error, StoreError) or not lost(error) or tries >= _TRIES:
                        raise refused(error) from error

    async def close(self) -> None:
        self._closed = True
        await self._link.close()

    async def _send(self, session: Session, texts: Sequence[str], news: Sequence[bytes]) -> None:
        if news:
            await session.only(_NEWS, CHANNEL, texts, self._sender, self._said, list(news))
        else:
            await session.only(_NOTIFY, CHANNEL, texts)
        await session.commit()


def payloads(
    queues: Sequence[str], sender: str, number: int | None = None, news: Sequence[bytes] = ()
) -> list[str]:
    """What goes with notifications: sender, queues, and the messages with their number (without them where
    they are too long), in as few pieces as that fits into.
    """
    names = iter(dict.fromkeys(queues))
    first: list[object] = [sender]
    size = 100
    if number is not None:
        inline = None
        if sum(map(len, news)) < _MOST * 2 // 3:
            inline = [base64.b64encode(body).decode() for body in news]
            size += sum(len(text) + 3 for text in inline)
            if size > _MOST:
                inline, size = None, 100
        first += [number, inline]
    else:
        first += [None, None]
    pieces = [_dumps([*first, *_fitting(names, _MOST - size)])]
    while rest := _fitting(names, _MOST - 100):
        pieces.append(_dumps([sender, None, None, *rest]))
    return pieces


def _fitting(names: Iterator[str], room: int) -> list[str]:
    """As many of the names as there is room for."""
    found: list[str] = []
    for name in names:
        found.append(name)
        room -= len(name) + 3
        if room < 250:
            break
    return found


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
