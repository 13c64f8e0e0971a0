"""What a server would answer to each call of a client, from the service in this process, in the same JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from rota.core import bulk, failures
from rota.core.facts import explain_job
from rota.core.files import described
from rota.core.spool import too_large
from rota.model.errors import NotFound, RotaError
from rota.model.file import File
from rota.model.job import ENDED, Job, State
from rota.model.spec import request
from rota.programs.archive_index import read_index
from rota.programs.archive_rules import ArchiveLimits
from rota.sdk.answers import FileInfo
from rota.sdk.calls import JOB_HEADER, JSON, ZIP, Answer, Call
from rota.sdk.transfer import Arriving
from rota.testing.driver import Driver
from rota.web import strict, target, wire
from rota.web.figures import FIGURES, counters, over_time
from rota.web.filters import LIST, bulk_of, match_of
from rota.web.parameters import Query
from rota.web.rows import EXPORT, written

PROBLEM = "application/problem+json"
_LIST, _EXPORT, _FIGURES = Query(*LIST), Query(*EXPORT), Query(*FIGURES)


class Replies:
    """Over one driver; on its loop."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._service = driver.service

    async def answer(self, call: Call[Any]) -> Answer:
        """The answer, a refusal included."""
        try:
            return await self._answer(call)
        except RotaError as error:
            return Answer(error.status, PROBLEM, wire.problem(error))

    async def _answer(self, call: Call[Any]) -> Answer:
        path, _, query = call.path.partition("?")
        target.check(path.encode(), query.encode())
        asked = dict(parse_qsl(query, keep_blank_values=True))
        service = self._service
        match call.method, [unquote(part) for part in path.strip("/").split("/")]:
            case "POST", ["v1", "jobs"]:
                return await self._enqueue(call, asked)
            case "GET", ["v1", "jobs"]:
                wish = _LIST.read(query.encode())
                page = await service.jobs(match_of(wish), wish["limit"], wish["cursor"])
                jobs = [wire.job(job, service.waits_for(job), whole=False) for job in page.jobs]
                return _json({"jobs": jobs, "cursor": page.cursor})
            case "GET", ["v1", "jobs", "export"]:
                return await self._export(call, query)
            case "POST", ["v1", "jobs", "cancel" | "retry" | "delete" as act]:
                return await self._bulk(act, call.body or b"")
            case method, ["v1", "jobs", id, *rest]:
                return await self._one(call, method, id, rest, asked)
            case "GET", ["v1", "failures"]:
                limit = int(asked.get("limit", 50))
                groups = (asked.get("queue"), asked.get("type"), limit, asked.get("cursor"))
                return _json(wire.failures(await failures.page(service, *groups)))
            case _, ["v1", "queues", *rest]:
                return await self._queues(call, rest)
            case "GET", ["v1", "workers"]:
                return _json({"workers": [wire.worker(one) for one in service.workers.roster.values()]})
            case "POST", ["v1", "workers", id, "drain"]:
                if not service.workers.ask_to_drain(id):
                    raise NotFound(
                        f"There is no worker {id!r} here.", code="worker_not_found", field="worker"
                    )
                return _json(wire.worker(service.workers.roster[id]), 202)
            case "GET", ["v1", "stats"]:
                if not query:
                    return _json(await counters(service))
                return _json(await over_time(service, _FIGURES.read(query.encode())))
            case "GET", ["health"]:
                return _json({"status": "ok"})
        raise _unknown(call)

    async def _one(
        self, call: Call[Any], method: str, id: str, rest: list[str], asked: dict[str, str]
    ) -> Answer:
        service = self._service
        match method, rest:
            case "GET", []:
                return self._job(await self._waited(id, asked))
            case "GET", ["artifact"]:
                return await self._file(call, await service.files.artifact(id))
            case "GET", ["result"]:
                return _result(await self._waited(id, asked))
            case "GET", ["logs"]:
                after = int(asked.get("after", 0))
                lines = await service.logs(id, after, int(asked.get("limit", 1000)))
                return _json(wire.log_page(lines, after))
            case "GET", ["explain"]:
                return _json(wire.explanation(await explain_job(service, id)))
            case "POST", ["cancel"]:
                return self._job(await service.cancel(id))
            case "POST", ["retry"]:
                return self._job(await service.retry(id))
            case "POST", ["run-now"]:
                return self._job(await service.run_now(id))
            case "DELETE", []:
                await service.delete(id)
                return Answer(204, JSON, b"")
        raise _unknown(call)

    async def _enqueue(self, call: Call[Any], asked: dict[str, str]) -> Answer:
        if call.file is not None:
            return await self._upload(call, call.file)
        body = call.body or b""
        specs, many = wire.specs(body)
        service, key = self._service, call.headers.get("Idempotency-Key")
        wanted = request(specs, service.clock.now(), service.limits, many=many, key=key, body=body)
        strict.check(body, wire.LEVELS if many else 1)
        kept = await service.enqueue(wanted)
        if "wait" in asked:
            job = await self._driver.wait(kept[0].id, float(asked["wait"]))
            if job is not None:
                return self._job(job)
        shapes = [wire.kept(one, job) for one, job in zip(kept, wanted.jobs, strict=True)]
        status = 201 if any(shape.created for shape in shapes) else 200
        return _json({"jobs": shapes} if many else shapes[0], status)

    async def _upload(self, call: Call[Any], path: Path) -> Answer:
        body = call.headers[JOB_HEADER].encode()
        [spec], _ = wire.specs(body)
        strict.check(body, 1)
        service, key = self._service, call.headers.get("Idempotency-Key")
        with path.open("rb") as source:
            if path.stat().st_size > service.limits.upload_bytes:
                raise too_large("upload", service.limits.upload_bytes)
            entries = len(read_index(source, ArchiveLimits()))
            async with service.files.storing(source) as file:
                known = [described(spec, file, entries)]
                text = body + file.sha256.encode()
                wanted = request(known, service.clock.now(), service.limits, many=False, key=key, body=text)
                [kept] = await service.enqueue(msgspec.structs.replace(wanted, upload=file))
        if call.progress is not None:
            call.progress(file.bytes, file.bytes)
        shape = wire.kept(kept, wanted.jobs[0])
        return _json(shape, 201 if shape.created else 200)

    async def _file(self, call: Call[Any], file: File) -> Answer:
        assert call.into is not None
        with Arriving(call.into) as arriving:
            async for piece in self._service.files.pieces(file):
                arriving.write(piece)
                if call.progress is not None:
                    call.progress(arriving.size, file.bytes)
        return Answer(200, ZIP, b"", file=FileInfo(file.bytes, file.sha256))

    async def _export(self, call: Call[Any], query: str) -> Answer:
        assert call.into is not None
        pieces = await written(self._service, _EXPORT.read(query.encode()))
        with Arriving(call.into) as arriving:
            async for piece in pieces:
                arriving.write(piece)
        return Answer(200, "", b"", file=FileInfo(arriving.size, arriving.sha256))

    async def _queues(self, call: Call[Any], rest: list[str]) -> Answer:
        service = self._service
        match call.method, rest:
            case "GET", []:
                return _json({"queues": [wire.queue(info) for info in await service.queues()]})
            case "POST", [name, "pause"]:
                return _json(wire.queue(await service.pause(name)))
            case "POST", [name, "resume"]:
                return _json(wire.queue(await service.resume(name)))
            case "DELETE", [name, "jobs"]:
                return _json({"deleted": await bulk.clear(service, name)})
        raise _unknown(call)

    async def _waited(self, id: str, asked: dict[str, str]) -> Job:
        job = await self._driver.wait(id, float(asked.get("wait", 0)))
        return job if job is not None else await self._service.job(id)

    async def _bulk(self, act: bulk.Act, body: bytes) -> Answer:
        asked, match = bulk_of(act, body)
        steps = (bulk.count if asked.dry_run else bulk.run)(
            self._service, act, match, asked.limit, asked.cursor
        )
        return _json([progress async for progress in steps][-1])

    def _job(self, job: Job) -> Answer:
        return _json(wire.job(job, self._service.waits_for(job)))


def _unknown(call: Call[Any]) -> NotImplementedError:
    return NotImplementedError(f"rota.testing has no answer to {call.method} {call.path}.")


def _result(job: Job) -> Answer:
    if job.state is State.DONE:
        return Answer(200, job.result_type or JSON, b"null" if job.result is None else job.result)
    if job.state in ENDED:
        raise wire.no_result(job)
    return _json({"id": job.id, "state": job.state}, 202)


def _json(shape: object, status: int = 200) -> Answer:
    return Answer(status, JSON, wire.encode(shape))
