"""Draining: nothing lost, nothing repeated, no attempt spent, and always an end."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import Any

import pytest

import rota
from rota.model.job import State
from rota.model.protocol import Stop, Work
from rota.sdk.source import Disconnected
from rota.sdk.worker import Worker
from tests.sdk.memory import Server, Source, until
from tests.sdk.working import working

both_homes = pytest.mark.parametrize("same_loop", [False, True], ids=["two loops", "one loop"])


@pytest.fixture
def program() -> Any:
    app = rota.App()
    go = threading.Event()
    seen: list[str] = []

    @app.task
    async def loop() -> str:
        seen.append("loop")
        while not go.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.002)
        return "done"

    @app.task
    def thread(ctx: rota.Context) -> str:
        seen.append("thread")
        while not go.wait(0.002):
            ctx.raise_if_cancelled()
        return "done"

    @app.task
    def deaf() -> None:
        seen.append("deaf")
        go.wait(30)

    @app.task
    async def blocks() -> None:
        seen.append("blocks")
        time.sleep(1.0)  # noqa: ASYNC251

    yield app, go, seen
    go.set()


@both_homes
async def test_running_jobs_are_finished_and_no_others_begun(program: Any, same_loop: bool) -> None:
    app, go, seen = program
    server = Server()
    async with working(app, server, same_loop=same_loop) as at_work:
        jobs = [server.put("loop"), server.put("thread")]
        await until(lambda: len(seen) == 2)
        at_work.worker.drain()
        await until(lambda: server.drains)
        late = server.put("loop")
        assert not at_work.task.done()
        go.set()
        await at_work.drained()
    assert [job.ending.end for job in jobs] == ["done", "done"]
    assert late.state is State.PENDING
    assert late.attempt == 0


@both_homes
async def test_what_does_not_end_in_time_is_handed_back(program: Any, same_loop: bool) -> None:
    app, _, seen = program
    server = Server()
    async with working(app, server, grace=0.2, same_loop=same_loop) as at_work:
        jobs = [server.put("loop"), server.put("thread")]
        await until(lambda: len(seen) == 2)
        began = time.monotonic()
        at_work.worker.drain()
        await at_work.drained()
        assert 0.2 <= time.monotonic() - began < 3
    assert [job.ending.end for job in jobs] == ["released", "released"]


async def test_a_thread_that_does_not_stop_does_not_keep_the_worker(program: Any) -> None:
    app, _, seen = program
    server = Server()
    async with working(app, server, grace=0.05) as at_work:
        job = server.put("deaf")
        await until(lambda: seen)
        at_work.worker.drain()
        await at_work.drained(5)
    assert job.ending.end == "released"


async def test_the_second_drain_does_not_wait(program: Any) -> None:
    app, _, seen = program
    server = Server()
    async with working(app, server, grace=60) as at_work:
        job = server.put("loop")
        await until(lambda: seen)
        at_work.worker.drain()
        await until(lambda: server.drains)
        assert not at_work.task.done()
        at_work.worker.drain()
        await at_work.drained(3)
        at_work.worker.drain()
    assert job.ending.end == "released"


async def test_a_drain_before_the_start(program: Any) -> None:
    app, _, _ = program
    server = Server()
    job = server.put("loop")
    worker = Worker(app, Source(server), queues=["default"])
    worker.drain()
    async with asyncio.timeout(5):
        await worker.run()
    # It may have been given the job before it could say that it wants none: it was handed back then.
    assert job.state is State.PENDING
    assert [ending.end for ending in job.endings] in ([], ["released"])


async def test_jobs_that_were_under_way_are_handed_back(program: Any) -> None:
    """The server had sent them before it heard of the drain."""
    app, go, seen = program
    server = Server()

    class Crossing(Source):
        crossed = False
        first = True

        async def drain(self) -> None:
            await super().drain()
            self.crossed = True

        async def claim(self, slots: int) -> list[Work]:
            if self.first:
                self.first = False
                return self.server.claim(1)
            await until(lambda: self.crossed)
            if found := self.server.claim(3):
                return found
            await asyncio.Event().wait()
            return []

    jobs = [server.put("loop") for _ in range(4)]
    worker = Worker(app, Crossing(server), queues=["default"], slots=2)
    task = asyncio.create_task(worker.run())
    await until(lambda: seen)
    worker.drain()
    go.set()
    async with asyncio.timeout(5):
        await task
    assert [job.ending.end for job in jobs] == ["done", "released", "released", "released"]
    assert all(len(job.endings) == 1 and not job.refused for job in jobs)


@both_homes
async def test_a_cancelled_run_hands_its_jobs_back(program: Any, same_loop: bool) -> None:
    app, _, seen = program
    server = Server()
    async with working(app, server, grace=60, same_loop=same_loop) as at_work:
        jobs = [server.put("loop"), server.put("thread")]
        await until(lambda: len(seen) == 2)
        at_work.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(5):
                await at_work.task
    assert [job.ending.end for job in jobs] == ["released", "released"]


async def test_a_drain_without_a_server_ends_too(program: Any) -> None:
    app, _, _ = program
    server = Server()
    server.up = False
    async with working(app, server) as at_work:
        at_work.worker.drain()
        await at_work.drained(5)


async def test_endings_that_cannot_be_told_do_not_keep_the_worker_for_ever(
    program: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rota.sdk.link.GIVE_UP", 0.3)
    app, _, seen = program
    server = Server()
    async with working(app, server, grace=0.05) as at_work:
        server.put("loop")
        await until(lambda: seen)
        server.up = False
        server.cut()
        at_work.worker.drain()
        await at_work.drained(5)
    (told,) = [record for record in caplog.records if "endings that could not be reported" in record.message]
    assert told.__dict__["jobs"] == 1


async def test_a_worker_that_is_asked_to_drain_finishes_and_leaves(program: Any) -> None:
    app, go, seen = program
    server = Server()
    async with working(app, server, grace=60) as at_work:
        job = server.put("loop")
        await until(lambda: seen)
        at_work.source.draining = True
        at_work.source.call(at_work.source.drained.set)
        go.set()
        await at_work.drained(5)
    assert job.ending.end == "done"
    assert len(server.hellos) == 1


async def test_what_is_not_finished_in_time_by_a_worker_asked_to_drain_is_handed_back(program: Any) -> None:
    app, _, seen = program
    server = Server()
    async with working(app, server, grace=0.1) as at_work:
        job = server.put("loop")
        await until(lambda: seen)
        at_work.source.draining = True
        at_work.source.call(at_work.source.drained.set)
        await at_work.drained(5)
    assert job.ending.end == "released"


async def test_the_servers_own_worker_ends_with_it(program: Any) -> None:
    app, go, seen = program
    server = Server()
    async with working(app, server, same_loop=True, grace=60) as at_work:
        job = server.put("loop")
        await until(lambda: seen)
        at_work.source.drained.set()
        await until(lambda: server.drains)
        go.set()
        await at_work.drained(3)
    assert job.ending.end == "done"


async def test_drain_from_a_signal_handler_while_the_loop_is_blocked(program: Any) -> None:
    """The handlers of a program that was started by hand block the loop; the drain is begun all the same."""
    app, _, seen = program
    server = Server()
    async with working(app, server) as at_work:
        old = signal.signal(signal.SIGUSR1, lambda number, frame: at_work.worker.drain())
        try:
            job = server.put("blocks")
            main = threading.main_thread().ident
            timer = threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGUSR1])
            drained: list[float] = []

            def watch() -> None:
                timer.start()
                began = time.monotonic()
                while not server.drains and time.monotonic() - began < 5:
                    time.sleep(0.005)
                drained.append(time.monotonic() - began)

            watcher = threading.Thread(target=watch)
            await until(lambda: server.pending or seen)
            watcher.start()
            await at_work.drained()
            watcher.join()
        finally:
            signal.signal(signal.SIGUSR1, old)
    assert drained[0] < 0.9
    assert job.ending.end == "done"


async def test_leaving_is_not_forgotten_when_the_connection_breaks_just_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when a whole machine is told to stop: server and workers at once."""

    async def breaks_when_it_is_stopped(source: Source) -> list[Stop]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Disconnected("The server has gone, too.") from None
        return []

    monkeypatch.setattr(Source, "stops", breaks_when_it_is_stopped)
    app = rota.App()
    app.task(name="nothing")(lambda: None)
    server = Server()
    async with working(app, server) as at_work:
        await until(lambda: server.hellos)
        at_work.worker.drain()
        await at_work.drained()
