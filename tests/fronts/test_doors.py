"""Where the older interfaces are served, and who may reach them: at a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server import DEADLINE, Process, Server, environment, running_server

TOKEN = "0123456789abcdef0123"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Place:
    """An address of a server, and a client of it that takes no credentials along."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, timeout=DEADLINE, trust_env=False)
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.address = (host.strip("[]"), int(port))

    def raw(self, request: bytes) -> bytes:
        """Bytes as they are, and everything that comes back until the server closes."""
        with socket.create_connection(self.address, timeout=DEADLINE) as one:
            one.sendall(request)
            return b"".join(iter(lambda: one.recv(65536), b""))

    def target(self, method: str, target: str, *more: str) -> tuple[int, bytes]:
        """Status and body for a target exactly as it is written here."""
        host = f"Host: localhost:{self.address[1]}"
        lines = [f"{method} {target} HTTP/1.1", host, "Connection: close", *more]
        head, _, body = self.raw("\r\n".join([*lines, "", ""]).encode()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def code(self, method: str, path: str) -> tuple[int, str]:
        """Status and code of a problem."""
        answer = self.http.request(method, path)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["code"]


@contextmanager
def doors(folder: Path, listeners: str, **env: str) -> Iterator[tuple[Server, list[Place]]]:
    """A server and its places: its own first, then those of the listeners."""
    names = {f"ROTA_{name.upper()}": value for name, value in env.items()}
    given = {"ROTA_LISTENERS": listeners, "ROTA_FRONTS__JOBQ__WORK": "20ms", **names}
    with ExitStack() as stack:
        server = stack.enter_context(running_server(folder, env=given))
        # The lines of one start are written at once, the stand-ins' come after them.
        server.wait_for("connected")
        others = [str(one["url"]) for one in server.records() if one["event"] == "listening for fronts"]
        places = [Place(url) for url in (server.url, *others)]
        for place in places:
            stack.enter_context(closing(place.http))
        yield server, places
    assert "Traceback" not in server.text


def test_a_front_of_a_listener_is_there_and_nowhere_else(tmp_path: Path) -> None:
    with doors(tmp_path, "127.0.0.1:0=jobq") as (server, [main, there]):
        line = server.wait_for("listening for fronts")
        assert (line["url"], line["fronts"]) == (there.url, ["jobq"])
        assert main.code("POST", "/enqueue") == (404, "not_found")
        assert main.http.get("/status/1").status_code == 404
        id = there.http.post("/enqueue").json()["id"]
        assert there.http.get(f"/status/{id}").json()["id"] == id
        assert main.http.get(f"/v1/jobs/{id}").json()["tags"] == ["front:jobq"]
        for probe in ("/livez", "/readyz", "/health"):
            assert there.http.get(probe).status_code == 200
        for method, path in (
            ("GET", "/"),
            ("GET", "/docs"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
            ("GET", "/v1/jobs"),
            ("POST", "/v1/jobs"),
            ("POST", "/v1/fetch"),
            ("GET", f"/v1/jobs/{id}"),
        ):
            assert there.code(method, path) == (404, "not_found"), path
        assert there.code("POST", "/livez") == (405, "method_not_allowed")
        for path in ("/v1/worker", "/v1/live", "/enqueue"):
            with pytest.raises(InvalidStatus) as refused:
                connect(there.url.replace("http", "ws") + path, proxy=None).close()
            assert refused.value.response.status_code == 404


def test_several_listeners_also_by_ipv6(tmp_path: Path) -> None:
    with doors(tmp_path, "[::1]:0=jobq, 127.0.0.1:0=jqgo+poll") as (server, [main, six, four]):
        assert six.url.startswith("http://[::1]:")
        id = six.http.post("/enqueue").json()["id"]
        assert six.http.get(f"/status/{id}").status_code == 200
        assert four.code("POST", "/enqueue") == (404, "not_found")
        assert {place.http.get("/readyz").status_code for place in (main, six, four)} == {200}
        fronts = [one["fronts"] for one in server.records() if one["event"] == "listening for fronts"]
        assert fronts == [["jobq"], ["jqgo", "poll"]]


def test_an_address_that_is_taken_is_told_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        place, first = (f"127.0.0.1:{one.getsockname()[1]}" for one in (taken, free))
        free.close()
        env = environment({"ROTA_LISTENERS": f"{first}=jobq,{place}=poll"})
        process = Process(["serve", "--listen", "127.0.0.1:0"], tmp_path, env)
        try:
            assert process.wait() == 1
        finally:
            process.close()
    assert process.text.strip() == f"Error: listeners: cannot listen on {place}: Address already in use."
    assert not (tmp_path / "rota.db").exists()


def test_pages_of_other_names_and_origins_are_refused_there_too(tmp_path: Path) -> None:
    with doors(tmp_path, "127.0.0.1:0=jobq", allowed_hosts="queue.lan") as (_, [main, there]):
        for place, path in ((there, "/enqueue"), (main, "/v1/jobs")):
            port = place.address[1]
            for host, origin, status in (
                ("evil.example", "http://evil.example", 421),
                (f"localhost:{port}", "http://evil.example", 403),
                (f"localhost:{port}", "null", 403),
            ):
                answer = place.http.post(path, headers={"Host": host, "Origin": origin})
                assert answer.status_code == status
        own = {"Host": "queue.lan", "Origin": "http://queue.lan"}
        assert there.http.post("/enqueue", headers=own).status_code == 200
        refused = there.http.post("/enqueue", headers={"Host": "evil.example"})
        assert refused.headers["content-type"] == "text/plain; charset=utf-8"
        assert refused.text.startswith("This server does not answer to the name 'evil.example'")
        jobs = main.http.get("/v1/jobs").json()["jobs"]
        assert len(jobs) == 1


def test_a_drain_closes_every_door(tmp_path: Path) -> None:
    with doors(tmp_path, "127.0.0.1:0=jobq,127.0.0.1:0=poll") as (server, places):
        id = places[1].http.post("/enqueue").json()["id"]
        assert server.stop() == 0
        for place in places:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(place.address, timeout=DEADLINE)
    with doors(tmp_path, "127.0.0.1:0=jobq") as (_, [_, there]):
        assert there.http.get(f"/status/{id}").status_code == 200


def test_connections_are_counted_over_all_doors(tmp_path: Path) -> None:
    with doors(tmp_path, "127.0.0.1:0=jobq", connections="10") as (_, [main, there]), ExitStack() as stack:
        for number in range(10):
            place = (main, there)[number % 2]
            one = stack.enter_context(socket.create_connection(place.address, timeout=DEADLINE))
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in one.recv(65536)
        for place in (main, there):
            assert place.target("POST", "/enqueue")[0] == 503
            assert place.target("GET", "/livez")[0] == 200


def test_a_body_beyond_the_limit_is_refused_there_too(tmp_path: Path) -> None:
    with doors(
        tmp_path,
        "127.0.0.1:0=jobq",
        body_limit="4 KiB",
        payload_limit="4 KiB",
        result_limit="1 KiB",
        handlers__webhook__max_response_bytes="1 KiB",
    ) as (_, [main, there]):
        answer = there.http.post("/enqueue", content=b"x" * 5000)
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
        assert answer.text == "The body is too large; this server takes at most 4096 bytes.\n"
        assert main.http.get("/v1/jobs").json()["jobs"] == []


# --- with a token ---


def test_with_a_token_a_front_says_no_in_its_own_words(tmp_path: Path) -> None:
    with doors(tmp_path, "127.0.0.1:0=jobq", token=TOKEN) as (_, [main, there]):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            answer = there.http.post("/enqueue", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.text.endswith(".\n")
        assert there.http.get("/status/1?token=" + TOKEN).status_code == 400
        assert there.code("GET", "/v1/jobs") == (401, "missing_credentials")
        assert there.http.get("/livez").status_code == 200
        assert main.http.get("/v1/jobs", headers=BEARER).json()["jobs"] == []
        id = there.http.post("/enqueue", headers=BEARER).json()["id"]
        assert there.http.get(f"/status/{id}", headers=BEARER).status_code == 200


CLOSED = [
    *("//enqueue", "/enqueue/", "/enqueue/../v1/jobs", "/enqueue/..%2fv1/jobs", "/enqueue%2f..%2fv1%2fjobs"),
    *("/./enqueue", "/v1/../enqueue", "/v1/jobs", "/v1/jobs/", "//v1/jobs", "/V1/jobs", "/%761/jobs"),
    *("/v1%2fjobs", "/v1/jobs?x=/enqueue", "/v1/jobs;/enqueue", "/v1/jobs/enqueue", "/status/../v1/jobs/x"),
    *("/metrics", "/openapi.json", "/v1/queues", "/v1/stats", "/v1/workers", "/ENQUEUE", "/enqueue;x"),
    *("/enqueue%00", "*"),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_open_are_the_paths_of_the_fronts_and_no_others(opened: list[Place], method: str) -> None:
    [main, there] = opened
    for place in (main, there):
        for path in CLOSED:
            status, body = place.target(method, path)
            assert status in (400, 401, 404, 405), (path, status, body)
            if path.startswith("/v1/") or path in ("/metrics", "/openapi.json"):
                assert status == 401, (path, status)
            assert b"jobs" not in body, (path, body)


def test_open_paths_need_no_token_and_take_one(opened: list[Place]) -> None:
    [main, there] = opened
    id = there.http.post("/enqueue").json()["id"]
    for headers in ({}, BEARER, {"Authorization": "Bearer wrong"}):
        assert there.http.get(f"/status/{id}", headers=headers).json()["id"] == id
    # Encoded as nobody has to: it is the same path to all.
    status, body = there.target("POST", "/%65nqueue")
    assert (status, b'"status":"pending"' in body) == (200, True)
    status, body = there.target("GET", "/status/..%2f..%2fv1%2fjobs")
    assert (status, body) == (404, b"404 page not found\n")
    status, body = there.target("GET", "/status/%2e%2e")
    assert (status, body) == (404, b"job not found\n")
    assert main.code("POST", "/enqueue") == (401, "missing_credentials"), "it is not served there"
    assert main.code("GET", "/v1/jobs") == (401, "missing_credentials")
    with pytest.raises(InvalidStatus) as refused:
        connect(main.url.replace("http", "ws") + "/v1/worker", proxy=None).close()
    assert refused.value.response.status_code == 401


def test_what_needs_no_token_still_asks_for_the_name(opened: list[Place]) -> None:
    """Or any web page could post there, by a name of its own that leads here."""
    [main, there] = opened
    evil = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert there.http.post("/enqueue", headers=evil).status_code == 421
    assert there.http.get("/status/1", headers={"Host": "evil.example"}).status_code == 421
    # The token protects the rest, whatever the name; probes come under any.
    assert main.http.get("/v1/jobs", headers={**BEARER, "Host": "rota.example"}).status_code == 200
    for place in (main, there):
        assert place.http.get("/livez", headers={"Host": "10.1.2.3"}).status_code == 200


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    """A server with a token whose fronts need none."""
    env: Mapping[str, str] = {"token": TOKEN, "fronts__open": "yes"}
    with doors(tmp_path_factory.mktemp("opened"), "127.0.0.1:0=jobq", **env) as (_, places):
        yield places
