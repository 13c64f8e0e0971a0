"""Views that people saved of a page, such as a search for jobs: seen by all, kept in the store as notes."""

from __future__ import annotations

import re

import msgspec

from rota.engines.base import Engine
from rota.model.errors import BadInput, Conflict, NotFound
from rota.model.job import Note

KIND = "views"
MOST = 200
NAME_LENGTH, QUERY_LENGTH, COLUMNS = 100, 4000, 50
NAME = r"^[^\u0000-\u0020\u007f/.]([^\u0000-\u001f\u007f/]*[^\u0000-\u0020\u007f/])?$"
"""It stands in a path, where browsers take dots for something else."""
PLAIN = r"^[^\u0000-\u001f\u007f]*$"


class View(msgspec.Struct, frozen=True):
    """What a page shows: ``query`` as its address has it, ``columns`` by name, None for the usual ones."""

    page: str
    query: str
    columns: tuple[str, ...] | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(View).decode


async def views(engine: Engine) -> dict[str, View]:
    """All of them by name, in the order of the alphabet whatever the case."""
    found = {}
    for note in await engine.notes(KIND):
        try:
            found[note.key] = _decode(note.body or b"")
        except msgspec.DecodeError:
            # Of another version.
            continue
    return dict(sorted(found.items(), key=lambda one: (one[0].casefold(), one[0])))


async def keep(engine: Engine, name: str, view: View) -> bool:
    """Save one, also in place of another of its name; whether it is new. Raises BadInput, and Conflict when
    there are as many as there may be.
    """
    _check(name, view)
    there = {note.key for note in await engine.notes(KIND)}
    if name not in there and len(there) >= MOST:
        raise Conflict(f"There are {MOST} views; delete one first.", code="too_many_views")
    await engine.save([Note(KIND, name, _encode(view))])
    return name not in there


async def drop(engine: Engine, name: str) -> None:
    """Delete one. Raises NotFound."""
    if all(note.key != name for note in await engine.notes(KIND)):
        raise NotFound(f"There is no view {name[:NAME_LENGTH]!r}.", code="view_not_found", field="name")
    await engine.save([Note(KIND, name, None)])


def _check(name: str, view: View) -> None:
    if len(name) > NAME_LENGTH or re.fullmatch(NAME, name) is None:
        raise BadInput(
            f"The name of a view has 1 to {NAME_LENGTH} characters, no control characters and no slash, no "
            "dot at its beginning and no blanks around it.",
            code="invalid_view",
            field="name",
        )
    _text("page", view.page, 1, NAME_LENGTH)
    _text("query", view.query, 0, QUERY_LENGTH)
    columns = view.columns or ()
    if len(columns) > COLUMNS:
        raise BadInput(f"columns may name {COLUMNS} columns.", code="invalid_view", field="columns")
    for n, column in enumerate(columns):
        _text(f"columns[{n}]", column, 1, NAME_LENGTH)


def _text(field: str, text: str, least: int, most: int) -> None:
    if not least <= len(text) <= most or re.fullmatch(PLAIN, text) is None:
        raise BadInput(
            f"{field} must have {least} to {most} characters, and no control characters.",
            code="invalid_view",
            field=field,
        )
