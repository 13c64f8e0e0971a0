"""Two servers on one database: who worked at one that is killed goes on at the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import httpx2
import pytest

import rota
from tests import postgres
from tests.crash.fleet import free_ports
from tests.crash.kit import APP, Scene, until
from tests.server import running


@pytest.mark.parametrize("transport", ["socket", "poll"])
def test_a_running_job_comes_along(scene: Callable[..., Scene], transport: str) -> None:
    """It runs once, and its result is accepted by a server that never handed it out."""
    here = scene(url=postgres.fresh())
    first, second = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    both = ["--url", first, "--url", f"{second}/"]
    with ExitStack() as stack:
        here.port = int(first.rpartition(":")[2])
        server = stack.enter_context(here.server())
        arguments = ["work", APP, "--name", "w1", *both, *(["--poll"] if transport == "poll" else [])]
        worker = stack.enter_context(running(here.folder, *arguments, env=here.tasks_env))
        until(lambda: "w1" in here.roster(), "w1")
        [id] = here.send("hold", payload={"gate": "go"})
        here.began(id)
        here.port = int(second.rpartition(":")[2])
        stack.enter_context(here.server())
        server.kill()
        until(lambda: here.roster().get("w1", {}).get("running") == 1, "w1 at the second server")
        with rota.Client(f"{first},{second}") as client:
            assert client.job(id).state == "running"
            assert client.enqueue(rota.job("quick", {"key": 1000})).created
            here.history.note("sent", key=1000)
        assert httpx2.get(f"{second}/livez", trust_env=False).status_code == 200
        here.open("go")
        here.ended(id)
        until(lambda: all(job["state"] == "done" for job in here.store()), "the end of all")
        here.check(once=True)
        worker.stop()
