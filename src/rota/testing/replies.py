"""What a server would answer to each call of a client, from the service in this process, in the same JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from rota import __version__
from rota.core import bulk
from rota.model.clock import SECOND, to_text
from rota.model.errors import BadInput, Conflict, NotFound, RotaError
from rota.model.job import ENDED, Job, Match, State
from rota.model.spec import parse_time, request
from rota.sdk.calls import JSON, Answer, Call
from rota.testing.driver import Driver
from rota.web import wire

PROBLEM = "application/problem+json"


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
        asked = dict(parse_qsl(query, keep_blank_values=True))
        service = self._service
        match call.method, [unquote(part) for part in path.strip("/").split("/")]:
            case "POST", ["v1", "jobs"]:
                return await self._enqueue(call, asked)
            case "GET", ["v1", "jobs"]:
                page = await service.jobs(_match(asked), int(asked.get("limit", 50)), asked.get("cursor"))
                jobs = [wire.job(job, service.waits_for(job), whole=False) for job in page.jobs]
                return _json({"jobs": jobs, "cursor": page.cursor})
            case "GET", ["v1", "jobs", id]:
                return self._job(await self._waited(id, asked))
            case "GET", ["v1", "jobs", id, "result"]:
                return _result(await self._waited(id, asked))
            case "GET", ["v1", "jobs", id, "logs"]:
                after = int(asked.get("after", 0))
                lines = await service.logs(id, after, int(asked.get("limit", 1000)))
                shapes = [
                    {"n": n, "at": to_text(one.at), "level": one.level, "text": one.text} for n, one in lines
                ]
                return _json({"lines": shapes, "next": lines[-1][0] if lines else after})
            case "POST", ["v1", "jobs", id, "cancel"]:
                return self._job(await service.cancel(id))
            case "POST", ["v1", "jobs", id, "retry"]:
                return self._job(await service.retry(id))
            case "POST", ["v1", "jobs", id, "run-now"]:
                return self._job(await service.run_now(id))
            case "DELETE", ["v1", "jobs", id]:
                await service.delete(id)
                return Answer(204, JSON, b"")
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
                return await self._stats()
            case "GET", ["health"]:
                return _json({"status": "ok"})
        raise NotImplementedError(f"rota.testing has no answer to {call.method} {path}.")

    async def _enqueue(self, call: Call[Any], asked: dict[str, str]) -> Answer:
        body = call.body or b""
        specs, many = wire.specs(body)
        service, key = self._service, call.headers.get("Idempotency-Key")
        wanted = request(specs, service.clock.now(), service.limits, many=many, key=key, body=body)
        kept = await service.enqueue(wanted)
        if "wait" in asked:
            job = await self._driver.wait(kept[0].id, float(asked["wait"]))
            if job is not None:
                return self._job(job)
        shapes = [wire.kept(one, job) for one, job in zip(kept, wanted.jobs, strict=True)]
        status = 201 if any(shape.created for shape in shapes) else 200
        return _json({"jobs": shapes} if many else shapes[0], status)

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
        raise NotImplementedError(f"rota.testing has no answer to {call.method} {call.path}.")

    async def _waited(self, id: str, asked: dict[str, str]) -> Job:
        job = await self._driver.wait(id, float(asked.get("wait", 0)))
        return job if job is not None else await self._service.job(id)

    async def _stats(self) -> Answer:
        service = self._service
        states = dict.fromkeys(State, 0)
        for row in await service.engine.count():
            states[row.state] += row.jobs
        roster, meter = service.workers.roster.values(), service.workers.meter
        return _json(
            {
                "version": __version__,
                "uptime": (service.clock.now() - service.started_at) / SECOND,
                "states": states,
                "enqueued": meter.enqueued.total(),
                "started": service.dispatch.started,
                "finished": meter.totals(),
                "workers": len(roster),
                "slots": sum(worker.slots for worker in roster),
                "running": sum(len(worker.taken) for worker in roster),
            }
        )

    def _job(self, job: Job) -> Answer:
        return _json(wire.job(job, self._service.waits_for(job)))


def _result(job: Job) -> Answer:
    if job.state is State.DONE:
        return Answer(200, job.result_type or JSON, b"null" if job.result is None else job.result)
    if job.state in ENDED:
        raise Conflict(
            f"The job ended as {job.state}; it has no result.",
            code=f"job_{job.state}",
            error=None if job.error is None else msgspec.Raw(job.error),
            reason=job.reason,
        )
    return _json({"id": job.id, "state": job.state}, 202)


def _match(asked: dict[str, str]) -> Match:
    states = None
    if "state" in asked:
        known = [state.value for state in State]
        if unknown := [name for name in asked["state"].split(",") if name not in known]:
            raise BadInput(
                f"state must be one or more (comma) of {', '.join(known)}, not {unknown[0]!r}.",
                code="invalid_filter",
                field="state",
            )
        states = tuple(State(name) for name in asked["state"].split(","))
    return Match(
        states=states,
        queue=asked.get("queue"),
        type=asked.get("type"),
        tag=asked.get("tag"),
        worker=asked.get("worker"),
        since=parse_time("since", asked["since"]) if "since" in asked else None,
        until=parse_time("until", asked["until"]) if "until" in asked else None,
        text=asked.get("q") or None,
    )


def _json(shape: object, status: int = 200) -> Answer:
    return Answer(status, JSON, wire.encode(shape))
