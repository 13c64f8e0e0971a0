"""Clients of Job Queue + Worker API, at a real server."""

from __future__ import annotations

import base64
import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import httpx2
import pytest

from rota.config import Settings
from rota.web import api
from rota.web.auth import Gate
from rota.web.fronts import jobsapi
from tests.crash.disk import Disk
from tests.fronts.jobsapi_client import Old
from tests.fronts.kit import play, type_along
from tests.server import Server, running_server
from tests.web.kit import serving

NEVER = {"ROTA_FRONTS__JOBSAPI__WORK": "1h", "ROTA_GRACE": "0"}
SOON = {"ROTA_FRONTS__JOBSAPI__WORK": "20ms"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that works off nothing."""
    env = {"ROTA_FRONTS__JOBSAPI__SLOTS": "0", "ROTA_BODY_LIMIT": "2 MiB", "ROTA_PAYLOAD_LIMIT": "100 KiB"}
    with running_server(tmp_path_factory.mktemp("idle"), env=env) as server:
        yield server


def raw(url: str, request: bytes) -> bytes:
    """The answer to these bytes, whole, from a server that closes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_answers_are_those_of_the_old_program(tmp_path: Path) -> None:
    with running_server(tmp_path, env=SOON) as server:
        play(server.url, "jobsapi")
        assert "Traceback" not in server.text


def test_the_page_is_typed_along(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert type_along("fronts/jobsapi.md", server.url, tmp_path) > 4


def test_a_job_is_seen_on_its_way(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__JOBSAPI__WORK": "300ms"}) as server:
        old = Old(server.url)
        pending = old.post("report")
        running = old.until(pending["id"], "running")
        done = old.until(pending["id"], "done")
    assert list(pending) == ["id", "type", "payload", "status", "created_at", "updated_at"]
    assert list(running) == list(pending)
    assert list(done) == ["id", "type", "payload", "status", "result", "created_at", "updated_at"]
    assert pending["status"] == "pending"
    assert pending["created_at"] == running["created_at"] == done["created_at"]
    assert pending["updated_at"] < running["updated_at"] < done["updated_at"]


@pytest.mark.parametrize(
    "payload",
    [
        b'"\xe2\x82\xac \\u20ac"',
        b"1e999",
        b"12345678901234567890.50",
        b"[" * 500 + b"]" * 500,
        b'{"a": 1, "a": 2}',
        b'"\\ud800 \\ud83d\\ude00 \\\\ud800"',
        b'"\\u0000"',
        b'"\xff\xfe"',
        b"[ ]",
        b"\ttrue\r",
        b'{"type": "inside", "payload": 1}',
        json.dumps("x" * 90_000).encode(),
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_any_json_comes_back_as_it_was_sent(idle: Server, payload: bytes) -> None:
    old = Old(idle.url)
    made = old.send(b'{"payload":' + payload + b', "type":"kept"}').json()
    assert base64.b64decode(made["payload"]) == payload.strip()
    assert old.get(made["id"]) == made
    # It is no trouble to others.
    assert httpx2.get(f"{idle.url}/v1/jobs/{made['id']}").json()["type"] == "kept"


@pytest.mark.parametrize(
    "type",
    ["", " ", "two words", "größe", "../x", "a" * 201, "\0", "a\r\nb: c", "\x7f", "😀" * 500, '"', "\\"],
)
def test_any_text_is_a_type(idle: Server, type: str) -> None:
    old = Old(idle.url)
    made = old.post(type)
    assert made["type"] == type
    assert old.get(made["id"]) == made
    assert httpx2.get(f"{idle.url}/v1/jobs/{made['id']}").json()["type"] == "jobsapi"


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (b'{"type":"\\ud83d!"}', "\ufffd!"),
        (b'{"type":"\xff"}', "\ufffd"),
        (b'{"TYPE":"t"}{"type":"u"}', "t"),
        (b'{"type":"t"}\x00\xff', "t"),
        (b'{"type":"t","x":"\\ud800"} \\ud800', "t"),
        (b'{"type":"t"}]', "t"),
        (b"nullable", ""),
        (b"\n\t {} ", ""),
    ],
)
def test_bodies_are_read_as_they_were(idle: Server, body: bytes, type: str) -> None:
    assert Old(idle.url).send(body).json()["type"] == type


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"nul",
        b"true",
        b"1",
        b"[]",
        b"[" * 1_000_000,
        b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":["t"]}',
        b'{"type":true}',
        b'{"type":{}}',
        b'{"type":"t",}',
        b"{'type':'t'}",
        b'{"type":"a\nb"}',
        b'{"payload":NaN}',
        b'{"payload":01}',
        b'{"payload":"\\x"}',
        b'{"payload":"\\ud80g"}',
        b'{"payload":"\\u12"}',
        b"\xef\xbb\xbf{}",
        '{"type":"t"}'.encode("utf-16"),
        b"\x1f\x8b\x08\x00",
        json.dumps({"type": "t" * 40_000}).encode(),
        json.dumps({f"k{n}": 1 for n in range(2000)}).encode(),
        b"{" + b'"\\ud800":1,' * 150_000 + b'"type":"t"}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_request_is_refused(idle: Server, body: bytes) -> None:
    old = Old(idle.url)
    before = old.count()
    answer = old.send(body)
    assert (answer.status_code, answer.text) == (400, "Invalid request body")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert old.count() == before
    assert "Traceback" not in idle.text


def test_what_is_too_large_is_refused(idle: Server) -> None:
    old = Old(idle.url)
    before = old.count()
    for size, told in ((150_000, "payload has 150002 bytes"), (3_000_000, "at most 2097152 bytes")):
        answer = old.send(json.dumps({"payload": "x" * size}).encode())
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert told in answer.text
    # Forms are not read, but have the same bounds; without a length it shows on the way.
    form = {"content-type": "application/x-www-form-urlencoded"}
    chunks = (b"x" * 100_000 for _ in range(30))
    assert httpx2.post(f"{idle.url}/jobs", content=chunks, headers=form).status_code == 413
    assert old.count() == before


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("Content-Type: text/plain\r\nContent-Length: 0", b"", 202),
        ("Content-Type: text/plain\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", 202),
        ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", 400),
        (
            "Content-Type: application/json\r\nTransfer-Encoding: chunked",
            b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            202,
        ),
        ("Content-Type: application/json;charset=x\r\nContent-Length: 2", b"{}", 202),
        ("Content-Type: application/jsonp\r\nContent-Length: 2", b"{}", 400),
        ("Content-Type: text/xml\r\nContent-Length: 1", b"<", 202),
        ("Content-Type: ;\r\nContent-Length: 2", b"{}", 400),
    ],
)
def test_bodies_by_their_head(idle: Server, head: str, body: bytes, status: int) -> None:
    head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n\r\n"
    assert raw(idle.url, head.encode() + body).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("id", ["x", "x" * 5000, "%2e%2e", "a/b", "'; drop table jobs", "%F0%9F%98%80", "//"])
def test_ids_that_nobody_has(idle: Server, id: str) -> None:
    answer = httpx2.get(f"{idle.url}/jobs/{id}")
    assert (answer.status_code, answer.text) == (404, "Job not found")
    assert "Traceback" not in idle.text


def test_jobs_of_others_are_not_shown(idle: Server) -> None:
    old = Old(idle.url)
    ours = old.post("t")["id"]
    other = httpx2.post(f"{idle.url}/v1/jobs", json={"type": "t", "queue": "jobsapi"}).json()["id"]
    assert httpx2.get(f"{idle.url}/jobs/{other}").text == "Job not found"
    listed = httpx2.get(f"{idle.url}/v1/jobs?tag=front:jobsapi&limit=500").json()["jobs"]
    assert ours in {one["id"] for one in listed}
    assert other not in {one["id"] for one in listed}
    assert {one["queue"] for one in listed} == {"jobsapi"}


def test_no_post_waits_for_a_free_slot(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NEVER) as server, ThreadPoolExecutor(130) as crowd:
        old = Old(server.url)

        def post(number: int) -> str:
            # Every one on a connection of its own, and all at once.
            answer = httpx2.post(f"{server.url}/jobs", json={"type": "t", "payload": number}, timeout=20)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        ids = list(crowd.map(post, range(130)))
        assert len(set(ids)) == 130
        old.wait(lambda: Counter(old.get(id)["status"] for id in ids) == {"running": 10, "pending": 120})


def test_what_was_not_finished_goes_on_after_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NEVER) as server:
        old = Old(server.url)
        made = [old.post(f"type {n}", {"n": n}) for n in range(15)]
        old.wait(lambda: sum(old.get(one["id"])["status"] == "running" for one in made) == 10)
        server.kill()
        server.process.returncode = 0
    with running_server(tmp_path, env=SOON) as server:
        old = Old(server.url)
        for n, one in enumerate(made):
            done = old.until(one["id"], "done")
            assert base64.b64decode(done["result"]).decode() == f"Processed: type {n}"
            assert {**done, "status": "pending", "updated_at": None} == {
                **one,
                "result": done["result"],
                "updated_at": None,
            }


