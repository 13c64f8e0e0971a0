"""The worker: jobs in, handlers of every kind, endings out."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest

import rota
from rota.sdk.worker import Worker
from tests.sdk.memory import Server, Source, until
from tests.sdk.working import ended, value_of, working

both_homes = pytest.mark.parametrize("same_loop", [False, True], ids=["two loops", "one loop"])


@both_homes
async def test_handlers_of_every_kind_get_arguments_and_give_results(same_loop: bool) -> None:
    app = rota.App()

    @app.task
    async def loop(x: int, y: int = 2) -> int:
        return x + y

    @app.task
    def thread(ctx: rota.Context, x: int) -> dict[str, Any]:
        return {"x": x, "attempt": ctx.attempt, "of": ctx.max_attempts, "id": ctx.id, "type": ctx.type}

    @app.task
    async def nothing() -> None: ...

    @app.task
    def blob() -> bytes:
        return b"\x00\xff"

    server = Server()
    async with working(app, server, same_loop=same_loop):
        one = server.put("loop", {"x": 40})
        two = server.put("thread", {"x": 1})
        three = server.put("nothing")
        four = server.put("blob", {})
        await until(lambda: all(job.endings for job in (one, two, three, four)))
    assert value_of(one.ending) == 42
    assert value_of(two.ending) == {"x": 1, "attempt": 1, "of": 3, "id": two.id, "type": "thread"}
    assert value_of(three.ending) is None
    assert (four.ending.result_base64, four.ending.content_type) == ("AP8=", "application/octet-stream")
    hello = server.hellos[0]
    assert (hello.queues, hello.slots, hello.types) == (
        ("default",),
        8,
        ("blob", "loop", "nothing", "thread"),
    )
    assert len(hello.worker) == 32
    assert hello.held == ()


async def test_many_jobs_go_in_few_reports() -> None:
    app = rota.App()

    @app.task
    async def loop(x: int) -> int:
        return x

    @app.task
    def thread(x: int) -> int:
        return x

    server = Server()
    jobs = [server.put("loop" if n % 2 else "thread", {"x": n}) for n in range(1000)]
    async with working(app, server, slots=100):
        await until(lambda: all(job.endings for job in jobs))
    assert [value_of(job.ending) for job in jobs] == list(range(1000))
    assert len(server.reports) < 400


@both_homes
async def test_never_more_than_the_slots_run_at_once(same_loop: bool) -> None:
    app = rota.App()
    running = {"now": 0, "most": 0}
    lock = threading.Lock()

    def count(step: int) -> None:
        with lock:
            running["now"] += step
            running["most"] = max(running["most"], running["now"])

    @app.task
    async def loop() -> None:
        count(1)
        await asyncio.sleep(0.005)
        count(-1)

    @app.task
    def thread() -> None:
        count(1)
        time.sleep(0.005)
        count(-1)

    server = Server()
    jobs = [server.put("loop" if n % 2 else "thread") for n in range(60)]
    async with working(app, server, slots=5, same_loop=same_loop):
        await until(lambda: all(job.endings for job in jobs))
    assert running["most"] == 5


async def test_where_handlers_run() -> None:
    app = rota.App()
    main = threading.get_ident()
    loop = asyncio.get_running_loop()

    @app.task
    async def here() -> bool:
        return threading.get_ident() == main and asyncio.get_running_loop() is loop

    @app.task
    def there() -> bool:
        return threading.get_ident() != main

    assert value_of(await ended(app, "here"))
    assert value_of(await ended(app, "there"))


async def test_current_context_and_context_variables_belong_to_one_job() -> None:
    app = rota.App()
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="unset")

    def look(name: str) -> list[str]:
        found = [mark.get(), rota.current().id]
        mark.set(name)
        return found

    @app.task
    async def loop(name: str) -> list[str]:
        before = look(name)
        await asyncio.sleep(0)
        return [*before, mark.get(), rota.current().id]

    @app.task
    def thread(name: str) -> list[str]:
        return [*look(name), mark.get(), rota.current().id]

    server = Server()
    jobs = [server.put(kind, {"name": f"{kind}{n}"}) for n in range(20) for kind in ("loop", "thread")]
    async with working(app, server, slots=2):
        await until(lambda: all(job.endings for job in jobs))
    for n, job in enumerate(jobs):
        name = f"{('loop', 'thread')[n % 2]}{n // 2}"
        assert value_of(job.ending) == ["unset", job.id, name, job.id]


async def test_a_job_of_an_unknown_type_is_handed_back() -> None:
    app = rota.App()

    @app.task
    def known() -> None: ...

    ending = await ended(app, "unknown")
    assert ending.end == "released"


async def test_progress_and_lines_reach_the_server_before_the_end() -> None:
    app = rota.App()
    go = threading.Event()

    def report(ctx: rota.Context) -> None:
        for n in range(100):
            ctx.progress(n / 100, f"step {n}")
        ctx.log("first")
        ctx.log("second", level="error")

    @app.task
    def thread(ctx: rota.Context) -> None:
        report(ctx)
        assert go.wait(10)
        ctx.progress(1.0)
        ctx.log("last")

    @app.task
    async def loop(ctx: rota.Context) -> None:
        report(ctx)
        while not go.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.005)
        ctx.progress(1.0)
        ctx.log("last")

    server = Server(beat=60, lease=120)
    async with working(app, server):
        jobs = [server.put("thread"), server.put("loop")]
        await until(lambda: all(job.progress and len(job.lines) == 2 for job in jobs))
        # Only the latest news are sent, not all that there were.
        assert all(len(job.progress) < 20 for job in jobs)
        await until(lambda: all(job.progress[-1].message == "step 99" for job in jobs))
        go.set()
        await until(lambda: all(job.endings for job in jobs))
    for job in jobs:
        assert [(line.level, line.text) for line in job.lines] == [
            ("info", "first"),
            ("error", "second"),
            ("info", "last"),
        ]
        assert job.progress[-1].value == 1.0


async def test_queues_come_from_the_tasks() -> None:
    app = rota.App(queue="main")

    @app.task
    def a() -> None: ...
    @app.task(queue="side")
    def b() -> None: ...

    source = Source(Server())
    assert Worker(app, source).queues == ("main", "side")
    assert Worker(app, source, queues=["z", "a", "z"]).queues == ("z", "a")
    with pytest.raises(TypeError, match="queues must be a list"):
        Worker(app, source, queues="main")
    with pytest.raises(ValueError, match="slots must be 1 or more"):
        Worker(app, source, slots=0)
    with pytest.raises(ValueError, match="grace must be 0 or more"):
        Worker(app, source, grace=-1)
    with pytest.raises(ValueError, match="no tasks"):
        await Worker(rota.App(), source).run()


async def test_a_task_that_cannot_be_run_is_told_at_the_start() -> None:
    app = rota.App()

    class Thing: ...

    @app.task
    def bad(x: Thing | set[int]) -> None: ...

    with pytest.raises(TypeError, match="Task 'bad'"):
        await Worker(app, Source(Server())).run()


async def test_two_workers_share_the_jobs() -> None:
    app = rota.App()

    @app.task
    async def f() -> None:
        await asyncio.sleep(0.001)

    server = Server()
    jobs = [server.put("f") for _ in range(200)]
    async with working(app, server, slots=4) as one, working(app, server, slots=4) as two:
        assert one.worker.id != two.worker.id
        await until(lambda: all(job.endings for job in jobs))
    assert all(len(job.endings) == 1 and not job.refused for job in jobs)


async def test_a_job_given_twice_runs_once() -> None:
    app = rota.App()
    runs: list[str] = []
    go = asyncio.Event()

    @app.task
    async def f(ctx: rota.Context) -> None:
        runs.append(ctx.id)
        await go.wait()

    server = Server()

    class Twice(Source):
        again: list[Any] = []  # noqa: RUF012

        async def claim(self, slots: int) -> list[Any]:
            if self.again and runs:
                found, self.again = self.again, []
                return found
            self.again = await super().claim(slots) if not runs else []
            return self.again or await super().claim(slots)

    worker = Worker(app, Twice(server), queues=["default"])
    task = asyncio.create_task(worker.run())
    job, other = server.put("f"), None
    await until(lambda: runs)
    other = server.put("f")
    await until(lambda: len(runs) == 2)
    go.set()
    await until(lambda: job.endings and other.endings)
    worker.drain()
    await task
    assert runs == [job.id, other.id]
    assert len(job.endings) == 1
    assert not job.refused


async def test_news_of_progress_do_not_wait_for_the_next_beat() -> None:
    app = rota.App()
    go = threading.Event()

    @app.task
    def f(ctx: rota.Context) -> None:
        ctx.progress(0.5)
        go.wait(10)

    server = Server(beat=60, lease=120)
    async with working(app, server):
        await until(lambda: server.beats)
        job = server.put("f")
        await until(lambda: job.progress, 5)
        go.set()
