"""A store as rows: how all that is in one is carried into another one while no server works on either.

Servers do not use this. :data:`TABLES` says what is carried, in the order in which it goes, as *neutral rows*
that are the same whichever engine they come from: tuples of int, str, bytes, bool and None, and of str in
tuples or lists. Each engine has a :class:`Source` and a :class:`Target` (its module ``carry``);
:mod:`rota.engines.moving` goes from the one to the other.

Every table of a schema is carried, made anew from what was carried, or left out on purpose; the names are
all here, and a test knows of the tables that are nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from rota.engines.care import Finding

Row = tuple[Any, ...]
Rows = Sequence[Row]
Slot = tuple[str, str, str]
"""Queue, type and state."""

ROWS, BYTES = 4000, 8 * 2**20
"""A batch has no more rows than that, and ends with the row that brings it to so many bytes."""


class Table(NamedTuple):
    """What is carried of one kind. Rows come by ``key``, texts by their bytes.

    ``columns`` begin with the key. ``bulky`` ones decide how many rows make a batch. The last ``hints`` of
    them only make an engine quicker: they are carried, but not compared.
    """

    key: tuple[str, ...]
    columns: tuple[str, ...]
    bulky: tuple[str, ...] = ()
    hints: int = 0


TABLES: Mapping[str, Table] = {
    # With what engines keep apart: payload, result, tags. ``tags`` is a list, ``cancel_requested`` and
    # ``returned`` are bool.
    "jobs": Table(
        ("seq",),
        (
            *("seq", "id", "queue", "type", "state", "priority", "attempt", "max_attempts", "lease"),
            *("losses", "created_at", "run_at", "started_at", "finished_at", "expires_at", "lease_until"),
            *("delete_at", "timeout", "retention", "retry", "unique_key", "unique_states", "unique_held"),
            *("worker", "reason", "progress", "fingerprint", "payload", "content_type", "headers"),
            *("result", "result_type", "tags", "cancel_requested", "returned"),
        ),
        ("payload", "result", "progress", "headers"),
        1,
    ),
    "attempts": Table(
        ("seq", "lease"),
        ("seq", "lease", "attempt", "worker", "started_at", "finished_at", "end", "error"),
        ("error",),
    ),
    "logs": Table(("seq", "n"), ("seq", "n", "at", "level", "text"), ("text",)),
    # ``ids`` is a list.
    "keys": Table(("key",), ("key", "until", "fingerprint", "ids"), ("ids",)),
    "failures": Table(
        ("fingerprint", "queue"),
        (
            *("fingerprint", "queue", "type", "error", "frame", "message", "job", "jobs", "first_seen"),
            "last_seen",
        ),
    ),
    "failure_hours": Table(("fingerprint", "queue", "hour"), ("fingerprint", "queue", "hour", "jobs")),
    "notes": Table(("kind", "key"), ("kind", "key", "body"), ("body",)),
    # Those of jobs only; what was still being written, or was dropped, nobody goes on with.
    "files": Table(("n",), ("n", "id", "job", "kind", "lease", "bytes", "sha256")),
    "parts": Table(("file", "n"), ("file", "n", "data"), ("data",)),
}

MADE_ANEW = frozenset(
    {"bodies", "results", "tags", "counts", "changes", "lanes", "kinds", "ages"},
)
"""Tables that say again what is in the carried ones, each engine in its own way."""
LEFT_OUT = frozenset({"migrations", "news", "events", "feeds", "feeding", "sqlite_sequence"})
"""Of the schema, of servers at work, and what was to be passed on by those."""
LEFT_OUT_NOTES = ("drains", "feeds", "servers")
"""Kinds of notes of the same sort."""
MADE_ANEW_COLUMNS = frozenset({("jobs", "place"), ("files", "dropped")})
"""Columns that are not carried, for they follow from what is."""

FREE_TEXTS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("reason",),
    "logs": ("text",),
    "failures": ("error", "frame", "message"),
}
"""Texts for people. A store that cannot keep U+0000 in them keeps U+FFFD there, as its server would have."""

LONGEST_NAME = 2500
"""Bytes of a text that any index can take."""
LONGEST_BLOB = 500_000_000
"""Bytes of a value that any engine can take in one piece."""


class Unfit(msgspec.Struct, frozen=True):
    """What a narrow target (:attr:`Target.narrow`) cannot keep: ``sentences`` that name the jobs, and the
    tables with free texts that have to be :func:`plain`.
    """

    sentences: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()


class Source(Protocol):
    """A store that is read. While it is open no server can open it, and nothing in it changes."""

    name: str
    """Its URL as people may see it."""
    identity: str
    """By which a target knows that it is the same store."""

    async def findings(self) -> Sequence[Finding]:
        """The faults in it, as a check finds them."""
        ...

    async def unfit(self) -> Unfit:
        """What is in it that PostgreSQL cannot keep."""
        ...

    async def owed(self) -> int:
        """Events that a feed has not passed on yet: they are not carried."""
        ...

    async def sizes(self) -> Mapping[str, int]:
        """How many rows of each table are to be carried."""
        ...

    def rows(self, table: str) -> AsyncIterator[Rows]:
        """All rows of a table in batches, in the order of its key. Raises StoreError."""
        ...


class Target(Protocol):
    """An empty store that is written. Nobody sees anything of it, and no server can open it, before
    :meth:`publish`; closed without that it is as empty as it was, whatever ends the process.
    """

    name: str
    narrow: bool
    """Whether it keeps only what PostgreSQL can."""

    async def write(self, table: str, rows: Rows) -> None:
        """Add rows, in the order of the key. Raises StoreError."""
        ...

    async def complete(self) -> None:
        """All rows are there: make what is made anew."""
        ...

    def rows(self, table: str) -> AsyncIterator[Rows]:
        """What was written, read back like :meth:`Source.rows`."""
        ...

    async def counts(self) -> Mapping[Slot, int]:
        """Its counters, without empty ones."""
        ...

    async def findings(self) -> Sequence[Finding]:
        """The faults in it, as a check finds them."""
        ...

    async def publish(self) -> None:
        """Make it a store, all at once and on stable storage."""
        ...


def plain(table: str, rows: Rows) -> list[Row]:
    """Rows whose free texts hold no U+0000."""
    columns = TABLES[table].columns
    places = [columns.index(name) for name in FREE_TEXTS[table]]
    return [_plain(row, places) for row in rows]


def _plain(row: Row, places: Sequence[int]) -> Row:
    values = list(row)
    for i in places:
        if values[i] is not None:
            values[i] = values[i].replace("\x00", "\ufffd")
    return tuple(values)
