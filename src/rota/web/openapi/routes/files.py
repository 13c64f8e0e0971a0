"""Files of jobs."""

from __future__ import annotations

from rota.web.incoming import ZIP
from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import BINARY, Answer, Example, Routes, Said

FILES = "Files"
A_JOB = {"id": given.ID}
SHOWN = (
    Answer(200, "The archive, with its length.", BINARY, media=ZIP, example="PK"),
    Answer(304, "`If-None-Match` has its `ETag`."),
)

SAID: Routes = {
    ("GET", "/v1/jobs/{id}/upload"): Said(
        "get_upload",
        FILES,
        SHOWN,
        (Example("What came with it", 200),),
        (codes.JOB, {"no_upload": 404}, codes.READ),
        path=A_JOB,
        ticket=True,
    ),
    ("GET", "/v1/jobs/{id}/artifact"): Said(
        "get_artifact",
        FILES,
        SHOWN,
        (Example("What it left", 200),),
        (codes.JOB, {"no_artifact": 404}, codes.READ),
        path=A_JOB,
        ticket=True,
    ),
    ("PUT", "/v1/jobs/{id}/artifact"): Said(
        "put_artifact",
        FILES,
        (Answer(200, "It is on stable storage, and shown.", shapes.KeptFile, example=given.KEPT_FILE),),
        (
            Example(
                "An archive without files",
                200,
                query={"worker": given.WORKER_ID, "lease": "1"},
                archive=given.ARCHIVE,
            ),
        ),
        (codes.JOB, codes.REPORT, codes.ID, codes.ARCHIVE_BODY, codes.WRITE),
        archive="What the job left.",
        path=A_JOB,
    ),
}
