"""What becomes of jobs, as lines in the log, with the tracebacks of those that fail: for development."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from rota.core.events import Closed, Event, Lagged
from rota.core.service import Service
from rota.model import protocol
from rota.model.clock import SECOND
from rota.model.job import Job

log = logging.getLogger("rota.jobs")

KINDS = frozenset({"started", "finished", "requeued", "log", "stopping", "deleted"})
BAD = frozenset({"failed", "timeout", "lost"})
MAX_TRACEBACK = 8_000
"""Characters; the end says most."""

_error = msgspec.json.Decoder(protocol.Error)


async def run(service: Service) -> None:
    """Tell until the server stops. Told too slowly, events are left out, and a line says so."""
    teller = _Teller(service)
    while True:
        with service.bus.events.listen(wanted=lambda event: event.event in KINDS) as listener:
            try:
                while True:
                    await teller.tell(await listener.next())
            except Lagged:
                teller.began.clear()
                log.warning("too much happened: lines about jobs were left out")
            except Closed:
                return


class _Teller:
    """``began``: when the running jobs were handed out, and their types."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.began: dict[str, tuple[int, str | None]] = {}

    async def tell(self, events: Sequence[Event]) -> None:
        """A line for each event that has one."""
        ids = [event.id for event in events if event.id is not None and _end_of(event) in BAD]
        jobs = {job.id: job for job in await self._service.engine.get(ids)} if ids else {}
        for event in events:
            if event.id is None:
                continue
            if event.event == "started":
                self.began[event.id] = (event.at, event.type)
            elif event.event == "log":
                self._handler(event)
            elif event.event == "stopping":
                _say(logging.INFO, event, "asked to stop", str((event.detail or {}).get("reason") or ""))
            else:
                self._end(event, jobs.get(event.id))

    def _handler(self, event: Event) -> None:
        detail = event.detail or {}
        level = logging.getLevelNamesMapping().get(str(detail.get("level")).upper(), logging.INFO)
        if event.type is None and event.id in self.began:
            # It was written down after the job had left its worker's hands.
            event = msgspec.structs.replace(event, type=self.began[event.id][1])
        _say(level, event, "says", str(detail.get("text") or ""))

    def _end(self, event: Event, job: Job | None) -> None:
        assert event.id is not None
        began = self.began.pop(event.id, None)
        ms = None if began is None else round((event.at - began[0]) / 1000, 1)
        end = _end_of(event)
        reason = str((event.detail or {}).get("reason") or "")
        if end in BAD:
            _failure(event, job, end, ms)
        elif event.event == "finished":
            good = event.state == "done"
            _say(
                logging.INFO if good else logging.WARNING, event, str(event.state), "" if good else reason, ms
            )
        elif event.event == "requeued":
            told = {"snoozed": "snoozed", "released": "handed back"}.get(end, "brought back")
            _say(logging.INFO, event, told, "", ms)


def _failure(event: Event, job: Job | None, end: str, ms: float | None) -> None:
    raw = next((one.error for one in reversed(job.attempts) if one.error), None) if job is not None else None
    error = None if raw is None else _error.decode(raw)
    told = {"timeout": "timed out", "lost": "lost its worker"}.get(end, "failed")
    why = "" if error is None else f"{error.type}: {error.message}"
    fields: dict[str, Any] = {}
    if event.event == "requeued":
        told += ", will be tried again"
    if job is not None:
        fields["attempt"] = f"{job.attempt} of {job.max_attempts}"
        if event.state == "scheduled":
            fields["in"] = f"{max(0, job.run_at - event.at) / SECOND:.3g} s"
    if error is not None and error.traceback:
        fields["traceback"] = error.traceback[-MAX_TRACEBACK:]
    _say(logging.ERROR if event.event == "finished" else logging.WARNING, event, told, why, ms, fields)


def _say(
    level: int,
    event: Event,
    told: str,
    more: str,
    ms: float | None = None,
    fields: dict[str, Any] | None = None,
) -> None:
    assert event.id is not None
    fields = fields or {}
    # The beginning of an id is the time, its end tells jobs apart; whoever has to look one up gets it whole.
    short = event.id if level >= logging.WARNING else event.id[-8:]
    tail = [] if ms is None else [f"{ms:g} ms"]
    tail += [f"{name} {value}" for name, value in fields.items() if name != "traceback"]
    plain = (f"{event.type} {told}{': ' + more if more else ''}", "  ".join([*tail, f"job {short}"]))
    structured: dict[str, Any] = {
        "job": event.id,
        "type": event.type,
        "queue": event.queue,
        "state": event.state,
    }
    if ms is not None:
        structured["ms"] = ms
    if more:
        structured["text"] = more
    log.log(level, "job %s", told, extra={**structured, **fields, "_plain": plain})


def _end_of(event: Event) -> str:
    return str((event.detail or {}).get("end") or "")
