"""What this server accepts, told to whoever stores jobs without it: the SQL function ``rota.enqueue``."""

from __future__ import annotations

import msgspec

from rota.engines.base import Engine
from rota.model.job import Note
from rota.model.spec import Limits

KIND, KEY = "limits", "enqueue"


async def publish(engine: Engine, limits: Limits) -> None:
    """Leave a note in the store where these differ from what is usual. Of several servers the last one to
    start says it.
    """
    usual = Limits()
    said = None
    if (limits.payload_bytes, limits.max_attempts, limits.retention) != (
        usual.payload_bytes,
        usual.max_attempts,
        usual.retention,
    ):
        said = msgspec.json.encode(
            {
                "payload_bytes": limits.payload_bytes,
                "max_attempts": limits.max_attempts,
                "retention": limits.retention,
            }
        )
    there = next((note.body for note in await engine.notes(KIND) if note.key == KEY), None)
    if there != said:
        await engine.save([Note(KIND, KEY, said)])
