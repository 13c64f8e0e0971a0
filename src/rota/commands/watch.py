"""``rota jobs watch``, ``logs`` and ``result``: what jobs do and give."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rota.commands import output
from rota.commands.common import (
    DONE,
    Span,
    as_json,
    connect,
    connect_async,
    json_option,
    one_id,
    raw,
    server_options,
    whole,
)

if TYPE_CHECKING:
    from rota.sdk.answers import Blob


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, callback=whole)
@click.option("--queue", "queues", metavar="NAME", multiple=True, help="All jobs of this queue (also again).")
@click.option("--type", metavar="TYPE", help="All jobs of this type.")
@click.option("--timeout", type=Span(), metavar="TIME", help="Watch no longer than this, such as 90s or 5m.")
@json_option
@server_options
def watch(ids: tuple[str, ...], queues: tuple[str, ...], type: str | None, timeout: float | None) -> None:
    """Follow jobs as things happen: states, progress, log lines.

    With ids it ends with the last of them: status 0 when all are done, 1 when one failed or was cancelled,
    3 when --timeout passed. Without ids it shows all that happens, or that happens in some queues, until
    Ctrl-C.

    --json prints a document a line: events, and {"event": "job", "job": ...} for each job as it was found
    at first and as it ended.
    """
    from rota.commands import follow, watching

    if ids and (queues or type):
        raise click.UsageError("Give ids, or --queue and --type, not both.")
    teller: watching.Teller = watching.Json() if as_json() else watching.Lines(several=len(ids) != 1)

    async def run() -> int:
        async with connect_async() as client:
            if ids:
                jobs = await watching.until_ended(client, list(dict.fromkeys(ids)), teller, timeout)
                return max(follow.status_of(job) for job in jobs)
            topics = [f"queue:{queue}" for queue in queues] or ["*"]
            await watching.everything(client, topics, type, teller, timeout)
            return DONE

    click.get_current_context().exit(asyncio.run(run()))


@click.command()
@one_id
@click.option("--follow", "-f", "keep_on", is_flag=True, help="Go on until the job ends.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Only lines after number N.")
@json_option
@server_options
def logs(id: str, keep_on: bool, after: int) -> None:
    """Print what the job's handler logged."""
    import msgspec

    from rota.commands import watching
    from rota.sdk import calls

    if keep_on and as_json():
        raise click.UsageError("--json prints one document; it does not go with --follow.")
    if keep_on:
        asyncio.run(_follow_log(id, after))
        return
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
        while (found := client.logs(id, after)).lines:
            for line in found.lines:
                watching.say(line.level, line.text, line.at)
            after = found.next


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
            job = follow.until_ended(client, id, wait)
        if job.state != "done":
            follow.explain(job)
            context.exit(follow.status_of(job))
        print_result(client.send(calls.result(id)), file)


async def _follow_log(id: str, after: int) -> None:
    from rota.commands import watching

    async with connect_async() as client:
        await watching.until_ended(client, [id], watching.Lines(only_log=True), after=after)


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
