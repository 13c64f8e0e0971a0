"""The concurrent prototype's clients, at a real server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.crash.kit import until
from tests.fronts.kit import play, type_along
from tests.server import DEADLINE, Server, running, running_server

LONG = {"ROTA_FRONTS__JOBQ__WORK": "1h", "ROTA_GRACE": "0"}
QUICK = {"ROTA_FRONTS__JOBQ__WORK": "20ms"}

WORKER = """
import rota

app = rota.App(queue="jobq")


@app.task(name="jobq")
def work(payload):
    if payload == {"refused": True}:
        raise rota.Fail("no")
    return ["worked", payload]
"""


class Prototype:
    """A server, a client of the prototype, and a look behind the scenes."""

    def __init__(self, server: Server, http: httpx2.Client) -> None:
        self.server = server
        self.http = http

    @classmethod
    @contextmanager
    def at(cls, folder: Path, *flags: str, env: Mapping[str, str] = QUICK) -> Iterator[Prototype]:
        with (
            running_server(folder, *flags, env=env) as server,
            httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False) as http,
        ):
            yield cls(server, http)
            unharmed(server)

    def enqueue(self, body: bytes = b"") -> dict[str, Any]:
        answer = self.http.post("/enqueue", content=body)
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def enqueue_many(self, count: int) -> list[str]:
        return [self.enqueue()["id"] for _ in range(count)]

    def status(self, id: str) -> str:
        return str(self.http.get(f"/status/{id}").json()["status"])

    def job(self, id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/v1/jobs/{id}").json()
        return job

    def counts(self) -> dict[str, int]:
        """Of its queue, by state."""
        queues = self.http.get("/v1/queues").json()["queues"]
        states = ("scheduled", "pending", "running", "done", "failed", "cancelled")
        found = [one for one in queues if one["name"] == "jobq"]
        return {state: one[state] for one in found for state in states if one[state]}


def unharmed(server: Server) -> None:
    """Nothing went wrong inside."""
    assert "Traceback" not in server.text
    assert not [one for one in server.records() if one.get("level") in ("error", "critical")], server.text


def test_answers_are_those_of_the_prototype(tmp_path: Path) -> None:
    with running_server(tmp_path, env=QUICK) as server:
        play(server.url, "jobq")
        play(server.url, "jobq_methods")
        unharmed(server)


def test_the_page_is_typed_along(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert type_along("fronts/jobq.md", server.url, tmp_path) > 2


def test_paths_beside_the_two(tmp_path: Path) -> None:
    """Alone on a listener ``/status`` is the prototype's, too."""
    with running_server(tmp_path, env=QUICK | {"ROTA_LISTENERS": "127.0.0.1:0=jobq"}) as server:
        url = server.wait_for("listening for fronts")["url"]
        with httpx2.Client(base_url=url, timeout=DEADLINE, trust_env=False) as http:
            id = http.post("/enqueue").json()["id"]
            for path in (
                "/status",
                "/status/",
                "/status/1/",
                "/status/1/x",
                f"/status/{id}/",
                "/status/a%2F",
            ):
                answer = http.get(path)
                assert (answer.status_code, answer.content) == (404, b"404 page not found\n"), path
                assert answer.headers["content-type"] == "text/plain; charset=utf-8"
                assert http.put(path).status_code == 405
            encoded = "".join(f"%{ord(letter):02x}" for letter in id)
            assert http.get(f"/status/{encoded}").json()["id"] == id
            head = http.head(f"/status/{id}")
            assert (head.status_code, head.content) == (200, b"")
            assert http.head("/enqueue").status_code == 405
            assert http.head("/enqueue").headers["allow"] == "POST"
        unharmed(server)


