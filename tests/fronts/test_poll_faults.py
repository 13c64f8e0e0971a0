"""job-poll-queue's interface where the disk fails, or a worker is gone before it has its answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from starlette.types import ASGIApp, Message

from rota import doors
from rota.config import Settings
from rota.core.service import Service
from rota.model.job import State
from tests.core.kit import put, state
from tests.crash.disk import Disk
from tests.web.kit import Site, serving, until


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(f"failing-{tmp_path.name}")
    yield disk
    disk.unregister()


def web(service: Service) -> ASGIApp:
    settings = Settings()
    return doors.applications(service, settings, list(doors.fronts(service, settings)))[0]


@pytest.fixture
async def site(disk: Disk, tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(f"sqlite:///{tmp_path}/rota.db?vfs={disk.name}", application=web) as site:
        yield site
        disk.fail.clear()


async def error(site: Site, method: str, path: str, **options: Any) -> str:
    answer = await site.http.request(method, path, **options)
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


async def test_a_store_that_fails_is_told_of_in_the_words_of_the_original(site: Site, disk: Disk) -> None:
    service = site.service
    id = await put(service, "poll", queue="poll")
    assert (await site.http.get("/api/worker/poll")).status_code == 200
    second = await put(service, "poll", queue="poll")
    disk.fail["write"] = apsw.IOError("disk I/O error")
    credentials = {"Cookie": "a=b"}
    told = await error(site, "POST", "/api/submit", content=b"1", headers=credentials)
    assert told.startswith("Failed to process job: ")
    assert await error(site, "GET", "/api/worker/poll") == "Failed to poll for job"
    told = await error(site, "POST", f"/api/worker/complete/{id}", content=b"1")
    assert told.startswith("Failed to complete job: ")
    assert await error(site, "DELETE", "/api/admin/clear") == "Failed to clear queue"
    disk.fail.clear()
    assert [await state(service, one) for one in (id, second)] == [State.RUNNING, State.PENDING]
    assert (await site.http.get("/api/admin/stats")).json() == {
        "completed": 0, "pending": 1, "running": 1, "total": 2,
    }  # fmt: skip
    assert not service.bus._waiters
    done = await site.http.post(f"/api/worker/complete/{id}", content=b"1")
    assert done.status_code == 200


async def test_what_a_worker_that_left_would_have_got_is_the_next_again(site: Site) -> None:
    id = await put(site.service, "poll", queue="poll")
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/api/worker/poll", "root_path": "",
        "raw_path": b"/api/worker/poll", "query_string": b"", "scheme": "http", "client": ("1.2.3.4", 5),
        "server": ("127.0.0.1", 80), "headers": [(b"host", b"localhost")], "extensions": {},
    }  # fmt: skip
    await web(site.service)(scope, gone, send)
    assert sent[0]["status"] == 204
    job = await site.service.job(id)
    assert (job.state, job.attempt) == (State.PENDING, 0)
    assert (await site.http.get("/api/worker/poll")).json()["job_id"] == id


async def test_nothing_is_left_of_clients_that_come_and_go(site: Site) -> None:
    head = b"POST /api/submit HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\nContent-Length: 0\r\n\r\n"
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head)
        await writer.drain()
        await until(lambda: site.server_state.tasks)
        writer.close()
    await until(lambda: not site.server_state.tasks, "the end of all requests")
    before = (await site.http.get("/api/admin/stats")).json()["pending"]
    # Their credentials wait for the worker; with the job they go.
    assert before == len(site.service.bus._waiters) == 20
    for _ in range(before):
        job = (await site.http.get("/api/worker/poll")).json()
        assert job["headers"]["Cookie"] == "a=b"
        await site.http.post(f"/api/worker/complete/{job['job_id']}")
    await until(lambda: not site.service.bus._waiters, "the end of all that waits")


def test_the_system_looks_for_clients_that_vanished_without_a_word() -> None:
    [listener] = doors.open_doors(Settings(listen="127.0.0.1:0"))
    with listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
