"""``rota run`` when it is interrupted, waits in vain, or loses its server or its worker."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.kit import Cli, wait_until
from tests.cli.run_kit import GATE, newest, program, serving_programs
from tests.server import DEADLINE, Process, Server, running, running_server

AGAIN = b"Its worker left, and another one starts it again.\n"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    yield from serving_programs(folder)


def test_ctrl_c_cancels_it(rota: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = rota.start("run", program(tmp_path / "p", GATE.format(gate=gate)))
    assert process.stdout is not None
    assert process.stdout.read(7) == b"half a "
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert b"Cancelling it." in err
    assert b"was cancelled" in err
    assert newest(rota)["state"] == "cancelled"


def test_a_second_ctrl_c_leaves_it_alone(rota: Cli, server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = rota.start("run", program(tmp_path / "p", GATE.format(gate=gate)))
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(7) == b"half a "
    server.send(signal.SIGSTOP)
    try:
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith(b"Cancelling it.")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE)
    finally:
        server.send(signal.SIGCONT)
    assert process.returncode == 130
    assert b"rota jobs watch " in err


def test_why_it_waits_is_said_once(rota: Cli, tmp_path: Path) -> None:
    process = rota.start("run", program(tmp_path / "p"), "--queue", "nobody")
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"It waits: No worker serves the queue nobody")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 143
    assert b"It waits" not in err


@contextlib.contextmanager
def half_way(tmp_path: Path) -> Iterator[tuple[Cli, Server, Process, subprocess.Popen[bytes]]]:
    """A server, a worker that runs a program which waits for the file ``gate``, and the command."""
    place = tmp_path / "server"
    place.mkdir()
    shutil.copy(Path(__file__).with_name("programs.py"), place)
    with running_server(place) as server:
        rota = Cli(place, server.url)
        worker = Process(["work", "programs:app", "--log-format", "json"], place, rota.environment)
        try:
            worker.wait_for("connected")
            process = rota.start("run", program(tmp_path / "p", GATE.format(gate=tmp_path / "gate")))
            assert process.stdout is not None
            assert process.stdout.read(7) == b"half a "
            yield rota, server, worker, process
        finally:
            worker.close()
            # This worker has no sandbox: what it ran outlives it when it is killed.
            (tmp_path / "gate").touch()


def test_a_server_that_comes_back(tmp_path: Path) -> None:
    with half_way(tmp_path) as (rota, server, _, process):
        assert process.stderr is not None
        server.kill()
        assert process.stderr.readline().endswith(b"Trying on.\n")
        with running_server(rota.folder, listen=server.url.removeprefix("http://")):
            assert process.stderr.readline() == b"The server is back.\n"
            (tmp_path / "gate").touch()
            out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, b"line\n")
    assert err.startswith(b"Exit status 0: ")


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    with half_way(tmp_path) as (_, _, worker, process):
        worker.kill()
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (1, b"")
    assert b"failed: WorkerLost: " in err


def test_a_worker_that_leaves(tmp_path: Path) -> None:
    """The program begins again elsewhere; what was shown of the first try stays."""
    with half_way(tmp_path) as (rota, server, worker, process):
        assert process.stdout is not None
        assert process.stderr is not None
        worker.wait_for("draining", after=worker.terminate)
        worker.terminate()
        assert process.stderr.readline() == AGAIN
        with running(rota.folder, "work", "programs:app", env={"ROTA_URL": server.url}):
            assert process.stdout.read(7) == b"half a "
            (tmp_path / "gate").touch()
            out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, b"line\n")
    assert err.startswith(b"Exit status 0: ")


def test_a_worker_that_leaves_while_nobody_looks(tmp_path: Path) -> None:
    with half_way(tmp_path) as (rota, server, worker, process):
        id = str(newest(rota)["id"])
        process.send_signal(signal.SIGSTOP)
        worker.wait_for("draining", after=worker.terminate)
        worker.terminate()
        worker.wait()
        server.stop()
        address = server.url.removeprefix("http://")
        with (
            running_server(rota.folder, listen=address),
            running(rota.folder, "work", "programs:app", env={"ROTA_URL": server.url}),
        ):
            wait_until(lambda: len(rota.job(id)["attempts"]) == 2, "it runs again")
            process.send_signal(signal.SIGCONT)
            assert process.stderr is not None
            while process.stderr.readline() != AGAIN:
                pass
            (tmp_path / "gate").touch()
            out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, b"half a line\n")
    assert AGAIN not in err


def test_a_job_that_is_deleted_meanwhile(rota: Cli, tmp_path: Path) -> None:
    process = rota.start("run", program(tmp_path / "p"), "--queue", "nobody")
    assert process.stderr is not None
    process.stderr.readline()
    rota("jobs", "delete", str(newest(rota)["id"]))
    _, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, b"There is no job" in err or b"deleted" in err) == (1, True)
