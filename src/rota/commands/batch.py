"""Jobs from a file or a pipe, one a line: read, checked and sent a thousand at a time."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from rota.commands import output
from rota.commands.common import DONE, FAILED, as_json
from rota.commands.feed import Bar, Feed, Unreadable
from rota.model.clock import SystemClock
from rota.model.errors import BadInput, Conflict
from rota.model.spec import JobSpec, Limits, new_job
from rota.sdk.client import Client
from rota.web import wire

BATCH = 1000
BATCH_BYTES = 8 * 1024 * 1024
SHOWN = 20
"""Faults that are told one by one; all of them are counted."""
KEPT = 1000
"""Faults that ``--json`` lists."""

Read = Callable[[int, bytes], JobSpec]

_spec = msgspec.json.Decoder(JobSpec)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)
_json = msgspec.json.Encoder()
_INDEX = re.compile(r"jobs\[([0-9]+)\]\.?")
# How large a payload may be is for the server to say.
_LIMITS = Limits(payload_bytes=sys.maxsize)
_START = ("run_at", "delay")


class Line(NamedTuple):
    """A job and the number of its line."""

    number: int
    spec: JobSpec


class Fault(NamedTuple):
    """A line that makes no job."""

    line: int
    code: str
    detail: str


def enqueue_file(client: Client, name: str, type: str | None, fields: dict[str, Any], key: str | None) -> int:
    """Store the jobs of a file; the exit status.

    ``type``: every line is a payload of it; None: every line is a job. ``fields`` are for jobs that do not
    say otherwise. ``key``: the job of line n has the idempotency key ``key:n``.
    """
    read = _payloads(type, fields, key) if type is not None else _jobs(fields, key)
    with Feed(name) as feed, Bar(feed) as bar:
        run = _Run(client, bar)
        try:
            run.take(feed, read)
        except BaseException:
            bar.close()
            run.summary()
            hint = (
                "" if key else " With --idempotency-key a file can be sent again without storing a job twice."
            )
            output.note(f"It stopped after line {run.at}.{hint}")
            raise
    run.summary()
    return FAILED if run.refused else DONE


class _Run:
    """What was stored and refused so far."""

    def __init__(self, client: Client, bar: Bar) -> None:
        self.at = 0
        self.refused = 0
        self._client = client
        self._bar = bar
        self._stored = self._there = 0
        self._faults: list[Fault] = []
        self._started = time.monotonic()

    def take(self, feed: Feed, read: Read) -> None:
        """Everything there is, in batches; what has come is sent when no more comes for a moment."""
        part: list[Line] = []
        size = 0
        try:
            for item in feed.lines():
                if item is not None:
                    number, text = item
                    if not text or text.isspace():
                        continue
                    try:
                        part.append(Line(number, read(number, text)))
                        size += len(text)
                    except BadInput as error:
                        self._fault(number, error)
                if part and (item is None or len(part) == BATCH or size >= BATCH_BYTES):
                    sent, part, size = part, [], 0
                    self._send(sent)
        except Unreadable:
            self._send(part)
            raise
        self._send(part)

    def summary(self) -> None:
        """How it went: a line, or a JSON document."""
        took = time.monotonic() - self._started
        if as_json():
            shape = {
                "stored": self._stored,
                "there_already": self._there,
                "refused": self.refused,
                "seconds": round(took, 3),
                "faults": [fault._asdict() for fault in sorted(self._faults)],
            }
            output.document(_json.encode(shape))
            return
        told = f"{_count(self._stored, 'job')} stored in {output.span(took)}"
        if self._there:
            told += f", {self._there:,} there already"
        if self.refused:
            told += f", {_count(self.refused, 'line')} refused"
        output.say(told)

    def _send(self, part: list[Line]) -> None:
        """Store a batch; lines that the server refuses are told and left out."""
        waiting = [part] if part else []
        while waiting:
            batch = waiting.pop()
            try:
                kept = self._client.enqueue_many([line.spec for line in batch])
            except (BadInput, Conflict) as error:
                found = _INDEX.match(error.field or "")
                index = int(found[1]) if found else 0
                if (found and index < len(batch)) or len(batch) == 1:
                    self._fault(batch[index].number, error)
                    waiting += [rest for rest in (batch[index + 1 :], batch[:index]) if rest]
                else:
                    # Something in it is refused, but not by name: find out what.
                    half = len(batch) // 2
                    waiting += [batch[half:], batch[:half]]
                continue
            new = sum(one.created for one in kept)
            self._stored += new
            self._there += len(kept) - new
            self.at = batch[-1].number
            self._bar.jobs(self._stored)

    def _fault(self, line: int, error: BadInput | Conflict) -> None:
        self.refused += 1
        detail = re.sub("^The body", "The line", error.detail)
        if len(self._faults) < KEPT:
            self._faults.append(Fault(line, error.code, detail))
        if self.refused <= SHOWN:
            self._bar.say(f"line {line}: {output.inert(detail)}")
        elif self.refused == SHOWN + 1:
            self._bar.say("(more lines are refused)")


def _payloads(type: str, fields: dict[str, Any], key: str | None) -> Read:
    """Every line is a payload."""

    def read(number: int, text: bytes) -> JobSpec:
        payload = wire.decode(_any, text)
        return _checked(JobSpec(type=type, payload=payload, idempotency_key=_key(key, number), **fields))

    # What is wrong with the flags is wrong in every line: say it once.
    _checked(JobSpec(type=type, **fields))
    return read


def _jobs(fields: dict[str, Any], key: str | None) -> Read:
    """Every line is a job; flags fill in what it leaves open."""
    flags = {name: msgspec.Raw(_json.encode(value)) for name, value in fields.items()}
    unstarted = {name: value for name, value in flags.items() if name not in _START}

    def read(number: int, text: bytes) -> JobSpec:
        if flags or key is not None:
            given = wire.decode(_object, text)
            merged = (unstarted if any(name in given for name in _START) else flags) | given
            if key is not None and "idempotency_key" not in given:
                merged["idempotency_key"] = msgspec.Raw(_json.encode(_key(key, number)))
            text = _json.encode(merged)
        return _checked(wire.decode(_spec, text))

    _checked(JobSpec(type="check", **fields))
    return read


def _checked(spec: JobSpec) -> JobSpec:
    try:
        new_job(spec, SystemClock().now(), _LIMITS)
    except BadInput as error:
        # Whether a time has passed is for the clock of the server to say.
        if error.code != "expires_before_start":
            raise
    return spec


def _key(key: str | None, number: int) -> str | None:
    return None if key is None else f"{key}:{number}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
