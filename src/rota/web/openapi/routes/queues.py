"""Queues and workers."""

from __future__ import annotations

from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Routes, Said

QUEUES, WORKERS = "Queues", "Workers"
A_QUEUE = {"name": "default"}
THE_QUEUE = Answer(200, "The queue as it is now.", shapes.Queue, example=given.QUEUE)

SAID: Routes = {
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
        (
            Answer(
                200,
                "All workers.",
                shapes.WorkerList,
                example=shapes.WorkerList([given.WORKER], 5.0, given.PROGRAMS),
            ),
        ),
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
}
