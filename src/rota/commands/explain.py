"""``rota jobs explain``: why a job is not running, and when it will."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import as_json, connect, json_option, one_id, raw, server_options
from rota.commands.output import Cell

if TYPE_CHECKING:
    from rota.sdk.answers import Explanation


@click.command()
@one_id
@json_option
@server_options
def explain(id: str) -> None:
    """Say why a job is not running, and when it will.

    Causes come by importance: first what keeps it from ever running, then what somebody has to mend, then
    what passes by itself.
    """
    from rota.sdk import calls

    with connect() as client:
        if as_json():
            output.document(client.send(raw(calls.explain(id))))
        else:
            output.pairs(_lines(client.send(calls.explain(id))))


def _lines(told: Explanation) -> Iterator[tuple[str, Cell]]:
    yield "id", told.id
    yield "state", output.state(told.state)
    yield "starts", _starts(told)
    for n, cause in enumerate(told.causes):
        yield "because" if n == 0 else "and", f"{cause.sentence} [{cause.cause}]"


def _starts(told: Explanation) -> str:
    if told.certainty == "never":
        return "never"
    if told.at is None:
        return {"pending": "nobody can say yet", "running": "has started"}.get(told.state, "-")
    soon = output.moment(told.at)
    match told.certainty:
        case "known":
            return soon
        case "not_before":
            return f"not before {soon}"
        case _:
            return f"about {soon}, by an estimate"
