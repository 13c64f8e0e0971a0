"""Handles: waiting for results, and how a job's end reaches who waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest

import rota
from rota.sdk.handle import Handle
from tests.sdk.peer import Asked, Peer, Reply, peer, problem

JOB = {"id": "j1", "type": "t", "queue": "q"}


class Life:
    """What the server says of a job: its state, and how often ``/result`` says that it has not ended."""

    def __init__(self, state: str = "done", result: Any = None, running: int = 0, **job: Any) -> None:
        self.state = state
        self.result = result
        self.running = running
        self.job = job

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "POST" and asked.path == "/v1/jobs":
            if "jobs" in asked.json:
                return Reply(201, {"jobs": [{"id": f"j{n}"} for n, _ in enumerate(asked.json["jobs"], 1)]})
            return Reply(201, {**JOB, "state": "pending", "created": True})
        if asked.path.endswith("/cancel"):
            return Reply(202, {**JOB, "state": "running", "cancel_requested": True})
        if "/result" not in asked.path:
            return Reply(200, {**JOB, "state": self.state, **self.job})
        if self.running:
            self.running -= 1
            return Reply(202, {"id": "j1", "state": "running"})
        if self.state != "done":
            return problem(409, f"job_{self.state}", "No result.")
        if isinstance(self.result, bytes):
            return Reply(200, self.result, "application/octet-stream")
        return Reply(200, self.result)


@contextmanager
def program(life: Life) -> Iterator[tuple[Peer, rota.App]]:
    with peer(life) as server:
        app = rota.App(server.url)
        try:
            yield server, app
        finally:
            app.close()


@pytest.fixture(params=["blocking", "asynchronous"])
def result_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def get(app: rota.App, make: Callable[[], Handle[Any]], timeout: float | None = None) -> Any:
        if request.param == "blocking":
            return make().result(timeout)

        async def wait() -> Any:
            try:
                return await make().aresult(timeout)
            finally:
                await app.aclose()

        return asyncio.run(wait())

    return get


def test_a_result_is_waited_for_and_has_its_type(result_of: Callable[..., Any]) -> None:
    with program(Life(result="2031-02-03", running=3)) as (server, app):

        @app.task
        def f(x: int) -> date: ...  # type: ignore[empty-body]

        assert result_of(app, lambda: f.enqueue(1)) == date(2031, 2, 3)
        asked = [one.path for one in server.asked[1:]]
        assert len(asked) == 4
        assert all(path.startswith("/v1/jobs/j1/result?wait=") for path in asked)


def test_results_of_jobs_by_name_come_as_they_are(result_of: Callable[..., Any]) -> None:
    for value in ({"a": [1, None]}, None, "text", b"\x00\xff"):
        with program(Life(result=value)) as (_, app):
            assert result_of(app, lambda app=app: app.enqueue(rota.job("t"))) == value


def test_a_result_of_another_type_is_told(result_of: Callable[..., Any]) -> None:
    with program(Life(result="no number")) as (_, app):

        @app.task
        def f() -> int: ...  # type: ignore[empty-body]

        with pytest.raises(rota.JobError, match="does not fit the task's return annotation"):
            result_of(app, f.enqueue)


def test_a_failed_job_raises_its_error(result_of: Callable[..., Any]) -> None:
    error = {"type": "app.Oops", "message": "it broke", "traceback": "Traceback"}
    with program(Life("failed", reason="attempts_used_up", error=error)) as (_, app):
        with pytest.raises(rota.JobFailed, match=r"app\.Oops: it broke") as caught:
            result_of(app, lambda: app.handle("j1"))
    assert caught.value.extra["error"] == {**error, "details": None}
    assert caught.value.extra["reason"] == "attempts_used_up"


def test_a_cancelled_job_says_so(result_of: Callable[..., Any]) -> None:
    with program(Life("cancelled", reason="expired")) as (_, app):
        with pytest.raises(rota.JobCancelled, match="expired"):
            result_of(app, lambda: app.handle("j1"))


def test_a_wait_ends_in_time(result_of: Callable[..., Any]) -> None:
    with program(Life(running=10**9)) as (server, app):
        started = time.monotonic()
        with pytest.raises(rota.WaitTimeout, match=r"not ended within 0\.3 s; it goes on"):
            result_of(app, lambda: app.handle("j1"), 0.3)
        assert 0.3 <= time.monotonic() - started < 3
        # A server that does not hold its answer is not hammered.
        assert 2 <= len(server.asked) < 25


def test_no_time_at_all_is_one_look(result_of: Callable[..., Any]) -> None:
    with program(Life(running=10**9)) as (server, app):
        with pytest.raises(rota.WaitTimeout):
            result_of(app, lambda: app.handle("j1"), 0)
        assert [asked.path for asked in server.asked] == ["/v1/jobs/j1/result"]
    with program(Life(result=5)) as (_, app):
        assert result_of(app, lambda: app.handle("j1"), 0) == 5


def test_a_job_that_was_brought_back_is_waited_for_further() -> None:
    life = Life("failed", result=7)
    with peer(lambda asked: answer(asked)) as server:

        def answer(asked: Asked) -> Reply:
            if "/result" not in asked.path:
                # Somebody retries it just now.
                life.state = "done"
                return Reply(200, {**JOB, "state": "pending"})
            return life(asked)

        app = rota.App(server.url)
        assert app.handle("j1").result(5) == 7
        app.close()


async def test_status_and_cancel() -> None:
    with program(Life("running")) as (_, app):
        handle = app.handle("j1")
        assert handle.status().state == "running"
        assert (await handle.astatus()).state == "running"
        assert handle.cancel().cancel_requested
        assert (await handle.acancel()).cancel_requested
        await app.aclose()


async def test_many_at_once() -> None:
    with program(Life()) as (server, app):

        @app.task
        def f(x: int, name: str = "") -> int: ...  # type: ignore[empty-body]

        handles = f.options(priority=4).enqueue_many([f.args(1, name="a"), (2,), {"x": 3}])
        assert [handle.id for handle in handles] == ["j1", "j2", "j3"]
        await f.aenqueue_many([(4,)])
        await app.aenqueue_many([f.spec(5), rota.job("other")])
        app.enqueue_many([rota.job("other")])
        await app.aenqueue(rota.job("other"))
        await f.aenqueue(6)
        bodies = [asked.json for asked in server.asked]
        assert [job["payload"] for job in bodies[0]["jobs"]] == [{"x": 1, "name": "a"}, {"x": 2}, {"x": 3}]
        assert {job["priority"] for job in bodies[0]["jobs"]} == {4}
        assert [job["type"] for job in bodies[2]["jobs"]] == ["f", "other"]
        with pytest.raises(TypeError, match=r"enqueue_many takes task.args"):
            f.enqueue_many(["x"])
        with pytest.raises(TypeError, match="argument 'x'"):
            f.enqueue_many([(1,), ("two",)])
        assert len(server.asked) == 6
        await app.aclose()