def test_it_shows_no_jobs_of_others(tmp_path: Path) -> None:
    with Prototype.at(tmp_path, env=LONG) as one:
        answer = one.http.post("/v1/jobs", json={"type": "jobq", "queue": "jobq"})
        hidden = one.http.get(f"/status/{answer.json()['id']}")
        assert (hidden.status_code, hidden.content) == (404, b"job not found\n")
        mine = one.enqueue(b'{"a": 1}')["id"]
        listed = one.http.get("/v1/jobs", params={"tag": "front:jobq"}).json()["jobs"]
        assert [(job["id"], job["queue"], job["type"]) for job in listed] == [(mine, "jobq", "jobq")]
        assert one.job(mine)["payload"] == {"a": 1}


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"", "dummy payload"),
        (b"   ", "dummy payload"),
        (b"not json", "dummy payload"),
        (b'{"a": 1', "dummy payload"),
        (b'{"a": 1} {"b": 2}', "dummy payload"),
        (b"{'a': 1}", "dummy payload"),
        (b'1, "b": 2', "dummy payload"),
        (b"NaN", "dummy payload"),
        (b"1e999", "dummy payload"),
        (b"9" * 5000, "dummy payload"),
        (b'"\xff\xfe"', "dummy payload"),
        (b"\xef\xbb\xbf1", "dummy payload"),
        (b'"\\ud800"', "dummy payload"),
        (b'"\\u0000"', "dummy payload"),
        (b'{"a": 1, "a": 2}', "dummy payload"),
        (b"[" * 100_000 + b"]" * 100_000, "dummy payload"),
        (b"]" * 100_000, "dummy payload"),
        (b'{"":' * 50_000, "dummy payload"),
        (b"\x00\x01\x02\xff" * 1000, "dummy payload"),
        (b"null", None),
        (b" [1, true] ", [1, True]),
        ('"é\U0001f600"'.encode(), "é\U0001f600"),
        (b'{"__proto__": {}}', {"__proto__": {}}),
        (b"[" * 60 + b"]" * 60, json.loads("[" * 60 + "]" * 60)),
        (b'"' + b"x" * (1024 * 1024 - 2) + b'"', "x" * (1024 * 1024 - 2)),
    ],
    ids=range(25),
)
def test_any_body_is_taken(shared: Prototype, body: bytes, payload: object) -> None:
    job = shared.enqueue(body)
    assert (job["payload"], job["status"]) == (payload, "pending")
    assert shared.job(job["id"])["payload"] == payload
    shown = shared.http.get(f"/status/{job['id']}").json()
    assert shown["payload"] == payload


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_what_a_payload_may_have_is_refused(shared: Prototype, declared: bool) -> None:
    before = shared.counts()
    body = b'"' + b"x" * (1024 * 1024 - 1) + b'"'
    answer = shared.http.post("/enqueue", content=body if declared else iter([body]))
    assert answer.status_code == 413
    assert answer.text == "The body is too large; this server takes at most 1048576 bytes.\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert sum(shared.counts().values()) == sum(before.values())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Prototype.at(tmp_path_factory.mktemp("jobq")) as one:
        yield one


def test_from_pending_through_processing_to_completed(tmp_path: Path) -> None:
    with Prototype.at(tmp_path, env={"ROTA_FRONTS__JOBQ__WORK": "500ms"}) as one:
        assert one.http.post("/v1/queues/jobq/pause").status_code == 200
        id = one.enqueue()["id"]
        assert one.status(id) == "pending"
        assert one.http.post("/v1/queues/jobq/resume").status_code == 200
        until(lambda: one.status(id) == "processing", "processing")
        until(lambda: one.status(id) == "completed", "completed")


