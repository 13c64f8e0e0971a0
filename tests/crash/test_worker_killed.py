"""kill -9 of workers: their jobs go on elsewhere, soon; a job that kills workers takes down nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.crash.history import seconds
from tests.crash.kit import APP, PATIENCE, Scene, until


def test_the_jobs_of_killed_workers_go_to_others_in_time(scene: Callable[..., Scene]) -> None:
    """With the settings that everybody has: at most 5 s from a socket worker, 20 s from one that polls."""
    here = scene()
    with here.server():
        with (
            here.worker("socket", "--queues", "a", "--slots", "3") as socket,
            here.worker("poll", "--queues", "b", "--slots", "3", "--poll") as poll,
        ):
            pushed = here.send("hold", 3, queue="a", payload={"gate": "go"})
            fetched = here.send("hold", 3, queue="b", payload={"gate": "go"})
            for id in (*pushed, *fetched):
                here.began(id)
            with here.worker("other", "--queues", "a,b"):
                killed = time.time()
                socket.kill()
                poll.kill()
                here.open("go")
                for ids, limit in ((pushed, 5), (fetched, 20)):
                    for id in ids:
                        assert here.began(id, 2, limit + 2)["at"] - killed <= limit
                jobs = here.ended(*pushed, *fetched)
                here.check()
    for job in jobs:
        assert (job["state"], job["attempt"], job["losses"]) == ("done", 2, 1)
        assert [one["end"] for one in job["attempts"]] == ["lost", "done"]


def test_a_poison_job_takes_nobody_down(scene: Callable[..., Scene]) -> None:
    """It kills each worker that runs it; after three it has failed, and all others were done all the time."""
    here = scene(lease="2s", beat="300ms", socket_grace="200ms")
    with here.server("--work", APP, "--processes", "2") as server:
        until(lambda: len(here.roster()) == 2, "the workers")
        [poison] = here.send("poison")
        ids = []
        deadline = time.monotonic() + PATIENCE
        while here.state(poison) != "failed":
            assert time.monotonic() < deadline, server.text
            ids += here.send("quick", 5)
            pause = time.monotonic() + 0.05
            until(lambda pause=pause: time.monotonic() > pause, "the next")  # type: ignore[misc]
        ids += here.send("quick", 5)
        here.ended(*ids)
        job = here.job(poison)
        assert (job["reason"], job["losses"], job["attempt"]) == ("worker_lost", 3, 3)
        assert [one["end"] for one in job["attempts"]] == ["lost"] * 3
        assert len({one["worker"] for one in job["attempts"]}) == 3
        assert job["error"]["type"] == "WorkerLost"
        first, last = here.began(poison)["at"], seconds(job["finished_at"])
        meanwhile = [one for one in here.history.events("ended") if first < one["at"] < last]
        assert len(meanwhile) >= 10, "others were done while it went from worker to worker"
        here.check()
        until(lambda: len(here.roster()) == 2, "the workers are there again")


def test_a_cancelled_job_of_a_killed_worker_does_not_run_again(scene: Callable[..., Scene]) -> None:
    here = scene(socket_grace="200ms")
    with here.server():
        with here.worker("w1") as worker:
            [id] = here.send("hold", payload={"gate": "go"})
            here.began(id)
            assert here.http.post(f"/v1/jobs/{id}/cancel").status_code == 202
            worker.kill()
        with here.worker("w2"):
            [job] = here.ended(id)
            assert (job["state"], job["reason"]) == ("cancelled", "cancelled")
            here.check()
            assert len(here.history.events("began", id=id)) == 1
