"""``rota failures``: failed jobs by what they failed of."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rota.commands import output
from rota.commands.common import as_json, connect, json_option, raw, server_options
from rota.commands.output import Column

_BARS = "▁▂▃▄▅▆▇█"


@click.command()
@click.option("--queue", metavar="NAME", help="Only in this queue.")
@click.option("--type", metavar="TYPE", help="Only of this type.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most.")
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")
@json_option
@server_options
def failures(queue: str | None, type: str | None, limit: int, cursor: str | None) -> None:
    """List failed jobs by what they failed of, last seen first.

    Jobs of one type are together when their errors have one class and come from one place. The list goes on
    with 'rota jobs list --fingerprint PRINT'.
    """
    from rota.sdk import calls

    with connect() as client:
        call = calls.failures(queue, type, limit, cursor)
        if as_json():
            output.document(client.send(raw(call)))
            return
        page = client.send(call)
    if not page.failures:
        output.note("No job is failed.")
        return
    columns = [
        Column("FINGERPRINT", whole=True),
        Column("TYPE"),
        Column("JOBS", right=True, whole=True),
        Column("LAST", right=True, whole=True),
        Column("FIRST", right=True, whole=True),
        Column("24 HOURS", whole=True),
        Column("ERROR"),
        Column("WHERE"),
        Column("MESSAGE"),
    ]
    output.table(
        columns,
        [
            (
                one.fingerprint,
                one.type,
                str(one.jobs),
                output.age(one.last_seen),
                output.age(one.first_seen),
                _spark(one.hours),
                one.error,
                one.frame or "",
                one.message.partition("\n")[0],
            )
            for one in page.failures
        ],
    )
    if page.cursor is not None:
        output.note(f"There are more: --limit, or --cursor {output.inert(page.cursor)}")


def _spark(hours: Sequence[int]) -> str:
    """A bar for every two hours, as high as there were failures; a plain sum where bars cannot be shown."""
    if not output.terminal():
        return ",".join(str(one) for one in hours)
    pairs = [sum(hours[at : at + 2]) for at in range(0, len(hours), 2)]
    most = max(pairs, default=0)
    return "".join(" " if not one else _BARS[(one * len(_BARS) - 1) // most] for one in pairs)
