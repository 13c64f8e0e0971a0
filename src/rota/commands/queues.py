"""``rota queues`` and ``rota workers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from rota.commands import output
from rota.commands.common import (
    as_json,
    confirm,
    connect,
    json_option,
    raw,
    server_options,
    yes_option,
)
from rota.commands.output import Cell, Column, Styled

if TYPE_CHECKING:
    from rota.sdk.answers import QueueInfo, WorkerInfo
    from rota.sdk.calls import Call
    from rota.sdk.client import Client

names_argument = click.argument("names", metavar="QUEUE...", nargs=-1, required=True)


@click.group(invoke_without_command=True)
@json_option
@server_options
@click.pass_context
def queues(ctx: click.Context) -> None:
    """List, pause, resume and clear queues. Alone it lists them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_queues)


@queues.command("list")
@json_option
@server_options
def list_queues() -> None:
    """List queues with their depth and age."""
    from rota.sdk import calls

    with connect() as client:
        if as_json():
            output.document(client.send(raw(calls.queues())))
            return
        found = client.queues()
    if not found:
        output.note("There are no queues yet; the first job of a queue makes it.")
        return
    columns = [
        Column("QUEUE", whole=True),
        *(Column(state.upper(), right=True, whole=True) for state in _COUNTED),
        Column("OLDEST", right=True, whole=True),
        Column("WORKERS", right=True, whole=True),
        Column("SLOTS", right=True, whole=True),
        Column("NOTE"),
    ]
    output.table(
        columns,
        [
            (
                one.name,
                *(_count(one, state) for state in _COUNTED),
                "" if one.oldest_age is None else output.span(one.oldest_age),
                str(one.workers),
                str(one.slots),
                _queue_note(one),
            )
            for one in found
        ],
    )


@queues.command()
@names_argument
@json_option
@server_options
def pause(names: tuple[str, ...]) -> None:
    """Hand out no more jobs of these queues; what runs goes on."""
    from rota.sdk import calls

    _each_queue(names, calls.pause, "is paused")


@queues.command()
@names_argument
@json_option
@server_options
def resume(names: tuple[str, ...]) -> None:
    """Hand out the jobs of these queues again."""
    from rota.sdk import calls

    _each_queue(names, calls.resume, "is resumed")


@queues.command()
@click.argument("name", metavar="QUEUE")
@yes_option
@json_option
@server_options
def clear(name: str, yes: bool) -> None:
    """Delete the jobs of a queue that have not started (pending and scheduled)."""
    from rota.sdk import calls

    with connect() as client:
        info = next((one for one in client.queues() if one.name == name), None)
        if info is not None and info.pending + info.scheduled:
            confirm(f"Delete {info.pending} pending and {info.scheduled} scheduled jobs of {name}?", yes)
        if as_json():
            output.document(client.send(raw(calls.clear(name))))
        else:
            gone = client.clear(name)
            output.say(f"{gone} {'job' if gone == 1 else 'jobs'} of {output.inert(name)} deleted")


@click.group(invoke_without_command=True)
@json_option
@server_options
@click.pass_context
def workers(ctx: click.Context) -> None:
    """List and drain workers. Alone it lists them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_workers)


@workers.command("list")
@json_option
@server_options
def list_workers() -> None:
    """List connected workers with what they have in hand."""
    from rota.sdk import calls

    with connect() as client:
        if as_json():
            output.document(client.send(raw(calls.workers())))
            return
        found = client.workers()
    if not found:
        output.note("No worker is connected; 'rota work MODULE:APP' starts one.")
        return
    columns = [
        Column("WORKER", whole=True),
        Column("NAME"),
        Column("VIA", whole=True),
        Column("QUEUES"),
        Column("BUSY", right=True, whole=True),
        Column("SLOTS", right=True, whole=True),
        Column("UP", right=True, whole=True),
        Column("HEARD", right=True, whole=True),
        Column("PROGRAMS", whole=True),
        Column("TYPES"),
    ]
    several = any(one.server is not None for one in found)
    if several:
        columns.insert(3, Column("SERVER", whole=True))
    output.table(
        columns,
        [
            (
                one.worker,
                Styled(f"{one.name} (draining)", "yellow") if one.draining else one.name,
                one.transport,
                *([one.server or "this one"] if several else []),
                ",".join(one.queues),
                str(one.running),
                str(one.slots),
                output.age(one.connected_at),
                output.age(one.last_beat),
                _profile(one),
                "any" if one.types is None else ",".join(one.types),
            )
            for one in found
        ],
    )


@workers.command()
@click.argument("names", metavar="WORKER...", nargs=-1, required=True)
@json_option
@server_options
def drain(names: tuple[str, ...]) -> None:
    """Ask workers to take no more jobs, finish and leave. WORKER is an id, or a name that only one has."""
    with connect() as client:
        known = client.workers()
        ids = [_worker_id(known, name) for name in dict.fromkeys(names)]
        _each(client, "workers", [(id, drain_call(id)) for id in ids], "is draining")


def drain_call(worker: str) -> Call[WorkerInfo]:
    """``POST /v1/workers/{worker}/drain``."""
    from rota.sdk.answers import WorkerInfo
    from rota.sdk.calls import Call

    def read(answer: Any) -> WorkerInfo:
        import msgspec

        return msgspec.json.decode(answer.body, type=WorkerInfo)

    return Call("POST", f"/v1/workers/{quote(worker, safe='')}/drain", read)


_COUNTED = ("scheduled", "pending", "running", "done", "failed", "cancelled")


def _count(info: QueueInfo, state: str) -> Styled:
    count: int = getattr(info, state)
    return Styled(str(count), output.state(state).style if count else "")


def _profile(one: WorkerInfo) -> Cell:
    """What it holds programs of others with."""
    if one.sandbox is None:
        return ""
    return Styled("unsafe", "red") if one.sandbox.profile == "none" else one.sandbox.profile


def _queue_note(info: QueueInfo) -> str:
    notes = ["paused"] if info.paused else []
    if info.types_without_worker:
        notes.append("no worker for " + ", ".join(info.types_without_worker))
    elif info.pending and not info.workers:
        notes.append("no worker")
    return "; ".join(notes)


def _each_queue(names: tuple[str, ...], call_for: Callable[[str], Call[QueueInfo]], told: str) -> None:
    with connect() as client:
        _each(client, "queues", [(name, call_for(name)) for name in dict.fromkeys(names)], told)


def _each(client: Client, member: str, calls: list[tuple[str, Call[Any]]], told: str) -> None:
    import msgspec

    shapes = []
    for name, call in calls:
        shapes.append(msgspec.Raw(client.send(raw(call))))
        if not as_json():
            output.say(f"{output.inert(name)} {told}")
    if as_json():
        output.document(msgspec.json.encode({member: shapes}))


def _worker_id(known: list[WorkerInfo], name: str) -> str:
    if any(one.worker == name for one in known):
        return name
    named = [one.worker for one in known if one.name == name]
    if len(named) > 1:
        raise click.ClickException(
            f"{len(named)} workers have the name {name!r}; say which: {', '.join(named)}"
        )
    if not named:
        raise click.ClickException(f"No worker {name!r} is connected; 'rota workers' lists them.")
    return named[0]
