"""Programs in a real server: the settings reach them, others see their output as it comes, and programs that
are downloaded run like those that are sent.
"""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.kit import until
from tests.programs.kit import folder_of_the_machine
from tests.programs.serving import Json, Place, packed, place


@pytest.fixture
def here() -> Iterator[Place]:
    with place() as made:
        yield made


@pytest.fixture
def script() -> Iterator[str]:
    """The address of a program."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"#!/bin/sh\necho downloaded as $0; id -u\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/program"
        server.shutdown()
        thread.join()


def ended(here: Place, program: str, **payload: object) -> Json:
    """The job, once it has ended; tried once."""
    return here.job(here.send(program, payload=payload, max_attempts=1), wait=20)


@pytest.fixture
def tool() -> Iterator[Path]:
    """Of this machine, where no program sees it unless it is told so."""
    with folder_of_the_machine() as folder:
        yield folder / "say"


def test_settings_reach_programs(here: Place, tool: Path) -> None:
    tool.write_text("#!/bin/sh\necho a tool of this machine\n")
    tool.chmod(0o755)
    settings = {
        "READONLY_PATHS": str(tool.parent),
        "NETWORK": "true",
        "MEMORY": "48MiB",
        "OPEN_FILES": "77",
        "FILE_SIZE": "1MiB",
        "OUTPUT": "2KiB",
        "TIMEOUT": "1500ms",
        "MAX_TIMEOUT": "20s",
        "CPUS": "0.5",
    }
    with here.server(env={f"ROTA_PROGRAMS__{name}": value for name, value in settings.items()}):
        seen = ended(here, f"{tool}; ulimit -n; ulimit -f; test -e {here.home} || echo hidden")["result"]
        assert seen["output"] == "a tool of this machine\n77\n2048\nhidden\n"
        host, port = "127.0.0.1", here.port
        dial = f"import socket; socket.create_connection(({host!r}, {port})); print('through')"
        assert ended(here, f'python3 -c "{dial}"', network=True)["result"]["output"] == "through\n"
        assert ended(here, f'python3 -c "{dial}"')["state"] == "failed"
        slow = ended(here, "sleep 30")["error"]
        assert (slow["type"], slow["details"]["ended"]) == ("ProgramFailed", "timeout")
        long = ended(here, "seq 5000")["result"]
        assert long["output_cut"]
        assert 1500 < len(long["output"]) < 2500
        for asked, limit in (
            ({"memory": "1GiB"}, "memory must be bytes or a text such as 256MiB, at most 48 MiB, not 1GiB."),
            ({"timeout": 21}, "timeout must be more than 0 and at most 20 s, not 21."),
            ({"cpus": 1}, "cpus must be more than 0 and at most 0.5, not 1."),
        ):
            error = ended(here, "echo no", **asked)["error"]
            assert (error["type"], error["message"]) == ("BadPayload", limit)
        greedy = ended(here, "exec python3 -c 'print(len(bytearray([1]) * 10**8))'")["error"]
        assert greedy["details"]["ended"] == "memory" or "MemoryError" in greedy["details"]["output"]


def test_everybody_sees_the_output_while_the_program_runs(here: Place) -> None:
    with here.server():
        until(lambda: here.on()["state"] == "on", "the sandbox")
        with here.http.stream("GET", "/v1/events", params={"topic": "*"}) as events:
            lines = events.iter_lines()
            id = here.send("echo first; while [ ! -e end ]; do sleep 0.05; done; echo last")

            def heard(text: str) -> Json:
                for line in lines:
                    if line.startswith("data:"):
                        event: Json = json.loads(line.removeprefix("data:"))
                        if event.get("id") == id and event.get("text") == text:
                            return event
                raise AssertionError("the events have ended")

            assert heard("first")["event"] == "log"
            assert here.said(id) == ["first"]
            assert here.job(id)["state"] == "running"
            here.let_go()
            heard("last")
        job = here.job(id, wait=20)
        assert (job["state"], job["result"]["output"]) == ("done", "first\nlast\n")


@pytest.mark.parametrize("front", ["jqgo", "v1"])
def test_a_downloaded_program_runs_where_its_address_is_allowed(here: Place, script: str, front: str) -> None:
    def result() -> str:
        if front == "v1":
            answer = here.http.post(
                "/v1/jobs?wait=20", json={"type": "execurl", "payload": {"url": script}, "max_attempts": 1}
            ).json()
            return str(
                answer["result"]["output"] if answer["state"] == "done" else answer["error"]["message"]
            )
        id = here.http.post("/job", json={"type": "execurl", "input": script, "attempts": 2}).json()["id"]

        def told() -> Json | None:
            rows = here.http.get("/completedJobs").json()["jobs"] or []
            return next((row for row in rows if row["job"]["id"] == id), None)

        row: Json = until(told, "the result")
        assert row["success"] is (row["result"].startswith("downloaded"))
        return str(row["result"])

    with here.server():
        assert "127.0.0.1 is a loopback address" in result()
    with here.server(env={"ROTA_HANDLERS__WEBHOOK__ALLOW_NETWORKS": "127.0.0.1/32"}):
        assert result() == "downloaded as ./program\n1000\n"


def test_a_program_that_was_sent_as_a_file_leaves_another(here: Place) -> None:
    """The whole way of an archive: through the socket, the store, the sandbox, and back."""
    archive = base64.b64decode(packed("mkdir -p out/deep; tr a-z A-Z <Makefile >out/deep/loud"))
    with here.server():
        answer = here.http.post(
            "/v1/jobs?wait=20", content=archive, headers={"content-type": "application/zip"}
        ).json()
        assert answer["state"] == "done", answer
        told = answer["result"]["artifact"]
        kept = here.http.get(f"/v1/jobs/{answer['id']}/artifact")
        assert (len(kept.content), kept.headers["etag"]) == (told["bytes"], f'"{told["sha256"]}"')
        with zipfile.ZipFile(io.BytesIO(kept.content)) as made:
            assert made.read("deep/loud") == b"RUN:\n\t@SH PROGRAM.SH\n"
        assert here.http.get(f"/v1/jobs/{answer['id']}/upload").content == archive
        assert here.left() == []
