"""job-poll-queue's clients and workers, at a real server."""

from __future__ import annotations

import gzip
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.crash.kit import until
from tests.fronts.kit import play, type_along
from tests.fronts.poll_kit import OPEN, Client, Worker, http
from tests.server import Server, running, running_server

SHORT = {"ROTA_FRONTS__POLL__LEASE": "500ms"}
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _workers_leave() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def error(answer: httpx2.Response, status: int) -> str:
    """What a refusal says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert list(told) == ["error"]
    return str(told["error"])


def jobs(server: Server, **headers: str) -> list[dict[str, Any]]:
    """All of this interface, as `/v1` shows them."""
    with http(headers) as client:
        found = client.get(server.url + "/v1/jobs", params={"tag": "front:poll"}).json()["jobs"]
        return [client.get(f"{server.url}/v1/jobs/{one['id']}").json() for one in found]


@pytest.mark.parametrize("name", ["poll", "poll_bodies"])
def test_answers_are_those_of_the_original(tmp_path: Path, name: str) -> None:
    with running_server(tmp_path) as server:
        play(server.url, name)
        assert "Traceback" not in server.text


def test_the_page_is_typed_along(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert type_along("fronts/poll.md", server.url, tmp_path) > 5


def test_jobs_go_out_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        clients = []
        for number in range(10):
            clients.append(Client(server.url, number))
            worker.until_pending(number + 1)
        polled = [worker.next() for _ in clients]
        assert [job["payload"] for job in polled] == list(range(10))
        assert worker.poll() is None
        for job in reversed(polled):
            worker.complete(job, {"squared": job["payload"] ** 2})
        assert [client.payload() for client in clients] == [{"squared": n**2} for n in range(10)]
        assert worker.stats() == [0, 0, 10, 10]
        assert {(job["queue"], job["type"], job["state"]) for job in jobs(server)} == {
            ("poll", "poll", "done")
        }


def test_a_job_of_a_worker_that_died_goes_to_the_next_one(tmp_path: Path) -> None:
    with running_server(tmp_path, env=SHORT) as server:
        client = Client(server.url, "work")
        lost = Worker(server.url).next()
        worker = Worker(server.url)
        assert worker.poll() is None
        again = worker.next()
        assert again == lost
        worker.complete(again, "done")
        assert client.payload() == "done"


def test_after_three_of_them_the_client_is_told(tmp_path: Path) -> None:
    # Three, also where a job has fewer attempts otherwise.
    settings = {"ROTA_FRONTS__POLL__LEASE": "100ms", "ROTA_MAX_ATTEMPTS": "1"}
    with running_server(tmp_path, env=settings) as server:
        client = Client(server.url, "poison")
        worker = Worker(server.url)
        ids = {worker.next()["job_id"] for _ in range(3)}
        said = "Failed to process job: The worker stopped answering while it ran this job."
        assert error(client.answer(), 500) == said
        assert worker.poll() is None
        late = worker.http.post(f"{server.url}/api/worker/complete/{ids.pop()}", content=b"1")
        assert error(late, 409) == "The job is failed; nobody waits for a result."
        assert worker.stats() == [0, 0, 0, 1]


def test_who_finishes_after_the_lease_has_finished_while_nobody_else_has_the_job(tmp_path: Path) -> None:
    with running_server(tmp_path, env=SHORT) as server:
        client = Client(server.url, "slow work")
        worker = Worker(server.url)
        job = worker.next()
        worker.until_pending(1)
        worker.complete(job, "done all the same")
        assert client.payload() == "done all the same"
        assert worker.poll() is None


def test_a_client_that_leaves_leaves_its_job_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as left:
            head = "POST /api/submit HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\nContent-Length: 4\r\n\r\n"
            left.sendall(head.encode() + b"work")
            worker.until_pending(1)
        # The server has seen it leave when it has closed its own end.
        until(lambda: not established(server, port), "the end of the connection")
        job = worker.next()
        assert (job["payload"], job["headers"]["Cookie"]) == ("work", "a=b")
        worker.complete(job, "done")
        assert worker.stats() == [0, 0, 1, 1]
        assert [one["result"] for one in jobs(server)] == ["done"]


def established(server: Server, port: int) -> int:
    """Connections that the server holds open, but for that of the test's own worker."""
    table = Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
    lines = [line.split() for line in table]
    return sum(line[1].endswith(f":{port:04X}") and line[3] in ("01", "08") for line in lines) - 1


