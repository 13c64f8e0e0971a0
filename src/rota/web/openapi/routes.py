"""What is said of each route; see :mod:`rota.web.openapi.saying`."""

from __future__ import annotations

from collections.abc import Mapping

from rota.model import protocol
from rota.model.spec import JobSpec
from rota.web import wire
from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Header, Said

JOBS, QUEUES, WORKERS = "Jobs", "Queues", "Workers"
PROTOCOL, EVENTS, SERVER = "Worker protocol", "Events", "Server"

TAGS: Mapping[str, str] = {
    JOBS: "Store jobs, look at them, act on them.",
    QUEUES: "Lines of jobs.",
    WORKERS: "Who is connected.",
    PROTOCOL: "What a worker itself asks; docs/protocol.md tells how the requests go together.",
    EVENTS: "What happens, as it happens; docs/events.md lists the events.",
    SERVER: "Probes, counters, and this description.",
}

KEY = Header(
    "Idempotency-Key",
    "The same key with the same body gives the same job again, for 24 hours; with another body it is "
    "refused.",
    {"type": "string", "minLength": 1, "maxLength": 200},
    "order-4711",
)
LAST_EVENT = Header(
    "Last-Event-ID",
    "The `id` of the last event seen; what came since is told first.",
    {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9]{1,18}$"},
    "c93d7d62-17",
)
TAG = Header(
    "If-None-Match",
    "The `ETag` of an answer of before; nothing is sent when it is still the same.",
    {"type": "string"},
    '"2290ca01ba306fa381e9264e"',
)
SAME = Answer(304, "Still the same.")
A_JOB = {"id": given.ID}
A_QUEUE = {"name": "default"}
WHOLE = Answer(200, "The job as it is now.", shapes.JobWhole, example=given.WHOLE)
THE_QUEUE = Answer(200, "The queue as it is now.", shapes.Queue, example=given.QUEUE)
LINKS = ("get_job", "get_result", "get_logs", "cancel", "retry", "run_now", "delete")

