"""``rota jobs cancel|retry|delete`` for all jobs of a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rota.commands import output
from rota.commands.common import Misused, Moment, as_json, confirm, connect

if TYPE_CHECKING:
    from rota.sdk.bulk import Act
    from rota.sdk.client import Client

F = TypeVar("F", bound=Callable[..., Any])

STATES = ("scheduled", "pending", "running", "done", "failed", "cancelled")
STEP = 2000
"""Jobs per request where somebody watches."""
_DONE = {"cancel": "cancelled or asked to stop", "retry": "pending again", "delete": "deleted"}
_ASK = {
    "cancel": "Cancel {jobs}?",
    "retry": "Run {jobs} again?",
    "delete": "Delete {jobs} with their results and logs?",
}


def filter_options(command: F) -> F:
    """The options that say which jobs are meant; see :func:`which`."""
    options = (
        click.option(
            "--state",
            metavar="STATE",
            multiple=True,
            help=f"Only these: {', '.join(STATES)} (also with commas between).",
        ),
        click.option("--id", metavar="ID", help="Only those whose id begins so."),
        click.option("--queue", metavar="NAME", multiple=True, help="Only this queue, or one of these."),
        click.option("--type", metavar="TYPE", multiple=True, help="Only this type, or one of these."),
        click.option("--tag", metavar="TAG", multiple=True, help="Only with this tag, or with all of these."),
        click.option("--worker", metavar="ID", help="Only those that this worker runs or ran last."),
        click.option(
            "--since",
            type=Moment(),
            metavar="TIME",
            help="Made since then: RFC 3339, or 2h for so long ago.",
        ),
        click.option("--until", type=Moment(), metavar="TIME", help="Made before then."),
        click.option(
            "--fingerprint", metavar="PRINT", help="Only failed jobs of this group ('rota failures')."
        ),
        click.option(
            "--payload",
            metavar="PATH:VALUE",
            multiple=True,
            help="Only with this member in the payload, as user.id:42, or with all of these.",
        ),
        click.option(
            "--error", metavar="TEXT", help="Only with this text in type or message of the last error."
        ),
        click.option(
            "-q",
            "--query",
            metavar="TEXT",
            help="Only with this text in type, tags or the beginning of the id.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def bulk_options(command: F) -> F:
    """Ids or a filter, and what goes with acting on many."""
    options = (
        filter_options,
        click.option("--all", "everything", is_flag=True, help="All jobs, without a filter."),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many jobs."),
        click.option("--dry-run", is_flag=True, help="Only say how many jobs match."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def which(state: tuple[str, ...], query: str | None, **filters: Any) -> dict[str, Any]:
    """The filter as the API has it, from the options of :func:`filter_options`."""
    given = filters | {"state": ",".join(state), "q": query}
    return {name: value for name, value in given.items() if value}


def by_filter(
    act: Act, filters: Mapping[str, Any], *, everything: bool, limit: int | None, dry_run: bool, yes: bool
) -> bool:
    """Act on all jobs of a filter; False when there is no filter (and not all are meant)."""
    if filters and everything:
        raise Misused("Give a filter or --all, not both.")
    if not filters and not everything:
        return False
    with connect() as client:
        watched = output.watched() and not as_json()
        # How many there are is asked only where somebody wants to know.
        jobs = _send(client, act, filters, everything, limit, dry_run=True) if dry_run or watched else None
        if dry_run:
            assert jobs is not None
            _tell(jobs, f"{_jobs(jobs.matched)} would be met")
            return True
        if jobs is not None and jobs.matched:
            confirm(_ASK[act].format(jobs=_jobs(jobs.matched)), yes)
        done = _send(client, act, filters, everything, limit, total=jobs.matched if jobs else None)
    skipped = f", {done.skipped:,} skipped" if done.skipped else ""
    _tell(done, f"{_jobs(done.changed)} {'is' if done.changed == 1 else 'are'} {_DONE[act]}{skipped}")
    return True


def _send(
    client: Client,
    act: Act,
    filters: Mapping[str, Any],
    everything: bool,
    limit: int | None,
    *,
    dry_run: bool = False,
    total: int | None = None,
) -> Any:
    from rota.sdk.bulk import BulkWork

    step = STEP if total is not None and total > STEP else None
    work = BulkWork(act, dict(filters), everything, dry_run, limit, step)  # type: ignore[arg-type]
    with output.progress(total if step else None, "jobs") as advance:
        while work.goes_on:
            work.add(client.send(work.call()))
            advance(work.total.matched)
    return work.total


def _tell(done: Any, text: str) -> None:
    import msgspec

    if as_json():
        output.document(msgspec.json.encode(done))
    else:
        output.say(text)


def _jobs(number: int) -> str:
    return f"{number:,} {'job' if number == 1 else 'jobs'}"
