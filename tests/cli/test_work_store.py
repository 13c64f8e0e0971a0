"""`rota work --store`: workers straight on a PostgreSQL, with and without servers beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from rota.engines.open import open_engine
from rota.model.clock import SystemClock
from rota.model.job import Job, Kept
from rota.model.spec import JobSpec, Limits, request
from tests import postgres
from tests.cli.kit import SHOP, Cli, children_of
from tests.crash.kit import until
from tests.server import DEADLINE, Process, Server, running, running_server
from tests.web.zips import zipped

FILES = """
from pathlib import Path

import rota

app = rota.App(queue="files")


@app.task
async def shout(ctx: rota.Context, upload: dict[str, object]) -> int:
    there = Path(f"in-{ctx.id}")
    await ctx.read_upload(there)
    there.write_bytes(there.read_bytes().upper())
    await ctx.keep_artifact(there)
    return there.stat().st_size
"""


class Place:
    """A database, a folder with programs, and what runs there."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store = folder, store
        folder.joinpath("shop.py").write_text(SHOP)
        folder.joinpath("copying.py").write_text(FILES)

    @contextlib.contextmanager
    def worker(self, *flags: str, target: str = "shop:app", **env: str) -> Iterator[Process]:
        """A store worker, at work when the block begins."""
        with running(self.folder, "work", target, "--store", self.store, *flags, env=env) as process:
            process.wait_for("connected")
            yield process

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        with running_server(self.folder, store=self.store, env={"ROTA_HANDLERS__ENABLED": "false"}) as server:
            yield server

    def put(self, *jobs: JobSpec) -> list[Kept]:
        """Store jobs as another program would, without a server."""

        async def store() -> list[Kept]:
            engine = await open_engine(self.store)
            try:
                now = SystemClock().now()
                [kept] = await engine.enqueue([request(list(jobs), now, Limits())], now)
                await engine.announce(sorted({job.queue or "default" for job in jobs}))
                return kept
            finally:
                await engine.close()

        return asyncio.run(store())

    def jobs(self, *ids: str) -> list[Job]:
        async def read() -> list[Job]:
            engine = await open_engine(self.store)
            try:
                return await engine.get(ids)
            finally:
                await engine.close()

        return asyncio.run(read())

    def ended(self, *ids: str) -> list[Job]:
        """These jobs, once all are done."""
        return until(
            lambda: (jobs := self.jobs(*ids)) and all(job.state == "done" for job in jobs) and jobs, "the end"
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    url = postgres.fresh()
    yield Place(tmp_path, url)
    postgres.give_back(url)


def add(a: int, b: int) -> JobSpec:
    return JobSpec(type="add", payload=msgspec.Raw(b'{"a":%d,"b":%d}' % (a, b)))


def wait_for(server: Server, type: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
    """A job that somebody waits for at a server, at its end."""
    job = {"type": type, "payload": payload, **fields}
    answer = httpx2.post(server.url + "/v1/jobs?wait=15", json=job, timeout=DEADLINE)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_jobs_are_run_where_no_server_is(place: Place) -> None:
    first = place.put(*(add(n, 1) for n in range(20)))
    with place.worker() as worker:
        later = place.put(JobSpec(type="add", payload=msgspec.Raw(b'{"a":1,"b":2}'), delay=0.3), add(40, 2))
        jobs = place.ended(*(one.id for one in first + later))
        assert [job.result for job in jobs] == [b"%d" % (n + 1) for n in range(20)] + [b"3", b"42"]
        assert {job.attempt for job in jobs} == {1}
        assert all((job.worker or "").startswith("inside-") for job in jobs)
        assert worker.stop() == 0
    assert "postgresql://" in worker.wait_for("working on the store")["store"]


def test_a_client_waits_at_a_server_for_a_worker_on_the_store(place: Place) -> None:
    with place.server() as server, place.worker("--name", "direct"):
        job = wait_for(server, "add", {"a": 2, "b": 3})
        assert (job["state"], job["result"]) == ("done", 5)
        lain = wait_for(server, "nap", {"seconds": 0.05})
        assert (lain["state"], lain["result"]) == ("done", "rested")
        lines = httpx2.get(f"{server.url}/v1/jobs/{lain['id']}/logs").json()
        assert [line["text"] for line in lines["lines"]] == ["lying down", "getting up"]


def test_servers_know_it_and_drain_it(place: Place) -> None:
    with place.server() as server, place.worker("--name", "direct", "--slots", "3") as worker:
        cli = Cli(place.folder, server.url)
        [shown] = until(lambda: [one for one in cli.workers() if one["name"] == "direct"], "the worker")
        assert (shown["slots"], shown["queues"], shown["types"]) == (
            3,
            ["default"],
            ["add", "blocks", "breaks", "fails", "nap", "picture", "says"],
        )
        napping = cli.put("nap", '{"seconds": 3}')
        until(lambda: cli.job(napping)["state"] == "running", "the beginning")
        answer = httpx2.post(f"{server.url}/v1/workers/{shown['worker']}/drain")
        assert answer.status_code in (200, 202, 204), answer.text
        assert worker.wait() == 0
        job = cli.job(napping)
        assert (job["state"], job["attempt"]) == ("done", 1)


def test_a_pause_and_a_cancel_at_a_server_reach_it(place: Place) -> None:
    with place.server() as server, place.worker():
        cli = Cli(place.folder, server.url)
        napping = cli.put("nap", '{"seconds": 60}')
        until(lambda: cli.job(napping)["state"] == "running", "the beginning")
        httpx2.post(f"{server.url}/v1/queues/default/pause").raise_for_status()
        waiting = cli.put("add", '{"a": 1, "b": 1}')
        httpx2.post(f"{server.url}/v1/jobs/{napping}/cancel").raise_for_status()
        until(lambda: cli.job(napping)["state"] == "cancelled", "the end")
        assert cli.job(waiting)["state"] == "pending"
        httpx2.post(f"{server.url}/v1/queues/default/resume").raise_for_status()
        until(lambda: cli.job(waiting)["state"] == "done", "the other job")


def test_what_one_was_killed_over_another_one_does(place: Place) -> None:
    with place.server() as server:
        cli = Cli(place.folder, server.url)
        ids = [cli.put("nap", '{"seconds": 60}') for _ in range(4)]
        with place.worker("--name", "first") as first:
            until(lambda: all(cli.job(id)["state"] == "running" for id in ids), "the beginning")
            first.process.kill()
            first.process.wait()
            with place.worker("--name", "second"):
                again = until(
                    lambda: all((job := cli.job(id))["attempt"] == 2 and job["worker"] for id in ids),
                    "the rescue",
                )
                assert again
                for id in ids:
                    httpx2.post(f"{server.url}/v1/jobs/{id}/cancel").raise_for_status()
                until(lambda: {cli.job(id)["state"] for id in ids} == {"cancelled"}, "the end")


def test_it_is_drained_by_a_signal(place: Place) -> None:
    [kept] = place.put(JobSpec(type="nap", payload=msgspec.Raw(b'{"seconds": 0.5}')))
    with place.worker() as worker:
        until(lambda: place.jobs(kept.id)[0].state == "running", "the beginning")
        assert worker.stop() == 0
    [job] = place.jobs(kept.id)
    assert (job.state, job.attempt, job.result) == ("done", 1, b'"rested"')


def test_files_come_and_go_without_a_server(place: Place) -> None:
    packed = zipped(words="quiet")
    with place.server() as server:
        answer = httpx2.post(
            f"{server.url}/v1/jobs",
            content=packed,
            headers={
                "content-type": "application/zip",
                "rota-job": '{"type": "shout", "queue": "files"}',
            },
        )
        assert answer.status_code == 201, answer.text
        id = answer.json()["id"]
        with place.worker(target="copying:app"):
            place.ended(id)
        artifact = httpx2.get(f"{server.url}/v1/jobs/{id}/artifact")
        assert artifact.content == packed.upper()


def test_several_processes_and_no_password_in_their_commands(place: Place) -> None:
    secret = "very-secret-word"
    url = place.store.replace("rota@", f"rota:{secret}@")
    jobs = place.put(*(add(n, n) for n in range(50)))
    env = {"ROTA_WORK_STORE": url}
    with running(place.folder, "work", "shop:app", "--processes", "2", env=env) as worker:
        place.ended(*(one.id for one in jobs))
        children = until(lambda: len(found := children_of(worker.pid)) >= 2 and found, "the processes")
        for child in children:
            assert secret.encode() not in Path(f"/proc/{child}/cmdline").read_bytes()
        assert worker.stop() == 0
        assert secret not in worker.text


def test_a_database_that_is_away_is_waited_for(place: Place, tmp_path: Path) -> None:
    with postgres.Cluster(durable=True) as cluster:
        there = Place(tmp_path, cluster.database("away"))
        asyncio.run(_make(there.store))
        cluster.stop()
        with running(tmp_path, "work", "shop:app", "--store", there.store) as worker:
            worker.wait_for("no connection")
            cluster.start()
            worker.wait_for("connected")
            [kept] = there.put(JobSpec(type="nap", payload=msgspec.Raw(b'{"seconds": 1}')))
            until(lambda: there.jobs(kept.id)[0].state == "running", "the beginning")
            cluster.kill()
            cluster.start()
            [job] = there.ended(kept.id)
            assert job.result == b'"rested"'
            assert worker.process.poll() is None


async def _make(url: str) -> None:
    await (await open_engine(url)).close()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--store", "sqlite:///jobs.db"], "a SQLite file belongs to one server"),
        (["--store", "mysql://x/y"], "--store must be postgresql://"),
        (["--store", "postgresql://u:hidden@h/d?nonsense=1"], "nonsense"),
        (["--store", "postgresql://h/d", "--url", "http://127.0.0.1:1"], "neither --url nor --poll"),
        (["--store", "postgresql://h/d", "--poll"], "neither --url nor --poll"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, flags: list[str], told: str) -> None:
    tmp_path.joinpath("shop.py").write_text(SHOP)
    ran = Cli(tmp_path, "http://127.0.0.1:1")("work", "shop:app", *flags, env={"ROTA_URL": None})
    assert ran.status == 2, ran
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert "hidden" not in ran.err


def test_two_signals_end_it_at_once(place: Place) -> None:
    [kept] = place.put(JobSpec(type="nap", payload=msgspec.Raw(b'{"seconds": 60}')))
    with place.worker() as worker:
        until(lambda: place.jobs(kept.id)[0].state == "running", "the beginning")
        worker.wait_for("draining", after=worker.terminate)
        os.kill(worker.pid, signal.SIGTERM)
        worker.wait()
        worker.process.returncode = 0
    [job] = place.jobs(kept.id)
    # Handed back, for the next one: at once, or when its lease has ended.
    assert job.state in ("pending", "running")
