"""Traces, for programs that have them: what this one sends and runs becomes part of them.

Nothing of OpenTelemetry is imported here unless somebody has loaded it already, or asks for it by the
standard OTEL_ variables (:func:`setup`). The spans are those of the messaging conventions: ``send``
(PRODUCER) around a request that stores jobs, ``process`` (CONSUMER) around each try at one.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from rota.model import trace as w3c
from rota.model.policy import DEFAULT_QUEUE
from rota.sdk.context import current_context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext, Tracer

    from rota.model.spec import JobSpec

T = TypeVar("T")

log = logging.getLogger("rota.trace")

SYSTEM = {"messaging.system": "rota"}
FLUSH_SECONDS = 3.0
_API = "opentelemetry.trace"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

_provider: TracerProvider | None = None


def tracer() -> Tracer | None:
    """For spans of ours; None in a program that does not trace."""
    api: Any = sys.modules.get(_API)
    if api is None or isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        return None
    from rota import __version__

    made: Tracer = api.get_tracer("rota", __version__)
    return made


def carried(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """``traceparent`` and ``tracestate`` for what is sent from here: of the span that is current, else of the
    job in hand (``headers``: if it is not the current one), else none.
    """
    api: Any = sys.modules.get(_API)
    if api is not None:
        here = api.get_current_span().get_span_context()
        if here.is_valid:
            return written(here)
    if headers is None:
        context = current_context.get(None)
        headers = None if context is None else context.headers
    return w3c.of(headers)


def written(context: SpanContext) -> dict[str, str]:
    """A span's context as headers."""
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"
    return w3c.context(parent, context.trace_state.to_header() or None)


@contextmanager
def sending(jobs: Sequence[JobSpec], url: str) -> Iterator[Callable[[object], None]]:
    """The span around a request that stores jobs; what it gives takes the answer. ``url``: empty where
    there is no server in between.
    """
    tracing = tracer()
    if tracing is None:
        yield _ignore
        return
    from opentelemetry.trace import SpanKind

    queue = _common(job.queue or DEFAULT_QUEUE for job in jobs)
    type = _common(job.type for job in jobs)
    place = urlsplit(url)
    attributes: dict[str, Any] = SYSTEM | {
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
    }
    if url:
        attributes["server.address"] = place.hostname or ""
        attributes["server.port"] = place.port or (443 if place.scheme == "https" else 80)
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    if type is not None:
        attributes["rota.job.type"] = type
    if len(jobs) > 1:
        attributes["messaging.batch.message_count"] = len(jobs)
    name = "send" if queue is None else f"send {queue}"
    with tracing.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes) as span:

        def stored(answer: object) -> None:
            if isinstance(id := getattr(answer, "id", None), str):
                span.set_attribute("messaging.message.id", id)

        yield stored


def setup(service: str) -> bool:
    """Trace this process if the environment asks for it; whether it is traced then.

    ``service``: its name, unless the environment gives one. A program that has set up OpenTelemetry itself is
    left as it is. What the environment asks for and cannot be had is told in the log.
    """
    global _provider
    if not _asked():
        return tracer() is not None
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("no traces: OpenTelemetry is not installed", extra={"install": "rota[otel]"})
        return False
    if tracer() is not None:
        return True
    exporters = _exporters()
    if not exporters:
        return False
    from rota import __version__

    named = bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    ours = (
        {"service.version": __version__}
        if named
        else {"service.name": service, "service.version": __version__}
    )
    # Without the exit hook: it would wait half a minute for a collector that is away.
    _provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
    for exporter in exporters:
        _provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(_provider)
    return True


def shutdown(timeout: float = FLUSH_SECONDS) -> None:
    """Send what waits, for at most ``timeout`` seconds. For processes that called :func:`setup`."""
    global _provider
    if _provider is not None:
        ending = threading.Thread(target=_provider.shutdown, name="rota-trace-end", daemon=True)
        ending.start()
        ending.join(timeout)
        _provider = None


def _common(names: Iterable[str]) -> str | None:
    """The name that all have; None when they differ."""
    found = set(names)
    return found.pop() if len(found) == 1 else None


def _ignore(answer: object) -> None: ...


def _asked() -> bool:
    names = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or names == "none":
        return False
    return bool(names) or any(os.environ.get(name) for name in _ENDPOINTS)


def _exporters() -> list[SpanExporter]:
    found: list[SpanExporter] = []
    names = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    for name in (one.strip() for one in names.split(",")):
        match name:
            case "otlp":
                found += _otlp()
            case "console":
                from opentelemetry.sdk.trace.export import ConsoleSpanExporter

                found.append(ConsoleSpanExporter(out=sys.stderr))
            case _:
                log.warning(
                    "OTEL_TRACES_EXPORTER names what there is not",
                    extra={"exporter": name, "known": "otlp, console, none"},
                )
    return found


def _otlp() -> list[SpanExporter]:
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        log.warning(
            "no traces: this OTLP protocol is not there",
            extra={"protocol": protocol, "known": "http/protobuf"},
        )
        return []
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        log.warning("no traces: the OTLP exporter is not installed", extra={"install": "rota[otel]"})
        return []
    return [OTLPSpanExporter()]
