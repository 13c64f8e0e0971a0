"""JobQueueGo's clients, at a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rota.engines.sqlite import walk
from rota.model.spec import request
from rota.web.fronts.jqgo import shapes
from tests.fronts.kit import play, type_along
from tests.server import DEADLINE, PROGRAMS, Server, running_server
from tests.web.kit import Site, serving

Json = dict[str, Any]
NO_SLOTS = {"ROTA_FRONTS__JQGO__SLOTS": "0"}


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/rota.db"


def client(server: Server, **headers: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False, headers=headers)


def quiet(site: Site) -> None:
    """The answers of this interface are not those of /v1."""
    site.http.event_hooks = {}


def test_answers_are_those_of_the_program(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        play(server.url, "jqgo_empty")
        play(server.url, "jqgo")
        assert "Traceback" not in server.text


def test_the_page_is_typed_along(tmp_path: Path) -> None:
    with running_server(tmp_path, env=PROGRAMS) as server:
        assert type_along("fronts/jqgo.md", server.url, tmp_path) > 5


def test_the_server_sleeps_for_its_clients(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, client(server) as http:
        id = http.post("/job", json={"type": "sleep", "duration": 1}).json()["id"]
        while not (shown := http.get("/completedJobs").json())["jobs"]:
            pass
        [row] = shown["jobs"]
        assert row["job"] == {"id": id, "type": "sleep", "duration": 1, "attempts": 1}
        assert (row["result"], row["success"]) == ("Slept for 1 seconds", True)
        assert row["duration"] >= 1000


def test_programs_wait_where_everybody_can_see_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, client(server) as http:
        for type in ("program_zip", "execurl"):
            id = http.post("/job", json={"type": type, "input": "x"}).json()["id"]
            job = http.get(f"/v1/jobs/{id}").json()
            assert (job["state"], job["tags"], job["type"]) == ("pending", ["front:jqgo"], type)
            assert "programs.enabled is false" in job["waiting_because"]
            causes = http.get(f"/v1/jobs/{id}/explain").json()["causes"]
            assert [one["cause"] for one in causes] == ["programs_off", "unknown_type"]
        assert http.get("/status").json()["queue_length"] == 2
        [queue] = [one for one in http.get("/v1/queues").json()["queues"] if one["name"] == "jqgo"]
        assert queue["types_without_worker"] == ["execurl", "program_zip"]


TAKEN: list[tuple[bytes, Json]] = [
    (b"{}", {"type": ""}),
    (b"null", {"type": ""}),
    (b"null]", {"type": ""}),
    (b' \n{"type":"a"} x', {"type": "a"}),
    (b'{"Type":"a","tYPE":"b"}', {"type": "b"}),
    (b'{"type":"b","TYPE":"c","type":"a"}', {"type": "a"}),
    (b'{"type":"a","type":null}', {"type": "a"}),
    (b'{"type":null,"duration":null,"input":null,"attempts":null}', {"type": ""}),
    (b'{"id":5,"status":[],"other":{"type":"x"}}', {"type": ""}),
    (b'{"duration":-5,"attempts":-9223372036854775808}', {"type": "", "duration": -5, "attempts": -(2**63)}),
    (b'{"duration":9223372036854775807}', {"type": "", "duration": 2**63 - 1}),
    (b'{"input":"\xff\\ud800 \\ud83d\\ude00<&>"}', {"type": "", "input": "\ufffd\ufffd \U0001f600<&>"}),
    (b'{"type":"../../etc \\n","input":"a"}', {"type": "../../etc \n", "input": "a"}),
    (json.dumps({"type": "x" * 100_000}).encode(), {"type": "x" * 100_000}),
]


async def test_jobs_are_read_as_the_program_read_them(store: str) -> None:
    async with serving(store) as site:
        quiet(site)
        for body, expected in TAKEN:
            answer = await site.http.post("/job", content=body, headers={"content-type": "what/ever"})
            assert answer.status_code == 202, body
            assert answer.json()["status"] == "enqueued"
            row = (await site.http.get("/status")).json()["jobs"][-1]
            assert row == {"id": answer.json()["id"], "attempts": 0, **expected}, body
        assert (await site.http.get("/status")).json()["queue_length"] == len(TAKEN)


REFUSED: list[bytes] = [
    b"",
    b" ",
    b"job",
    b"[]",
    b'["a"]',
    b'"a"',
    b"5",
    b"true",
    b"{",
    b'{"type"}',
    b'{"type":5}',
    b'{"type":["a"]}',
    b'{"input":{}}',
    b'{"duration":"5"}',
    b'{"duration":1.5}',
    b'{"duration":1.0}',
    b'{"duration":1e3}',
    b'{"duration":true}',
    b'{"duration":9223372036854775808}',
    b'{"duration":' + b"9" * 100_000 + b"}",
    b'{"attempts":"1"}',
    b'{"type":"a","duration":NaN}',
    b'{"type":"a\nb"}',
    b'{"type":"a\\u0000"}',
    b'{"input":"\\u0000"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"a":' + b"[" * 100_000,
    b'{"type":"a"' + b',"a":1' * 100_000 + b"}",
]


async def test_what_is_no_job_is_refused_and_nothing_is_stored(store: str) -> None:
    async with serving(store) as site:
        quiet(site)
        for body in REFUSED:
            answer = await site.http.post("/job", content=body)
            assert (answer.status_code, answer.text) == (400, "Invalid JSON\n"), body[:50]
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        answer = await site.http.post("/job", content=b'{"input":"%b"}' % (b"x" * 9 * 1024 * 1024))
        assert answer.status_code == 413
        assert "at most" in answer.text
        assert answer.text.endswith("\n")
        # Refused before it is sent.
        large = await site.raw(b"POST /job HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17825792\r\n\r\n")
        assert large.status_code == 413
        assert await site.stored() == 0


async def test_a_type_that_can_be_none_here_is_kept_in_the_payload(store: str) -> None:
    async with serving(store) as site:
        quiet(site)
        ids = [
            (await site.http.post("/job", json={"type": type})).json()["id"]
            for type in ("mail.send", "", "a b", "x" * 201)
        ]
        jobs = [await site.job(id) for id in ids]
        assert [job["type"] for job in jobs] == ["mail.send", "jqgo", "jqgo", "jqgo"]
        assert [job["payload"]["type"] for job in jobs] == ["mail.send", "", "a b", "x" * 201]
        assert jobs[0]["payload"] == {"type": "mail.send", "duration": 0, "input": "", "attempts": 0}


@pytest.mark.parametrize(
    ("given", "tries"), [(0, 3), (1, 2), (2, 1), (3, 1), (7, 1), (-1, 4), (-(2**63), 1000)]
)
async def test_tries_that_the_client_counts_are_no_more_to_come(store: str, given: int, tries: int) -> None:
    async with serving(store) as site:
        quiet(site)
        id = (await site.http.post("/job", json={"attempts": given})).json()["id"]
        assert (await site.job(id))["max_attempts"] == tries


async def test_lists_have_every_job_once_in_order_and_none_of_others(store: str) -> None:
    """More than fit in one go of reading, or in one of looking for them."""
    async with serving(store) as site:
        quiet(site)
        count = 1200
        for number in range(count):
            await site.http.post("/job", json={"type": "hash", "input": str(number)})
        await site.enqueue_many(3, "hash", queue="jqgo")
        await site.enqueue_many(3, "hash")
        shown = (await site.http.get("/status")).json()
        assert shown["queue_length"] == count
        assert [row["input"] for row in shown["jobs"]] == [str(number) for number in range(count)]
        assert (await site.http.get("/completedJobs")).json() == {"completedJobs": 0, "jobs": None}
        async with site.worker(queues=["jqgo"], slots=2000) as worker:
            jobs = await worker.jobs(count + 3)
            ends = [{"id": job["id"], "lease": job["lease"], "result": job["type"]} for job in jobs]
            await worker.finish(*ends)
        done = (await site.http.get("/completedJobs")).json()
        assert done["completedJobs"] == count
        assert [row["job"]["input"] for row in done["jobs"]] == [str(number) for number in range(count)]
        assert all(row["success"] for row in done["jobs"])
        assert (await site.http.get("/status")).text == '{"jobs":[],"queue_length":0}\n'


async def test_no_result_among_very_many_that_wait_is_still_none(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where looking takes so long that it is done in pieces."""
    monkeypatch.setattr(walk, "BUDGET", 0.0)
    async with serving(store) as site:
        quiet(site)
        asked = request([shapes.to_job(b"{}", "jqgo")] * 1500, 0, site.service.limits, front="jqgo")
        await site.service.enqueue(asked)
        empty = '{"completedJobs":0,"jobs":null}\n'
        assert (await site.http.get("/completedJobs")).text == empty
        await site.post(f"/v1/jobs/{asked.jobs[-1].id}/cancel")
        text = (await site.http.get("/completedJobs")).text
        assert text.startswith('{"completedJobs":1,"jobs":[{"job":{"id":"' + asked.jobs[-1].id)
        assert (await site.http.get("/status")).json()["queue_length"] == 1499


