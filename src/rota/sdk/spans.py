"""A span around each try at a job, and the handler's own spans below it. Loaded by workers that trace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry import context as ambient
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from rota.model import trace as w3c
from rota.model.protocol import Ending
from rota.sdk.app import App
from rota.sdk.processes import ProcessRunner
from rota.sdk.run import Ears, Run
from rota.sdk.runners import Home, LoopRunner, ThreadRunner
from rota.sdk.trace import SYSTEM, written


class Spans:
    """Stands between the runners and their ears, since it is there that all handlers return."""

    def __init__(self, tracer: Tracer, worker: str, ears: Ears) -> None:
        self._tracer = tracer
        self._worker = worker
        self._ears = ears
        self._open: dict[Run, Span] = {}

    def begin(self, run: Run) -> Span:
        """The span of a try. A job that came alone goes on in its trace; one of many has a trace of its own
        and a link, as the conventions want it where one context stands for several messages.
        """
        work = run.work
        above, links = Context(), []
        if carried := w3c.of(work.headers):
            origin = context_of(carried)
            if w3c.is_many(carried):
                links.append(Link(origin))
            else:
                above = set_span_in_context(NonRecordingSpan(origin), above)
        attributes: dict[str, Any] = SYSTEM | {
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": work.queue,
            "messaging.message.id": work.id,
            "messaging.client.id": self._worker,
            "rota.job.type": work.type,
            "rota.job.attempt": work.attempt,
            "rota.job.max_attempts": work.max_attempts,
        }
        span = self._open[run] = self._tracer.start_span(
            f"process {work.queue}", above, SpanKind.CONSUMER, attributes, links
        )
        return span

    def enter(self, run: Run) -> None:
        """Begin, and make it the current span of the caller's context variables."""
        ambient.attach(set_span_in_context(self.begin(run)))

    def context(self, run: Run) -> dict[str, str] | None:
        """The span of a try that has begun, as headers."""
        span = self._open.get(run)
        return None if span is None else written(span.get_span_context())

    def post(self, ended: list[tuple[Run, Ending | None]]) -> None:
        for run, ending in ended:
            span = self._open.pop(run, None)
            if span is not None:
                _end(span, run, ending)
        self._ears.post(ended)

    def now(self) -> int:
        return self._ears.now()

    def nudge(self) -> None:
        self._ears.nudge()

    def say(self, run: Run, level: str, text: str) -> None:
        self._ears.say(run, level, text)

    async def read_upload(self, run: Run, path: Path) -> None:
        await self._ears.read_upload(run, path)

    async def keep_artifact(self, run: Run, path: Path) -> None:
        await self._ears.keep_artifact(run, path)


class TracedLoopRunner(LoopRunner):
    """Each handler runs in an asyncio task, which has context variables of its own."""

    def __init__(self, home: Home, spans: Spans) -> None:
        super().__init__(home, spans)
        self._spans = spans

    async def _handle(self, run: Run) -> None:
        self._spans.enter(run)
        await super()._handle(run)


class TracedThreadRunner(ThreadRunner):
    def __init__(self, home: Home, spans: Spans) -> None:
        super().__init__(home, spans)
        self._spans = spans

    def _call(self, run: Run) -> Ending | None:
        self._spans.enter(run)
        return super()._call(run)


class TracedProcessRunner(ProcessRunner):
    """The span is the worker's, so that it also tells of a child that was killed."""

    def __init__(self, spans: Spans, app: App) -> None:
        super().__init__(spans, app)
        self._spans = spans

    def _trace(self, run: Run) -> dict[str, str] | None:
        self._spans.begin(run)
        return self._spans.context(run)


def context_of(carried: Mapping[str, str]) -> SpanContext:
    """A span elsewhere, from its headers, which are known to be good."""
    _, trace, span, flags = carried[w3c.PARENT].split("-")
    state = TraceState.from_header([carried[w3c.STATE]]) if w3c.STATE in carried else None
    return SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(int(flags, 16)), state)


def go_on(carried: Mapping[str, str]) -> None:
    """In a child process: what follows happens below the worker's span."""
    ambient.attach(set_span_in_context(NonRecordingSpan(context_of(carried))))


def _end(span: Span, run: Run, ending: Ending | None) -> None:
    """An error is what was reported as one; a job that was cancelled, snoozed or handed back is none."""
    span.set_attribute("rota.job.end", "lost" if ending is None else ending.end)
    if ending is not None and ending.error is not None:
        error = ending.error
        span.set_attribute("error.type", error.type)
        details = {"exception.type": error.type, "exception.message": error.message}
        if error.traceback is not None:
            details["exception.stacktrace"] = error.traceback
        span.add_event("exception", details)
        span.set_status(Status(StatusCode.ERROR, error.message))
    span.end()
