"""Values for /openapi.json. Tests send the requests and hold the answers against their schema."""

from __future__ import annotations

from typing import Any

import msgspec

from rota.core.feeds import FeedFigures
from rota.model import protocol
from rota.model.job import Exponential, State
from rota.model.protocol import Answer, Ending, Error, Fetched, Layer, Lease, Line, Progress, Sandbox, Work
from rota.model.spec import JobSpec
from rota.web import wire
from rota.web.filters import BulkRequest, Filter
from rota.web.openapi import shapes

ID = "01a20170-8456-739f-87ec-e0cd9a37fb0b"
OTHER = "01a20170-8457-7a41-9b0e-6d1f0c9a2e55"
WORKER_ID = "w-7f3a9c"
EARLIER, NOW, LATER = (f"2026-01-31T08:{minute}:00.000000Z" for minute in (29, 30, 31))


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


ONE = JobSpec(type="sleep", payload=raw({"ms": 100}))
MANY = wire.Many([ONE, JobSpec(type="report", queue="slow", payload=raw({"month": "2026-01"}), priority=-10)])
FULL = JobSpec(
    type="report",
    payload=raw({"month": "2026-01"}),
    queue="slow",
    priority=10,
    delay=60.0,
    expires_at="2199-12-31T23:59:59Z",
    timeout=300.0,
    max_attempts=5,
    retry=Exponential(base=1.0, max=600.0),
    headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    tags=("customer:4711",),
    unique_key="report:2026-01",
    unique_states=(State.SCHEDULED, State.PENDING, State.RUNNING),
    retention=86400.0,
)
BYTES = JobSpec(type="thumbnail", payload_base64="iVBORw0KGgo=", content_type="image/png")

STORED = wire.Stored(ID, "sleep", "default", State.PENDING, True)
STORED_BEFORE = wire.Stored(ID, "sleep", "default", State.RUNNING, False, "idempotency")
NOT_YET = shapes.NotYet(ID, State.RUNNING)

TRY = shapes.Try(1, 1, WORKER_ID, NOW, NOW, "failed", Error("TimeoutError", "the printer does not answer"))
IN_LIST = shapes.JobInList(
    id=ID,
    type="report",
    queue="default",
    state=State.SCHEDULED,
    priority=0,
    attempt=1,
    max_attempts=10,
    created_at=EARLIER,
    run_at=LATER,
    started_at=NOW,
    finished_at=None,
    expires_at=None,
    timeout=300.0,
    retention=604800.0,
    retry=None,
    tags=("customer:4711",),
    unique_key=None,
    unique_states=(),
    worker=None,
    lease=1,
    lease_until=None,
    losses=0,
    cancel_requested=False,
    reason=None,
    fingerprint=None,
    progress=shapes.Reported(0.5, "page 3 of 6"),
    waiting_because=None,
)
WHOLE = shapes.JobWhole(
    **msgspec.structs.asdict(IN_LIST),
    headers={},
    content_type="application/json",
    payload=raw({"month": "2026-01"}),
    result_type="application/json",
    result=raw(None),
    error=Error("TimeoutError", "the printer does not answer", details=raw({"printer": "west"})),
    attempts=[TRY],
)
CANCELLED = msgspec.structs.replace(WHOLE, state=State.CANCELLED, finished_at=NOW, reason="cancelled")
STOPPING = msgspec.structs.replace(
    WHOLE, state=State.RUNNING, cancel_requested=True, worker=WORKER_ID, lease_until=LATER
)
JOB_PAGE = shapes.JobPage([IN_LIST], None)
LOG_PAGE = shapes.LogPage([shapes.LogEntry(18, NOW, "info", "page 3 of 6")], 18)

ALL_PENDING, ALL_FAILED, ALL_DONE = (
    BulkRequest(Filter(state=state, type="resize"), dry_run=True) for state in ("pending", "failed", "done")
)
BULK_LIMITED = BulkRequest(Filter(queue="old", until="2026-01-31T08:30:00Z"), limit=1000)
BULK_ALL = BulkRequest(all=True)
BULK_COUNTED = shapes.BulkProgress(120, 0, 0, None)
BULK_BEGUN = shapes.BulkProgress(200, 198, 2, "MDFhMjAxNzA")
BULK_DONE = shapes.BulkProgress(317, 315, 2, None)
EXPLANATION = shapes.JobExplanation(
    id=ID,
    type="resize",
    queue="images",
    state=State.PENDING,
    now=NOW,
    cause="slots_full",
    sentence="All 8 slots that can take it are taken, and 120 jobs are ahead of it; at 2.0s a run it starts "
    "at about 2026-01-31T08:31:00Z (in 60s).",
    at=LATER,
    certainty="estimate",
    causes=[
        shapes.JobCause(
            "slots_full",
            "All 8 slots that can take it are taken, and 120 jobs are ahead of it; at 2.0s a run it starts "
            "at about 2026-01-31T08:31:00Z (in 60s).",
            LATER,
            {
                "ahead": 120,
                "ahead_is_exact": True,
                "workers": 2,
                "slots": 8,
                "free_slots": 0,
                "run_seconds": 2.0,
            },
        )
    ],
)
FAILURE_PAGE = shapes.FailurePage(
    [
        shapes.FailureGroup(
            fingerprint="7a1f0c9d2e55",
            type="report",
            error="TimeoutError",
            frame="printer.py:print_page",
            message="the printer does not answer",
            job=ID,
            jobs=12,
            first_seen=EARLIER,
            last_seen=NOW,
            hours=(0,) * 22 + (9, 5),
        )
    ],
    None,
)