async def test_results_of_other_workers_are_shown_as_texts(store: str) -> None:
    """A worker of Rota serves the queue: it gets an object and gives back what it likes."""
    async with serving(store) as site:
        quiet(site)
        results: list[tuple[Json, str, bool]] = [
            ({"result": 'fake"hash"'}, 'fake"hash"', True),
            ({"result": {"a": 1}}, '{"a": 1}', True),
            ({}, "", True),
            ({"result_base64": "aMO8", "content_type": "text/plain"}, "hü", True),
            ({"result_base64": "AAE="}, "AAE=", True),
            (
                {"end": "failed", "retry": False, "error": {"type": "E", "message": "no luck"}},
                "no luck",
                False,
            ),
            ({"end": "cancelled"}, "cancelled", False),
        ]
        ids = []
        async with site.worker(queues=["jqgo"]) as worker:
            for ending, _, _ in results:
                ids.append((await site.http.post("/job", json={"type": "a b", "duration": 4})).json()["id"])
                job = await worker.job()
                assert job["payload"] == {"type": "a b", "duration": 4, "input": "", "attempts": 0}
                await worker.finish({"id": job["id"], "lease": job["lease"], **ending})
        rows = (await site.http.get("/completedJobs")).json()["jobs"]
        assert [(row["result"], row["success"]) for row in rows] == [one[1:] for one in results]
        assert [row["job"] for row in rows] == [
            {"id": id, "type": "a b", "duration": 4, "attempts": 1} for id in ids
        ]


