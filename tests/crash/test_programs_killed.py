"""Programs in the hands of a server or worker that is killed, stopped or told to stop them: they end, nothing
of them is left, and their job goes on and ends once.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.programs import cgroup
from tests.crash.kit import until
from tests.programs.kit import AS_ROOT
from tests.programs.serving import Place, place
from tests.programs.test_ending import wait_gone


@pytest.fixture(params=["root", "ordinary"] if AS_ROOT else ["ordinary"])
def here(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place(ordinary=request.param == "ordinary") as made:
        yield made


def ends_once(here: Place, id: str) -> None:
    """The job is done, by its second run."""
    here.running(id, times=2)
    here.let_go()
    job = here.job(id, wait=20)
    assert (job["state"], job["result"]["output"]) == ("done", "ready\nended\n"), job
    assert [one["end"] == "done" for one in job["attempts"]] == [False, True], job["attempts"]


def nothing_left(here: Place) -> None:
    """Folders are wiped right after the report; all else is gone before it."""
    until(lambda: not here.left(), "the end of all that programs had")


def no_groups(own: str) -> None:
    """Those that wait for a next program go with the processes that made them."""
    until(lambda: not cgroup.left_by(own, cgroup.places()), "the end of all control groups")


def test_nothing_of_a_sandbox_waits_in_a_server_that_runs_no_program(here: Place) -> None:
    with here.server() as server:
        server.wait_for("programs run in a sandbox")
        until(lambda: here.on()["state"] == "on" and not keepers(server.pid), "the end of its processes")


def test_a_killed_server_takes_its_programs_along_and_runs_their_jobs_again(here: Place) -> None:
    with here.server() as server:
        id = here.send()
        pids = here.running(id)
        own = here.own()
        server.kill()
        wait_gone(pids)
        no_groups(own)
    with here.server() as server:
        server.wait_for("cleaned up after a server that was killed")
        assert here.own() != own
        ends_once(here, id)
        nothing_left(here)
        server.stop()
    assert list(here.jobs.iterdir()) == []


def test_a_killed_worker_elsewhere_takes_its_programs_along_too(here: Place) -> None:
    with here.server(env={"ROTA_PROGRAMS__ENABLED": "false", "ROTA_SOCKET_GRACE": "100ms"}):
        id = here.send()
        with here.worker() as worker:
            pids, own = here.running(id), here.own()
            worker.kill()
            wait_gone(pids)
            no_groups(own)
        with here.worker() as worker:
            worker.wait_for("cleaned up after a server that was killed")
            ends_once(here, id)
            nothing_left(here)
            assert worker.stop() == 0
    assert list(here.jobs.iterdir()) == []


def test_a_killed_keeper_costs_no_program(here: Place) -> None:
    with here.server() as server:
        id = here.send()
        here.running(id)
        [keeper] = keepers(server.pid)
        os.kill(keeper, signal.SIGKILL)
        wait_gone([keeper])
        # It is replaced for the next one, while the first runs on.
        other = here.job(here.send("echo again"), wait=20)
        assert other["result"]["output"] == "again\n"
        here.let_go()
        assert here.job(id, wait=20)["result"]["output"] == "ready\nended\n"
        nothing_left(here)
        server.stop()
    assert list(here.jobs.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_told_to_stop_gives_programs_their_grace_and_hands_the_job_back(
    here: Place, number: signal.Signals
) -> None:
    with here.server("--grace", "200ms") as server:
        id = here.send()
        pids, own = here.running(id), here.own()
        server.send(number)
        assert server.wait() == 0
        wait_gone(pids, 0)
        no_groups(own)
        assert list(here.jobs.iterdir()) == []
        assert "Traceback" not in server.text
    with here.server():
        ends_once(here, id)
        assert here.job(id)["attempt"] == 1, "a drain costs no attempt"


def test_a_program_that_ends_within_the_grace_is_done(here: Place) -> None:
    with here.server() as server:
        id = here.send()
        here.running(id)
        server.wait_for("draining", after=server.terminate)
        here.let_go()
        assert server.wait() == 0
    with here.server():
        job = here.job(id)
        assert (job["state"], job["result"]["output"], job["attempt"]) == ("done", "ready\nended\n", 1)


def test_a_second_signal_ends_it_at_once_with_all_its_programs(here: Place) -> None:
    with here.server() as server:
        pids = here.running(here.send())
        server.wait_for("draining", after=server.terminate)
        server.terminate()
        assert server.wait() != 0
        wait_gone(pids)


def test_a_cancelled_job_ends_all_that_it_started(here: Place) -> None:
    with here.server():
        id = here.send()
        pids = here.running(id)
        assert here.http.post(f"/v1/jobs/{id}/cancel").status_code == 202
        wait_gone(pids, 20)
        assert here.job(id, wait=20)["state"] == "cancelled"
        nothing_left(here)


def test_a_job_out_of_time_ends_all_that_it_started(here: Place) -> None:
    with here.server():
        id = here.send(timeout=2, max_attempts=1)
        pids = here.running(id)
        job = here.job(id, wait=20)
        assert (job["state"], job["reason"]) == ("failed", "timeout")
        wait_gone(pids, 20)
        nothing_left(here)


def test_a_program_out_of_its_own_time_says_so(here: Place) -> None:
    with here.server():
        id = here.send(payload={"timeout": 1}, max_attempts=1)
        pids = here.running(id)
        job = here.job(id, wait=20)
        assert (job["state"], job["error"]["details"]["ended"]) == ("failed", "timeout")
        wait_gone(pids, 0)
        nothing_left(here)


def keepers(server: int) -> list[int]:
    """The keepers that are children of a process."""
    found = []
    for task in Path(f"/proc/{server}/task").iterdir():
        for pid in task.joinpath("children").read_text().split():
            with contextlib.suppress(OSError):
                if b"rota.programs.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found
