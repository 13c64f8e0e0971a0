"""The SDK against a real server in a process of its own: clients, handles, and workers of both transports."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import rota
from rota.model.spec import MAX_JOBS
from rota.sdk.poll import PollSource
from rota.sdk.socket import SocketSource
from rota.sdk.source import Source
from rota.sdk.worker import Worker
from tests.sdk import program
from tests.sdk.memory import until
from tests.server import Server, running_server

Make = Callable[[str], Source]
both = pytest.mark.parametrize("make", [SocketSource, PollSource], ids=["socket", "poll"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as found:
        yield found


@asynccontextmanager
async def at_work(app: rota.App, source: Source, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(app, source, **options)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.drain()
        worker.drain()
        async with asyncio.timeout(10):
            await task
        await app.aclose()


class Oops(Exception):
    pass


def program_for(server: Server, queue: str) -> rota.App:
    app = rota.App(server.url, queue=queue)

    @app.task
    async def add(x: int, y: int = 1) -> int:
        return x + y

    @app.task
    def reverse(payload: bytes) -> bytes:
        return payload[::-1]

    @app.task(retries=2)
    def unlucky(ctx: rota.Context) -> int:
        ctx.log(f"attempt {ctx.attempt} of {ctx.max_attempts}")
        if ctx.attempt < 3:
            raise rota.Retry(0, "not yet")
        return ctx.attempt

    @app.task
    def hopeless() -> None:
        raise rota.Fail("never") from Oops("inner")

    @app.task
    async def naps(ctx: rota.Context) -> str:
        if ctx.headers.get("napped") != "yes" and not napped:
            napped.append(ctx.id)
            ctx.snooze(0.05)
        return f"attempt {ctx.attempt}"

    napped: list[str] = []

    @app.task
    async def endless(ctx: rota.Context) -> None:
        ctx.progress(0.25, "a quarter")
        await asyncio.sleep(600)

    return app


@both
async def test_jobs_of_every_kind(server: Server, make: Make) -> None:
    app = program_for(server, f"kinds-{make.__name__}")
    add, reverse, unlucky = (app.tasks[name] for name in ("add", "reverse", "unlucky"))
    async with at_work(app, make(server.url), slots=4):
        assert await (await add.aenqueue(40, y=2)).aresult(10) == 42
        assert await (await reverse.aenqueue(b"\x00\x01")).aresult(10) == b"\x01\x00"
        handle = await unlucky.aenqueue()
        assert await handle.aresult(10) == 3
        job = await handle.astatus()
        assert [attempt.end for attempt in job.attempts][:2] == ["failed", "failed"]
        assert job.attempts[0].error is not None
        assert job.attempts[0].error.type == "rota.Retry"
        lines = await app.aclient.logs(handle.id)
        assert [line.text for line in lines.lines] == [f"attempt {n} of 3" for n in (1, 2, 3)]
        with pytest.raises(rota.JobFailed, match=r"rota\.Fail: never") as failed:
            await (await app.tasks["hopeless"].aenqueue()).aresult(10)
        assert "Oops: inner" in str(failed.value.extra["error"])
        assert await (await app.tasks["naps"].aenqueue()).aresult(10) == "attempt 1"
        with pytest.raises(rota.JobFailed, match="BadPayload: add: argument 'x': Expected int, got str"):
            await (await app.aenqueue(rota.job("add", {"x": "?"}, queue=app.queue))).aresult(10)


@both
async def test_cancels_timeouts_and_progress(server: Server, make: Make) -> None:
    app = program_for(server, f"stops-{make.__name__}")
    endless = app.tasks["endless"]
    async with at_work(app, make(server.url), slots=4):
        handle = await endless.aenqueue()
        late = await endless.options(timeout=0.3, retries=0).aenqueue()
        end = asyncio.get_running_loop().time() + 10
        while (job := await handle.astatus()).progress is None:
            assert asyncio.get_running_loop().time() < end
        assert (job.state, job.progress.value, job.progress.message) == ("running", 0.25, "a quarter")
        with pytest.raises(
            rota.JobFailed, match=r"Timeout: The handler ran longer than its timeout of 0\.3 s"
        ):
            await late.aresult(10)
        await handle.acancel()
        with pytest.raises(rota.JobCancelled):
            await handle.aresult(15)
        with pytest.raises(rota.Conflict):
            await handle.acancel()


async def test_process_handlers(server: Server) -> None:
    app = program.app
    app.url, app.queue = server.url, "processes"
    bound = program.where.options(queue="processes")
    async with at_work(app, SocketSource(server.url), queues=["processes"], slots=2):
        assert (await (await bound.aenqueue(5)).aresult(20))["x"] == 5
        dead = program.dies.options(queue="processes", retries=0)
        with pytest.raises(rota.JobFailed, match="ProcessDied"):
            await (await dead.aenqueue("kill")).aresult(20)


@both
async def test_many_jobs_each_exactly_once(server: Server, make: Make) -> None:
    app = rota.App(server.url, queue=f"many-{make.__name__}")
    seen: list[int] = []
    lock = threading.Lock()

    @app.task
    async def loop(x: int) -> None:
        seen.append(x)

    @app.task
    def thread(x: int) -> None:
        with lock:
            seen.append(x)

    count = 3000
    specs = [(loop if x % 2 else thread).spec(x) for x in range(count)]
    handles = await app.aenqueue_many(specs)
    assert len({handle.id for handle in handles}) == count
    async with at_work(app, make(server.url), slots=50):
        await until(lambda: len(seen) >= count, 30)
        queues = {queue.name: queue for queue in await app.aclient.queues()}
        while queues[app.queue].done < count:
            queues = {queue.name: queue for queue in await app.aclient.queues()}
        assert queues[app.queue].failed == 0
    assert sorted(seen) == list(range(count))


def test_the_blocking_client(server: Server) -> None:
    app = program_for(server, "blocking")
    stop = threading.Event()

    async def run() -> None:
        async with at_work(app, SocketSource(server.url)):
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    client = rota.Client(server.url)
    mine = rota.App(server.url)
    try:
        handle = app.tasks["add"].options(unique_key="only").enqueue(1)
        assert handle.result(10) == 2
        job = client.run(rota.job("add", {"x": 5}, queue="blocking"), 10)
        assert (job.state, job.value) == ("done", 6)
        assert client.job(handle.id).unique_key == "only"
        assert [one.id for one in client.jobs(queue="blocking", limit=1).jobs] == [job.id]
        assert {one.id for one in client.all_jobs(queue="blocking", limit=1)} == {handle.id, job.id}
        assert client.retry(handle.id).state in ("pending", "running", "done")
        assert mine.handle(handle.id).result(10) == 2
        later = mine.enqueue(rota.job("add", {"x": 7}, queue="blocking", delay=3600))
        assert later.status().state == "scheduled"
        client.run_now(later.id)
        assert later.result(10) == 8
        client.delete(later.id)
        with pytest.raises(rota.NotFound):
            later.status()
        assert client.pause("blocking").paused
        assert not client.resume("blocking").paused
        assert any(worker.transport == "socket" for worker in client.workers())
        assert client.stats()["workers"] >= 1
        assert client.health()["status"] == "ok"
        with pytest.raises(rota.BadInput, match="priority must be an integer from -100 to 100") as bad:
            client.enqueue(rota.job("add", {"x": 1}, priority=1000))
        assert bad.value.field == "priority"
        first = client.enqueue(rota.job("add", {"x": 1}, queue="nobody", idempotency_key="k"))
        again = client.enqueue(rota.job("add", {"x": 1}, queue="nobody", idempotency_key="k"))
        assert (again.id, again.created, again.why) == (first.id, False, "idempotency")
        with pytest.raises(rota.Conflict):
            client.enqueue(rota.job("add", {"x": 2}, queue="nobody", idempotency_key="k"))
        assert client.clear("nobody") == 1
    finally:
        stop.set()
        thread.join(20)
        client.close()
        mine.close()


def test_more_jobs_than_a_request_takes(server: Server) -> None:
    with rota.Client(server.url) as client:
        count = MAX_JOBS + 1
        kept = client.enqueue_many(rota.job("nothing", n, queue="heap") for n in range(count))
        assert len({one.id for one in kept}) == count
        assert client.clear("heap") == count


@both
async def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, make: Make) -> None:
    """Running handlers go on, their endings arrive at the new server, and no job runs twice."""
    runs: list[str] = []
    go = asyncio.Event()
    with running_server(tmp_path) as first:
        port = first.url.rpartition(":")[2]
        app = rota.App(first.url, queue="q")

        @app.task
        async def slow(x: int) -> int:
            runs.append(f"slow {x}")
            await go.wait()
            return x

        async with at_work(app, make(first.url), slots=4, queues=["q"]):
            handles = await slow.aenqueue_many([(1,), (2,)])
            await until(lambda: len(runs) == 2)
            first.kill()
            with running_server(tmp_path, listen=f"127.0.0.1:{port}", store=first.store):
                go.set()
                assert [await handle.aresult(20) for handle in handles] == [1, 2]
                job = await handles[0].astatus()
                assert (job.attempt, job.losses) == (1, 0)
                assert await (await slow.aenqueue(3)).aresult(10) == 3
    assert sorted(runs) == ["slow 1", "slow 2", "slow 3"]


@both
async def test_a_drained_worker_spends_no_attempt(server: Server, make: Make) -> None:
    app = rota.App(server.url, queue=f"drain-{make.__name__}")
    started = asyncio.Event()

    @app.task
    async def endless() -> None:
        started.set()
        await asyncio.sleep(600)

    handles = await endless.aenqueue_many([()] * 6)
    async with at_work(app, make(server.url), slots=3) as worker:
        await started.wait()
        worker.drain()
        worker.drain()
    # Closed by the block above; the jobs are where they were, or soon will be: what an answer held for which
    # nobody waits any more is taken back when the server notices.
    client = rota.AsyncClient(server.url)
    async with asyncio.timeout(10):
        for handle in handles:
            while (job := await client.job(handle.id)).state != "pending":
                pass
            assert (job.attempt, job.losses) == (0, 0)
    await client.clear(app.queue)
    await client.close()


async def test_a_token(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_TOKEN": "secret"}) as found:
        app = rota.App(found.url, token="secret")

        @app.task
        async def f() -> str:
            return "in"

        for make in (SocketSource, PollSource):
            with pytest.raises(rota.Unauthorized):
                async with asyncio.timeout(10):
                    await Worker(app, make(found.url, "wrong")).run()
            async with at_work(app, make(found.url, "secret")):
                assert await (await f.aenqueue()).aresult(10) == "in"
        with rota.Client(found.url) as client, pytest.raises(rota.Unauthorized):
            client.queues()
