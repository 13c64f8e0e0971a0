"""A server in the test's own loop, and three ways to speak to it: HTTP, bytes on a socket, a WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
import websockets
from starlette.types import ASGIApp
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect

from rota import app, doors, terms
from rota.config import Settings
from rota.core import upkeep
from rota.core.service import Service
from rota.engines.open import open_engine
from tests.web.conformance import DESCRIPTION

PATIENCE = 10.0
"""Seconds after which a condition that did not come counts as a failure."""

NOBODY = "00000000-0000-7000-8000-000000000000"
"""A well-formed id that no job has."""

Json = dict[str, Any]


async def until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Return once ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE:g} seconds"
        await asyncio.sleep(0.002)


async def described(answer: httpx2.Response) -> None:
    """Every answer that a test gets is one that /openapi.json describes."""
    stream = answer.headers.get("content-type", "").startswith("text/event-stream")
    body = b"" if stream else await answer.aread()
    request = answer.request
    DESCRIPTION.check(request.method, request.url.path, answer.status_code, answer.headers, body)


class Site:
    """A running server, its service, and a client with its token. ``ours`` False: any answer will do."""

    server_state: ServerState

    def __init__(self, service: Service, port: int, token: str | None, ours: bool = True) -> None:
        self.service = service
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.socket_url = f"ws://127.0.0.1:{port}/v1/worker"
        self.auth = {} if token is None else {"authorization": f"Bearer {token}"}
        # A long timeout: who waits too long is found by the test's own deadline.
        self.http = httpx2.AsyncClient(
            base_url=self.url, headers=self.auth, timeout=PATIENCE, trust_env=False, verify=False
        )
        if ours:
            self.http.event_hooks = {"response": [described]}

    async def get(self, path: str, status: int = 200, **params: str | int | None) -> Any:
        """The JSON at ``path``; parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return read(await self.http.get(path, params=given or None), status)

    async def post(self, path: str, body: object = None, status: int = 200, **options: Any) -> Any:
        """The JSON answer to a POST of JSON (None: of nothing)."""
        return read(await self.http.post(path, json=body, **options), status)

    async def enqueue(self, type: str = "work", **fields: Any) -> str:
        """Store one job; its id."""
        return str((await self.post("/v1/jobs", {"type": type, **fields}, 201))["id"])

    async def enqueue_many(self, count: int, type: str = "work", **fields: Any) -> list[str]:
        """Store equal jobs in one request; their ids."""
        answer = await self.post("/v1/jobs", {"jobs": [{"type": type, **fields}] * count}, 201)
        return [str(job["id"]) for job in answer["jobs"]]

    async def job(self, id: str) -> Json:
        answer: Json = await self.get(f"/v1/jobs/{id}")
        return answer

    async def state(self, id: str) -> str:
        return str((await self.job(id))["state"])

    async def stored(self) -> int:
        """How many jobs the store holds."""
        return sum(row.jobs for row in await self.service.engine.count())

    async def quiet(self) -> None:
        """Let everything that was set in motion inside the server come to its end."""
        for _ in range(8):
            await self.service.engine.save([])
            await asyncio.sleep(0)

    async def raw(self, request: bytes, *, half_close: bool = False) -> Answer:
        """Bytes as they are, and the first answer to them. ``half_close``: nothing more will be sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            if half_close:
                writer.write_eof()
            return await asyncio.wait_for(Answer.read(reader), PATIENCE)
        finally:
            writer.close()

    async def send(
        self, body: bytes, path: str = "/v1/jobs", headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """POST these bytes as JSON."""
        return await self.http.post(
            path, content=body, headers={"content-type": "application/json", **(headers or {})}
        )

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[SocketWorker]:
        """A connection to the worker socket, nothing sent yet."""
        headers = {**self.auth, **options.pop("headers", {})}
        url = options.pop("url", self.socket_url)
        async with connect(url, additional_headers=headers, proxy=None, **options) as connection:
            yield SocketWorker(connection)

    @asynccontextmanager
    async def worker(self, id: str = "w1", **hello: Any) -> AsyncIterator[SocketWorker]:
        """A worker that has been welcomed."""
        async with self.socket() as worker:
            worker.welcome = await worker.hello(id, **hello)
            yield worker


class Answer:
    """An HTTP answer, read byte by byte."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.content = body

    def json(self) -> Any:
        return json.loads(self.content)

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = [line.partition(":") for line in head[1:-2]]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return cls(int(head[0].split()[1]), headers, body)