@pytest.mark.parametrize(("slots", "at_once", "posts"), [(None, 10, 1040), ("3", 3, 20), ("0", 0, 20)])
def test_so_many_jobs_at_a_time_and_every_post_is_answered(
    tmp_path: Path, slots: str | None, at_once: int, posts: int
) -> None:
    """The prototype took 1,010 and made the others wait."""
    env = LONG | ({} if slots is None else {"ROTA_FRONTS__JOBQ__SLOTS": slots})

    async def post_all(url: str) -> set[str]:
        limits = httpx2.Limits(max_connections=100)
        async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits) as http:
            answers = await asyncio.gather(*(http.post("/enqueue") for _ in range(posts)))
        assert {answer.status_code for answer in answers} == {200}
        return {answer.json()["id"] for answer in answers}

    with Prototype.at(tmp_path, "--grace", "0", env=env) as one:
        assert len(asyncio.run(post_all(one.server.url))) == posts
        until(lambda: one.counts().get("running", 0) == at_once, f"{at_once} running jobs")
        assert sum(one.counts().values()) == posts
        assert one.counts()["pending"] == posts - at_once
        if not at_once:
            id = one.enqueue()["id"]
            told = one.http.get(f"/v1/jobs/{id}/explain").json()["causes"]
            assert [cause["cause"] for cause in told] == ["no_worker"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_running_jobs_end_and_keeps_the_others(tmp_path: Path, number: int) -> None:
    with Prototype.at(tmp_path, env={"ROTA_FRONTS__JOBQ__WORK": "1s"}) as one:
        ids = one.enqueue_many(25)
        until(lambda: one.counts().get("running") == 10, "ten running jobs")
        running_now = {job["id"] for job in one.http.get("/v1/jobs?state=running").json()["jobs"]}
        one.server.wait_for("draining", after=lambda: one.server.send(number))
        assert one.server.wait() == 0
    with Prototype.at(tmp_path, env=LONG) as one:
        statuses = {id: one.status(id) for id in ids}
        assert {statuses[id] for id in running_now} == {"completed"}
        assert "completed" not in {statuses[id] for id in ids[20:]}
        one.server.stop()
        assert one.server.wait() == 0
    with Prototype.at(tmp_path) as one:
        until(lambda: one.counts() == {"done": 25}, "the end of all")
        assert {one.job(id)["attempt"] for id in ids} == {1}, "a stop spends no attempt"


def test_what_runs_beyond_the_grace_is_kept_too(tmp_path: Path) -> None:
    with Prototype.at(tmp_path, "--grace", "200ms", env=LONG) as one:
        ids = one.enqueue_many(12)
        until(lambda: one.counts().get("running") == 10, "ten running jobs")
        assert one.server.stop() == 0
    with Prototype.at(tmp_path) as one:
        until(lambda: one.counts() == {"done": 12}, "the end of all")
        jobs = [one.job(id) for id in ids]
        assert {job["attempt"] for job in jobs} == {1}
        assert sorted(len(job["attempts"]) for job in jobs) == [1] * 2 + [2] * 10


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    """What its own workers had is lost for certain: nobody waits for a lease to end."""
    with Prototype.at(tmp_path, env=LONG) as one:
        ids = one.enqueue_many(12)
        until(lambda: one.counts().get("running") == 10, "ten running jobs")
        one.server.kill()
    with Prototype.at(tmp_path, env=QUICK | {"ROTA_LEASE": "1h"}) as one:
        lost = one.server.wait_for("workers lost")
        assert lost["jobs"] == 10
        until(lambda: one.counts() == {"done": 12}, "the end of all")
        ends = [[attempt["end"] for attempt in one.job(id)["attempts"]] for id in ids]
        assert sorted(ends) == [["done"]] * 2 + [["lost", "done"]] * 10


def test_a_worker_of_ones_own_takes_over(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WORKER)
    with Prototype.at(tmp_path) as one:
        first = one.enqueue(b'{"n": 1}')["id"]
        until(lambda: one.status(first) == "completed", "the stand-in's work")
        assert one.job(first)["result"] is None
        with running(tmp_path, "work", "mine:app", env={"ROTA_URL": one.server.url}) as worker:
            worker.wait_for("connected")
            ids = [one.enqueue(b'{"n": %d}' % n)["id"] for n in range(20)]
            refused = one.enqueue(b'{"refused": true}')["id"]
            until(lambda: one.counts() == {"done": 21, "failed": 1}, "the worker's work")
            assert {json.dumps(one.job(id)["result"]) for id in ids} == {
                json.dumps(["worked", {"n": n}]) for n in range(20)
            }
            assert one.status(refused) == "failed"
            worker.kill()
        last = one.enqueue(b'{"n": 2}')["id"]
        until(lambda: one.status(last) == "completed", "the stand-in's work")
        assert one.job(last)["result"] is None


def test_switched_off_there_is_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__JOBQ__ENABLED": "no"}) as server:
        with httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False) as http:
            assert http.post("/enqueue").json()["code"] == "not_found"
            assert http.get("/status/1").status_code == 404
            workers = http.get("/v1/workers").json()["workers"]
            assert not [one for one in workers if "jobq" in one["queues"]]
