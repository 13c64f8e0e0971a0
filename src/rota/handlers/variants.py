"""The built-in handlers for clients of Job Queue + Worker API, who never had to spell a payload in one way.

What such a client wrote becomes what a built-in handler takes; the handler's own result goes into the job's
log, as these clients know only one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from rota.handlers.files import FilePayload
from rota.handlers.message import EmailPayload
from rota.handlers.webhook import WebhookPayload
from rota.model.protocol import Work
from rota.model.spec import FRONT_TYPE
from rota.sdk.context import Context
from rota.sdk.control import Fail
from rota.sdk.signature import BadPayload
from rota.sdk.tasks import Task


class Kind(NamedTuple):
    """A built-in type, and how else its payload may be written."""

    type: str
    fields: frozenset[str]
    names: Mapping[str, str]
    """Other names of fields."""
    usual: Mapping[str, str]
    """For fields that are left out."""
    needs: str
    """The settings without which it is off."""


def _fields(payload: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(payload))


EMAIL = Kind(
    "send_email",
    _fields(EmailPayload),
    {
        "body": "text",
        "message": "text",
        "content": "text",
        "recipient": "to",
        "recipients": "to",
        "email": "to",
        "sender": "from",
    },
    {"subject": ""},
    "handlers.enabled",
)
WEBHOOK = Kind(
    "webhook", _fields(WebhookPayload), {"data": "body", "payload": "body"}, {}, "handlers.enabled"
)
FILE = Kind(
    "process_file",
    _fields(FilePayload),
    {"file": "path", "filename": "path", "file_path": "path"},
    {"operation": "checksum"},
    "handlers.enabled and handlers.files.folder",
)
KINDS = {
    "send_email": EMAIL,
    "webhook": WEBHOOK,
    "process_file": FILE,
    "file_processing": FILE,
    "file_process": FILE,
}
"""By type. What the old program called its processing of files is not handed down."""


def handler(kind: Kind, task: Task[Any, Any] | None) -> Callable[[Context, Any], Any]:
    """What runs a job of this kind: ``task``, or without one the reason why nothing does."""
    if task is None:

        async def off(ctx: Context, payload: Any) -> str:
            raise Fail(f"{kind.type} is switched off on this server; see the settings {kind.needs}.")

        return off

    def arguments(ctx: Context, payload: Any) -> tuple[Any, ...]:
        found, unused = adapt(kind, payload)
        if unused:
            ctx.log(f"Not used: {', '.join(sorted(unused))}.", "warning")
        raw = msgspec.Raw(msgspec.json.encode(found))
        work = Work(ctx.id, 0, kind.type, ctx.queue, ctx.attempt, ctx.max_attempts, payload=raw)
        return (ctx, *task.signature.decode(work)[0])

    if inspect.iscoroutinefunction(task.function):

        async def on_loop(ctx: Context, payload: Any) -> str:
            tell(ctx, await task.function(*arguments(ctx, payload)))
            return processed(ctx)

        return on_loop

    def in_thread(ctx: Context, payload: Any) -> str:
        tell(ctx, task.function(*arguments(ctx, payload)))
        return processed(ctx)

    return in_thread


def adapt(kind: Kind, payload: Any) -> tuple[dict[str, Any], set[str]]:
    """A payload in the built-in handler's words, and the names of what has no place in it.

    A field that is null is not given; a field under its own name goes before its other names. BadPayload when
    it is no object.
    """
    if isinstance(payload, bytes):
        # JSON that no program has to read alike was kept as bytes.
        try:
            payload = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadPayload(f"{kind.type}: payload cannot be read.") from None
    if not isinstance(payload, dict):
        raise BadPayload(f"{kind.type}: payload must be an object.")
    given = {name: value for name, value in payload.items() if value is not None}
    found = {name: value for name, value in given.items() if name in kind.fields}
    unused = set()
    for name in [name for name in given if name not in found]:
        field = kind.names.get(name)
        if field is None or field in found:
            unused.add(name)
        else:
            found[field] = given[name]
    if kind is EMAIL and "html" not in found:
        found.setdefault("text", "")
    return {**kind.usual, **found}, unused


def tell(ctx: Context, result: Any) -> None:
    """Keep what a built-in handler found out, with a long body apart."""
    facts = msgspec.to_builtins(result)
    body = facts.pop("body", None)
    ctx.log(msgspec.json.encode(facts).decode())
    if body:
        ctx.log(body)


def processed(ctx: Context) -> str:
    """The one result that clients of the old program know."""
    written = ctx.headers.get(FRONT_TYPE)
    try:
        type = ctx.type if written is None else msgspec.json.decode(written, type=str)
    except msgspec.DecodeError:
        # Anybody may send headers.
        type = ctx.type
    return f"Processed: {type}"
