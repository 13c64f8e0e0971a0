"""Requests about jobs, but for their enqueue (see :mod:`rota.web.hot`)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import LOG_LINES, Service
from rota.model.job import ENDED, Job, State
from rota.web import wire
from rota.web.answers import Json
from rota.web.filters import LIST, match_of
from rota.web.parameters import WAIT, Asked, Parameter, Whole
from rota.web.takes import takes


@takes(*LIST)
async def list_jobs(service: Service, request: Request, asked: Asked) -> Response:
    """Jobs that match all parameters given, newest first, without payload, result and attempts. `cursor` in
    the answer asks for the next page; `null`: this was the last.
    """
    page = await service.jobs(match_of(asked), asked["limit"], asked["cursor"])
    jobs = [wire.job(job, service.waits_for(job), whole=False) for job in page.jobs]
    return Json({"jobs": jobs, "cursor": page.cursor})


@takes(WAIT)
async def get_job(service: Service, request: Request, asked: Asked) -> Response:
    """One job with its payload, result, attempts and errors. With `wait`, once it has ended, or as it is
    when the time is up.
    """
    job = await _job(service, request, asked)
    return Json(wire.job(job, service.waits_for(job)))


@takes(WAIT)
async def get_result(service: Service, request: Request, asked: Asked) -> Response:
    """The result of a job that is done, bare: the bytes that the handler gave, with their content type. 202
    while the job has not ended; 409 when it ended without a result.
    """
    job = await _job(service, request, asked)
    if job.state is State.DONE:
        # Whatever a job produced must never run as a page of ours.
        headers = {
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox; default-src 'none'",
        }
        result = b"null" if job.result is None else job.result
        return Response(result, headers=headers, media_type=job.result_type or "application/json")
    if job.state in ENDED:
        raise wire.no_result(job)
    return Json({"id": job.id, "state": job.state}, 202)


@takes(
    Parameter("after", Whole(0), "only lines after this number", default=0),
    Parameter("limit", Whole(1, LOG_LINES), "lines in the answer", default=1000),
)
async def get_logs(service: Service, request: Request, asked: Asked) -> Response:
    """What the handler wrote while it ran, oldest first. Ask again with `next` as `after` for what came
    since.
    """
    after = asked["after"]
    lines = await service.logs(request.path_params["id"], after, asked["limit"])
    return Json(wire.log_page(lines, after))


@takes()
async def cancel(service: Service, request: Request, asked: Asked) -> Response:
    """A waiting job ends as cancelled. A running one is asked to stop (202); if its handler finishes first,
    it is done.
    """
    job = await service.cancel(request.path_params["id"])
    return Json(wire.job(job), 202 if job.state is State.RUNNING else 200)


@takes()
async def retry(service: Service, request: Request, asked: Asked) -> Response:
    """A job that has ended becomes pending again, with all its attempts before it."""
    return Json(wire.job(await service.retry(request.path_params["id"])))


@takes()
async def run_now(service: Service, request: Request, asked: Asked) -> Response:
    """A scheduled job (one that waits for its backoff, too) becomes pending at once."""
    return Json(wire.job(await service.run_now(request.path_params["id"])))


@takes()
async def delete(service: Service, request: Request, asked: Asked) -> Response:
    """The job and all that belongs to it goes. A running job is not deleted; cancel it first."""
    await service.delete(request.path_params["id"])
    return Response(status_code=204)


async def _job(service: Service, request: Request, asked: Asked) -> Job:
    """The job of the path; with ``?wait=`` once it has ended, or as it is then."""
    id = request.path_params["id"]
    if asked["wait"] is None:
        return await service.job(id)
    job = await service.wait(id, asked["wait"])
    return job if job is not None else await service.job(id)
