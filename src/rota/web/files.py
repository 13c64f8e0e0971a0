"""What came with a job, and what it left: zip archives, streamed both ways."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rota.core.reports import check_id
from rota.core.service import Service
from rota.model.errors import RotaError
from rota.model.file import File, Kind
from rota.web.answers import Json, problem
from rota.web.incoming import ZIP, check_media, receive_into, refuse_early
from rota.web.parameters import Asked, Parameter, Text, Whole
from rota.web.takes import takes

SAFE = {
    # Whatever was packed must never run as a page of ours.
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cache-control": "private, no-cache",
}


@takes()
async def get_upload(service: Service, request: Request, asked: Asked) -> Response:
    """The archive that came with a job, as it came. `ETag` is its SHA-256; with `If-None-Match` it is not
    sent again.
    """
    return _answer(service, request, "upload", await service.files.upload(request.path_params["id"]))


@takes()
async def get_artifact(service: Service, request: Request, asked: Asked) -> Response:
    """The archive that the latest try of a job left, also while it runs or when it failed; that of an earlier
    try is not shown any more. `ETag` is its SHA-256; with `If-None-Match` it is not sent again.
    """
    return _answer(service, request, "artifact", await service.files.artifact(request.path_params["id"]))


@takes(
    Parameter("worker", Text(), "the id of the worker that runs the job", required=True, example="w-1"),
    Parameter("lease", Whole(1), "the lease under which it does", required=True, example="1"),
)
async def put_artifact(service: Service, request: Request, asked: Asked) -> Response:
    """For the worker that runs the job: the body becomes its artifact, in place of one that this or an
    earlier try left. 409 when the job does not run under just this lease, also when that is so only at the
    end; nothing is changed then.
    """
    unread = True
    try:
        headers = request.headers
        check_id(asked["worker"])
        check_media(headers.get("content-type"), headers.get("content-encoding"))
        held = request.path_params["id"], asked["lease"], asked["worker"]
        await service.files.check_held(*held)
        async with service.files.spooling("artifact") as spool:
            await receive_into(spool, request.receive, headers.get("content-length"))
            unread = False
            file = await service.files.keep_artifact(*held, spool.file)
    except RotaError as error:
        if unread and error.status == 413:
            return _Early(problem(request, error))
        raise
    return Json({"bytes": file.bytes, "sha256": file.sha256})


def _answer(service: Service, request: Request, kind: Kind, file: File) -> Response:
    etag = f'"{file.sha256}"'
    headers = {**SAFE, "etag": etag}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    headers |= {
        "content-length": str(file.bytes),
        "content-disposition": f'attachment; filename="{request.path_params["id"]}-{kind}.zip"',
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=ZIP)
    return StreamingResponse(service.files.pieces(file), headers=headers, media_type=ZIP)


class _Early(Response):
    """A refusal while the body may still be coming."""

    def __init__(self, refusal: Response) -> None:
        super().__init__(refusal.body, refusal.status_code, media_type=refusal.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse_early(receive, send, self.status_code, self.raw_headers, bytes(self.body))
