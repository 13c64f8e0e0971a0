"""The trace that a request belongs to goes into the headers of the jobs it stores."""

from __future__ import annotations

import msgspec

from rota.model import trace
from rota.model.job import NewJob, Request
from rota.web.asgi import Call


def traced(asked: Request, call: Call) -> Request:
    """The same jobs with the request's trace context, unless they name their own.

    An idempotency key does not see it: the same job asked for again from another trace is the same job.
    """
    parents = call.all(b"traceparent")
    # Given twice it is none.
    carried = trace.context(parents[0], ",".join(call.all(b"tracestate"))) if len(parents) == 1 else {}
    if not carried:
        return asked
    if len(asked.jobs) > 1:
        carried = trace.as_many(carried)
    return Request(tuple(_with(job, carried) for job in asked.jobs), asked.keys, asked.upload)


def _with(job: NewJob, carried: dict[str, str]) -> NewJob:
    if job.headers and any(name.lower() in trace.NAMES for name in job.headers):
        return job
    return msgspec.structs.replace(job, headers={**(job.headers or {}), **carried})
