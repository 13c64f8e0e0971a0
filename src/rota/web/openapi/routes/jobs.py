"""Jobs, one at a time."""

from __future__ import annotations

from rota.model.spec import JobSpec
from rota.web import wire
from rota.web.openapi import codes, shapes
from rota.web.openapi import examples as given
from rota.web.openapi.saying import Answer, Example, Header, Routes, Said

JOBS = "Jobs"
KEY = Header(
    "Idempotency-Key",
    "The same key with the same body gives the same job again, for 24 hours; with another body it is "
    "refused.",
    {"type": "string", "minLength": 1, "maxLength": 200},
    "order-4711",
)
JOB = Header(
    "Rota-Job",
    "The job that an archive comes with: what the body of a plain job would be, as JSON in ASCII, up to "
    "8 KiB. Without a `type` it is `program_zip`.",
    {"type": "string"},
    '{"queue": "programs"}',
)
A_JOB = {"id": given.ID}
WHOLE = Answer(200, "The job as it is now.", shapes.JobWhole, example=given.WHOLE)
LINKS = (
    "get_job",
    "get_result",
    "get_logs",
    "explain",
    "cancel",
    "retry",
    "run_now",
    "delete",
)


SAID: Routes = {
    ("POST", "/v1/jobs"): Said(
        "enqueue",
        JOBS,
        (
            Answer(
                201,
                "Stored, and on stable storage. A list is answered with a list.",
                wire.Stored | shapes.StoredMany,
                example=given.STORED,
                links=LINKS,
            ),
            Answer(
                200,
                "It was there already (`created` is false); or, with `wait`, the job, which has ended.",
                wire.Stored | shapes.StoredMany | shapes.JobWhole,
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
            Example(
                "With an archive", 201, headers={"Rota-Job": '{"queue": "programs"}'}, archive=given.ARCHIVE
            ),
        ),
        (codes.BODY, codes.SPEC, codes.ARCHIVE_BODY, codes.ARCHIVE, codes.WRITE),
        body=(JobSpec, wire.Many),
        archive="A zip archive, which becomes the upload of one job.",
        headers=(KEY, JOB),
        told='Store one job, or up to 10,000 as `{"jobs": [...]}`, all or none. An answer of 2xx means '
        "that they "
        "are on stable storage. With `wait` (one job) the answer is the job once it has ended, or as it "
        "is when "
        "the time is up. A zip archive as body becomes the upload of one job, which the header `Rota-Job` "
        "describes; its payload gets a member `upload` with `bytes`, `sha256` and `entries`.",
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
        ticket=True,
    ),
    ("GET", "/v1/jobs/{id}/logs"): Said(
        "get_logs",
        JOBS,
        (Answer(200, "Log lines.", shapes.LogPage, example=given.LOG_PAGE),),
        (Example("From the beginning", 200), Example("What came since", 200, query={"after": "17"})),
        (codes.JOB, codes.READ),
        path=A_JOB,
    ),
    ("GET", "/v1/jobs/{id}/explain"): Said(
        "explain",
        JOBS,
        (Answer(200, "Why, and until when.", shapes.JobExplanation, example=given.EXPLANATION),),
        (Example("Why does it not run?", 200),),
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
}
