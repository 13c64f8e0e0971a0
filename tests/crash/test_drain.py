"""SIGTERM: nothing is lost, nothing is repeated, no attempt is spent; a second one ends at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.crash.kit import APP, Scene, until


def test_a_server_lets_its_own_jobs_finish(scene: Callable[..., Scene]) -> None:
    """And hands out nothing meanwhile, neither to its own workers nor to those elsewhere."""
    here = scene(handlers__enabled="sleep", handlers__queues="sleepers=3")
    with ExitStack() as stack:
        with here.server("--work", APP, "--grace", "15s") as server:
            idle = stack.enter_context(here.worker("idle", "--queues", "elsewhere"))
            [held] = here.send("hold", payload={"gate": "go"})
            here.began(held)
            body = {"type": "sleep", "queue": "sleepers", "payload": {"ms": 600}}
            sleeping = here.http.post("/v1/jobs", json=body).json()["id"]
            until(lambda: here.state(sleeping) == "running", "the sleeping job")
            server.wait_for("draining", after=server.terminate)
            [waits] = here.send("hold", payload={"gate": "go"})
            [elsewhere] = here.send("quick", queue="elsewhere")
            assert here.http.get("/readyz").status_code == 503
            until(lambda: here.state(sleeping) == "done", "the end of the sleeping job")
            assert [here.state(id) for id in (held, waits, elsewhere)] == ["running", "pending", "pending"]
            here.open("go")
            assert server.wait() == 0
        with here.server("--work", APP):
            here.ended(held, waits, elsewhere)
            job = here.job(sleeping)
            assert (job["state"], [one["end"] for one in job["attempts"]]) == ("done", ["done"])
            here.http.delete(f"/v1/jobs/{sleeping}").raise_for_status()
            here.check(once=True)
            idle.stop()


def test_what_does_not_finish_in_time_is_handed_back(scene: Callable[..., Scene]) -> None:
    here = scene(handlers__enabled="sleep", handlers__queues="sleepers=3")
    with here.server("--work", APP, "--grace", "300ms") as server:
        held = here.send("hold", 2, payload={"gate": "go"})
        for id in held:
            here.began(id)
        body = {"type": "sleep", "queue": "sleepers", "payload": {"ms": 60_000}}
        sleeping = here.http.post("/v1/jobs", json=body).json()["id"]
        until(lambda: here.state(sleeping) == "running", "the sleeping job")
        server.terminate()
        assert server.wait() == 0
    here.env["ROTA_HANDLERS__ENABLED"] = "false"
    with here.server():
        for id in (*held, sleeping):
            job = here.job(id)
            assert (job["state"], job["attempt"], job["losses"]) == ("pending", 0, 0)
            assert [one["end"] for one in job["attempts"]] == ["released"]
        here.http.delete(f"/v1/jobs/{sleeping}").raise_for_status()
        here.open("go")
        with here.worker("w1"):
            assert [job["attempt"] for job in here.ended(*held)] == [1, 1]
            here.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_server_at_once(scene: Callable[..., Scene], number: signal.Signals) -> None:
    here = scene(handlers__enabled="sleep")
    with here.server("--grace", "1h") as server:
        id = here.http.post("/v1/jobs", json={"type": "sleep", "payload": {"ms": 1500}}).json()["id"]
        until(lambda: here.state(id) == "running", "the job")
        server.wait_for("draining", after=lambda: server.send(number))
        begun = time.monotonic()
        server.send(number)
        assert server.wait() == 128 + number
        assert time.monotonic() - begun < 1
    with here.server():
        [job] = here.ended(id)
        assert [one["end"] for one in job["attempts"]] == ["lost", "done"], (
            "it was running, and it runs again"
        )


def test_workers_elsewhere_outlive_a_restart_of_the_server(scene: Callable[..., Scene]) -> None:
    """A deployment: jobs that run on other machines go on, and nothing of it shows in their attempts."""
    here = scene()
    with ExitStack() as stack:
        with here.server() as server:
            workers = [
                stack.enter_context(here.worker("w1")),
                stack.enter_context(here.worker("w2", "--poll")),
            ]
            ids = here.send("hold", 6, payload={"gate": "go"})
            for id in ids:
                here.began(id)
            server.terminate()
            assert server.wait() == 0
        with here.server():
            until(lambda: sum(one["running"] for one in here.roster().values()) >= 1, "a worker")
            here.open("go")
            here.ended(*ids)
            here.check(once=True)
            for worker in workers:
                worker.stop()


@pytest.mark.parametrize("flags", [[], ["--poll"]])
def test_a_worker_that_drains_finishes_or_hands_back(scene: Callable[..., Scene], flags: list[str]) -> None:
    here = scene()
    with here.server():
        with here.worker("w1", "--grace", "10s", *flags) as worker:
            first = here.send("hold", 2, payload={"gate": "one"})
            for id in first:
                here.began(id)
            worker.terminate()
            until(lambda: "w1" not in here.roster() or here.roster()["w1"]["draining"] or flags, "the drain")
            here.open("one")
            assert worker.wait() == 0
        here.ended(*first)
        with here.worker("w2", "--grace", "300ms", *flags) as worker:
            second = here.send("hold", 2, payload={"gate": "two"})
            for id in second:
                here.began(id)
            begun = time.monotonic()
            assert worker.stop() == 0
            assert time.monotonic() - begun < 8
        assert [here.job(id)["attempt"] for id in second] == [0, 0]
        assert [here.state(id) for id in second] == ["pending", "pending"]
        here.open("two")
        with here.worker("w3", *flags):
            assert [job["attempt"] for job in here.ended(*second)] == [1, 1]
            here.check()
