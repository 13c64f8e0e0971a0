"""The parallel queue's clients, at a real server."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.crash.kit import until
from tests.fronts.kit import play, type_along
from tests.server import DEADLINE, Server, running_server

GREETING = '{"message":"WebSocket connected!"}\n'
REMINDER = '{"message":"Use REST API for your requests, WebSockets are for updates only!"}\n'
HTTP = httpx2.Client(timeout=60, trust_env=False, verify=False)
TWO = {"ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "2"}


def schedule(server: Server, tasks: object, **options: Any) -> None:
    body = tasks if isinstance(tasks, bytes) else json.dumps(tasks).encode()
    headers = {"content-type": "application/json", **options.pop("headers", {})}
    answer = HTTP.post(server.url + "/schedule", content=body, headers=headers, **options)
    assert (answer.status_code, answer.text) == (200, '{"message":"success"}')


def lists(server: Server) -> tuple[dict[str, int], list[dict[str, int]]]:
    whole = HTTP.get(server.url + "/tasks").json()
    return whole["active"], whole["scheduled"]


class Client:
    """A client of the events: all that it was told, read by a thread of its own."""

    def __init__(self, server: Server, **options: Any) -> None:
        url = server.url.replace("http", "ws") + "/ws"
        self._whole = connect(url, proxy=None, max_size=None, **options)
        self.socket: ClientConnection = self._whole.__enter__()
        self.texts: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._by_id: dict[str, list[str]] = {}
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for text in self.socket:
                assert isinstance(text, str)
                assert text.endswith("}\n")
                with self._news:
                    self.texts.append(text)
                    [(event, about)] = json.loads(text).items()
                    for one in about if event == "scheduled" else [about]:
                        self.events.append((event, one))
                        id = one["ID"] if isinstance(one, dict) else "(answer)"
                        self._by_id.setdefault(id, []).append(event)
                    self._news.notify_all()
        except ConnectionClosed:
            return

    def until(self, condition: Callable[[], Any]) -> None:
        with self._news:
            assert self._news.wait_for(condition, DEADLINE), self.events[-20:]

    def has(self, event: str, times: int) -> None:
        """Wait until it was told so often."""
        self.until(lambda: self.count(event) == times)

    def count(self, event: str) -> int:
        return sum(1 for one, _ in self.events if one == event)

    def of(self, id: str) -> list[str]:
        return self._by_id.get(id, [])

    def close(self) -> None:
        self._whole.__exit__(None, None, None)
        self._reader.join(DEADLINE)


def alone(client: Client) -> None:
    """No id was active twice at once."""
    active: set[str] = set()
    for event, about in client.events:
        if event == "start":
            assert about["ID"] not in active
            active.add(about["ID"])
        elif event == "done":
            active.remove(about["ID"])


def test_answers_are_those_of_the_program(tmp_path: Path) -> None:
    with running_server(tmp_path, "--grace", "0", env=TWO) as server:
        play(server.url, "pqexec")
        assert "Traceback" not in server.text


def test_the_page_is_typed_along(tmp_path: Path) -> None:
    with running_server(tmp_path, "--grace", "0") as server:
        assert type_along("fronts/pqexec.md", server.url, tmp_path) == 6


@pytest.mark.parametrize("surface", ["rest", "ws", "html", "html_ws"])
def test_a_surface_serves_what_its_variant_did(surface: str, tmp_path: Path) -> None:
    with (
        running_server(tmp_path, "--surface", surface) as server,
        httpx2.Client(base_url=server.url, trust_env=False, verify=False) as http,
    ):
        if surface == "rest":
            play(server.url, "pqexec_rest")
        page, code, socket_ = http.get("/"), http.get("/static/tasks.js"), http.get("/ws")
        if "html" in surface:
            assert page.status_code == 200
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "<title>Home</title>" in page.text
            assert (f'data-events="{"socket" if surface == "html_ws" else "none"}"') in page.text
            assert "unsafe" not in page.headers["content-security-policy"]
            assert code.status_code == 200
            assert code.headers["content-type"] == "text/javascript; charset=utf-8"
            assert http.get("/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
        else:
            assert (page.status_code, page.text) == (404, "Cannot GET /")
            assert (code.status_code, code.text) == (404, "Cannot GET /static/tasks.js")
        if "ws" in surface:
            assert socket_.status_code == 426
            client = Client(server)
            schedule(server, {"a": 1})
            client.until(lambda: client.of("a") == ["scheduled", "next", "start", "done"])
            client.close()
        else:
            assert (socket_.status_code, socket_.text) == (404, "Cannot GET /ws")
            with pytest.raises(InvalidStatus) as refused:
                Client(server)
            assert refused.value.response.status_code == 404


def test_the_events_of_a_task_and_the_answers_to_messages(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        client, other = Client(server), Client(server)
        client.socket.send("hello")
        client.socket.send(b"\xff")
        client.until(lambda: len(client.texts) == 2)
        assert client.texts == [GREETING, REMINDER]
        schedule(server, {"task789": 250, "ID": 1})
        client.has("done", 2)
        shape = '{"task789":250,"ID":"task789","Duration":250}'
        assert client.texts[2] == '{"scheduled":[' + shape + ',{"ID":"ID","Duration":1}]}\n'
        assert [text for text in client.texts if shape in text][1:] == [
            '{"next":' + shape + "}\n",
            '{"start":' + shape + "}\n",
            '{"done":' + shape + "}\n",
        ]
        schedule(server, {})
        client.until(lambda: client.texts[-1] == '{"scheduled":[]}\n')
        other.until(lambda: len(other.texts) == len(client.texts) - 2)
        assert other.texts == client.texts[2:]
        client.close()
        other.close()


def test_under_load_every_client_is_told_the_same_in_order(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        clients = [Client(server) for _ in range(4)]

        def post(number: int) -> None:
            schedule(server, {f"t{number}-{n}": n % 3 for n in range(20)} | {"same": 0, f"s{number % 5}": 1})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(post, range(60)))
        for client in clients:
            client.has("done", 60 * 22)
            alone(client)
            for number in range(60):
                for n in range(20):
                    assert client.of(f"t{number}-{n}") == ["scheduled", "next", "start", "done"]
            told = [event for event in client.of("same") if event != "scheduled"]
            assert told == ["next", "start", "done"] * 60
            client.close()
        assert all(client.texts == clients[0].texts for client in clients)
        assert lists(server) == ({}, [])


def test_a_thousand_of_one_id_take_no_place_from_others(tmp_path: Path) -> None:
    with running_server(tmp_path, "--grace", "0", env=TWO) as server:
        client = Client(server)
        schedule(server, {"same": 60_000})
        for _ in range(10):
            body = b"{" + b",".join(b'"same%d":0' % n for n in range(100)) + b"}"
            schedule(server, body)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda ms: schedule(server, {"same": ms}), range(1, 1001)))
        client.has("done", 1000)
        active, scheduled = lists(server)
        assert active == {"same": 60_000}
        assert sorted(one["same"] for one in scheduled) == list(range(1, 1001))
        # Nobody touched the jobs that wait.
        waiting = HTTP.get(server.url + "/v1/jobs?state=scheduled&limit=100").json()["jobs"]
        assert {job["attempt"] for job in waiting} == {0}
        schedule(server, {"other": 5})
        client.until(lambda: client.of("other")[-1:] == ["done"])
        client.close()


def test_a_kill_loses_nothing_and_ends_nothing_twice(tmp_path: Path) -> None:
    with running_server(tmp_path, env=TWO) as server:
        client = Client(server)
        schedule(server, {"long": 600_000, "a": 0})
        for ms in range(10):
            schedule(server, {"b": ms, f"c{ms}": 600_000 if ms == 5 else 1, "long": ms})
        client.until(lambda: client.of("c5")[-1:] == ["start"])
        server.kill()
    client.close()
    ended = Counter(about["ID"] for event, about in client.events if event == "done")
    with running_server(tmp_path, "--grace", "0", env={"ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "5"}) as server:
        client = Client(server)
        left = [{"long": ms} for ms in range(10)]
        until(lambda: lists(server) == ({"long": 600_000, "c5": 600_000}, left), "the end of all others")
        client.close()
        alone(client)
        ended += Counter(about["ID"] for event, about in client.events if event == "done")
        assert all(count == (10 if id == "b" else 1) for id, count in ended.items()), "told twice"
        jobs = HTTP.get(server.url + "/v1/jobs?tag=front:pqexec&limit=100").json()["jobs"]
        assert Counter(job["state"] for job in jobs) == {"done": 20, "running": 2, "scheduled": 10}


def test_who_never_reads_slows_nobody(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        stuck = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " in stuck.recv(15)
        client = Client(server)
        name = "x" * 200
        for post in range(15):
            schedule(server, {f"{name}{post}-{n}": -1 for n in range(1000)})
        server.wait_for("a listener does not read")
        client.has("done", 15_000)
        alone(client)
        schedule(server, {"a": 0})
        client.until(lambda: client.of("a") == ["scheduled", "next", "start", "done"])
        client.close()
        stuck.close()


def test_bodies_may_be_packed_but_not_grow_without_end(tmp_path: Path) -> None:
    with running_server(tmp_path, "--grace", "0", env=TWO) as server:
        packed = {"content-encoding": "gzip"}
        schedule(server, gzip.compress(b'{"a": 60000, "b": 60000, "c": 1}'), headers=packed)
        large = json.dumps({f"t{n}": n for n in range(400_000)}).encode()
        assert len(large) > 4 * 1024 * 1024
        for body, headers in [
            (large, {}),
            (gzip.compress(large), packed),
            (gzip.compress(bytes(200_000_000)), packed),
            (json.dumps({"x" * 1_048_570: 1}).encode(), {}),
        ]:
            answer = HTTP.post(
                server.url + "/schedule",
                content=body,
                headers={"content-type": "application/json", **headers},
            )
            assert (answer.status_code, answer.text) == (413, "Request Entity Too Large")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        until(lambda: lists(server) == ({"a": 60000, "b": 60000}, [{"c": 1}]), "these three")
        assert "Traceback" not in server.text


def test_a_hundred_thousand_tasks_wait_and_are_listed(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "0"}) as server:
        client = Client(server)
        tasks = {f"task{n}": n for n in range(100_000)}
        schedule(server, tasks)
        client.has("scheduled", 100_000)
        assert [about["Duration"] for _, about in client.events] == list(range(100_000))
        assert lists(server) == ({}, [{id: ms} for id, ms in tasks.items()])
        client.close()
        server.stop()
    with running_server(tmp_path, env={"ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "0"}) as server:
        # Accepted before all is read back, and behind it.
        schedule(server, {"task0": -1})
        assert lists(server) == ({}, [*({id: ms} for id, ms in tasks.items()), {"task0": -1}])


def test_a_worker_of_its_own_takes_over(tmp_path: Path) -> None:
    env = {"ROTA_FRONTS__PQEXEC__QUEUE": "timed"}
    with (
        running_server(tmp_path, env=env) as server,
        httpx2.Client(base_url=server.url, trust_env=False, verify=False) as http,
    ):
        fetch = {"worker": "w1", "queues": ["timed"], "slots": 5, "wait": 0}
        http.post("/v1/fetch", json=fetch)
        client = Client(server)
        schedule(server, {"a": 60_000, "b": 1})
        schedule(server, {"a": 2})
        jobs = http.post("/v1/fetch", json={**fetch, "wait": 5}).json()["jobs"]
        assert [(job["type"], job["payload"]) for job in jobs] == [
            ("pqexec", {"id": "a", "ms": 60_000}),
            ("pqexec", {"id": "b", "ms": 1}),
        ]
        [listed] = http.get("/v1/jobs?tag=front:pqexec&state=scheduled").json()["jobs"]
        assert listed["run_at"].startswith("9999-12-31")
        ends = [{"id": job["id"], "lease": job["lease"], "end": "done"} for job in jobs]
        http.post("/v1/finish", json={"worker": "w1", "outcomes": ends})
        [job] = http.post("/v1/fetch", json={**fetch, "wait": 5}).json()["jobs"]
        assert (job["payload"], job["attempt"]) == ({"id": "a", "ms": 2}, 1)
        client.until(lambda: client.of("a").count("start") == 2)
        alone(client)
        client.close()


def test_with_a_token_the_page_is_open_and_the_rest_is_not(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame")
    flags = ("--token-file", str(tmp_path / "token"))
    with (
        running_server(tmp_path, *flags) as server,
        httpx2.Client(base_url=server.url, trust_env=False, verify=False) as http,
    ):
        assert http.get("/").status_code == 200
        assert http.get("/static/tasks.js").status_code == 200
        for path in ("/tasks", "/ws"):
            refused = http.get(path)
            assert refused.status_code == 401
            assert refused.json() == {"error": "This server needs a token: send Authorization: Bearer TOKEN."}
        assert http.post("/schedule", json={"a": 1}).status_code == 401
        with pytest.raises(InvalidStatus):
            Client(server)
        key = {"authorization": "Bearer sesame"}
        assert http.get("/tasks", headers=key).json() == {"active": {}, "scheduled": []}
        client = Client(server, additional_headers=key)
        schedule(server, {"a": 1}, headers=key)
        client.has("done", 1)
        client.close()
    with running_server(tmp_path, *flags, env={"ROTA_FRONTS__OPEN": "true"}) as server:
        client = Client(server)
        schedule(server, {"a": 1})
        client.has("done", 1)
        assert HTTP.get(server.url + "/v1/jobs").status_code == 401
        client.close()


def test_pages_of_other_origins_get_no_socket(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        with pytest.raises(InvalidStatus) as refused:
            Client(server, origin="http://elsewhere.example")
        assert refused.value.response.status_code == 403
        Client(server, origin=server.url).close()


def test_on_a_listener_of_its_own_and_switched_off(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with running_server(tmp_path, env={"ROTA_LISTENERS": f"{place}=pqexec"}) as server:
        assert HTTP.get(server.url + "/tasks").status_code == 404
        server.url = f"http://{place}"
        client = Client(server)
        schedule(server, {"a": 1})
        client.has("done", 1)
        page = HTTP.get(server.url)
        assert "<title>Home</title>" in page.text
        assert "/docs" not in page.text, "there is none here"
        client.close()
    with running_server(tmp_path, env={"ROTA_FRONTS__PQEXEC__ENABLED": "false"}) as server:
        for path in ("/tasks", "/ws", "/static/tasks.js", "/static/tasks.html"):
            assert HTTP.get(server.url + path).status_code == 404


def test_its_page_gives_way_to_the_dashboard_unless_it_is_asked_for(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert "<title>Rota</title>" in HTTP.get(server.url).text
        assert "<title>Home</title>" in HTTP.get(server.url + "/static/tasks.html").text
    with running_server(tmp_path, "--surface", "html") as server:
        assert "<title>Home</title>" in HTTP.get(server.url).text
    with running_server(tmp_path, "--surface", "rest") as server:
        assert HTTP.get(server.url).status_code == 404