def test_it_can_be_switched_off_or_have_a_listener_of_its_own(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__JOBSAPI__ENABLED": "false"}) as server:
        assert Old(server.url).send(b"{}").status_code == 404
    (tmp_path / "rota.yaml").write_text("listeners: [{listen: 127.0.0.1:0, fronts: [jobsapi]}]\n")
    with running_server(tmp_path, "--config", "rota.yaml", env=SOON) as server:
        assert Old(server.url).send(b"{}").status_code == 404
        there = str(server.wait_for("listening for fronts")["url"])
        play(there, "jobsapi")
        assert httpx2.get(f"{there}/v1/jobs").status_code == 404


def test_a_token_is_asked_for_in_its_own_words(tmp_path: Path) -> None:
    env = {**SOON, "ROTA_TOKEN": "token-of-this-test-0123456789"}
    with running_server(tmp_path, env=env) as server:
        answer = Old(server.url).send(b"{}")
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert list(answer.json()) == ["message"]
        assert "token" in answer.json()["message"]
        made = httpx2.post(f"{server.url}/jobs", headers={"authorization": f"Bearer {env['ROTA_TOKEN']}"})
        assert made.status_code == 202
    with running_server(tmp_path, env={**env, "ROTA_FRONTS__OPEN": "true"}) as server:
        play(server.url, "jobsapi")
        assert httpx2.get(f"{server.url}/v1/jobs").status_code == 401


async def test_a_disk_that_refuses(tmp_path: Path) -> None:
    disk = Disk(f"jobsapi-{tmp_path.name}")
    try:
        store = f"sqlite:///{tmp_path}/rota.db?vfs={disk.name}"
        async with serving(
            store,
            Settings(),
            application=lambda service: api.build_fronts(
                service, Gate(None, None), 1 << 20, [jobsapi.build(service, "jobsapi", 1 << 20)]
            ),
        ) as site:
            disk.fail["write"] = apsw.IOError("disk I/O error")
            answer = await site.send(b'{"type":"t"}', "/jobs")
            assert (answer.status_code, answer.text) == (500, "Failed to create job")
            disk.fail.clear()
            assert await site.stored() == 0
            assert (await site.send(b'{"type":"t"}', "/jobs")).status_code == 202
    finally:
        disk.unregister()