class SocketWorker:
    """A worker in JSON and nothing else: no code of the server or the SDK is behind it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.welcome: Json = {}
        self.frames: list[Json] = []

    async def send(self, op: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"op": op, **fields}))

    async def send_raw(self, frame: str | bytes) -> None:
        await self.connection.send(frame)

    async def receive(self) -> Json:
        """The next frame."""
        if self.frames:
            return self.frames.pop(0)
        frame: Json = json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE))
        return frame

    async def next(self, op: str) -> Json:
        """The next frame of this kind; others are kept for later."""
        kept: list[Json] = []
        while True:
            frame = await self.receive()
            if frame["op"] == op:
                self.frames = kept + self.frames
                return frame
            kept.append(frame)

    async def hello(self, id: str = "w1", **fields: Any) -> Json:
        """Introduce oneself; the welcome."""
        await self.send("hello", **{"worker": id, "queues": ["default"], "slots": 1, **fields})
        return await self.next("welcome")

    async def jobs(self, count: int = 1) -> list[Json]:
        """That many jobs, from as many frames as it takes."""
        jobs: list[Json] = []
        while len(jobs) < count:
            jobs += (await self.next("jobs"))["jobs"]
        assert len(jobs) == count
        return jobs

    async def job(self) -> Json:
        return (await self.jobs(1))[0]

    async def finish(self, *outcomes: Json) -> list[Json]:
        """Report endings; the answers."""
        await self.send("finish", outcomes=outcomes)
        answers: list[Json] = (await self.next("finished"))["answers"]
        return answers

    async def done(self, job: Json, **fields: Any) -> Json:
        return (await self.finish({**lease(job), "end": "done", **fields}))[0]

    async def refused(self) -> Json:
        """The next refusal."""
        return await self.next("error")

    async def closed(self) -> int:
        """The close code, once the server has closed."""
        try:
            while True:
                self.frames.append(json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE)))
        except websockets.ConnectionClosed:
            assert self.connection.close_code is not None
            return self.connection.close_code


def lease(job: Json) -> Json:
    """What names a job in a worker's hand."""
    return {"id": job["id"], "lease": job["lease"]}


def leases(jobs: Sequence[Json]) -> list[Json]:
    return [lease(job) for job in jobs]


def read(answer: httpx2.Response | Answer, status: int = 200) -> Any:
    """The JSON of an answer that has this status."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.content[:500]!r}"
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    elif answer.content:
        assert answer.headers["content-type"] == "application/json"
    return answer.json() if answer.content else None


def problem(answer: httpx2.Response | Answer, status: int, code: str, field: str | None = None) -> Json:
    """Check that an answer is a whole problem of this kind."""
    told: Json = read(answer, status)
    assert (told["code"], told.get("field")) == (code, field), told
    assert told["status"] == status
    assert told["type"] == f"urn:rota:problem:{code}"
    assert told["title"]
    assert told["detail"][-1] in ".?"
    assert len(told["detail"]) < 1000
    return told


@asynccontextmanager
async def serving(
    store: str,
    settings: Settings | None = None,
    *,
    service: Service | None = None,
    application: Callable[[Service], ASGIApp] | None = None,
    timers: bool = False,
) -> AsyncIterator[Site]:
    """The web of a server, wired and configured as ``rota serve`` does it, in this loop.

    ``timers``: with upkeep. ``application``: in place of the whole web.
    """
    settings = settings or Settings()
    engine = service.engine if service is not None else await open_engine(store)
    service = service or Service(engine, rules=terms.rules(settings), limits=terms.limits(settings))
    await service.load()
    fronts = list(doors.fronts(service, settings))
    web = doors.applications(service, settings, fronts)[0] if application is None else application(service)
    config = app._web(web, settings)
    server = uvicorn.Server(config)
    config.load()
    # What uvicorn does in `serve`, but without a loop that looks ten times a second whether it is to stop.
    server.lifespan = config.lifespan_class(config)
    [listener] = doors.open_doors(Settings(listen="127.0.0.1:0"))
    await server.startup([listener])
    await server.on_tick(0)
    loops = [one.run() for one in fronts if one.run is not None]
    background = [asyncio.ensure_future(one) for one in ([*loops, upkeep.run(service)] if timers else loops)]
    token = None if settings.token is None else settings.token.reveal()
    site = Site(service, listener.getsockname()[1], token, application is None)
    site.server_state = server.server_state
    try:
        yield site
    finally:
        await site.http.aclose()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        service.workers.answer_fetches()
        service.bus.close()
        for one in server.servers:
            one.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        state = server.server_state
        await until(lambda: not (state.tasks or state.connections), "the end of all requests")
        listener.close()
        await engine.close()
