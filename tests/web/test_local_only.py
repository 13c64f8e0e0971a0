"""A server that the parallel queue's own file has opened: other machines get that interface, and no more.

A request comes from another address when its socket was bound to one: here to an address of this machine
that is not of loopback, as which other machines appear, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rota.model.errors import RotaError
from rota.web.auth import Gate
from tests.server import DEADLINE, Server, environment, running

FILE = "app: {host: 0.0.0.0, port: 0}\n"
GET_ADDRESS = 0x8915
"""SIOCGIFADDR"""
TASK = {"other": 1}


def outside_address() -> str:
    """An IPv4 address of this machine by which it is known to others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                told = fcntl.ioctl(any_socket, GET_ADDRESS, struct.pack("256s", name.encode()[:15]))
                address = socket.inet_ntoa(told[20:24])
                if not address.startswith("127."):
                    return address
    raise AssertionError("these tests need a network interface with an IPv4 address besides loopback")


@contextlib.contextmanager
def opened(folder: Path, text: str = FILE, *flags: str, **env: str) -> Iterator[Server]:
    """``rota serve`` with such a file; its url is that of loopback."""
    file = folder / "local.yaml"
    file.write_text(text)
    arguments = ["serve", "--config", str(file), "--log-format", "json", *flags]
    server = Server(arguments, folder, environment(env))
    try:
        port = str(server.wait_for("listening")["url"]).rpartition(":")[2]
        server.url = f"http://127.0.0.1:{port}"
        yield server
        server.stop()
    finally:
        server.close()


def client(server: Server, source: str | None = None, **headers: str) -> httpx2.Client:
    """Of this machine, or with the address ``source``."""
    transport = httpx2.HTTPTransport(local_address=source)
    return httpx2.Client(
        base_url=server.url, transport=transport, headers=headers, timeout=DEADLINE, trust_env=False
    )


def refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 403, answer.text
    # An older interface says it in its own words.
    if answer.url.path != "/enqueue":
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "local_only"
    assert "ROTA_TOKEN_FILE" in answer.text


def test_other_machines_get_the_parallel_queue_and_probes_by_any_name(tmp_path: Path) -> None:
    with opened(tmp_path) as server, client(server, outside_address(), host="jobs.example") as other:
        assert other.post("/schedule", json=TASK).json() == {"message": "success"}
        assert other.get("/tasks").status_code == 200
        assert "<title>" in other.get("/").text
        assert other.get("/static/tasks.js").status_code == 200
        for probe in ("/livez", "/readyz", "/health"):
            assert other.get(probe).status_code == 200
        warned = server.wait_for("open to other machines without a token")
        assert warned["level"] == "warning"
        assert warned["origin"] == f"{tmp_path}/local.yaml:1, app.host and app.port"


EVERYTHING_ELSE = [
    ("GET", "/v1/jobs"),
    ("POST", "/v1/jobs"),
    ("POST", "/v1/fetch"),
    ("POST", "/v1/queues/default/pause"),
    ("GET", "/v1/events"),
    ("GET", "/v1/worker"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("POST", "/enqueue"),
    ("GET", "/nothing"),
    ("GET", "/tasks/"),
    ("GET", "/tasks/../v1/jobs"),
    ("GET", "/v1/jobs?/tasks"),
    ("GET", "/v1%2Fjobs"),
]


def test_other_machines_get_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        with client(server, outside_address()) as other:
            for method, path in EVERYTHING_ELSE:
                refused(other.request(method, path, json={"type": "sleep"} if method == "POST" else None))
        with client(server) as here:
            assert here.get("/v1/jobs").json()["jobs"] == []


def test_sockets_of_other_machines(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        url, source = server.url.replace("http", "ws"), (outside_address(), 0)
        with connect(f"{url}/ws", source_address=source) as socket:
            socket.send("hello")
            assert "WebSocket connected!" in str(socket.recv(DEADLINE))
        for path in ("/v1/worker", "/v1/live"):
            with pytest.raises(InvalidStatus) as caught, connect(url + path, source_address=source):
                pass
            assert caught.value.response.status_code == 403
            assert b"local_only" in (caught.value.response.body or b"")
            with connect(url + path):
                pass


def test_this_machine_gets_everything_under_its_own_names(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        for source in (None, "127.0.0.1", "127.0.0.2"):
            with client(server, source) as here:
                assert here.get("/v1/stats").status_code == 200
                assert here.get("/docs").status_code == 200
        port = server.url.rpartition(":")[2]
        with client(server, host=f"0.0.0.0:{port}") as here:
            assert here.get("/v1/stats").status_code == 200
        # No page reaches more than the parallel queue under a name that was made to point here.
        with client(server, host="evil.example") as page:
            assert page.get("/v1/stats").json()["code"] == "unknown_host"
            assert page.get("/tasks").status_code == 200
        with client(server, origin="http://evil.example") as page:
            refusal = page.post("/schedule", json=TASK)
            assert (refusal.status_code, list(refusal.json())) == (403, ["error"])


def test_nobody_talks_himself_in(tmp_path: Path) -> None:
    """What a proxy says about a client counts when the proxy is here, whatever the environment says."""
    with opened(tmp_path, FORWARDED_ALLOW_IPS="*") as server:
        with client(server, outside_address(), **{"x-forwarded-for": "127.0.0.1"}) as other:
            refused(other.get("/v1/stats"))
        for told in ("203.0.113.7", "127.0.0.1, 203.0.113.7", "nonsense"):
            with client(server, **{"x-forwarded-for": told}) as proxied:
                refused(proxied.get("/v1/stats"))
                assert proxied.get("/tasks").status_code == 200


def test_with_a_token_it_is_a_server_like_any(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    with opened(tmp_path, ROTA_TOKEN=token) as server:
        with client(server, outside_address(), authorization=f"Bearer {token}") as other:
            assert other.get("/v1/stats").status_code == 200
        with client(server, outside_address()) as other:
            assert other.get("/v1/stats").status_code == 401
            assert other.get("/tasks").status_code == 401
        assert "open to other machines" not in server.text


def test_its_own_worker_processes_reach_it(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "import rota\n\napp = rota.App()\n\n\n@app.task\ndef double(n: int) -> int:\n    return 2 * n\n"
    )
    with opened(tmp_path, FILE, "--work", "tasks:app", PYTHONPATH=str(tmp_path)) as server:
        with client(server) as here:
            answer = here.post("/v1/jobs?wait=20", json={"type": "double", "payload": {"n": 4}})
            assert answer.json()["result"] == 8, answer.text


def test_without_the_file_an_open_address_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "--listen", "0.0.0.0:0") as server:
        assert server.wait() == 2
        assert "it has no token" in server.text


# the gate alone, for addresses that this machine has not


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:203.0.113.7", False),
        ("203.0.113.7", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_who_is_here(address: str | None, here: bool) -> None:
    gate = Gate(None, (), anyone=lambda path: path == "/tasks")
    scope = {
        "headers": [(b"host", b"localhost")],
        "http_version": "1.1",
        "query_string": b"",
        "client": None if address is None else (address, 1),
    }
    gate.check(scope | {"path": "/tasks"})
    gate.check(scope | {"path": "/livez"})
    if here:
        gate.check(scope | {"path": "/v1/jobs"})
    else:
        with pytest.raises(RotaError, match="its own machine") as caught:
            gate.check(scope | {"path": "/v1/jobs"})
        assert caught.value.code == "local_only"
