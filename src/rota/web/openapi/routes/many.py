"""Many jobs: lists, acts on all of a filter, and failures by what they have in common."""

from __future__ import annotations

from rota.web.bulk import LINES
from rota.web.filters import BulkRequest
from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Routes, Said

JOBS = "Jobs"


def _bulk(name: str, example: BulkRequest) -> Said:
    return Said(
        name,
        JOBS,
        (
            Answer(
                200,
                "How far it is; with a `cursor` there is more to do: send the same request with it.",
                shapes.BulkProgress,
                example=given.BULK_DONE,
            ),
            Answer(
                200,
                f"With `Accept: {LINES}` a line for every step, until all is done. What goes wrong after the "
                "first one is told as a problem on the last one.",
                shapes.BulkProgress | shapes.Problem,
                media=LINES,
                example=[given.BULK_BEGUN, given.BULK_DONE],
            ),
        ),
        (
            Example("Count only", 200, example),
            Example("The thousand oldest", 200, given.BULK_LIMITED),
            Example("Step by step", 200, given.BULK_LIMITED, headers={"Accept": LINES}),
            Example("Every job", 200, given.BULK_ALL),
        ),
        (codes.BODY, codes.MANY, codes.CURSOR, codes.WRITE),
        body=(BulkRequest,),
    )


SAID: Routes = {
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
    ("POST", "/v1/jobs/cancel"): _bulk("cancel_all", given.ALL_PENDING),
    ("POST", "/v1/jobs/retry"): _bulk("retry_all", given.ALL_FAILED),
    ("POST", "/v1/jobs/delete"): _bulk("delete_all", given.ALL_DONE),
    ("GET", "/v1/failures"): Said(
        "failures",
        JOBS,
        (Answer(200, "A page of groups.", shapes.FailurePage, example=given.FAILURE_PAGE),),
        (
            Example("Last seen first", 200),
            Example("Of one queue", 200, query={"queue": "default", "limit": "10"}),
        ),
        (codes.CURSOR, codes.READ),
    ),
}
