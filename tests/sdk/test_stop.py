"""Stopping handlers: timeouts, cancels, lost leases, and what is reported then."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest

import rota
from rota.model.job import State
from rota.sdk.desk import STOP_GRACE
from tests.sdk.memory import Job, Server, until
from tests.sdk.working import working

both_homes = pytest.mark.parametrize("same_loop", [False, True], ids=["two loops", "one loop"])


class Program:
    """Handlers that run until they are stopped, and tell what they saw."""

    def __init__(self) -> None:
        self.app = rota.App()
        self.started: list[str] = []
        self.seen: list[str] = []
        self.let_go = threading.Event()
        app = self.app

        @app.task
        async def loop(ctx: rota.Context) -> str:
            self.started.append("loop")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.seen.append(f"loop cancelled {ctx.cancelled}")
                raise
            return "slept"

        @app.task
        def polite(ctx: rota.Context) -> None:
            self.started.append("polite")
            while True:
                ctx.raise_if_cancelled()
                time.sleep(0.002)

        @app.task
        def deaf(ctx: rota.Context) -> str:
            self.started.append("deaf")
            self.let_go.wait(30)
            self.seen.append(f"deaf {ctx.cancelled}")
            return "done all the same"

        @app.task
        async def stubborn(ctx: rota.Context) -> str:
            self.started.append("stubborn")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.get_running_loop().run_in_executor(None, self.let_go.wait, 30)
                self.seen.append("stubborn returns")
            return "stubborn"

        @app.task
        async def saves(ctx: rota.Context) -> str:
            self.started.append("saves")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "half of it"
            return "all"

        @app.task
        async def blocks(seconds: float) -> str:
            self.started.append("blocks")
            time.sleep(seconds)  # noqa: ASYNC251
            return "blocked"

        @app.task
        async def quick() -> str:
            return "quick"


@pytest.fixture
def program() -> Any:
    made = Program()
    yield made
    made.let_go.set()


@both_homes
@pytest.mark.parametrize("kind", ["loop", "polite"])
async def test_a_timeout_stops_the_handler(program: Program, kind: str, same_loop: bool) -> None:
    server = Server()
    async with working(program.app, server, same_loop=same_loop) as at_work:
        job = server.put(kind, timeout=0.05)
        await until(lambda: job.endings, 3)
        # Its slot is free again.
        after = [server.put("quick") for _ in range(8)]
        await until(lambda: all(one.endings for one in after))
        assert at_work.worker.slots == 8
    ending = job.ending
    assert ending.end == "timeout"
    assert ending.error is not None
    assert (ending.error.type, ending.error.message) == (
        "Timeout",
        "The handler ran longer than its timeout of 0.05 s.",
    )
    # And where it was at the time.
    assert "test_stop.py" in (ending.error.traceback or "")
    assert "rota/sdk" not in (ending.error.traceback or "")


async def test_a_job_that_ends_in_time_is_not_timed_out(program: Program) -> None:
    server = Server()
    async with working(program.app, server):
        jobs = [server.put("quick", timeout=0.2) for _ in range(50)]
        await until(lambda: all(job.endings for job in jobs))
        last = server.put("loop", timeout=0.25)
        await until(lambda: last.endings)
    assert {job.ending.end for job in jobs} == {"done"}
    assert all(len(job.endings) == 1 and not job.refused for job in jobs)


async def test_a_thread_that_cannot_be_stopped_is_reported_at_once_and_keeps_its_slot(
    program: Program,
) -> None:
    server = Server(beat=0.02)
    async with working(program.app, server, slots=1):
        job = server.put("deaf", timeout=0.05)
        began = time.monotonic()
        await until(lambda: job.endings, 3)
        assert time.monotonic() - began < 2
        assert job.ending.end == "timeout"
        assert "let_go.wait" in (job.ending.error.traceback or "")  # type: ignore[union-attr]
        after = server.put("quick")
        # The only slot is taken: nothing is claimed, however many beats pass.
        beats = server.beats
        await until(lambda: server.beats > beats + 5)
        assert not after.endings
        assert after.state is State.PENDING
        program.let_go.set()
        await until(lambda: after.endings)
    assert program.seen == ["deaf True"]
    assert len(job.endings) == 1
    assert not job.refused


async def test_a_coroutine_that_does_not_stop_is_reported_without_waiting_for_it(program: Program) -> None:
    server = Server()
    async with working(program.app, server, slots=1):
        job = server.put("stubborn", timeout=0.05)
        await until(lambda: job.endings)
        assert job.ending.end == "timeout"
        assert program.seen == []
        program.let_go.set()
        await until(lambda: program.seen)
        after = server.put("quick")
        await until(lambda: after.endings)
    assert len(job.endings) == 1
    assert not job.refused


async def test_a_handler_that_blocks_its_loop_keeps_its_lease(program: Program) -> None:
    """The reason for the second loop: lease 0.6 s, and a coroutine that sleeps for 2 s with time.sleep."""
    server = Server(lease=0.6, beat=0.15)
    async with working(program.app, server):
        job = server.put("blocks", {"seconds": 2.0})
        rescued: list[Job] = []

        def over() -> bool:
            # The handler holds this loop as well; a rescuer that runs right after it must find nothing.
            rescued.extend(server.rescue())
            return bool(job.endings)

        await until(over)
    assert not rescued
    assert job.extended >= 5
    assert (job.ending.end, job.attempt) == ("done", 1)
    assert not job.refused


async def test_a_handler_that_blocks_its_loop_is_timed_out_all_the_same(program: Program) -> None:
    server = Server(lease=5, beat=0.1)
    async with working(program.app, server):
        job = server.put("blocks", {"seconds": 1.5}, timeout=0.1)
        began = time.monotonic()
        ends: list[float] = []

        def watch() -> None:
            while not job.endings and time.monotonic() - began < 10:
                time.sleep(0.002)
            ends.append(time.monotonic() - began)

        watcher = threading.Thread(target=watch)
        watcher.start()
        await until(lambda: ends)
        watcher.join()
    assert ends[0] < 1.4
    assert job.ending.end == "timeout"
    assert ends[0] >= 0.1 + STOP_GRACE


@both_homes
@pytest.mark.parametrize(("kind", "end"), [("loop", "cancelled"), ("polite", "cancelled"), ("saves", "done")])
async def test_a_cancel_stops_the_handler(program: Program, kind: str, end: str, same_loop: bool) -> None:
    server = Server()
    async with working(program.app, server, same_loop=same_loop):
        job = server.put(kind)
        await until(lambda: program.started)
        server.cancel(job)
        await until(lambda: job.endings, 3)
    assert job.ending.end == end
    assert job.ending.error is None
    if kind == "loop":
        assert program.seen == ["loop cancelled True"]
    if kind == "saves":
        # It has returned, so its work is done: that is what is said.
        assert msgspec.json.decode(job.ending.result) == "half of it"  # type: ignore[arg-type]


async def test_a_cancel_that_comes_with_a_beat(program: Program) -> None:
    server = Server(beat=0.05)
    async with working(program.app, server):
        job = server.put("loop")
        await until(lambda: program.started)
        job.stop = True
        await until(lambda: job.endings, 3)
    assert job.ending.end == "cancelled"


@pytest.mark.parametrize("kind", ["loop", "polite"])
async def test_a_lost_lease_stops_the_handler_and_nothing_is_reported(program: Program, kind: str) -> None:
    server = Server()
    async with working(program.app, server, slots=1):
        job = server.put(kind)
        await until(lambda: program.started)
        server.take_away(job)
        after = server.put("quick")
        # The slot is free once the handler has stopped.
        await until(lambda: after.endings, 3)
        assert not [one for report in server.reports for one in report if one.id == job.id]
    assert not job.endings
    assert not job.refused


async def test_a_stop_for_an_older_lease_means_nothing(program: Program) -> None:
    server = Server()
    async with working(program.app, server) as at_work:
        job = server.put("loop")
        await until(lambda: program.started)
        from rota.model.protocol import Stop

        at_work.source.push(
            [Stop(job.id, job.lease - 1, "stale_lease"), Stop(job.id, job.lease + 1, "cancelled")]
        )
        at_work.source.push([Stop("nobody", 1, "cancelled")])
        after = server.put("quick")
        await until(lambda: after.endings)
        assert not program.seen
        server.cancel(job)
        await until(lambda: job.endings)


async def test_the_same_job_again_under_a_new_lease(program: Program) -> None:
    """The server took a job away and gave it to the same worker again: the old try stops, a new one runs."""
    server = Server()
    async with working(program.app, server):
        job = server.put("loop")
        await until(lambda: program.started)
        server.again(job)
        await until(lambda: len(program.started) == 2)
        await until(lambda: program.seen)
        assert not job.endings
        server.cancel(job)
        await until(lambda: job.endings)
    assert job.ending.lease == 3
    assert not job.refused


async def test_stale_answers_are_taken_once(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    async with working(program.app, server):
        job = server.put("saves")
        await until(lambda: program.started)
        with server.lock:
            server.cancel(job)
            job.lease += 1
        await until(lambda: job.refused)
        after = server.put("quick")
        await until(lambda: after.endings)
    assert len(job.refused) == 1
    assert [record.levelname for record in caplog.records if "were not ours any more" in record.message] == [
        "WARNING"
    ]