QUEUE = shapes.Queue(
    name="default",
    paused=False,
    scheduled=1,
    pending=3,
    running=2,
    done=1740,
    failed=1,
    cancelled=0,
    oldest_age=0.25,
    workers=1,
    slots=10,
    types_without_worker=["report"],
)
WORKER = shapes.ConnectedWorker(
    worker=WORKER_ID,
    name="mill",
    version="0.1.0",
    transport="socket",
    queues=("default",),
    types=("sleep",),
    slots=10,
    running=2,
    connected_at=EARLIER,
    last_beat=NOW,
    draining=False,
    sandbox=None,
    server=None,
)
PROGRAMS = shapes.Programs("on", None, Sandbox("strict", (Layer("bubblewrap", True), Layer("cpu", True))))
STATS = shapes.Stats(
    version="0.1.0",
    uptime=3600.0,
    states={
        State.SCHEDULED: 1,
        State.PENDING: 3,
        State.RUNNING: 2,
        State.DONE: 1740,
        State.FAILED: 1,
        State.CANCELLED: 0,
    },
    enqueued=1747,
    started=1744,
    finished={State.DONE: 1740, State.FAILED: 1, State.CANCELLED: 0},
    requeued=1,
    rates=shapes.Rates(0.5, 0.483, 0.467, 0.0, 0.0, 0.017),
    workers=1,
    slots=10,
    running=2,
    servers=[],
    feeds=[
        FeedFigures(
            feed="kafka",
            state="publishing",
            detail=None,
            waiting=2,
            oldest_age=0.05,
            dropped=0,
            passed=5232,
            cut=0,
        )
    ],
)
FIGURES = shapes.Figures(
    resolution=60,
    since=EARLIER,
    until=LATER,
    points=2,
    group="queue",
    up=[shapes.Period(NOW, LATER)],
    series=[
        shapes.FiguresLine(
            queue="default",
            type=None,
            totals=shapes.Totals(
                enqueued=90,
                started=88,
                done=85,
                failed=1,
                cancelled=0,
                requeued=2,
                wait=shapes.Quantiles(0.0124, 0.088, 0.12),
                run=shapes.Quantiles(0.21, 0.9, 1.3),
            ),
            enqueued=[None, 90],
            started=[None, 88],
            done=[None, 85],
            failed=[None, 1],
            cancelled=[None, 0],
            requeued=[None, 2],
            wait=shapes.QuantilesByPoint([None, 0.0124], [None, 0.088], [None, 0.12]),
            run=shapes.QuantilesByPoint([None, 0.21], [None, 0.9], [None, 1.3]),
            pending=[None, 3],
            scheduled=[None, 1],
            running=[None, 2],
            oldest_age=[None, 0.25],
        )
    ],
)

ARCHIVE = b"PK\5\6" + bytes(18)
"""Of nothing."""
KEPT_FILE = shapes.KeptFile(len(ARCHIVE), "8739c76e681f900923b900c9df0ef75cf421d39cabb54650c4b9ad19b6a76d85")

FETCH = protocol.Fetch(WORKER_ID, ("default",), slots=10, wait=0.0)
FETCHED = Fetched([Work(ID, 1, "sleep", "default", 1, 10, raw({"ms": 100}))], 15.0, 5.0)
FINISH = protocol.FinishBody(
    WORKER_ID,
    [
        Ending(ID, 1, "done", result=raw({"sum": 3})),
        Ending(OTHER, 1, "failed", error=Error("TimeoutError", "the printer does not answer")),
    ],
)
FINISHED = shapes.Finished([Answer(ID, 1, True, State.DONE), Answer(OTHER, 1, True, State.SCHEDULED)])
BEAT = protocol.BeatBody(
    WORKER_ID,
    [Lease(ID, 1)],
    [Progress(ID, 1, 0.5, "page 3 of 6")],
    [Line(ID, "page 3 of 6", at=NOW)],
)
BEATEN = protocol.Beaten([protocol.Stop(ID, 1, "cancelled")])
