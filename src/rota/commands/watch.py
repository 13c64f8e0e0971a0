"""``rota jobs watch``, ``logs`` and ``result``: what a job does and gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import Span, as_json, connect, json_option, one_id, raw, server_options

if TYPE_CHECKING:
    from rota.sdk.answers import Blob


@click.command()
@one_id
@click.option("--timeout", type=Span(), metavar="TIME", help="Watch no longer than this, such as 90s or 5m.")
@json_option
@server_options
def watch(id: str, timeout: float | None) -> None:
    """Follow a job until it ends: states, progress, log lines.

    The status is 0 when it is done, 1 when it failed or was cancelled, 3 when --timeout passed.
    """
    from rota.commands import follow
    from rota.sdk import calls

    with connect() as client:
        told = None if as_json() else follow.Lines()
        job = follow.until_ended(client, id, timeout, told)
        if as_json():
            output.document(client.send(raw(calls.job(id))))
        click.get_current_context().exit(follow.status_of(job))


@click.command()
@one_id
@click.option("--follow", "-f", "keep_on", is_flag=True, help="Go on until the job ends.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Only lines after number N.")
@json_option
@server_options
def logs(id: str, keep_on: bool, after: int) -> None:
    """Print what the job's handler logged."""
    import msgspec

    from rota.commands import follow
    from rota.sdk import calls

    if keep_on and as_json():
        raise click.UsageError("--json prints one document; it does not go with --follow.")
    with connect() as client:
        if as_json():
            lines: list[msgspec.Raw] = []
            while True:
                page = msgspec.json.decode(
                    client.send(raw(calls.logs(id, after))), type=dict[str, msgspec.Raw]
                )
                part = msgspec.json.decode(page["lines"], type=list[msgspec.Raw])
                if not part:
                    break
                lines += part
                after = msgspec.json.decode(page["next"], type=int)
            output.document(msgspec.json.encode({"lines": lines, "next": after}))
            return
        after = follow.print_lines(client, id, after)
        if keep_on:
            follow.until_ended(client, id, None, follow.Lines(after, only_lines=True))


@click.command()
@one_id
@click.option("--wait", type=Span(), default=0.0, metavar="TIME", help="Wait so long for the job to end.")
@click.option("--output", "-o", "file", type=click.Path(path_type=Path), help="Write it to this file.")
@server_options
def result(id: str, wait: float, file: Path | None) -> None:
    """Print the result of a job that is done, just as its handler gave it.

    The status is 0 when there is one, 1 when the job failed or was cancelled, 3 when it has not ended.
    """
    from rota.commands import follow
    from rota.sdk import calls

    context = click.get_current_context()
    with connect() as client:
        job = client.job(id)
        if not job.ended and wait:
            job = follow.until_ended(client, id, wait, None)
        if job.state != "done":
            follow.explain(job)
            context.exit(follow.status_of(job))
        print_result(client.send(calls.result(id)), file)


def print_result(blob: Blob, file: Path | None = None) -> None:
    """A result as it is: into a file, or on standard output (but no bytes to a terminal)."""
    kind = blob.content_type.partition(";")[0].strip()
    if file is not None:
        try:
            file.write_bytes(blob.data)
        except OSError as error:
            raise click.ClickException(f"{str(file)!r} cannot be written: {error.strerror}.") from None
    elif kind == "application/json":
        output.document(blob.data)
    elif not output.terminal():
        output.write(blob.data)
    elif kind.startswith("text/"):
        output.say(output.inert(blob.data.decode("utf-8", "replace"), lines=True))
    else:
        raise click.ClickException(
            f"The result is {len(blob.data)} bytes of {output.inert(kind)}, nothing for a terminal: "
            "use 'rota jobs result ID --output FILE', or a pipe."
        )
