"""What becomes of a try: a handler's value or exception as the ending that is reported."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rota.model.protocol import Ending, Error, Work
from rota.sdk.context import Context, Port, current_context
from rota.sdk.control import Fail, Retry, Snooze
from rota.sdk.signature import OCTETS, BadPayload
from rota.sdk.tasks import Task
from rota.sdk.values import clean, encode, why_not_json

RESULT_BYTES = 8 * 1024 * 1024
"""The largest result that is sent, as JSON text or as bytes; a server may keep less."""
MESSAGE_BYTES = 10_000
TRACE_BYTES = 30_000

_NULL = msgspec.Raw(b"null")
_HANDLERS = "rota.handlers."
"""Errors of Rota's own handlers go by their names alone."""
_OURS = tuple(str(Path(__file__).parents[1] / part) for part in ("sdk", "testing"))


def prepare(task: Task[Any, Any], work: Work, port: Port) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments to call the task's function with; BadPayload when the payload does not fit.

    Also makes the job's context the current one, in the contextvars context of the caller.
    """
    args, named = task.signature.decode(work)
    context = Context(
        work.id,
        work.type,
        work.queue,
        work.attempt,
        work.max_attempts,
        work.headers,
        work.content_type,
        port,
    )
    current_context.set(context)
    return ((context, *args), named) if task.signature.takes_context else (args, named)


def done(id: str, lease: int, value: Any) -> Ending:
    """A handler returned. A value that is not JSON-able, or too large, makes the job fail for good."""
    if value is None:
        return Ending(id, lease, "done", _NULL)
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if len(data) > RESULT_BYTES:
            return _too_large(id, lease, len(data))
        text = base64.b64encode(data).decode()
        return Ending(id, lease, "done", result_base64=text, content_type=OCTETS)
    try:
        raw = encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _bad_result(id, lease, why_not_json(value, "result"))
    if len(raw) > RESULT_BYTES:
        return _too_large(id, lease, len(raw))
    return Ending(id, lease, "done", msgspec.Raw(raw))


def raised(
    id: str, lease: int, error: BaseException, stop: str | None, timeout: float | None
) -> Ending | None:
    """A handler ended by an exception. Once it was asked to stop, any exception means that it has.

    None: the job is not ours any more, nothing is to be reported.
    """
    match stop:
        case None:
            return _failed(id, lease, error)
        case "timeout":
            return timed_out(id, lease, timeout, describe(error).traceback)
        case _:
            return stopped(id, lease, stop, timeout)


def stopped(id: str, lease: int, stop: str, timeout: float | None) -> Ending | None:
    """A job whose handler never started, or is not waited for any longer."""
    match stop:
        case "timeout":
            return timed_out(id, lease, timeout, None)
        case "cancelled":
            return Ending(id, lease, "cancelled")
        case "released":
            return Ending(id, lease, "released")
        case _:
            return None


def timed_out(id: str, lease: int, timeout: float | None, trace: str | None) -> Ending:
    """The handler ran out of time; ``trace`` says where it was."""
    told = "its timeout" if timeout is None else f"its timeout of {timeout:g} s"
    return Ending(id, lease, "timeout", error=Error("Timeout", f"The handler ran longer than {told}.", trace))


def process_died(id: str, lease: int, how: str) -> Ending:
    """The child process that ran the handler is gone."""
    return Ending(id, lease, "failed", error=Error("ProcessDied", f"The handler's process {how}."))


def rejected(id: str, lease: int, why: str) -> Ending:
    """The server would not take the result."""
    return _bad_result(id, lease, f"The server refused the result: {why}")


def describe(error: BaseException) -> Error:
    """Type, message and traceback, without the frames of Rota itself, cut to a size that can be kept."""
    kind = type(error)
    plain = kind.__module__ == "builtins" or kind.__module__.startswith(_HANDLERS)
    name = kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception as worse:
        message = f"(its message could not be made: {type(worse).__name__})"
    return Error(clean(name, 200), clean(message, MESSAGE_BYTES), _trace(error))


def stack_of(frame: Any) -> str:
    """Where a thread is, in the form of a traceback."""
    summary = _without_us(traceback.extract_stack(frame))
    return _tail("Traceback (most recent call last):\n" + "".join(summary.format()))


def _failed(id: str, lease: int, error: BaseException) -> Ending:
    match error:
        case Snooze():
            return Ending(id, lease, "snoozed", delay=error.delay)
        case Retry():
            return Ending(id, lease, "failed", error=_meant(error), delay=error.delay)
        case Fail():
            return Ending(id, lease, "failed", error=_meant(error), retry=False)
        case BadPayload():
            return Ending(
                id, lease, "failed", error=Error("BadPayload", clean(str(error), MESSAGE_BYTES)), retry=False
            )
        case _:
            return Ending(id, lease, "failed", error=describe(error))


def _meant(error: Retry | Fail) -> Error:
    """Raised on purpose: the message says it all, unless something else was the cause."""
    told = describe(error)
    caused = error.__cause__ or (error.__context__ and not error.__suppress_context__)
    trace = told.traceback if caused else None
    if error.details is None:
        return Error(told.type, told.message, trace)
    try:
        raw = encode(error.details)
    except (TypeError, ValueError, OverflowError, RecursionError):
        why = why_not_json(error.details, "details")
    else:
        if len(raw) <= RESULT_BYTES:
            return Error(told.type, told.message, trace, msgspec.Raw(raw))
        why = f"details has {len(raw)} bytes; at most {RESULT_BYTES} can be sent"
    note = clean(f" (its details were left out: {why})", MESSAGE_BYTES // 2)
    return Error(told.type, clean(told.message, MESSAGE_BYTES - len(note.encode())) + note, trace)


def _trace(error: BaseException) -> str | None:
    try:
        report = traceback.TracebackException.from_exception(error)
        _strip(report)
        return _tail("".join(report.format()))
    except Exception:
        # An exception may be so odd that it cannot be shown; its type and message will have to do.
        return None


def _strip(report: traceback.TracebackException | None, depth: int = 0) -> None:
    while report is not None and depth < 50:
        report.stack = _without_us(report.stack)
        for inner in report.exceptions or ():
            _strip(inner, depth + 1)
        _strip(report.__context__, depth + 1)
        report, depth = report.__cause__, depth + 1


def _without_us(stack: traceback.StackSummary) -> traceback.StackSummary:
    return traceback.StackSummary.from_list(
        [frame for frame in stack if not frame.filename.startswith(_OURS)]
    )


def _tail(text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= TRACE_BYTES:
        return data.decode()
    return "...\n" + data[4 - TRACE_BYTES :].decode("utf-8", "ignore")


def _bad_result(id: str, lease: int, why: str) -> Ending:
    return Ending(id, lease, "failed", error=Error("BadResult", clean(why, MESSAGE_BYTES)), retry=False)


def _too_large(id: str, lease: int, size: int) -> Ending:
    return _bad_result(id, lease, f"The result has {size} bytes; at most {RESULT_BYTES} can be sent.")
