"""``rota enqueue``: one job from the arguments, or many from a file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rota.commands import output
from rota.commands.common import (
    INTERRUPTED,
    Misused,
    Span,
    as_json,
    connect,
    json_option,
    raw,
    server_options,
)

if TYPE_CHECKING:
    from rota.model.spec import JobSpec
    from rota.sdk.answers import Created, JobInfo
    from rota.sdk.calls import Answer, Call

HELD = 2.0
"""Seconds for which the server is asked to hold its answer; then the id is known, and asked for again."""


@click.command()
@click.argument("type", required=False)
@click.argument("payload", required=False)
@click.option(
    "--file",
    metavar="FILE",
    help="Many jobs, one a line ('-': standard input): payloads of the given TYPE, or without TYPE whole "
    'jobs as the API takes them, such as {"type": "sleep", "payload": {"ms": 5}, "priority": 3}.',
)
@click.option("--payload-file", metavar="FILE", help="The payload from a file ('-': standard input).")
@click.option("--content-type", metavar="TYPE", help="The payload is bytes of this media type, not JSON.")
@click.option("--queue", metavar="NAME", help="The queue. [default]")
@click.option(
    "--priority", type=click.IntRange(-100, 100), metavar="N", help="-100 to 100; high ones go first. [0]"
)
@click.option("--delay", type=Span(), metavar="TIME", help="Start no sooner than in so long: 30s, 5m, 1h30m.")
@click.option("--run-at", metavar="TIME", help="Start no sooner than at this time (RFC 3339).")
@click.option("--expires-at", metavar="TIME", help="Cancel it if it has not started by then (RFC 3339).")
@click.option("--timeout", type=Span(), metavar="TIME", help="The longest that one attempt may take.")
@click.option("--max-attempts", type=click.IntRange(1, 1000), metavar="N", help="Attempts in all.")
@click.option(
    "--retry",
    metavar="JSON",
    help='When to try again: {"kind": "none"}, {"kind": "fixed", "delay": 5}, {"kind": "list", "delays": '
    '[1, 5]} or {"kind": "exponential", "base": 2, "factor": 2, "max": 3600, "jitter": 0.2}.',
)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag; may be given again.")
@click.option("--unique-key", metavar="KEY", help="Store nothing while another live job has this key.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Sent again with the same key, the same job is stored once. With --file every line has KEY:LINE.",
)
@click.option(
    "--header", "headers", metavar="NAME=VALUE", multiple=True, help="A header; may be given again."
)
@click.option("--retention", type=Span(), metavar="TIME", help="How long to keep it once it has ended.")
@click.option("--wait", type=Span(), metavar="TIME", help="Wait so long for its end and print the result.")
@json_option
@server_options
def enqueue(
    type: str | None,
    payload: str | None,
    file: str | None,
    payload_file: str | None,
    content_type: str | None,
    wait: float | None,
    **options: Any,
) -> None:
    """Hand over a job. Its id is printed once it is on stable storage.

    PAYLOAD is JSON, in quotes for the shell: rota enqueue sleep '{"ms": 500}'

    With --wait the result is printed; the status is 0 when the job is done, 1 when it failed or was
    cancelled, 3 when it has not ended yet.
    """
    fields = _fields(**options)
    if file is not None:
        _no_single(payload=payload, payload_file=payload_file, content_type=content_type, wait=wait)
        _no_single(unique_key=fields.get("unique_key"))
        from rota.commands.batch import enqueue_file

        key = fields.pop("idempotency_key", None)
        # A file of jobs is worth waiting for a server that restarts.
        with connect(retries=8) as client:
            status = enqueue_file(client, file, type, fields, key)
        click.get_current_context().exit(status)
    if type is None:
        raise click.UsageError("Give the TYPE of the job, or a --file of jobs.")
    from rota.model.spec import JobSpec

    spec = JobSpec(type=type, **_payload(payload, payload_file, content_type), **fields)
    if wait is None:
        _store(spec)
    else:
        _store_and_wait(spec, wait)


def _store(spec: JobSpec) -> None:
    import msgspec

    from rota.sdk import calls
    from rota.sdk.answers import Created
    from rota.sdk.transport import key_for

    with connect() as client:
        body = client.send(raw(calls.enqueue(spec, key_for(spec, None))))
    if as_json():
        output.document(body)
        return
    kept = msgspec.json.decode(body, type=Created)
    if not kept.created:
        state = kept.state or "gone by now"
        output.note(
            output.inert(
                f"Nothing was stored: this job was there already (same {kept.why} key), it is {state}."
            )
        )
    output.say(output.inert(kept.id))


def _store_and_wait(spec: JobSpec, wait: float) -> None:
    import msgspec

    from rota.commands import follow
    from rota.commands.watch import print_result
    from rota.sdk import calls
    from rota.sdk.answers import Blob, Created

    end = time.monotonic() + wait
    with connect() as client:
        job = client.send(_either(spec, min(wait, HELD)))
        if isinstance(job, Created):
            raise click.ClickException(f"The job {job.id} of this idempotency key is there no more.")
        if not job.ended:
            try:
                if sys.stderr is not None and sys.stderr.isatty():
                    output.note(f"{job.id} is {job.state}; waiting for its end.")
                job = follow.until_ended(client, job.id, max(0.0, end - time.monotonic()))
            except KeyboardInterrupt:
                output.note(f"\nThe job goes on; 'rota jobs watch {job.id}' follows it.")
                raise click.exceptions.Exit(INTERRUPTED) from None
        if as_json():
            output.document(client.send(raw(calls.job(job.id))))
        elif job.state == "done":
            result = msgspec.json.encode(job.result) if job.result_base64 is None else job.value
            print_result(Blob(result, job.result_type or "application/json"))
        else:
            follow.explain(job)
    click.get_current_context().exit(follow.status_of(job))


def _either(spec: JobSpec, wait: float) -> Call[JobInfo | Created]:
    """Store and wait; a Created comes back for an idempotency key whose job is there no more."""
    from rota.sdk import calls
    from rota.sdk.calls import Call
    from rota.sdk.transport import key_for

    whole = calls.enqueue_and_wait(spec, key_for(spec, None), wait)
    brief = calls.enqueue(spec, None)

    def read(answer: Answer) -> JobInfo | Created:
        return whole.read(answer) if b'"attempts"' in answer.body else brief.read(answer)

    return Call(whole.method, whole.path, read, whole.body, whole.headers, whole.again, whole.wait)


def _fields(
    *, retry: str | None, tags: tuple[str, ...], headers: tuple[str, ...], **plain: Any
) -> dict[str, Any]:
    """What the flags say of the job, by the names of the API."""
    fields = {name: value for name, value in plain.items() if value is not None}
    if retry is not None:
        fields["retry"] = _retry(retry)
    if tags:
        fields["tags"] = tags
    if headers:
        split = [header.partition("=") for header in headers]
        if bad := next((header for header, part in zip(headers, split, strict=True) if not part[1]), None):
            raise click.BadParameter(f"must be NAME=VALUE, not {bad!r}.", param_hint="'--header'")
        fields["headers"] = {name: value for name, _, value in split}
    return fields


def _retry(text: str) -> Any:
    import msgspec

    from rota.model.job import Retry

    try:
        return msgspec.json.decode(text, type=Retry)
    except msgspec.DecodeError as error:
        raise click.BadParameter(f"{text!r}: {error}.", param_hint="'--retry'") from None


def _payload(payload: str | None, file: str | None, content_type: str | None) -> dict[str, Any]:
    import base64

    import msgspec

    if payload is not None and file is not None:
        raise click.UsageError("Give PAYLOAD or --payload-file, not both.")
    if payload is None and file is None:
        if content_type is not None:
            raise click.UsageError("--content-type needs PAYLOAD or --payload-file.")
        return {}
    data = os.fsencode(payload or "") if file is None else _read(file)
    if content_type not in (None, "application/json"):
        return {"payload_base64": base64.b64encode(data).decode(), "content_type": content_type}
    try:
        data.decode()
        msgspec.json.decode(data)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        where = "PAYLOAD" if file is None else repr(file)
        raise Misused(
            f"{where} is not JSON: {_why(error)}.\n"
            "The shell needs quotes around it: rota enqueue sleep '{\"ms\": 500}'\n"
            "A text has quotes of its own: '\"hello\"'. Bytes that are not JSON go with --content-type."
        ) from None
    return {"payload": msgspec.Raw(data)}


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).removeprefix("JSON is malformed: ")


def _read(name: str) -> bytes:
    if name == "-":
        if sys.stdin is None:
            raise click.ClickException("Standard input is closed.")
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{name!r} cannot be read: {error.strerror}.") from None


def _no_single(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            flag = "PAYLOAD" if name == "payload" else "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} is for one job; it does not go with --file.")
