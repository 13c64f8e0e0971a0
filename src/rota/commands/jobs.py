"""``rota jobs``: look at jobs and act on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rota.commands import output
from rota.commands.common import (
    DONE,
    FAILED,
    Moment,
    as_json,
    confirm,
    connect,
    json_option,
    many_ids,
    one_id,
    raw,
    server_options,
    yes_option,
)
from rota.commands.explain import explain
from rota.commands.output import Column
from rota.commands.watch import logs, result, watch

if TYPE_CHECKING:
    from rota.sdk.answers import JobInfo
    from rota.sdk.calls import Call

STATES = ("scheduled", "pending", "running", "done", "failed", "cancelled")
PAGE = 500


@click.group()
@server_options
def jobs() -> None:
    """List, show, watch, explain, cancel and retry jobs."""


@jobs.command("list")
@click.option(
    "--state",
    metavar="STATE",
    multiple=True,
    help=f"Only these: {', '.join(STATES)} (also with commas between).",
)
@click.option("--queue", metavar="NAME", help="Only this queue.")
@click.option("--type", metavar="TYPE", help="Only this type.")
@click.option("--tag", metavar="TAG", help="Only with this tag.")
@click.option(
    "--since", type=Moment(), metavar="TIME", help="Made since then: RFC 3339, or 2h for so long ago."
)
@click.option("--until", type=Moment(), metavar="TIME", help="Made before then.")
@click.option("--fingerprint", metavar="PRINT", help="Only failed jobs of this group ('rota failures').")
@click.option("-q", "--query", metavar="TEXT", help="Only with this text in id, type or tags.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")
@json_option
@server_options
def list_(
    state: tuple[str, ...],
    query: str | None,
    limit: int,
    everything: bool,
    cursor: str | None,
    **filters: Any,
) -> None:
    """List jobs, newest first."""
    import msgspec

    from rota.sdk import calls
    from rota.sdk.answers import JobInfo

    filters |= {"state": ",".join(state), "q": query}
    asked = {name: value for name, value in filters.items() if value}
    kind: Any = msgspec.Raw if as_json() else JobInfo
    found: list[Any] = []
    with connect() as client:
        while everything or limit > len(found):
            most = PAGE if everything else min(limit - len(found), PAGE)
            call = calls.jobs(**asked, **({"cursor": cursor} if cursor else {}), limit=most)
            page = msgspec.json.decode(client.send(raw(call)), type=dict[str, msgspec.Raw])
            found += msgspec.json.decode(page["jobs"], type=list[kind])
            cursor = msgspec.json.decode(page["cursor"], type=str | None)
            if cursor is None:
                break
    if as_json():
        output.document(msgspec.json.encode({"jobs": found, "cursor": cursor}))
        return
    if not found:
        output.note("There are no such jobs." if asked else "There are no jobs.")
        return
    columns = [
        Column("ID", whole=True),
        Column("TYPE"),
        Column("QUEUE"),
        Column("STATE", whole=True),
        Column("TRY", right=True, whole=True),
        Column("AGE", right=True, whole=True),
        Column("NOTE"),
    ]
    output.table(
        columns,
        [
            (
                job.id,
                job.type,
                job.queue,
                output.state(job.state),
                _tries(job),
                output.age(job.created_at),
                _note(job),
            )
            for job in found
        ],
    )
    if cursor is not None:
        output.note(f"There are more: --limit, --all, or --cursor {output.inert(cursor)}")


@jobs.command()
@one_id
@json_option
@server_options
def show(id: str) -> None:
    """Show one job with its attempts."""
    from rota.commands.details import show_job
    from rota.sdk import calls

    with connect() as client:
        if as_json():
            output.document(client.send(raw(calls.job(id))))
        else:
            show_job(client.send(calls.job(id)))


@jobs.command()
@many_ids
@json_option
@server_options
def cancel(ids: tuple[str, ...]) -> None:
    """Cancel jobs that wait; ask running ones to stop."""
    from rota.sdk import calls

    _each(ids, calls.cancel, lambda job: "was asked to stop" if job.state == "running" else "is cancelled")


@jobs.command()
@many_ids
@json_option
@server_options
def retry(ids: tuple[str, ...]) -> None:
    """Run ended jobs again."""
    from rota.sdk import calls

    _each(ids, calls.retry, lambda job: f"is {job.state} again")


@jobs.command("run-now")
@many_ids
@json_option
@server_options
def run_now(ids: tuple[str, ...]) -> None:
    """Run scheduled jobs at once."""
    from rota.sdk import calls

    _each(ids, calls.run_now, lambda job: f"is {job.state}")


@jobs.command()
@many_ids
@yes_option
@json_option
@server_options
def delete(ids: tuple[str, ...], yes: bool) -> None:
    """Remove jobs that are not running, with their results and logs."""
    from rota.sdk import calls

    if len(ids) > 1:
        confirm(f"Delete {len(ids)} jobs with their results and logs?", yes)
    _each(ids, calls.delete, lambda job: "is deleted")


for _command in (watch, explain, logs, result):
    jobs.add_command(_command)


def _each(ids: tuple[str, ...], call_for: Callable[[str], Call[Any]], told: Callable[[Any], str]) -> None:
    """One call for every id; what fails does not keep the others from being done."""
    import msgspec

    from rota.model.errors import Conflict, NotFound

    shapes: list[msgspec.Raw] = []
    errors: list[dict[str, str]] = []
    with connect() as client:
        for id in dict.fromkeys(ids):
            try:
                call = call_for(id)
                if as_json():
                    shapes.append(msgspec.Raw(client.send(raw(call)) or msgspec.json.encode({"id": id})))
                else:
                    output.say(f"{output.inert(id)} {told(client.send(call))}")
            except (NotFound, Conflict) as error:
                errors.append({"id": id, "code": error.code, "detail": error.detail})
                output.note(f"{output.inert(id)}: {output.inert(error.detail)}")
    if as_json():
        output.document(msgspec.json.encode({"jobs": shapes, "errors": errors}))
    click.get_current_context().exit(FAILED if errors else DONE)


def _tries(job: JobInfo) -> str:
    return f"{job.attempt}/{job.max_attempts}"


def _note(job: JobInfo) -> str:
    """What is worth knowing of a job in its state, in a few words."""
    from datetime import UTC, datetime

    if job.cancel_requested and job.state == "running":
        return "asked to stop"
    if job.progress is not None and job.state == "running":
        from rota.commands.details import progress_text

        return progress_text(job.progress)
    if job.state == "scheduled" and job.run_at is not None:
        return f"in {output.span((job.run_at - datetime.now(UTC)).total_seconds())}"
    if job.state == "pending":
        return job.waiting_because or ""
    return job.reason or ""
