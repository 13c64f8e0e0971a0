"""``rota jobs``: look at jobs and act on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rota.commands import output
from rota.commands.artifact import artifact
from rota.commands.bulk import bulk_options, by_filter, filter_options, which
from rota.commands.common import (
    DONE,
    FAILED,
    Misused,
    as_json,
    confirm,
    connect,
    json_option,
    many_ids,
    one_id,
    raw,
    server_options,
    some_ids,
    yes_option,
)
from rota.commands.explain import explain
from rota.commands.export import export
from rota.commands.output import Column
from rota.commands.watch import logs, result, watch

if TYPE_CHECKING:
    from rota.sdk.answers import JobInfo
    from rota.sdk.bulk import Act
    from rota.sdk.calls import Call

PAGE = 500


@click.group()
@server_options
def jobs() -> None:
    """List, show, watch, explain, cancel and retry jobs."""


@jobs.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")
@json_option
@server_options
def list_(
    limit: int,
    everything: bool,
    cursor: str | None,
    **filters: Any,
) -> None:
    """List jobs, newest first."""
    import msgspec

    from rota.sdk import calls
    from rota.sdk.answers import JobInfo

    asked = which(**filters)
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
@some_ids
@bulk_options
@yes_option
@json_option
@server_options
def cancel(ids: tuple[str, ...], **options: Any) -> None:
    """Cancel jobs that wait; ask running ones to stop. Those named, or all that match a filter."""
    from rota.sdk import calls

    if _many("cancel", ids, **options):
        return
    _each(ids, calls.cancel, lambda job: "was asked to stop" if job.state == "running" else "is cancelled")


@jobs.command()
@some_ids
@bulk_options
@yes_option
@json_option
@server_options
def retry(ids: tuple[str, ...], **options: Any) -> None:
    """Run ended jobs again. Those named, or all that match a filter."""
    from rota.sdk import calls

    if _many("retry", ids, **options):
        return
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
@some_ids
@bulk_options
@yes_option
@json_option
@server_options
def delete(ids: tuple[str, ...], yes: bool, **options: Any) -> None:
    """Remove jobs that are not running, with their results and logs. Those named, or all that match a
    filter.
    """
    from rota.sdk import calls

    if _many("delete", ids, yes=yes, **options):
        return
    if len(ids) > 1:
        confirm(f"Delete {len(ids)} jobs with their results and logs?", yes)
    _each(ids, calls.delete, lambda job: "is deleted")


for _command in (watch, explain, logs, result, artifact, export):
    jobs.add_command(_command)


def _many(
    act: Act,
    ids: tuple[str, ...],
    everything: bool,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    **filters: Any,
) -> bool:
    """Act on all jobs of a filter; False when jobs are named instead."""
    for name, value in filters.items():
        # Of a script whose variable is unset; leaving the option out would mean more jobs.
        if value == "" or "" in (value if isinstance(value, tuple) else ()):
            raise Misused(f"--{name} is empty.")
    given = which(**filters)
    if ids:
        if given or everything or limit is not None or dry_run:
            raise Misused("Give ids or a filter, not both; --all, --limit and --dry-run go with a filter.")
        return False
    if not by_filter(act, given, everything=everything, limit=limit, dry_run=dry_run, yes=yes):
        raise Misused(f"Say which jobs to {act}: ids, a filter such as --queue NAME, or --all.")
    return True


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