async def test_a_job_cancelled_before_its_first_try_is_shown_as_ended(store: str) -> None:
    async with serving(store) as site:
        quiet(site)
        id = (await site.http.post("/job", json={"type": "program_zip"})).json()["id"]
        await site.post(f"/v1/jobs/{id}/cancel")
        assert (await site.http.get("/status")).json()["jobs"] == []
        [row] = (await site.http.get("/completedJobs")).json()["jobs"]
        job = {"id": id, "type": "program_zip", "attempts": 0}
        assert row == {"job": job, "result": "cancelled", "duration": 0, "success": False}


def test_with_a_token_it_is_asked_for_unless_the_fronts_are_open(tmp_path: Path) -> None:
    token = {"ROTA_TOKEN": "a-secret-of-24-characters"}
    with running_server(tmp_path, env=token) as server, client(server) as http:
        for path in ("/job", "/status", "/completedJobs", "/ws/worker"):
            assert http.request("POST" if path == "/job" else "GET", path).status_code == 401
        bearer = {"authorization": "Bearer a-secret-of-24-characters"}
        assert http.post("/job", json={}, headers=bearer).status_code == 202
        assert http.get("/status", headers=bearer).status_code == 200
    with (
        running_server(tmp_path, env={**token, "ROTA_FRONTS__OPEN": "true"}) as server,
        client(server) as http,
    ):
        assert http.post("/job", json={}).status_code == 202
        assert http.get("/v1/jobs").status_code == 401


def test_it_can_have_a_listener_of_its_own_and_another_queue(tmp_path: Path) -> None:
    env = {"ROTA_LISTENERS": "127.0.0.1:0=jqgo", "ROTA_FRONTS__JQGO__QUEUE": "programs"}
    with running_server(tmp_path, env=env) as server, client(server) as http:
        there = str(server.wait_for("listening for fronts")["url"])
        assert http.get("/status").status_code == 404
        id = httpx2.post(there + "/job", json={"type": "hash"}, trust_env=False).json()["id"]
        assert httpx2.get(there + "/v1/jobs", trust_env=False).status_code == 404
        assert http.get(f"/v1/jobs/{id}").json()["queue"] == "programs"


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, env={"ROTA_FRONTS__JQGO__ENABLED": "false"}) as server,
        client(server) as http,
    ):
        for path in ("/status", "/completedJobs", "/ws/worker"):
            assert http.get(path).status_code == 404
        assert http.post("/job", json={}).status_code == 404
        assert "jqgo" not in {one["name"] for one in http.get("/v1/queues").json()["queues"]}


def test_without_slots_the_server_runs_none_of_its_jobs(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NO_SLOTS) as server, client(server) as http:
        id = http.post("/job", json={"type": "hash"}).json()["id"]
        [cause] = http.get(f"/v1/jobs/{id}/explain").json()["causes"]
        assert cause["cause"] == "no_worker"
        assert http.get("/status").json()["queue_length"] == 1
