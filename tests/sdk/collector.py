"""A real receiver of OTLP over HTTP, which hands out the spans that came; and a program that makes some."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.handlers.http_sink import HttpSink, reply

SERVER = trace_pb2.Span.SpanKind.SPAN_KIND_SERVER
PRODUCER = trace_pb2.Span.SpanKind.SPAN_KIND_PRODUCER
CONSUMER = trace_pb2.Span.SpanKind.SPAN_KIND_CONSUMER
INTERNAL = trace_pb2.Span.SpanKind.SPAN_KIND_INTERNAL

PROGRAM = """
import os
import time

import rota
from opentelemetry import trace

app = rota.App()


def inside(name):
    with trace.get_tracer("shop").start_as_current_span(name):
        time.sleep(0)


@app.task
async def looped() -> None:
    inside("in looped")


@app.task
def threaded() -> str:
    inside("in threaded")
    return rota.current().headers.get("traceparent", "")


@app.task(process=True)
def apart() -> int:
    inside("in apart")
    return os.getpid()


@app.task(process=True)
def dies() -> None:
    os.abort()


@app.task
def fails() -> None:
    raise KeyError("nothing here")


@app.task
async def follows() -> str:
    return (await looped.aenqueue()).id


@app.task
def spreads() -> list[str]:
    return [one.id for one in threaded.enqueue_many([(), ()])]
"""


@dataclass
class Span:
    """As it was exported; ids in hexadecimal, ``parent`` empty for a root."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    events: dict[str, dict[str, Any]]
    failed: bool


@dataclass
class Collector:
    """An HTTP server with paths of its own beside ``/v1/traces``."""

    sink: HttpSink = field(default_factory=HttpSink)

    def __post_init__(self) -> None:
        answer = reply(200, b"", Content_Type="application/x-protobuf", Connection="close")
        hook = reply(200, b"", Connection="close")
        self.sink.answers = {"/v1/traces": answer, "/hook": hook}

    @property
    def environment(self) -> dict[str, str | None]:
        """What makes a process export to here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.sink.url("").rstrip("/"),
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_SERVICE_NAME": None,
        }

    def spans(self) -> list[Span]:
        """All that came so far."""
        found = []
        for request in self.sink.requests:
            if request.target != "/v1/traces":
                continue
            for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                about = values(resource.resource.attributes)
                for scope in resource.scope_spans:
                    found += [read(str(about["service.name"]), one) for one in scope.spans]
        return found

    def of(self, job: str) -> list[Span]:
        """The tries at a job, in order."""
        spans = [one for one in self.spans() if one.attributes.get("messaging.message.id") == job]
        tries = [one for one in spans if one.kind == CONSUMER]
        return sorted(tries, key=lambda one: int(one.attributes["rota.job.attempt"]))

    def below(self, span: Span) -> list[Span]:
        return [one for one in self.spans() if one.parent == span.id and one.trace == span.trace]


def read(service: str, span: trace_pb2.Span) -> Span:
    return Span(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        values(span.attributes),
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        {event.name: values(event.attributes) for event in span.events},
        span.status.code == trace_pb2.Status.StatusCode.STATUS_CODE_ERROR,
    )


def values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
