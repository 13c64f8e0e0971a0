"""Traces of real processes, exported over OTLP to a real receiver: whose parent is who, and what is said."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.semconv._incubating.attributes import messaging_attributes as names

from tests.sdk.collector import CONSUMER, INTERNAL, PRODUCER, PROGRAM, SERVER, Collector, Span
from tests.server import DEADLINE, Server, environment, running, running_server

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{ABOVE}-01"


class Shop:
    """A traced server and a traced worker."""

    def __init__(self, server: Server, collector: Collector, http: httpx2.AsyncClient) -> None:
        self.server = server
        self.collector = collector
        self.http = http

    async def run(self, type: str, payload: object = None, *, parent: str = PARENT, **fields: Any) -> Any:
        """Store a job within a trace, and the job once it has ended."""
        headers = {"traceparent": parent, "tracestate": "vendor=1"}
        answer = await self.http.post(
            "/v1/jobs?wait=15", json={"type": type, "payload": payload, **fields}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, there: Callable[[], Any]) -> Any:
        """What it gives, once that is something."""
        async with asyncio.timeout(DEADLINE):
            while True:
                if found := there():
                    return found
                await asyncio.sleep(0.02)

    async def tries(self, job: str, count: int = 1) -> list[Span]:
        """The spans of a job's tries."""
        found: list[Span] = await self.until(
            lambda: tries if len(tries := self.collector.of(job)) >= count else None
        )
        assert len(found) == count
        return found


@asynccontextmanager
async def shop_in(folder: Path, **env: str | None) -> AsyncIterator[Shop]:
    collector = Collector()
    (folder / "shop.py").write_text(PROGRAM)
    async with collector.sink.running():
        env = {**collector.environment, "ROTA_HANDLERS__WEBHOOK__ALLOW_PRIVATE": "true", **env}
        with running_server(folder, env=env) as server:
            with running(folder, "work", "shop:app", "--url", server.url, env=env) as worker:
                async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE) as http:
                    yield Shop(server, collector, http)
                # Nobody may stand on the loop while they send their last spans.
                await asyncio.to_thread(worker.stop)
                await asyncio.to_thread(server.stop)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_in(tmp_path) as shop:
        yield shop


async def test_handlers_of_every_kind_go_on_in_the_trace_of_the_request(shop: Shop) -> None:
    for type in ("looped", "threaded", "apart"):
        job = await shop.run(type)
        assert job["state"] == "done", job
        (span,) = await shop.tries(job["id"])
        assert (span.service, span.name, span.kind) == ("rota-worker", "process default", CONSUMER)
        assert (span.trace, span.parent, span.links, span.failed) == (TRACE, ABOVE, [], False)
        client = span.attributes.pop(names.MESSAGING_CLIENT_ID)
        workers = (await shop.http.get("/v1/workers")).json()["workers"]
        assert [client] == [one["name"] for one in workers if one["transport"] == "socket"]
        assert span.attributes == {
            names.MESSAGING_SYSTEM: "rota",
            names.MESSAGING_OPERATION_TYPE: names.MessagingOperationTypeValues.PROCESS.value,
            names.MESSAGING_OPERATION_NAME: "process",
            names.MESSAGING_DESTINATION_NAME: "default",
            names.MESSAGING_MESSAGE_ID: job["id"],
            "rota.job.type": type,
            "rota.job.attempt": 1,
            "rota.job.max_attempts": 10,
            "rota.job.end": "done",
        }
        (inner,) = await shop.until(partial(shop.collector.below, span))
        assert (inner.name, inner.kind) == (f"in {type}", INTERNAL)
    # The handler still sees the headers that came with the job.
    assert (await shop.run("threaded"))["result"] == PARENT


async def test_failures_are_told_and_every_try_has_a_span(shop: Shop) -> None:
    job = await shop.run("fails", max_attempts=2, retry={"kind": "fixed", "delay": 0})
    assert job["state"] == "failed"
    first, second = await shop.tries(job["id"], 2)
    for number, span in enumerate((first, second), 1):
        assert (span.parent, span.failed, span.attributes["rota.job.attempt"]) == (ABOVE, True, number)
        assert span.attributes["error.type"] == "KeyError"
        assert span.events["exception"]["exception.type"] == "KeyError"
        assert span.events["exception"]["exception.message"] == "'nothing here'"
        assert 'raise KeyError("nothing here")' in span.events["exception"]["exception.stacktrace"]
    dead = (await shop.http.post("/v1/jobs", json={"type": "dies", "max_attempts": 1})).json()["id"]
    (span,) = await shop.tries(dead)
    assert (span.failed, span.attributes["error.type"]) == (True, "ProcessDied")


async def test_the_jobs_of_a_handler_are_part_of_the_trace(shop: Shop) -> None:
    job = await shop.run("follows")
    (span,) = await shop.tries(job["id"])
    (sent,) = await shop.until(lambda: shop.collector.below(span))
    assert (sent.name, sent.kind) == ("send default", PRODUCER)
    assert sent.attributes.pop("server.port") == int(shop.server.url.rpartition(":")[2])
    assert sent.attributes == {
        names.MESSAGING_SYSTEM: "rota",
        names.MESSAGING_OPERATION_TYPE: names.MessagingOperationTypeValues.SEND.value,
        names.MESSAGING_OPERATION_NAME: "send",
        names.MESSAGING_DESTINATION_NAME: "default",
        names.MESSAGING_MESSAGE_ID: job["result"],
        "rota.job.type": "looped",
        "server.address": "127.0.0.1",
    }
    (next,) = await shop.tries(job["result"])
    assert (next.trace, next.parent) == (TRACE, sent.id)


