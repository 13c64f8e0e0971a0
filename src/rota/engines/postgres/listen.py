"""Hints between servers on one database: LISTEN and NOTIFY, and looking now and then where there is no such
thing.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rota.engines.postgres.link import Gate, Readers, Session

CHANNEL = "rota_queues"
POLL = 0.5
"""Seconds between two looks, where nothing can be listened to."""
_AGAIN = 0.5
_MOST = 7000
"""Bytes of a hint; PostgreSQL takes 8000."""
_WAITING = """
SELECT DISTINCT queue FROM (
  SELECT queue, state, jobs FROM rota.counts
  UNION ALL
  SELECT queue, state, jobs FROM rota.changes
) AS c WHERE state = 'pending' GROUP BY queue HAVING sum(jobs) > 0
"""
_HOST = re.compile(r"(?<=://)((?:[^/?@]*@)?)[^/?]*")


def payloads(queues: Sequence[str], sender: str) -> list[str]:
    """What is sent: the names as JSON, in as few pieces as they fit into."""
    pieces: list[list[str]] = [[]]
    size = 0
    for queue in dict.fromkeys(queues):
        if size + len(queue) + 3 > _MOST:
            pieces.append([])
            size = 0
        pieces[-1].append(queue)
        size += len(queue) + 3
    return [json.dumps([sender, *piece], separators=(",", ":")) for piece in pieces if piece]


async def notify(session: Session, texts: Sequence[str]) -> None:
    """Send hints."""
    await session.only("SELECT pg_notify($1, t) FROM unnest($2::text[]) AS t", CHANNEL, texts)


async def changes(gate: Gate, readers: Readers, sender: str) -> AsyncIterator[Sequence[str]]:
    """Queues that others announced; without a connection of our own, those where jobs wait."""
    while True:
        connection = await _listener(gate)
        if connection is None:
            yield await _look(readers)
            await asyncio.sleep(POLL)
            continue
        try:
            async for names in _listen(connection, readers, sender):
                yield names
        finally:
            connection.terminate()
        await asyncio.sleep(_AGAIN)


async def _listen(connection: Any, readers: Readers, sender: str) -> AsyncIterator[Sequence[str]]:
    """What comes in until the connection ends."""
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    connection.add_termination_listener(lambda _c: heard.put_nowait(None))
    try:
        await connection.add_listener(CHANNEL, lambda _c, _p, _h, text: heard.put_nowait(text))
    except Exception:
        return
    # What was announced before we listened.
    yield await _look(readers)
    while (text := await heard.get()) is not None:
        names = _names(text, sender)
        if names:
            yield names


def _names(text: str, sender: str) -> list[str]:
    try:
        who, *names = json.loads(text)
    except (ValueError, TypeError):
        return []
    return [] if who == sender else [str(name) for name in names]


async def _listener(gate: Gate) -> Any:
    """A connection to the server itself; None where there is none."""
    listen = gate.place.listen
    if listen == "no" or (gate.pooled and listen is None):
        return None
    dsn = gate.place.dsn
    if listen is not None:
        dsn = _HOST.sub(lambda match: match[1] + listen, dsn, count=1)
    try:
        return await gate.connect(dsn, bare=True)
    except Exception:
        return None


async def _look(readers: Readers) -> list[str]:
    try:
        async with readers.session() as session:
            return [row[0] for row in await session.only(_WAITING)]
    except Exception:
        return []