SAID: Mapping[tuple[str, str], Said] = {
    ("POST", "/v1/jobs"): Said(
        "enqueue",
        JOBS,
        (
            Answer(
                201,
                "Stored, and on stable storage. A list is answered with a list.",
                shapes.Stored | shapes.StoredMany,
                example=given.STORED,
                links=LINKS,
            ),
            Answer(
                200,
                "It was there already (`created` is false); or, with `wait`, the job, which has ended.",
                shapes.Stored | shapes.StoredMany | shapes.JobWhole,
                example=given.STORED_BEFORE,
            ),
            Answer(
                202, "With `wait`: the job, which has not ended yet.", shapes.JobWhole, example=given.WHOLE
            ),
        ),
        (
            Example("One job", 201, given.ONE),
            Example("Many jobs, all or none", 201, given.MANY),
            Example("Everything that can be said of a job", 201, given.FULL),
            Example("Bytes as payload", 201, given.BYTES),
            Example("Wait for the result", 202, given.ONE, {"wait": "0.01"}),
            Example("Safe to repeat", 201, given.ONE, headers={"Idempotency-Key": "order-4711"}),
        ),
        (codes.BODY, codes.SPEC, codes.WRITE),
        body=(JobSpec, wire.Many),
        headers=(KEY,),
        told='Store one job, or up to 10,000 as `{"jobs": [...]}`, all or none. An answer of 2xx means '
        "that they "
        "are on stable storage. With `wait` (one job) the answer is the job once it has ended, or as it "
        "is when "
        "the time is up.",
    ),
    ("GET", "/v1/jobs"): Said(
        "list_jobs",
        JOBS,
        (Answer(200, "A page of jobs.", shapes.JobPage, example=given.JOB_PAGE),),
        (
            Example("The newest", 200),
            Example("Ten that failed", 200, query={"state": "failed", "limit": "10"}),
            Example("Those of a day", 200, query={"queue": "default", "since": "2026-01-31T00:00:00Z"}),
        ),
        (codes.CURSOR, codes.READ),
    ),
    ("GET", "/v1/jobs/{id}"): Said(
        "get_job",
        JOBS,
        (WHOLE,),
        (Example("As it is", 200), Example("Once it has ended", 200, query={"wait": "0.01"})),
        (codes.JOB, codes.READ),
        path=A_JOB,
    ),
    ("DELETE", "/v1/jobs/{id}"): Said(
        "delete",
        JOBS,
        (Answer(204, "It is gone."),),
        (Example("Remove a job", 204),),
        (codes.JOB, codes.STATE, codes.WRITE),
        path=A_JOB,
    ),
    ("GET", "/v1/jobs/{id}/result"): Said(
        "get_result",
        JOBS,
        (
            Answer(
                200,
                "The bytes that the handler gave, with the content type that it gave them.",
                {},
                media="*/*",
                example={"sum": 3},
            ),
            Answer(202, "The job has not ended.", shapes.NotYet, example=given.NOT_YET),
        ),
        (Example("The result", 200), Example("Wait for it", 200, query={"wait": "0.01"})),
        (codes.JOB, codes.RESULT, codes.READ),
        path=A_JOB,
    ),
    ("GET", "/v1/jobs/{id}/logs"): Said(
        "get_logs",
        JOBS,
        (Answer(200, "Log lines.", shapes.LogPage, example=given.LOG_PAGE),),
        (Example("From the beginning", 200), Example("What came since", 200, query={"after": "17"})),
        (codes.JOB, codes.READ),
        path=A_JOB,
    ),
    ("POST", "/v1/jobs/{id}/cancel"): Said(
        "cancel",
        JOBS,
        (
            Answer(200, "It was waiting, and is cancelled.", shapes.JobWhole, example=given.CANCELLED),
            Answer(202, "It runs, and was asked to stop.", shapes.JobWhole, example=given.STOPPING),
        ),
        (Example("Cancel a job", 200),),
        (codes.JOB, codes.STATE, codes.WRITE),
        path=A_JOB,
    ),
    ("POST", "/v1/jobs/{id}/retry"): Said(
        "retry",
        JOBS,
        (WHOLE,),
        (Example("Bring a job back", 200),),
        (codes.JOB, codes.AGAIN, codes.WRITE),
        path=A_JOB,
    ),
    ("POST", "/v1/jobs/{id}/run-now"): Said(
        "run_now",
        JOBS,
        (WHOLE,),
        (Example("Do not wait", 200),),
        (codes.JOB, codes.AGAIN, codes.WRITE),
        path=A_JOB,
    ),
    ("GET", "/v1/queues"): Said(
        "list_queues",
        QUEUES,
        (Answer(200, "All queues, by name.", shapes.QueueList, example=shapes.QueueList([given.QUEUE])),),
        (Example("All queues", 200),),
        (codes.READ,),
    ),
    ("POST", "/v1/queues/{name:path}/pause"): Said(
        "pause",
        QUEUES,
        (THE_QUEUE,),
        (Example("Pause a queue", 200),),
        (codes.QUEUE, codes.WRITE),
        path=A_QUEUE,
    ),
    ("POST", "/v1/queues/{name:path}/resume"): Said(
        "resume",
        QUEUES,
        (THE_QUEUE,),
        (Example("Resume a queue", 200),),
        (codes.QUEUE, codes.WRITE),
        path=A_QUEUE,
    ),
    ("DELETE", "/v1/queues/{name:path}/jobs"): Said(
        "clear",
        QUEUES,
        (Answer(200, "They are gone.", shapes.Deleted, example=shapes.Deleted(17)),),
        (Example("Empty a queue", 200),),
        (codes.QUEUE, codes.WRITE),
        path=A_QUEUE,
    ),
    ("GET", "/v1/workers"): Said(
        "list_workers",
        WORKERS,
        (Answer(200, "All workers.", shapes.WorkerList, example=shapes.WorkerList([given.WORKER])),),
        (Example("All workers", 200),),
    ),
    ("POST", "/v1/workers/{worker:path}/drain"): Said(
        "drain_worker",
        WORKERS,
        (Answer(202, "It was asked.", shapes.ConnectedWorker, example=given.WORKER),),
        (Example("Send a worker away", 202),),
        (codes.NO_WORKER,),
        path={"worker": given.WORKER_ID},
    ),
    ("GET", "/v1/stats"): Said(
        "stats",
        SERVER,
        (Answer(200, "Counters.", shapes.Stats, example=given.STATS),),
        (Example("Counters", 200),),
        (codes.READ,),
    ),
    ("POST", "/v1/fetch"): Said(
        "fetch",
        PROTOCOL,
        (Answer(200, "Jobs, or none when the time was up.", protocol.Fetched, example=given.FETCHED),),
        (Example("Up to ten jobs, now or never", 200, given.FETCH),),
        (codes.BODY, codes.WORKER, {"invalid_wait": 422}, codes.WRITE),
        body=(protocol.Fetch,),
        told="Jobs for a worker that polls: up to `slots`, at once when there are some, else when the "
        "first one "
        "comes, at most `wait` seconds later. Each comes with a lease, which has to be kept alive with "
        "beats.",
    ),
    ("POST", "/v1/finish"): Said(
        "finish",
        PROTOCOL,
        (Answer(200, "One answer per outcome, in order.", given.Finished, example=given.FINISHED),),
        (Example("One done, one failed", 200, given.FINISH),),
        (codes.BODY, codes.ID, codes.REPORT, codes.WRITE),
        body=(protocol.FinishBody,),
        told="What became of jobs. Every outcome is answered on its own; 409 when not one of the leases "
        "was good.",
    ),
    ("POST", "/v1/beat"): Said(
        "beat",
        PROTOCOL,
        (Answer(200, "What to give up; everything else is held.", protocol.Beaten, example=given.BEATEN),),
        (Example("Alive, and half way", 200, given.BEAT),),
        (codes.BODY, codes.ID, codes.BEAT, codes.WRITE),
        body=(protocol.BeatBody,),
        told="Signs of life, progress and log lines of running jobs. Leases without a beat end, and their "
        "jobs go "
        "to somebody else.",
    ),
    ("GET", "/v1/worker"): Said(
        "worker_socket",
        PROTOCOL,
        (Answer(101, "The WebSocket is open; say hello within ten seconds."),),
        (Example("Without an upgrade", 426),),
        (codes.UPGRADE,),
        told="A WebSocket on which jobs are pushed to a worker. Frames are JSON texts; docs/protocol.md "
        "describes "
        "them. To anything but an upgrade the answer is 426.",
    ),
    ("GET", "/v1/events"): Said(
        "events",
        EVENTS,
        (
            Answer(
                200,
                "Events without end. Each has `id`, `event` and, as JSON, `data`; a comment every 15 "
                "seconds when "
                "nothing happens.",
                {"type": "string"},
                media="text/event-stream",
                example="retry: 1000\nid: c93d7d62-17\nevent: ready\ndata: {}\n\n",
            ),
        ),
        (
            Example("Everything", 200),
            Example("One queue", 200, query={"topic": "queue:default"}),
            Example("Take up again", 200, headers={"Last-Event-ID": "c93d7d62-17"}),
        ),
        (codes.CURSOR,),
        headers=(LAST_EVENT,),
    ),
    ("GET", "/v1/live"): Said(
        "live_socket",
        EVENTS,
        (Answer(101, "The WebSocket is open; subscribe to topics."),),
        (Example("Without an upgrade", 426),),
        (codes.UPGRADE,),
        told="The same events on a WebSocket, many to a frame: for pages that watch many things. "
        "docs/events.md "
        "describes the frames. To anything but an upgrade the answer is 426.",
    ),
    ("GET", "/metrics"): Said(
        "metrics",
        SERVER,
        (
            Answer(
                200,
                "OpenMetrics.",
                {"type": "string"},
                media="application/openmetrics-text",
                example='rota_jobs{queue="default",state="pending"} 3.0\n# EOF\n',
            ),
        ),
        (Example("Scrape", 200),),
        (codes.READ,),
    ),
    ("GET", "/livez"): Said(
        "livez",
        SERVER,
        (Answer(200, "It answers.", shapes.Health, example=shapes.Health()),),
        (Example("Alive?", 200),),
        open=True,
    ),
    ("GET", "/readyz"): Said(
        "readyz",
        SERVER,
        (Answer(200, "It is ready.", shapes.Health, example=shapes.Health()),),
        (Example("Ready?", 200),),
        (codes.PROBE,),
        open=True,
    ),
    ("GET", "/health"): Said(
        "health",
        SERVER,
        (Answer(200, "It answers.", shapes.Health, example=shapes.Health()),),
        (Example("Alive?", 200),),
        open=True,
    ),
    ("GET", "/openapi.json"): Said(
        "openapi",
        SERVER,
        (Answer(200, "OpenAPI 3.1.", {"type": "object"}, example={"openapi": "3.1.0"}), SAME),
        (Example("This description", 200),),
        headers=(TAG,),
    ),
    ("GET", "/docs"): Said(
        "docs",
        SERVER,
        (Answer(200, "HTML.", {"type": "string"}, media="text/html", example="<!doctype html>"), SAME),
        (Example("The page", 200),),
        open=True,
        headers=(TAG,),
    ),
    ("GET", "/docs/{file}"): Said(
        "docs_file",
        SERVER,
        (Answer(200, "The file.", {"type": "string"}, media="*/*", example="body { margin: 0 }"), SAME),
        (Example("The style", 200),),
        (codes.NOWHERE,),
        open=True,
        path={"file": "docs.css"},
        headers=(TAG,),
    ),
}
