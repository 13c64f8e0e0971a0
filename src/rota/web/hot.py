"""The four requests that carry the load, as bare ASGI: enqueue, fetch, finish, beat.

A framework costs 10 to 90 µs per request here, as much as all the work behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from rota.core.reports import check_id
from rota.core.service import Service
from rota.model import protocol
from rota.model.errors import BadInput, StaleLease
from rota.model.job import ENDED, Job, Kept, Request
from rota.model.spec import request
from rota.web import reports, strict, wire
from rota.web.asgi import Call, Hot, Start
from rota.web.incoming import is_zip
from rota.web.parameters import NOTHING, WAIT, Query
from rota.web.trace import traced
from rota.web.uploads import Index, Uploads

_fetch = msgspec.json.Decoder(protocol.Fetch)
_finish = msgspec.json.Decoder(protocol.FinishBody)
_beat = msgspec.json.Decoder(protocol.BeatBody)

ENQUEUE = Query(WAIT)
QUERIES = {"/v1/jobs": ENQUEUE, "/v1/fetch": NOTHING, "/v1/finish": NOTHING, "/v1/beat": NOTHING}
"""By path, for their description."""


class HotApi:
    """Bound to one service."""

    def __init__(self, service: Service, index: Index) -> None:
        self._service = service
        self._uploads = Uploads(service, index)
        self.routes: dict[tuple[str, str], Hot] = {
            ("POST", "/v1/jobs"): self.enqueue,
            ("POST", "/v1/fetch"): self.fetch,
            ("POST", "/v1/finish"): self.finish,
            ("POST", "/v1/beat"): self.beat,
        }
        self.whole: dict[str, Start] = {"/v1/jobs": self.start_enqueue}

    async def enqueue(self, call: Call) -> tuple[int, bytes]:
        """Store one job, or up to 10,000 as ``{"jobs": [...]}``: all or none. ``?wait=`` holds the answer
        (one job). With a zip archive as body: the one job that it comes with.
        """
        wait = ENQUEUE.read(call.query)["wait"] if call.query else None
        if is_zip(call.header(b"content-type")):
            asked, kept = await self._uploads.enqueue(call)
            if wait is None:
                return _stored(asked, False, [kept])
            return self._waited(asked, kept, await self._service.wait(kept.id, wait))
        asked, many = self._asked(call, await call.json())
        if wait is None:
            return _stored(asked, many, await self._service.enqueue(asked))
        if many:
            raise BadInput(
                "wait goes with one job, not with a list.", code="conflicting_fields", field="wait"
            )
        return self._waited(asked, *await self._service.enqueue_and_wait(asked, wait))

    def start_enqueue(
        self, call: Call, body: bytes
    ) -> tuple[asyncio.Future[list[Kept]], Callable[[list[Kept]], tuple[int, bytes]]]:
        """The same without parameters, for a body that is there."""
        asked, many = self._asked(call, body)
        return self._service.enqueue(asked), partial(_stored, asked, many)

    async def fetch(self, call: Call) -> tuple[int, bytes]:
        """Jobs for a worker that polls; waits for the first one."""
        NOTHING.read(call.query)
        ask = wire.decode(_fetch, await call.json())
        fetching = asyncio.ensure_future(self._service.workers.fetch(ask))
        leaving = asyncio.ensure_future(call.gone())
        try:
            await asyncio.wait([fetching, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done():
                return 200, wire.encode(fetching.result())
            # Nobody would get these jobs: hand them back now rather than when their lease ends.
            if fetching.done():
                back = [protocol.Ending(job.id, job.lease, "released") for job in fetching.result().jobs]
                await self._service.workers.finish(ask.worker, back)
            return 200, b"{}"
        finally:
            fetching.cancel()
            leaving.cancel()

    async def finish(self, call: Call) -> tuple[int, bytes]:
        """What became of jobs, from a worker that polls. 409 when not one of the leases was good."""
        NOTHING.read(call.query)
        report = reports.decode(_finish, await call.json())
        check_id(report.worker)
        answers = await self._service.workers.finish(report.worker, report.outcomes)
        if answers and not any(answer.applied for answer in answers):
            raise StaleLease(
                "No lease in this report is its job's any more; nothing was changed.", answers=answers
            )
        return 200, wire.encode({"answers": answers})

    async def beat(self, call: Call) -> tuple[int, bytes]:
        """Signs of life, progress and log lines from a worker that polls."""
        NOTHING.read(call.query)
        report = wire.decode(_beat, await call.json())
        check_id(report.worker)
        workers = self._service.workers
        if report.drain:
            workers.leaving(report.worker)
        # The leases first: a line that is refused must not cost a job.
        stops = await workers.extend(report.worker, report.leases, report.progress)
        await workers.log(report.lines, report.worker)
        return 200, wire.encode(protocol.Beaten(stops, workers.beaten(report.worker)))

    def _asked(self, call: Call, body: bytes) -> tuple[Request, bool]:
        """The jobs, and whether they were written as a list."""
        specs, many = wire.specs(body)
        key = call.header(b"idempotency-key")
        if key is not None:
            # The header's standard form is a quoted string; most clients send it bare.
            key = key.strip('"')
        service = self._service
        asked = request(specs, service.clock.now(), service.limits, many=many, key=key, body=body)
        # After the sizes, so that no payload is looked into that is too large anyway.
        strict.check(body, wire.LEVELS if many else 1)
        if call.header(b"traceparent") is not None:
            asked = traced(asked, call)
        return asked, many

    def _waited(self, asked: Request, kept: Kept, job: Job | None) -> tuple[int, bytes]:
        if job is None:
            return 200, wire.encode(wire.kept(kept, asked.jobs[0]))
        shape = wire.job(job, self._service.waits_for(job))
        return 200 if job.state in ENDED else 202, wire.encode(shape)


def _stored(asked: Request, many: bool, kept: list[Kept]) -> tuple[int, bytes]:
    shapes = [wire.kept(one, job) for one, job in zip(kept, asked.jobs, strict=True)]
    status = 201 if any(shape.created for shape in shapes) else 200
    return status, wire.encode({"jobs": shapes} if many else shapes[0])
