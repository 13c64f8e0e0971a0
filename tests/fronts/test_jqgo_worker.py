"""JobQueueGo's worker as a program of its own (:mod:`tests.fronts.jqgo_worker`), and servers that stop."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.crash.kit import until
from tests.server import DEADLINE, Server, environment, running, running_server

Json = dict[str, Any]
PROGRAM = Path(__file__).parent / "jqgo_worker.py"
NO_SLOTS = {"ROTA_FRONTS__JQGO__SLOTS": "0"}


class Dialler:
    """A worker's process, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def said(self, text: str) -> None:
        until(lambda: any(text in line for line in self.lines), f"{text!r} from a worker", DEADLINE)

    def wait(self) -> int:
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def close(self) -> None:
        self.process.kill()
        self.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)


@contextlib.contextmanager
def dialling(server: Server, folder: Path) -> Iterator[Dialler]:
    """A worker that works in ``folder``, greeted by the server."""
    folder.mkdir(exist_ok=True)
    host, port = server.url.removeprefix("http://").split(":")
    dialler = Dialler(
        subprocess.Popen(
            [sys.executable, str(PROGRAM), "-host", host, "-port", port],
            cwd=folder,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    try:
        dialler.said("connected to server")
        yield dialler
    finally:
        dialler.close()


def api(server: Server) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False)


def post(http: httpx2.Client, **job: Any) -> str:
    answer = http.post("/job", json=job)
    assert answer.status_code == 202
    return str(answer.json()["id"])


def rows(http: httpx2.Client) -> dict[str, Json]:
    """Results by id."""
    return {row["job"]["id"]: row for row in http.get("/completedJobs").json()["jobs"] or []}


def packed(files: Mapping[str, str]) -> str:
    """Files as the input of a program_zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return base64.b64encode(out.getvalue()).decode()


def test_zipped_programs_run_on_a_worker(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NO_SLOTS) as server, api(server) as http:
        hello = {"Makefile": "run:\n\t@echo hello; cat data", "data": "<ü>\n"}
        flat = post(http, type="program_zip", input=packed(hello))
        folder = post(http, type="program_zip", input=packed({"top/Makefile": "run:\n\t@echo from a folder"}))
        bad = post(http, type="program_zip", input=packed({"Makefile": "run:\n\t@echo no luck; exit 3"}))
        damaged = post(http, type="program_zip", input="no base64")
        slept = post(http, type="sleep", duration=1)
        hashed = post(http, type="hash", input="abc")
        other = post(http, type="anything")
        ids = [flat, folder, bad, damaged, slept, hashed, other]
        with dialling(server, tmp_path / "worker") as worker:
            tries = {id: 3 if id in (bad, damaged) else 1 for id in ids}
            until(
                lambda: {id: row["job"]["attempts"] for id, row in rows(http).items()} == tries,
                "all results",
                30,
            )
            done = rows(http)
            assert done[flat]["result"].endswith("hello\n<ü>\n")
            assert done[folder]["result"].endswith("from a folder\n")
            assert done[slept]["result"] == "Slept for 1 seconds"
            assert done[slept]["duration"] >= 1000
            assert done[hashed]["result"] == "fakehash(abc)"
            assert done[other]["result"] == "Unknown job type"
            assert done[bad]["result"].startswith("make run error: exit status 2\nOutput: no luck\n")
            assert done[damaged]["result"] == "failed to decode base64 input"
            assert [done[id]["success"] for id in ids] == [True, True, False, False, True, True, True]
            # First those that were right at once, then those that were tried until the end.
            assert list(done) == [flat, folder, slept, hashed, other, bad, damaged]
            worker.said("ack result was recived")
            assert worker.process.poll() is None
            assert server.stop() == 0
            assert worker.wait() == 0
            assert "Traceback" not in server.text


def test_a_killed_worker_gives_its_job_to_the_next(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NO_SLOTS) as server, api(server) as http:
        with dialling(server, tmp_path / "one") as one, dialling(server, tmp_path / "two") as two:
            id = post(http, type="sleep", duration=2)
            one.said(f"running: {id}")
            one.process.kill()
            two.said(f"running: {id}")
            until(lambda: id in rows(http), "the result", DEADLINE)
            [row] = rows(http).values()
            assert (row["success"], row["job"]["attempts"]) == (True, 1)
            assert http.get(f"/v1/jobs/{id}").json()["losses"] == 1


def test_the_server_stands_in_only_while_no_worker_is_there(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, api(server) as http:
        with dialling(server, tmp_path / "worker") as worker:
            long = post(http, type="sleep", duration=60)
            worker.said(f"running: {long}")
            waiting = post(http, type="hash", input="a")
            http.get("/livez")
            assert http.get("/status").json()["queue_length"] == 1
        until(lambda: waiting in rows(http), "the server's own result", DEADLINE)
        assert http.get(f"/v1/jobs/{waiting}").json()["attempts"][-1]["worker"].startswith("inside-")
        until(lambda: http.get(f"/v1/jobs/{long}").json()["state"] == "running", "the server's own sleep")
        http.post(f"/v1/jobs/{long}/cancel")


def test_a_worker_of_rota_serves_the_queue(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "import rota\n\napp = rota.App(queue='jqgo')\n\n\n"
        "@app.task(name='hash')\ndef fake_hash(payload):\n    return f\"fakehash({payload['input']})\"\n"
    )
    with running_server(tmp_path, env=NO_SLOTS) as server, api(server) as http:
        id = post(http, type="hash", input="abc")
        with running(tmp_path, "work", "tasks:app", "--url", server.url):
            until(lambda: id in rows(http), "the result", DEADLINE)
        assert rows(http)[id]["result"] == "fakehash(abc)"


def url_of(server: Server) -> str:
    return server.url.replace("http", "ws") + "/ws/worker"


def take(socket: ClientConnection) -> Json:
    """The job after the greeting."""
    assert socket.recv(DEADLINE) == "connected to server"
    job: Json = json.loads(socket.recv(DEADLINE))
    return job


def answer(socket: ClientConnection, job: Json, text: str = "ok", success: bool = True) -> None:
    result = {"job": job, "result": text, "duration": 1, "success": success}
    socket.send(json.dumps({"RespType": "result", "Res": result}))
    assert socket.recv(DEADLINE) == "ack result was recived"


def test_a_killed_server_hands_out_again_what_its_workers_had(tmp_path: Path) -> None:
    """Whatever tries are left: the worker is gone with the server, and nobody else had the job."""
    with running_server(tmp_path, env=NO_SLOTS) as first, api(first) as http:
        last = post(http, type="program_zip", attempts=7)
        failed = post(http, type="program_zip", input="a")
        waiting = post(http, type="program_zip", input="b")
        with connect(url_of(first)) as one, connect(url_of(first)) as two:
            assert take(one)["id"] == last
            job = take(two)
            assert job["id"] == failed
            answer(two, job, "bad", False)
            assert json.loads(two.recv(DEADLINE))["id"] == waiting
            first.process.kill()
            first.wait()
        with contextlib.suppress(AssertionError):
            first.stop()
    with running_server(tmp_path, env=NO_SLOTS) as second, api(second) as http:
        assert rows(http)[failed]["result"] == "bad"
        assert http.get("/status").json()["queue_length"] == 3
        with connect(url_of(second)) as one:
            job = take(one)
            given = []
            for _ in range(3):
                given.append((job["id"], job["attempts"]))
                answer(one, job)
                if len(given) < 3:
                    job = json.loads(one.recv(DEADLINE))
        # The one that had failed stands behind.
        assert given == [(last, 7), (waiting, 0), (failed, 1)]
        assert [row["success"] for row in rows(http).values()] == [True] * 3
        assert [row["job"]["attempts"] for row in rows(http).values()] == [8, 1, 2]
        assert http.get(f"/v1/jobs/{last}").json()["losses"] == 1


def test_a_server_that_stops_waits_for_the_results_of_its_workers(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NO_SLOTS) as server, api(server) as http:
        ids = [post(http, type="program_zip", input=text) for text in "ab"]
        with connect(url_of(server)) as one:
            job = take(one)
            server.wait_for("draining", after=server.terminate)
            with pytest.raises(TimeoutError):
                # Neither another job nor the end of the connection.
                one.recv(1)
            answer(one, job, "in time")
            assert closed(one)
        assert server.wait() == 0
    with running_server(tmp_path, env=NO_SLOTS) as server, api(server) as http:
        assert rows(http)[ids[0]]["result"] == "in time"
        assert [row["id"] for row in http.get("/status").json()["jobs"]] == [ids[1]]


def test_what_is_not_done_in_time_when_the_server_stops_costs_nothing(tmp_path: Path) -> None:
    env = {**NO_SLOTS, "ROTA_GRACE": "100ms"}
    with running_server(tmp_path, env=env) as server, api(server) as http:
        id = post(http, type="program_zip", attempts=2)
        with connect(url_of(server)) as one:
            take(one)
            assert server.stop() == 0
            assert closed(one)
    with running_server(tmp_path, env=env) as server, api(server) as http:
        job = http.get(f"/v1/jobs/{id}").json()
        assert (job["state"], job["attempt"], job["losses"]) == ("pending", 0, 0)
        [row] = http.get("/status").json()["jobs"]
        assert (row["id"], row["attempts"]) == (id, 2)


def closed(socket: ClientConnection) -> bool:
    """Wait for the end of the connection."""
    try:
        while True:
            socket.recv(DEADLINE)
    except ConnectionClosed:
        return True
    except TimeoutError:
        return False


def test_garbage_of_all_kinds_leaves_no_trace_in_the_log(tmp_path: Path) -> None:
    with running_server(tmp_path, env=NO_SLOTS) as server, api(server) as http:
        hostile: list[Callable[[ClientConnection], object]] = [
            lambda socket: socket.send("x" * 1_000_000),
            lambda socket: socket.send(b"\x00" * 1_000_000),
            lambda socket: socket.send('{"Res":' * 200_000),
            lambda socket: socket.send("{" + '"a":{},' * 2_000_000 + '"b":0}'),
            lambda socket: socket.send(["frag", "mented", "{}"]),
            lambda socket: socket.send("x" * 17_000_000),
            lambda socket: socket.close(4000, "whatever"),
            lambda socket: socket.socket.close(),
        ]
        post(http, type="program_zip", attempts=-1000)
        for act in hostile:
            with connect(url_of(server)) as socket:
                socket.recv(DEADLINE)
                with contextlib.suppress(OSError, Exception):
                    act(socket)
            assert http.get("/livez").status_code == 200
        assert "Traceback" not in server.text
        assert len(http.get("/v1/jobs").json()["jobs"]) == 1
