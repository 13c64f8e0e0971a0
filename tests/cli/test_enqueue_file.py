"""Many jobs from a file or a pipe."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.kit import Cli, wait_until
from tests.server import running_server


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own, which nobody serves."""
    return f"of-{request.node.name[:100]}".replace("[", "-").rstrip("]")


def count(rota: Cli, queue: str) -> int:
    return int(rota.queue(queue).get("pending", 0))


def stored(rota: Cli, queue: str) -> list[dict[str, Any]]:
    """Its jobs, whole, oldest first."""
    jobs = rota("jobs", "list", "--queue", queue, "--all", "--json").json["jobs"]
    return [rota.job(job["id"]) for job in reversed(jobs)]


def test_payloads_go_in_batches_and_in_order(rota: Cli, folder: Path, queue: str) -> None:
    lines = [f'{{"n": {number}}}' for number in range(2500)]
    (folder / "many.ndjson").write_text("\n".join(lines))
    ran = rota("enqueue", "count", "--file", "many.ndjson", "--queue", queue, "--priority", "2", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert ran.json | {"seconds": 0} == {
        "stored": 2500, "there_already": 0, "refused": 0, "seconds": 0, "faults": [],
    }  # fmt: skip
    jobs = rota("jobs", "list", "--queue", queue, "--all", "--json").json["jobs"]
    assert len(jobs) == 2500
    assert rota.job(jobs[-1]["id"])["payload"] == {"n": 0}
    assert rota.job(jobs[0]["id"])["payload"] == {"n": 2499}
    assert {(job["type"], job["priority"]) for job in jobs} == {("count", 2)}


def test_whole_jobs_and_flags_for_what_they_leave_open(rota: Cli, folder: Path, queue: str) -> None:
    lines = [
        '\ufeff{"type": "a", "payload": 1}\r',
        "",
        '{"type": "b", "queue": "' + queue + '", "priority": -1, "tags": ["own"]}',
        '{"type": "c", "run_at": "2100-01-01T00:00:00Z", "payload_base64": "AAE=", "content_type": "x/y"}',
    ]
    (folder / "jobs.ndjson").write_text("\n".join(lines))
    ran = rota(
        "enqueue", "--file", "jobs.ndjson", "--queue", queue, "--tag", "t", "--delay", "1h", "--priority", "5"
    )
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("3 jobs stored in ")
    a, b, c = stored(rota, queue)
    assert (a["payload"], a["priority"], a["tags"], a["state"]) == (1, 5, ["t"], "scheduled")
    assert (b["priority"], b["tags"]) == (-1, ["own"])
    assert (c["run_at"], c["content_type"]) == ("2100-01-01T00:00:00.000000Z", "x/y")


def test_faults_are_told_with_their_lines_and_the_rest_is_stored(rota: Cli, folder: Path, queue: str) -> None:
    lines = [
        '{"type": "ok"}',
        '{"type": "ok", "prio": 3}',
        "not \x1b[31mjson",
        '{"type": "ok", "priority": 300}',
        '{"payload": 3}',
        '{"type": "ok", "expires_at": "2020-01-01T00:00:00Z"}',
        '{"type": "ok", "payload": "' + "x" * 1_100_000 + '"}',
        '{"type": "ok"}',
        '["no job"]',
    ]
    (folder / "mixed.ndjson").write_text("\n".join(lines))
    ran = rota("enqueue", "--file", "mixed.ndjson", "--queue", queue)
    assert ran.status == 1
    assert ran.out.startswith("2 jobs stored in ")
    assert ran.out.endswith(", 7 lines refused\n")
    told = dict(line.split(": ", 1) for line in ran.err.splitlines())
    assert list(told) == [f"line {number}" for number in (2, 3, 4, 5, 9, 6, 7)]
    assert told["line 2"] == "Unknown field 'prio'. Did you mean priority?"
    assert told["line 3"].startswith("The line is not JSON")
    assert "-100 to 100" in told["line 4"]
    assert told["line 5"] == "type is missing."
    assert "expires_at" in told["line 6"]
    assert "payload has 1100002 bytes" in told["line 7"]
    assert "\x1b" not in ran.err
    assert count(rota, queue) == 2


def test_many_faults_are_counted(rota: Cli, queue: str) -> None:
    ran = rota("enqueue", "t", "--file", "-", "--queue", queue, "--json", stdin="{\n" * 1500)
    assert ran.status == 1
    assert (ran.json["refused"], len(ran.json["faults"])) == (1500, 1000)
    assert ran.json["faults"][7]["line"] == 8
    assert len(ran.err.splitlines()) == 21


def test_a_wrong_flag_is_told_once(rota: Cli) -> None:
    ran = rota("enqueue", "t", "--file", "-", "--queue", "not a name", stdin="1\n2\n3\n")
    assert ran.status == 1
    assert ran.err.startswith("Error: queue must be")
    assert len(ran.err.splitlines()) == 1


def test_with_a_key_the_file_can_be_sent_again(rota: Cli, queue: str) -> None:
    arguments = ("enqueue", "t", "--file", "-", "--queue", queue, "--idempotency-key", queue, "--json")
    first = rota(*arguments, stdin="1\n2\n3\n").json
    again = rota(*arguments, stdin="1\n2\n3\n4\n").json
    changed = rota(*arguments, stdin="1\nnull\n3\n4\n5\n")
    assert (first["stored"], first["there_already"]) == (3, 0)
    assert (again["stored"], again["there_already"]) == (1, 3)
    assert changed.status == 1
    assert (changed.json["stored"], changed.json["there_already"]) == (1, 3)
    assert [fault["line"] for fault in changed.json["faults"]] == [2]
    assert count(rota, queue) == 5


def test_a_pipe_that_pauses_is_not_waited_for(rota: Cli, queue: str) -> None:
    """What has come is stored, though no batch is full and the pipe stays open."""
    process = rota.start("enqueue", "t", "--file", "-", "--queue", queue)
    assert process.stdin is not None
    process.stdin.write(b"1\n2\n")
    process.stdin.flush()
    wait_until(lambda: count(rota, queue) == 2, "two jobs are stored")
    assert process.poll() is None
    out, _ = process.communicate(b"3\n4", timeout=20)
    assert out.startswith(b"4 jobs stored")
    assert process.returncode == 0


def test_interrupted_it_says_how_far_it_came(rota: Cli, queue: str) -> None:
    process = rota.start("enqueue", "t", "--file", "-", "--queue", queue)
    assert process.stdin is not None
    process.stdin.write(b"1\n\n2\n")
    process.stdin.flush()
    wait_until(lambda: count(rota, queue) == 2, "two jobs are stored")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out.startswith(b"2 jobs stored")
    assert err.decode().startswith("It stopped after line 3.")
    assert b"Traceback" not in err


def test_a_line_that_is_too_long_ends_it(rota: Cli, queue: str) -> None:
    ran = rota("enqueue", "t", "--file", "-", "--queue", queue, stdin="1\n" + "2" * (17 * 1024 * 1024))
    assert ran.status == 1
    assert "line 2 has more than" in ran.err
    assert ran.out.startswith("1 job stored")


def test_a_restart_of_the_server_goes_unnoticed(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        rota = Cli(tmp_path, server.url)
        process = rota.start("enqueue", "t", "--file", "-", "--queue", "q", "--json")
        assert process.stdin is not None
        process.stdin.write(b"1\n")
        process.stdin.flush()
        wait_until(lambda: count(rota, "q") == 1, "the first job is stored")
        server.kill()
        address = server.url.removeprefix("http://")
        host, _, port = address.partition(":")
        with socket.create_server((host, int(port))) as nobody:
            process.stdin.write(b"2\n")
            process.stdin.flush()
            nobody.settimeout(20)
            nobody.accept()[0].close()
        with running_server(tmp_path, listen=address):
            out, err = process.communicate(b"3\n", timeout=20)
            assert json.loads(out)["stored"] == 3, err
            assert count(rota, "q") == 3
        server.close()
