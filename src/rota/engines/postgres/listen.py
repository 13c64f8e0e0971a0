"""What other servers on the database say: LISTEN, and looking now and then where there is no such thing."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rota.engines.postgres.link import Gate, Readers
from rota.engines.postgres.voice import CHANNEL
from rota.model.job import Change

POLL = 0.5
"""Seconds between two looks for jobs that wait, where nothing can be listened to."""
NEWS = 0.1
"""Seconds between two looks for messages, likewise."""
PATIENCE = 1.0
"""Seconds for which whoever cannot listen looks, before it tries to listen again."""
_ALIVE = 5.0
"""Seconds of silence after which it is asked whether the connection is still one."""
_AGAIN = 0.5
_WAITING = """
SELECT DISTINCT queue FROM (
  SELECT queue, state, jobs FROM rota.counts
  UNION ALL
  SELECT queue, state, jobs FROM rota.changes
) AS c WHERE state = 'pending' GROUP BY queue HAVING sum(jobs) > 0
"""
_LAST = "SELECT sender, max(n) FROM rota.news GROUP BY sender"
_OF_ONE = "SELECT n, bodies FROM rota.news WHERE sender = $1 AND n > $2 AND n <= $3 ORDER BY n"
# The table holds what is some seconds old.
_SINCE = """
SELECT o.sender, o.n, o.bodies
FROM rota.news AS o
WHERE o.sender <> $1
  AND o.n > coalesce(
    (SELECT m.n FROM unnest($2::text[], $3::bigint[]) AS m (sender, n) WHERE m.sender = o.sender), 0
  )
ORDER BY o.sender, o.n
"""
_HOST = re.compile(r"(?<=://)((?:[^/?@]*@)?)[^/?]*")


class Ears:
    """What was heard so far: the number of the last message of each sender."""

    def __init__(self, readers: Readers, sender: str) -> None:
        self._readers = readers
        self._sender = sender
        self._marks: dict[str, int] | None = None

    async def begin(self) -> dict[str, int]:
        """What was said before is not for us."""
        if self._marks is None:
            self._marks = dict(await self._ask(_LAST))
        return self._marks

    async def hear(self, text: str) -> Change | None:
        """What a notification says, with what it only points to."""
        try:
            who, *rest = json.loads(text)
        except (ValueError, TypeError):
            return None
        # Whoever has no messages to tell may name nothing but queues.
        number, inline, *names = rest if rest and not isinstance(rest[0], str) else [None, None, *rest]
        if who == self._sender:
            return None
        return Change([str(name) for name in names], await self._messages(str(who), number, inline))

    async def look(self) -> list[bytes]:
        """All messages that were not heard yet."""
        marks = await self.begin()
        found: list[bytes] = []
        for sender, n, bodies in await self._ask(_SINCE, self._sender, list(marks), list(marks.values())):
            marks[sender] = n
            found += bodies
        return found

    async def waiting(self) -> list[str]:
        """Queues in which jobs wait."""
        return [row[0] for row in await self._ask(_WAITING)]

    async def _messages(self, who: str, number: Any, inline: Any) -> list[bytes]:
        marks = self._marks
        if not isinstance(number, int) or marks is None:
            return []
        last = marks.get(who, 0)
        if number <= last:
            return []
        marks[who] = number
        if inline is not None and number == last + 1:
            return [base64.b64decode(body) for body in inline]
        # Too long for a notification, or some were missed.
        return [body for _, bodies in await self._ask(_OF_ONE, who, last, number) for body in bodies]

    async def _ask(self, sql: str, *values: Any) -> list[Any]:
        async with self._readers.session() as session:
            rows: list[Any] = await session.only(sql, *values)
            return rows


async def changes(gate: Gate, readers: Readers, sender: str) -> AsyncIterator[Change]:
    """What others announce; without a connection of our own, what can be seen."""
    ears = Ears(readers, sender)
    while True:
        connection = await _listener(gate)
        if connection is None:
            async for change in _poll(ears, None if _deaf(gate) else PATIENCE):
                yield change
            continue
        try:
            async for change in _listen(connection, ears):
                yield change
        finally:
            connection.terminate()
        await asyncio.sleep(_AGAIN)


async def _listen(connection: Any, ears: Ears) -> AsyncIterator[Change]:
    """What comes in until the connection ends."""
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    connection.add_termination_listener(lambda _c: heard.put_nowait(None))
    try:
        await connection.add_listener(CHANNEL, lambda _c, _p, _h, text: heard.put_nowait(text))
        # What was announced before we listened.
        yield Change(await ears.waiting(), await ears.look())
    except Exception:
        return
    while True:
        try:
            async with asyncio.timeout(_ALIVE):
                text = await heard.get()
        except TimeoutError:
            text = ""
        if text is None:
            return
        try:
            if not text:
                await connection.execute("SELECT 1", timeout=_ALIVE)
                continue
            change = await ears.hear(text)
        except Exception:
            # The database is away, and what was said is lost or will be seen when we are back.
            return
        if change is not None and (change.queues or change.news):
            yield change


async def _poll(ears: Ears, seconds: float | None) -> AsyncIterator[Change]:
    """What can be seen without listening, for so long."""
    loop = asyncio.get_running_loop()
    began = due = loop.time()
    while seconds is None or loop.time() - began < seconds:
        queues: Sequence[str] = ()
        news: Sequence[bytes] = ()
        try:
            news = await ears.look()
            if loop.time() >= due:
                due = loop.time() + POLL
                queues = await ears.waiting()
        except Exception:
            queues = ()
        if queues or news:
            yield Change(queues, news)
        await asyncio.sleep(NEWS)


def _deaf(gate: Gate) -> bool:
    """Whether there is nothing to listen to."""
    listen = gate.place.listen
    return listen == "no" or (gate.pooled and listen is None)


async def _listener(gate: Gate) -> Any:
    """A connection to the server itself; None where there is none."""
    if _deaf(gate):
        return None
    listen, dsn = gate.place.listen, gate.place.dsn
    if listen is not None:
        dsn = _HOST.sub(lambda match: match[1] + listen, dsn, count=1)
    try:
        return await gate.connect(dsn, bare=True)
    except Exception:
        return None
