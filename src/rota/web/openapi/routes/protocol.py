"""What a worker itself asks."""

from __future__ import annotations

from rota.model import protocol
from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Routes, Said

PROTOCOL = "Worker protocol"

SAID: Routes = {
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
        (Answer(200, "One answer per outcome, in order.", shapes.Finished, example=given.FINISHED),),
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
}