def test_clear_removes_everything_and_tells_who_waits(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        running_client = Client(server.url, 1)
        job = worker.next()
        waiting = Client(server.url, 2)
        worker.until_pending(1)
        answer = worker.http.request("DELETE", server.url + "/api/admin/clear")
        assert answer.text == '{"message":"Queue cleared successfully"}'
        for client in (running_client, waiting):
            said = error(client.answer(), 500)
            assert said.startswith("Failed to process job: it was ")
        assert worker.stats() == [0, 0, 0, 0]
        assert worker.poll() is None
        late = worker.http.post(f"{server.url}/api/worker/complete/{job['job_id']}", content=b"1")
        assert error(late, 404) == f"There is no job '{job['job_id']}'."
        # And it goes on.
        client = Client(server.url, 3)
        worker.complete(worker.next(), "three")
        assert client.payload() == "three"


def test_any_worker_can_serve_it(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "import rota\n"
        "app = rota.App(queue='poll')\n"
        "@app.task(name='poll')\n"
        "def work(ctx: rota.Context, payload):\n"
        "    if payload == 'fail':\n"
        "        raise rota.Fail('no such luck')\n"
        "    return {'got': payload, 'from': ctx.headers['X-From'], 'cookie': ctx.headers.get('Cookie')}\n"
    )
    with (
        running_server(tmp_path) as server,
        running(tmp_path, "work", "--url", server.url, "tasks:app"),
    ):
        client = Client(server.url, {"n": 1}, {"X-From": "me", "Cookie": "secret"})
        assert client.payload() == {"got": {"n": 1}, "from": "me", "cookie": None}
        failed = Client(server.url, "fail", {"X-From": "me"})
        assert error(failed.answer(), 500) == "Failed to process job: no such luck"


def test_a_job_put_in_by_v1_is_polled_too(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        asked = {"type": "poll", "queue": "poll", "payload": {"n": 1}}
        stored = worker.http.post(server.url + "/v1/jobs", json=asked).json()
        assert worker.next() == {"headers": {}, "job_id": stored["id"], "payload": {"n": 1}}
        worker.complete(stored["id"], {"n": 2})
        assert worker.http.get(f"{server.url}/v1/jobs/{stored['id']}/result").json() == {"n": 2}


def test_with_a_queue_in_common_it_shows_its_own_jobs_only(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__POLL__QUEUE": "common"}) as server:
        worker = Worker(server.url)
        other = worker.http.post(server.url + "/v1/jobs", json={"type": "mail", "queue": "common"}).json()
        assert worker.stats() == [0, 0, 0, 0]
        client = Client(server.url, 1)
        worker.until_pending(1)
        assert worker.stats() == [1, 0, 0, 1]
        worker.complete(worker.next(), 2)
        assert client.payload() == 2
        assert worker.poll() is None
        assert [job["queue"] for job in jobs(server)] == ["common"]
        foreign = worker.http.post(f"{server.url}/api/worker/complete/{other['id']}")
        assert error(foreign, 404)
        worker.http.request("DELETE", server.url + "/api/admin/clear")
        assert worker.http.get(f"{server.url}/v1/jobs/{other['id']}").json()["state"] == "pending"


def test_workers_may_have_json_as_text(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__POLL__PAYLOAD": "text"}) as server:
        client = Client(server.url, content=b' {"n": 1.0} \n')
        worker = Worker(server.url)
        job = worker.next()
        assert job["payload"] == ' {"n": 1.0} \n'
        worker.complete(job, content=job["payload"].encode())
        assert client.payload() == {"n": 1.0}


def test_bytes_are_kept_as_they_are_and_shown_as_well_as_json_can(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        client = Client(server.url, content=b"\x00\xff\x01", headers={"Content-Type": "image/png"})
        worker = Worker(server.url)
        job = worker.next()
        assert job["payload"] == "\x00\ufffd\x01"
        worker.complete(job, content=b"\xfe\x00")
        assert client.payload() == "\ufffd\x00"
        [kept] = jobs(server)
        assert (kept["payload_base64"], kept["content_type"]) == ("AP8B", "image/png")
        result = worker.http.get(f"{server.url}/v1/jobs/{job['job_id']}/result")
        assert (result.content, result.headers["content-type"]) == (b"\xfe\x00", "application/octet-stream")


def test_compressed_bodies_are_unpacked_both_ways(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        coding = {"Content-Encoding": "gzip"}
        client = Client(server.url, content=gzip.compress(b'{"a": "b"}'), headers=coding)
        worker = Worker(server.url)
        job = worker.next()
        assert job["payload"] == {"a": "b"}
        packed = gzip.compress(b'{"c": "d"}')
        done = f"{server.url}/api/worker/complete/{job['job_id']}"
        assert worker.http.post(done, content=packed, headers=coding).status_code == 200
        assert client.payload() == {"c": "d"}


def test_bodies_may_be_as_large_as_ever_and_no_larger(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        full = b"[" + b'{"n":1},' * 500_000 + b"1]"
        full += b" " * (4 * MIB - len(full))
        client = Client(server.url, content=full)
        job = worker.next()
        assert len(job["payload"]) == 500_001
        worker.complete(job, content=b"x" * (4 * MIB))
        assert client.payload() == "x" * (4 * MIB)
        bomb = gzip.compress(bytes(100 * MIB), 1)
        submit = server.url + "/api/submit"
        for content, headers in ((full + b" ", {}), (bomb, {"Content-Encoding": "gzip"})):
            refused = worker.http.post(submit, content=content, headers=headers)
            assert error(refused, 413) == "Request Entity Too Large"
        chunked = worker.http.post(submit, content=iter([full, b" "]))
        assert error(chunked, 413) == "Request Entity Too Large"
        assert worker.stats() == [0, 0, 1, 1]
        # A result that cannot be kept ends the job: doing it again would give the same.
        client = Client(server.url, 1)
        done = f"{server.url}/api/worker/complete/{worker.next()['job_id']}"
        assert error(worker.http.post(done, content=full + b" "), 413) == "Request Entity Too Large"
        said = f"Failed to process job: The result has more than {4 * MIB} bytes."
        assert error(client.answer(), 500) == said
        assert "Traceback" not in server.text


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X-A: 1\r\n" * 101, 431),
        (b"X-A: " + b"a" * 40_000 + b"\r\n", 431),
        (b"x" * 201 + b": 1\r\n", 422),
        (b"X A: 1\r\n", 400),
        (b"Content-Length: 5\r\n", 400),
        (b"Content-Encoding: gzip\r\n", 400),
        (b"Content-Encoding: deflate, br\r\n", 415),
        (b"Transfer-Encoding: gzip\r\n", 400),
        (b"Origin: http://elsewhere.example\r\n", 403),
    ],
)
def test_a_bad_head_stores_nothing(tmp_path: Path, head: bytes, status: int) -> None:
    with running_server(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(b"POST /api/submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n" + head)
            client.sendall(b"\r\nwork")
            answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer
        assert Worker(server.url).stats() == [0, 0, 0, 0]
        assert "Traceback" not in server.text


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\tb", "ü€😀".encode(), b"<script>", b"'; --"])
def test_any_value_of_a_header_goes_through(tmp_path: Path, value: bytes) -> None:
    with running_server(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        worker = Worker(server.url)
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(b"POST /api/submit HTTP/1.1\r\nHost: localhost\r\nX-Odd: " + value + b"\r\n\r\n")
            job = worker.next()
            worker.complete(job, 1)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert job["headers"]["X-Odd"] == value.decode("utf-8", "replace").replace("\t", " ")
        assert "Traceback" not in server.text


def test_it_has_a_listener_of_its_own_or_none(tmp_path: Path) -> None:
    own = {"ROTA_LISTENERS": "127.0.0.1:0=poll"}
    with running_server(tmp_path, env=own) as server:
        url = server.wait_for("listening for fronts")["url"]
        client = Client(url, 1)
        worker = Worker(url)
        worker.complete(worker.next(), 2)
        assert client.payload() == 2
        with http() as plain:
            assert plain.get(url + "/health").text == '{"status":"ok"}'
            assert plain.get(url + "/v1/jobs").status_code == 404
            assert plain.get(server.url + "/api/admin/stats").status_code == 404
    off = {"ROTA_FRONTS__POLL__ENABLED": "false"}
    with running_server(tmp_path, env=off) as server, http() as plain:
        assert plain.get(server.url + "/api/admin/stats").status_code == 404
        assert plain.get(server.url + "/health").text == '{"status":"ok"}'


def test_where_the_server_has_a_token_it_says_so_in_its_own_words(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_TOKEN": "t0ken-of-rota"}) as server:
        with http() as plain:
            for method, path in (("POST", "/api/submit"), ("GET", "/api/worker/poll")):
                refused = plain.request(method, server.url + path)
                assert error(refused, 401).startswith("This server needs a token")
                assert refused.headers["www-authenticate"] == "Bearer"
            assert plain.get(server.url + "/health").status_code == 200
        ours = {"Authorization": "Bearer t0ken-of-rota"}
        client = Client(server.url, 1, {**ours, "Cookie": "a=b"})
        worker = Worker(server.url, ours)
        job = worker.next()
        # The token is for Rota, not for whoever works.
        assert "Authorization" not in job["headers"]
        assert job["headers"]["Cookie"] == "a=b"
        worker.complete(job, 2)
        assert client.payload() == 2


def test_with_open_fronts_no_token_is_needed(tmp_path: Path) -> None:
    env = {"ROTA_TOKEN": "t0ken-of-rota", "ROTA_FRONTS__OPEN": "true"}
    with running_server(tmp_path, env=env) as server:
        worker = Worker(server.url)
        for given, told in (("Bearer t0ken-of-rota", None), ("Bearer theirs", "Bearer theirs")):
            client = Client(server.url, 1, {"Authorization": given})
            job = worker.next()
            assert job["headers"].get("Authorization") == told
            worker.complete(job, 2)
            assert client.payload() == 2


SECRETS = {"Authorization": "Bearer c4nary-a", "Proxy-Authorization": "Basic c4nary-p", "Cookie": "c4nary-c"}


def test_credentials_go_to_the_worker_and_nowhere_else(tmp_path: Path) -> None:
    with running_server(tmp_path, "--log-level", "debug", env=SHORT) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as events:
            events.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            told = events.recv(65536)
            worker = Worker(server.url)
            client = Client(server.url, 1, {**SECRETS, "X-Other": "seen"})
            first, again = worker.next(), worker.next()
            assert first == again
            assert {name: first["headers"][name] for name in SECRETS} == SECRETS
            peek = worker.http.get(server.url + "/api/admin/next")
            worker.complete(again, 2)
            assert client.payload() == 2
            while b"finished" not in told:
                told += events.recv(65536)
        [job] = jobs(server)
        assert job["headers"]["X-Other"] == "seen"
        for place in (json.dumps(job), peek.text, told.decode(), server.text):
            assert "c4nary" not in place
        for file in tmp_path.iterdir():
            if file.is_file():
                assert b"c4nary" not in file.read_bytes()


def test_credentials_can_be_kept_from_the_worker(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__POLL__CREDENTIALS": "false"}) as server:
        client = Client(server.url, 1, {**SECRETS, "X-Other": "seen"})
        worker = Worker(server.url)
        job = worker.next()
        assert job["headers"]["X-Other"] == "seen"
        assert not set(job["headers"]) & set(SECRETS)
        worker.complete(job, 2)
        assert client.payload() == 2


@pytest.mark.timeout(120)
def test_a_killed_server_loses_no_job_and_no_result(tmp_path: Path) -> None:
    lease = {"ROTA_FRONTS__POLL__LEASE": "5s", "ROTA_LEASE": "5s", "ROTA_BEAT": "1s"}
    with running_server(tmp_path, env=lease) as server:
        worker = Worker(server.url)
        done = Client(server.url, "done")
        worker.complete(worker.next(), "result")
        assert done.payload() == "result"
        clients = [Client(server.url, n, {"Cookie": "c"}) for n in range(20)]
        worker.until_pending(20)
        lost, reported = worker.next(), worker.next()
        server.kill()
        for client in clients:
            client.join(20)
            assert client.error is not None
        with running_server(tmp_path, listen=server.url.removeprefix("http://"), env=lease) as server:
            worker = Worker(server.url)
            assert worker.stats() == [18, 2, 1, 21]
            # Who worked on while the server was away is heard.
            worker.complete(reported, "reported")
            polled = [worker.next() for _ in range(18)]
            assert all("Cookie" not in job["headers"] for job in polled)
            for job in polled:
                worker.complete(job, job["payload"])
            again = worker.next()
            assert again["job_id"] == lost["job_id"]
            worker.complete(again, "again")
            assert worker.stats() == [0, 0, 21, 21]
            kept = jobs(server)
            assert sorted(str(job["payload"]) for job in kept) == sorted(["done", *map(str, range(20))])
            assert {job["state"] for job in kept} == {"done"}
            assert sum(job["result"] == "reported" for job in kept) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_the_server_stops_each_client_gets_an_answer(tmp_path: Path, number: int) -> None:
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        in_hand = Client(server.url, 1)
        job = worker.next()
        waiting = Client(server.url, 2)
        worker.until_pending(1)
        server.wait_for("draining", after=lambda: server.send(number))
        said = error(waiting.answer(), 503)
        assert said == "The server is shutting down. The job is kept, and runs when it is back."
        assert worker.poll() is None
        late = worker.http.post(server.url + "/api/submit", content=b"3")
        assert error(late, 503) == "The server is shutting down; nothing was stored."
        worker.complete(job, "just in time")
        assert in_hand.payload() == "just in time"
        assert server.wait() == 0
    with running_server(tmp_path) as server:
        assert Worker(server.url).stats() == [1, 0, 1, 2]


def test_when_the_grace_is_over_the_others_are_told_too(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_GRACE": "200ms"}) as server:
        client = Client(server.url, 1)
        job = Worker(server.url).next()
        server.terminate()
        assert error(client.answer(), 503).startswith("The server is shutting down")
        assert server.wait() == 0
    # What was in hand is still in that hand.
    with running_server(tmp_path) as server:
        worker = Worker(server.url)
        assert worker.stats() == [0, 1, 0, 1]
        worker.complete(job, 1)


def test_a_crowd_may_wait(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, ExitStack() as stack:
        worker = Worker(server.url)
        clients = waiting(server, stack, 1500, b"work")
        worker.until_pending(1500)
        for _ in clients:
            worker.complete(worker.next(), "done")
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert worker.stats() == [0, 0, 1500, 1500]


def test_the_body_of_who_waits_is_in_the_store_only(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, ExitStack() as stack:
        worker = Worker(server.url)
        waiting(server, stack, 1, b"x" * MIB)
        worker.until_pending(1)
        before = memory(server)
        for number in range(128):
            waiting(server, stack, 1, b"x" * MIB)
            worker.until_pending(number + 2)
        # The store's own cache has 32 MiB.
        assert memory(server) - before < 64 * MIB


def waiting(server: Server, stack: ExitStack, count: int, body: bytes) -> list[socket.socket]:
    """Clients that have sent a body and wait until the end of the block."""
    place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    clients = [stack.enter_context(socket.create_connection(place, 30)) for _ in range(count)]
    head = f"POST /api/submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    for client in clients:
        client.sendall(head.encode() + body)
    return clients


def memory(server: Server) -> int:
    """Bytes that the server has in memory."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
