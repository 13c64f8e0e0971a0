"""A network that swallows what is sent says nothing, and neither does a connection over it.

Whoever waits for an answer for a while is looked after: a new connection is made, and asked what the server
does for the old one. Nothing, or nobody there to ask: the old one is given up, and its statement fails as it
does when a connection breaks. What takes its time is left alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from rota.engines.postgres.link import Gate, Wire

log = logging.getLogger("rota.store")

SILENCE = 1.0
"""Seconds without an answer after which somebody looks."""
PROBE = 2.0
"""Seconds for the new connection to be made and to answer."""
SHARED = 10.0
"""Seconds of silence behind a pooler, where nobody can say what the server does for whom."""
_PAUSE = 0.25
_BUSY = """
SELECT pid FROM pg_stat_activity
WHERE pid = ANY ($1::integer[]) AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'
"""


class Guard:
    """Looks after all connections on which an engine waits for answers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def run(self) -> None:
        """Until cancelled."""
        suspects: dict[Wire, float] = {}
        while True:
            await asyncio.sleep(_PAUSE)
            now = time.monotonic()
            silent = {
                wire: wire.since
                for wire in self._gate.wires
                if wire.since is not None and now - wire.since > SILENCE
            }
            if silent:
                idle = await self._idle(list(silent))
                # An answer may be on its way while the question is asked, so ask twice; when nobody answers
                # there is nothing more to ask.
                for wire in silent if idle is None else idle:
                    if wire.since == silent[wire] and (idle is None or wire.since == suspects.get(wire)):
                        log.warning(
                            "a connection to the database is silent",
                            extra={"seconds": round(now - silent[wire], 1)},
                        )
                        wire.cut()
                suspects = {wire: silent[wire] for wire in idle or ()}

    async def _idle(self, wires: Sequence[Wire]) -> list[Wire] | None:
        """Those for which the server does nothing; None when nobody answers."""
        try:
            async with asyncio.timeout(PROBE):
                connection = await self._gate.connect()
                try:
                    rows = await connection.fetch(_BUSY, [wire.pid for wire in wires])
                finally:
                    connection.terminate()
        except (OSError, TimeoutError):
            return None
        except Exception:
            return []
        if self._gate.pooled:
            now = time.monotonic()
            return [wire for wire in wires if wire.since is not None and now - wire.since > SHARED]
        busy = {row[0] for row in rows}
        return [wire for wire in wires if wire.pid not in busy]
