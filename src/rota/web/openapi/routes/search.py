"""Finding jobs: what could be looked for, and all that was found as a file."""

from __future__ import annotations

from rota.core.suggest import Suggestion
from rota.web.openapi import codes
from rota.web.openapi.saying import Answer, Example, Routes, Said
from rota.web.suggest import Suggestions

JOBS = "Jobs"
LINE = {"id": "019cf2ff-5de3-7c0d-9d6f-0e2c7f3a1b2c", "state": "failed"}

SAID: Routes = {
    ("GET", "/v1/jobs/export"): Said(
        "export_jobs",
        JOBS,
        (
            Answer(
                200,
                "With `format=ndjson` a line for each job, as the list shows it; whole, as the job itself.",
                {"type": "object"},
                media="application/x-ndjson",
                example=LINE,
            ),
            Answer(
                200,
                "With `format=csv` a line of names and one for each job, as RFC 4180 has it. What is no text "
                "stands as JSON, what is not there as nothing. A text that a spreadsheet would run as a "
                "formula has an apostrophe before it.",
                {"type": "string"},
                media="text/csv",
                example="id,state\r\n019cf2ff-5de3-7c0d-9d6f-0e2c7f3a1b2c,failed\r\n",
            ),
        ),
        (
            Example("Everything", 200),
            Example("What failed, as a table", 200, query={"state": "failed", "format": "csv"}),
            Example("Whole jobs", 200, query={"whole": "true", "limit": "10"}),
        ),
        (codes.READ,),
        ticket=True,
    ),
    ("GET", "/v1/suggest"): Said(
        "suggest",
        JOBS,
        (
            Answer(
                200,
                "Values, best first.",
                Suggestions,
                example=Suggestions("queue", [Suggestion("emails", 1234), Suggestion("exports", 0)]),
            ),
        ),
        (
            Example("Queues", 200, query={"field": "queue"}),
            Example("Tags that begin so", 200, query={"field": "tag", "prefix": "cust", "limit": "5"}),
            Example("Members of payloads", 200, query={"field": "payload", "type": "sleep"}),
            Example("Values of a member", 200, query={"field": "payload", "prefix": "user.id:"}),
        ),
        (codes.READ,),
    ),
}
