"""Connections that break: what goes on, what is sent again, and when the worker gives up by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest

import rota
from rota.model.errors import Unauthorized, Unavailable
from rota.model.protocol import Ending, Hello, Lease, Progress, Stop, Welcome
from rota.sdk.worker import Worker
from tests.sdk.memory import Server, Source, until
from tests.sdk.working import working


@pytest.fixture
def program() -> tuple[rota.App, threading.Event, list[str]]:
    app = rota.App()
    go = threading.Event()
    seen: list[str] = []

    @app.task
    async def loop(ctx: rota.Context) -> str:
        seen.append("started")
        try:
            while not go.is_set():  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            seen.append("stopped")
            raise
        return ctx.id

    @app.task
    def thread(ctx: rota.Context) -> str:
        seen.append("started")
        while not go.wait(0.002):
            if ctx.cancelled:
                seen.append("stopped")
                ctx.raise_if_cancelled()
        return ctx.id

    @app.task
    async def quick() -> str:
        return "quick"

    return app, go, seen


async def test_running_handlers_go_on_and_their_endings_arrive_later(program: Any) -> None:
    app, go, seen = program
    server = Server()
    async with working(app, server):
        jobs = [server.put("loop"), server.put("thread")]
        await until(lambda: len(seen) == 2)
        server.up = False
        server.cut()
        await until(lambda: server.sources[0].lost and server.sources[0].lost.done())
        go.set()
        # They end while there is nobody to tell.
        server.up = True
        await until(lambda: all(job.endings for job in jobs))
    assert seen == ["started", "started"]
    assert all(job.ending.end == "done" and job.attempt == 1 and not job.refused for job in jobs)


async def test_what_is_held_is_named_on_every_connection(program: Any) -> None:
    app, go, seen = program
    server = Server()
    async with working(app, server):
        jobs = [server.put("loop"), server.put("thread")]
        await until(lambda: len(seen) == 2)
        server.cut()
        await until(lambda: len(server.hellos) == 2)
        assert server.hellos[0].worker == server.hellos[1].worker
        held = {(lease.id, lease.lease) for lease in server.hellos[1].held}
        assert held == {(job.id, job.lease) for job in jobs}
        go.set()
        await until(lambda: all(job.endings for job in jobs))


async def test_endings_without_an_answer_are_sent_again(program: Any) -> None:
    """The report arrives, its answer does not: the second report is refused as stale, and that is that."""
    app, _, _ = program
    server = Server()
    server.answers = False
    async with working(app, server):
        job = server.put("quick")
        await until(lambda: job.endings)
        server.answers = True
        server.cut()
        await until(lambda: job.refused)
        # Named as held too, lest the server gives it to somebody else in the meantime.
        assert [lease.id for lease in server.hellos[1].held] == [job.id]
        after = server.put("quick")
        await until(lambda: after.endings)
    assert len(job.endings) == 1
    assert len(job.refused) == 1
    assert len(server.reports) == 3


async def test_jobs_taken_away_meanwhile_are_stopped_on_return(program: Any) -> None:
    app, _, seen = program
    server = Server()
    async with working(app, server):
        job = server.put("loop")
        await until(lambda: seen)
        server.up = False
        server.cut()
        with server.lock:
            job.lease += 1
        server.up = True
        await until(lambda: "stopped" in seen)
    assert not job.endings
    assert not job.refused


@pytest.mark.parametrize("kind", ["loop", "thread"])
async def test_a_worker_without_a_server_stops_its_handlers_in_time(program: Any, kind: str) -> None:
    app, _, seen = program
    server = Server(lease=1.0, beat=0.1)
    async with working(app, server):
        job = server.put(kind)
        await until(lambda: job.extended >= 2)
        server.up = False
        server.cut()
        # Not before its lease has ended, and not long after.
        await until(lambda: "stopped" in seen, 5)
        late = time.monotonic() - job.lease_until
        assert -0.15 <= late <= 0.5
        server.up = True
        await until(lambda: len(server.hellos) == 2)
        assert server.hellos[1].held == ()
    # It was given up in silence; the server alone decides about it.
    assert not job.endings


async def test_a_lease_is_counted_from_before_the_beat_was_sent(program: Any) -> None:
    """A beat that takes long proves nothing about when it is answered, only about when it was sent."""
    app, _, seen = program
    server = Server(lease=2.0, beat=0.1)
    sent: list[float] = []

    class Slow(Source):
        async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
            if leases:
                sent.append(time.monotonic())
            if len(sent) == 2:
                await asyncio.sleep(3600)
            stops = await super().extend(leases, progress)
            if leases:
                # The answer is that long on its way: between the two times from which one could count.
                await asyncio.sleep(1.6)
            return stops

    worker = Worker(app, Slow(server), queues=["default"])
    task = asyncio.create_task(worker.run())
    server.put("loop")
    await until(lambda: "stopped" in seen, 10)
    # Counted from the answer it would be 3.6 seconds.
    assert 1.9 <= time.monotonic() - sent[0] < 3.4
    worker.drain()
    worker.drain()
    await task


async def test_lines_that_nobody_can_take_do_not_keep_the_worker(program: Any) -> None:
    app, go, _ = program

    @app.task
    def talks(ctx: rota.Context) -> None:
        go.wait(10)
        ctx.log("too late")

    server = Server()
    async with working(app, server, slots=1) as at_work:
        job = server.put("talks", timeout=0.05)
        await until(lambda: job.endings)
        server.up = False
        server.cut()
        go.set()
        await asyncio.to_thread(go.wait)
        at_work.worker.drain()
        await at_work.drained(5)


async def test_a_server_that_is_not_up_yet_is_waited_for(
    program: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app, _, _ = program
    server = Server()
    server.up = False
    async with working(app, server):
        job = server.put("quick")
        await until(lambda: any(record.message == "no connection" for record in caplog.records))
        assert not job.endings
        server.up = True
        await until(lambda: job.endings)
    # Said once, not at every try.
    assert sum(record.message == "no connection" for record in caplog.records) == 1


async def test_pauses_grow_and_are_spread(monkeypatch: pytest.MonkeyPatch, program: Any) -> None:
    app, _, _ = program
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return 0.0

    monkeypatch.setattr("rota.sdk.link.random.uniform", uniform)
    server = Server()
    server.up = False
    async with working(app, server):
        await until(lambda: len(bounds) >= 12)
    assert [high for _, high in bounds[:8]] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


async def test_a_refusal_ends_the_worker(program: Any) -> None:
    app, _, _ = program

    class Refusing(Source):
        async def open(self, hello: Hello) -> Welcome:
            raise Unauthorized("No token.")

    for same_loop in (False, True):
        worker = Worker(app, Refusing(Server()), queues=["default"], same_loop=same_loop)
        with pytest.raises(Unauthorized, match="No token"):
            async with asyncio.timeout(5):
                await worker.run()


async def test_a_store_that_is_away_for_a_moment_does_not_end_the_worker(program: Any) -> None:
    app, _, _ = program
    server = Server()

    class Moody(Source):
        moods = 2

        async def finish(self, outcomes: list[Ending]) -> list[Any]:
            if Moody.moods:
                Moody.moods -= 1
                raise Unavailable("The disk is full.")
            return await super().finish(outcomes)

    worker = Worker(app, Moody(server), queues=["default"])
    task = asyncio.create_task(worker.run())
    job = server.put("quick")
    await until(lambda: job.endings)
    worker.drain()
    await task
    assert Moody.moods == 0


async def test_a_report_that_the_server_cannot_take_is_taken_apart(program: Any) -> None:
    """One result that is refused does not hold up the others, and its job does not wait for ever."""
    app, _, _ = program

    @app.task
    async def says(word: str) -> str:
        return word

    server = Server()

    class Picky(Source):
        async def finish(self, outcomes: list[Ending]) -> list[Any]:
            if any(isinstance(one.result, msgspec.Raw) and bytes(one.result) == b'"bad"' for one in outcomes):
                raise rota.BadInput("We do not take 'bad'.")
            return await super().finish(outcomes)

    jobs = [server.put("says", {"word": "bad" if n == 3 else "good"}) for n in range(8)]
    worker = Worker(app, Picky(server), queues=["default"], slots=8)
    task = asyncio.create_task(worker.run())
    await until(lambda: all(job.endings for job in jobs))
    worker.drain()
    await task
    assert [job.ending.end for job in jobs] == ["done"] * 3 + ["failed"] + ["done"] * 4
    error = jobs[3].ending.error
    assert error is not None
    assert (error.type, jobs[3].ending.retry) == ("BadResult", False)
    assert "We do not take 'bad'" in error.message


async def test_log_lines_survive_a_cut(program: Any) -> None:
    app, go, _ = program

    @app.task
    async def talks(ctx: rota.Context) -> None:
        ctx.log("one")
        while not go.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.002)
        ctx.log("two")

    server = Server()
    async with working(app, server):
        job = server.put("talks")
        await until(lambda: job.lines)
        server.up = False
        server.cut()
        go.set()
        server.up = True
        await until(lambda: job.endings)
    assert [line.text for line in job.lines] == ["one", "two"]