async def test_jobs_of_one_request_have_traces_of_their_own_with_a_link(shop: Shop) -> None:
    job = await shop.run("spreads")
    (span,) = await shop.tries(job["id"])
    (sent,) = await shop.until(lambda: shop.collector.below(span))
    assert sent.attributes[names.MESSAGING_BATCH_MESSAGE_COUNT] == 2
    tries = [(await shop.tries(id))[0] for id in job["result"]]
    assert len({TRACE, *(one.trace for one in tries)}) == 3
    for one in tries:
        assert (one.parent, one.links) == ("", [(TRACE, sent.id)])


async def test_the_server_has_spans_and_the_webhook_passes_the_trace_on(shop: Shop) -> None:
    job = await shop.run("webhook", {"url": shop.collector.sink.url("/hook")})
    assert job["state"] == "done", job
    (span,) = await shop.tries(job["id"])
    assert (span.service, span.trace, span.parent) == ("rota", TRACE, ABOVE)
    (hook,) = [one for one in shop.collector.sink.requests if one.target == "/hook"]
    assert hook.headers["traceparent"] == f"00-{TRACE}-{span.id}-01"
    assert hook.headers["tracestate"] == "vendor=1"
    await shop.http.get(f"/v1/jobs/{job['id']}")
    await shop.http.get("/livez")
    await shop.http.get("/nowhere")

    def served() -> dict[str, Span]:
        return {one.name: one for one in shop.collector.spans() if one.kind == SERVER}

    await shop.until(lambda: {"POST /v1/jobs", "GET /v1/jobs/{id}", "GET"} <= set(served()))
    spans = served()
    assert (spans["POST /v1/jobs"].trace, spans["POST /v1/jobs"].parent) == (TRACE, ABOVE)
    assert spans["GET /v1/jobs/{id}"].attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/jobs/{id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": f"/v1/jobs/{job['id']}",
    }
    assert spans["GET"].attributes["http.response.status_code"] == 404
    assert not [name for name in spans if "livez" in name or "readyz" in name]


async def test_a_job_without_a_trace_begins_one_with_the_request(shop: Shop) -> None:
    job = await shop.run("looped", parent="nonsense")
    (span,) = await shop.tries(job["id"])
    (served,) = await shop.until(lambda: [one for one in shop.collector.spans() if one.id == span.parent])
    assert (served.name, served.kind, served.trace, served.parent) == (
        "POST /v1/jobs",
        SERVER,
        span.trace,
        "",
    )


async def test_what_waits_is_sent_at_the_end(tmp_path: Path) -> None:
    async with shop_in(tmp_path, OTEL_BSP_SCHEDULE_DELAY="600000", OTEL_SERVICE_NAME="mine") as shop:
        jobs = [(await shop.run(type))["id"] for type in ("looped", "apart")]
        assert not shop.collector.spans()
    assert [shop.collector.of(id)[0].service for id in jobs] == ["mine", "mine"]
    assert {"in looped", "in apart", "POST /v1/jobs"} <= {one.name for one in shop.collector.spans()}


async def test_a_collector_that_is_away_delays_nobody(tmp_path: Path) -> None:
    env: dict[str, str | None] = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with running_server(tmp_path, env=env) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE) as http:
            job = {"type": "sleep", "payload": {"ms": 0}}
            assert (await http.post("/v1/jobs?wait=20", json=job)).json()["state"] == "done"
        assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER names what there is not"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "no traces: this OTLP protocol is not there",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": "blocked"},
            "no traces: OpenTelemetry is not installed",
        ),
    ],
    ids=["exporter", "protocol", "not installed"],
)
def test_what_cannot_be_had_is_told_and_the_server_serves(
    tmp_path: Path, env: dict[str, str | None], told: str
) -> None:
    if "PYTHONPATH" in env:
        blocked = tmp_path / "opentelemetry"
        blocked.mkdir()
        (blocked / "__init__.py").write_text("raise ImportError('not here')\n")
        env = {**env, "PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"}
    with running_server(tmp_path, env=env) as server:
        assert server.wait_for(told)["level"] == "warning"
        assert httpx2.get(server.url + "/livez").status_code == 200


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
    ids=["nothing", "disabled", "none"],
)
def test_who_does_not_trace_loads_nothing(env: dict[str, str | None]) -> None:
    code = (
        "import sys, asyncio\n"
        "from rota import app, App, handlers\n"
        "from rota.sdk import trace, worker, socket, poll, child, client, runners\n"
        "import rota.commands.serve, rota.commands.work\n"
        "assert not trace.setup('x') and trace.tracer() is None and trace.carried() == {}\n"
        "tasks = App(); tasks.task(name='t')(lambda x: x)\n"
        "async def main():\n"
        "    made = worker.Worker(tasks, None)._runners(runners.Home.here(), None)\n"
        "    return [type(one).__name__ for one in made.values()]\n"
        "print(asyncio.run(main()), [n for n in sys.modules if n.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(env), capture_output=True, text=True, check=True
    )
    assert done.stdout == "['LoopRunner', 'ThreadRunner', 'ProcessRunner'] []\n"


async def test_a_handler_in_a_worker_without_opentelemetry_still_passes_the_trace_on(tmp_path: Path) -> None:
    program = PROGRAM.replace("from opentelemetry import trace\n", "").replace('inside("in', 'str("in')
    (tmp_path / "shop.py").write_text(program)
    with running_server(tmp_path, "--work", "shop:app") as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE) as http:
            answer = await http.post(
                "/v1/jobs?wait=20", json={"type": "follows"}, headers={"traceparent": PARENT}
            )
            job = (await http.get(f"/v1/jobs/{answer.json()['result']}")).json()
    assert job["headers"] == {"traceparent": PARENT}
