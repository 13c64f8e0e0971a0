"""Which types of jobs there are, and what is known of each.

What workers tell of their types is kept in the store, in notes of the kind ``types``: so every server on it
knows, also while no such worker is there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from rota.core.about import BuiltIn
from rota.core.explain import Serving
from rota.engines.base import Engine
from rota.model.errors import StoreError
from rota.model.job import Note
from rota.model.protocol import About

log = logging.getLogger("rota.core")

KIND = "types"
MOST = 1000
"""Types of which something is kept."""
ANYTHING = ("json", "zip", "bytes")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(About).decode


class TypeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A type of jobs. ``queues``: where somebody runs it, or where jobs of it are; ``workers``: how many do.
    ``schema`` and ``example``: of its payload, None where nobody told.
    """

    type: str
    queues: Sequence[str]
    workers: int
    built_in: bool
    description: str | None
    schema: Any
    example: Any
    accepts: Sequence[str]


class Catalog:
    """What workers tell of their types."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[str, bytes] | None = None

    async def keep(self, about: Mapping[str, About]) -> None:
        """Keep what is new of this. It is for people: a store that fails now is no reason to refuse a
        worker.
        """
        with suppress(StoreError):
            if self._kept is None:
                self._kept = {note.key: note.body or b"" for note in await self._engine.notes(KIND)}
            said = {type: _encode(one) for type, one in about.items()}
            changed = {type: body for type, body in said.items() if self._kept.get(type) != body}
            room = MOST - len(self._kept)
            new = [type for type in changed if type not in self._kept]
            if len(new) > room:
                log.warning("too many types to keep what is told of them", extra={"most": MOST})
                for type in new[max(0, room) :]:
                    del changed[type]
            if changed:
                self._kept |= changed
                await self._engine.save([Note(KIND, type, body) for type, body in changed.items()])

    async def all(self, roster: Sequence[Serving], built_in: Mapping[str, BuiltIn]) -> list[TypeInfo]:
        """Every type that a worker of the roster names, that jobs have or that is built in, by name."""
        told = {note.key: note.body for note in await self._engine.notes(KIND)}
        jobs: dict[str, set[str]] = {}
        for row in await self._engine.count():
            if row.jobs > 0:
                jobs.setdefault(row.type, set()).add(row.queue)
        served: dict[str, set[str]] = {}
        # Who stands in for workers of an older interface is there for its clients only.
        ours = [worker for worker in roster if not worker.stand_in]
        for worker in ours:
            for type in worker.types or ():
                served.setdefault(type, set()).update(worker.queues)
        everything = [worker for worker in ours if worker.types is None]
        naming = Counter(type for worker in ours for type in set(worker.types or ()))
        nowhere: set[str] = set()
        return [
            _info(
                type,
                sorted(served.get(type, nowhere) or jobs.get(type, nowhere)),
                naming[type] + sum(one.knows(type) for one in everything),
                built_in.get(type),
                told.get(type),
            )
            for type in sorted({*jobs, *served, *built_in})
        ]


def _info(
    type: str, queues: list[str], workers: int, built_in: BuiltIn | None, body: bytes | None
) -> TypeInfo:
    if built_in is not None:
        return TypeInfo(
            type=type,
            queues=queues,
            workers=workers,
            built_in=True,
            description=built_in.description,
            schema=built_in.schema,
            example=built_in.example,
            accepts=built_in.accepts,
        )
    about = None
    with suppress(msgspec.DecodeError):
        about = _decode(body) if body else None
    schema = about.schema if about is not None else msgspec.UNSET
    return TypeInfo(
        type=type,
        queues=queues,
        workers=workers,
        built_in=False,
        description=None if about is None else about.description,
        schema=schema if isinstance(schema, msgspec.Raw) else None,
        example=None,
        accepts=ANYTHING if about is None else about.accepts,
    )
