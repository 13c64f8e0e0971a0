"""``rota migrate``: the schema of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import FAILED, as_json, json_option
from rota.commands.output import Cell, Column, Styled

if TYPE_CHECKING:
    from rota.engines.steps import Migration, Schema, Step


@click.command()
@click.option("--status", is_flag=True, help="Change nothing; list the steps, and which were run.")
@click.option("--config", metavar="FILE", help="The server's settings. [as for 'rota serve']")
@click.option("--store", metavar="URL", help="Which store. [the store of the settings]")
@json_option
def migrate(status: bool, config: str | None, store: str | None) -> None:
    """Bring the schema of the store up to date, or make it: all steps that are left, or none of them.

    Servers do this when they start, unless they are told not to (--no-migrate). On PostgreSQL servers may be
    at work meanwhile, also those of the release before; a file must not be open in a server.

    With --status nothing is changed, and the exit status is 1 when steps are left to run or something is
    wrong.
    """
    from rota.commands.store import store_of
    from rota.engines.open import bring, schema

    url = store_of(config, store)
    there = schema(url) if status else bring(url, _say)
    if as_json():
        _document(there)
    else:
        columns = [Column("STEP", whole=True), Column("RUN", whole=True), Column("CHECKSUM", whole=True)]
        output.table(columns, [*_rows(there)])
        output.say()
        output.pairs([("schema", _verdict(there))])
    raise click.exceptions.Exit(0 if there.current else FAILED)


def _say(step: Migration, number: int, of: int) -> None:
    output.note(f"running {step.name} ({number} of {of})")


def _rows(there: Schema) -> Iterator[tuple[Cell, ...]]:
    from rota.model.clock import to_text

    for step in there.steps:
        when: Cell = to_text(step.at) if step.at is not None else "before this was written down"
        yield step.name, when if step.done else Styled("not yet", "yellow"), _checksum(step)


def _checksum(step: Step) -> Cell:
    if not step.known:
        return "of a newer Rota"
    if step.sound is None:
        return "-"
    return "ok" if step.sound else Styled("differs", "red")


def _verdict(there: Schema) -> Cell:
    if there.fault is not None:
        return Styled(there.fault, "red")
    if there.pending:
        return f"{there.pending} to run: rota migrate"
    return "up to date"


def _document(there: Schema) -> None:
    import msgspec

    from rota.model.clock import to_text

    steps = [
        {
            "number": step.number,
            "name": step.name,
            "known": step.known,
            "done": step.done,
            "checksum_ok": step.sound,
            "at": None if step.at is None else to_text(step.at),
        }
        for step in there.steps
    ]
    shape = {
        "store": there.store,
        "current": there.current,
        "pending": there.pending,
        "fault": there.fault,
        "steps": steps,
    }
    output.document(msgspec.json.encode(shape))
