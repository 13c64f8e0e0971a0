"""Workers as processes: how they find the app, stop, come back and die."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.kit import SHOP, Cli, alive, children_of, wait_until
from tests.server import Process, running, running_server


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with shop.py in it."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@contextmanager
def working(rota: Cli, *flags: str, queue: str = "mine") -> Iterator[Process]:
    """A worker for a queue, connected."""
    arguments = ["work", "shop:app", "--queues", queue, *flags]
    with running(rota.folder, *arguments, env={"ROTA_URL": rota.url}) as worker:
        wait_until(lambda: rota.workers(queue), "it is connected")
        yield worker


def running_job(rota: Cli, *arguments: str) -> str:
    """Enqueue to ``mine``; the id once it runs."""
    id = rota.put(*arguments, queue="mine")
    wait_until(lambda: rota.job(id)["state"] == "running", "it runs")
    return id


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere:app", "There is no module 'nowhere'; it was looked for in {folder}"),
        ("shop.sub:app", "There is no module 'shop.sub'"),
        ("shop:nothing", "The module 'shop' has no 'nothing'; there is: app."),
        ("shop:add", "shop:add is no rota.App but a"),
        ("shop:app.tasks", "shop:app.tasks is no rota.App but a dict"),
        ("shop", "did you mean shop:app?"),
        ("shop.py", "did you mean shop:app?"),
        ("./sub/shop.py:app", "did you mean sub.shop:app?"),
        ("shop.py:app", "'shop.py' is a file"),
        ("a b:c", "is not MODULE:APP"),
        ("empty:app", "The app empty:app has no tasks"),
        ("leaves:app", "ends the program when it is imported (status 3)"),
        ("lacks:app", "No module named 'not_installed'"),
        ("json:dumps", "there is no rota.App in it"),
    ],
)
def test_an_app_that_is_none(shop: Path, target: str, words: str) -> None:
    (shop / "empty.py").write_text("import rota\napp = rota.App()\n")
    (shop / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (shop / "lacks.py").write_text("import not_installed\n")
    ran = Cli(shop, "http://127.0.0.1:9")("work", target)
    assert ran.status == 2
    assert words.format(folder=shop) in ran.err
    if target != "lacks:app":
        assert len(ran.err.splitlines()) == 1


def test_a_fallback_is_enough_for_a_worker(rota: Cli) -> None:
    (rota.folder / "any.py").write_text(
        "import rota\n\napp = rota.App(queue='any')\n\n\n"
        "@app.fallback\ndef others(ctx: rota.Context, payload):\n    return [ctx.type, payload]\n"
    )
    with running(rota.folder, "work", "any:app", env={"ROTA_URL": rota.url}) as worker:
        told = worker.wait_for("working")
        assert (told["tasks"], told["any other type"], told["queues"]) == ([], "others", ["any"])
        wait_until(lambda: rota.workers("any"), "it is connected")
        assert rota.workers("any")[0]["types"] is None
        id = rota.put("whatever", "[1]", queue="any")
        wait_until(lambda: rota.job(id)["state"] == "done", "it is done")
        assert rota.job(id)["result"] == ["whatever", [1]]


def test_an_error_at_import_shows_the_users_lines_only(alone: Cli) -> None:
    (alone.folder / "broken.py").write_text(
        textwrap.dedent(
            """
            def open_till():
                raise RuntimeError("stuck \\x1b[31m")

            try:
                open_till()
            except RuntimeError as error:
                raise ValueError("no till") from error
            """
        )
    )
    ran = alone("work", "broken:app")
    assert ran.status == 2
    assert ran.err.startswith("Error: The module 'broken' cannot be imported:\n\nTraceback")
    assert ran.err.rstrip().endswith("ValueError: no till")
    assert "RuntimeError: stuck \\u001b[31m" in ran.err
    frames = [line for line in ran.err.splitlines() if line.startswith("  File")]
    assert len(frames) == 3
    assert all(str(alone.folder / "broken.py") in frame for frame in frames)


@pytest.mark.parametrize(
    "command", [["work", "--processes", "3"], ["serve", "--listen", "127.0.0.1:0", "--work"]]
)
def test_several_processes_complain_once(alone: Cli, command: list[str]) -> None:
    (alone.folder / "broken.py").write_text("raise ValueError('no till')\n")
    ran = alone(*command, "broken:app", *(["--processes", "3"] if command[0] == "serve" else []))
    assert ran.status == 2
    assert ran.err.count("ValueError: no till") == 1
    assert ran.err.count("Traceback") == 1


def test_a_queue_that_can_be_none(rota: Cli) -> None:
    ran = rota("work", "shop:app", "--queues", "no name")
    assert ran.status == 2
    assert "The server does not take this worker" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("poll", [False, True], ids=["socket", "poll"])
def test_it_works_and_leaves(rota: Cli, poll: bool) -> None:
    queue = "polled" if poll else "mine"
    flags = ["--slots", "3", "--name", "till one", *(["--poll"] if poll else [])]
    with working(rota, *flags, queue=queue) as worker:
        (shown,) = rota.workers(queue)
        assert (shown["transport"], shown["name"], shown["slots"]) == (
            "poll" if poll else "socket",
            "till one",
            3,
        )
        assert rota("enqueue", "add", '{"a": 1, "b": 2}', "--queue", queue, "--wait", "10").out == "3\n"
        assert worker.stop() == 0
    # Nobody hears a polling worker leave; the server finds out in time.
    wait_until(lambda: poll or not rota.workers(queue), "it is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_job_finish(rota: Cli, number: int) -> None:
    with working(rota) as worker:
        id = running_job(rota, "nap", '{"seconds": 0.5}')
        worker.send(number)
        assert worker.wait() == 0
        job = rota.job(id)
        assert (job["state"], job["result"], job["attempt"]) == ("done", "rested", 1)


def test_what_outlasts_the_grace_goes_back_unspent(rota: Cli) -> None:
    with working(rota, "--grace", "0.1") as worker:
        id = running_job(rota, "nap", '{"seconds": 60}')
        assert worker.stop() == 0
        job = rota.job(id)
        assert (job["state"], job["attempt"], job["losses"]) == ("pending", 0, 0)
        rota("jobs", "cancel", id)


def test_a_second_signal_hands_back_at_once(rota: Cli) -> None:
    with working(rota) as worker:
        id = running_job(rota, "nap", '{"seconds": 60}')
        worker.wait_for("draining", after=worker.terminate)
        worker.terminate()
        assert worker.wait(5) == 128 + signal.SIGTERM
        job = rota.job(id)
        assert (job["state"], job["attempt"]) == ("pending", 0)
        rota("jobs", "cancel", id)


def test_signals_come_through_while_a_handler_blocks_the_loop(rota: Cli) -> None:
    with working(rota) as worker:
        id = running_job(rota, "blocks", '{"seconds": 60}')
        worker.wait_for("draining", after=worker.terminate)
        worker.terminate()
        assert worker.wait(5) == 128 + signal.SIGTERM
        rota("jobs", "cancel", id)


def test_tasks_enqueue_where_the_worker_works(rota: Cli) -> None:
    (rota.folder / "chain.py").write_text(
        "import rota\n"
        "app = rota.App(queue='chained')\n"
        "@app.task\n"
        "def last() -> str:\n"
        "    return 'last'\n"
        "@app.task\n"
        "def first() -> str:\n"
        "    return last.enqueue().id\n"
    )
    arguments = ["work", "chain:app", "--url", rota.url]
    with running(rota.folder, *arguments, env={"ROTA_URL": "http://127.0.0.1:9"}):
        id = rota("enqueue", "first", "--queue", "chained", "--wait", "10").json
        assert rota("jobs", "result", id, "--wait", "10").json == "last"


def test_it_waits_for_a_server_that_restarts(shop: Path) -> None:
    with running_server(shop) as server:
        rota = Cli(shop, server.url)
        with working(rota) as worker:
            server.kill()
            worker.wait_for("no connection")
            with running_server(shop, listen=server.url.removeprefix("http://")):
                ran = rota("enqueue", "add", '{"a": 1, "b": 2}', "--queue", "mine", "--wait", "20")
                assert ran.out == "3\n", ran
                assert worker.stop() == 0
            events = [record["event"] for record in worker.records()]
            assert (events.count("no connection"), events.count("connected")) == (1, 2)
        server.close()


def test_it_starts_before_its_server_and_stops_without_one(shop: Path) -> None:
    with running(shop, "work", "shop:app", env={"ROTA_URL": "http://127.0.0.1:9"}) as worker:
        worker.wait_for("no connection")
        assert worker.stop() == 0


def test_a_process_that_dies_is_started_again(rota: Cli) -> None:
    with working(rota, "--processes", "2", "--name", "till") as supervisor:
        wait_until(lambda: len(rota.workers("mine")) == 2, "both are there")
        names = {one["name"] for one in rota.workers("mine")}
        assert names == {"till/1", "till/2"}
        first, second = children_of(supervisor.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(set(children_of(supervisor.pid)) - {first}) == 2, "there are two again")
        assert second in children_of(supervisor.pid)
        wait_until(lambda: len(rota.workers("mine")) == 2, "both are connected")
        children = children_of(supervisor.pid)
        assert supervisor.stop() == 0
        assert not any(alive(child) for child in children)


def test_processes_die_with_a_killed_supervisor(rota: Cli) -> None:
    with working(rota, "--processes", "2") as supervisor:
        wait_until(lambda: len(rota.workers("mine")) == 2, "both are there")
        children = children_of(supervisor.pid)
        assert len(children) == 2
        supervisor.process.kill()
        wait_until(lambda: not any(alive(child) for child in children), "they are gone")
        supervisor.wait()


def test_a_second_signal_to_the_supervisor_ends_all(rota: Cli) -> None:
    with working(rota, "--processes", "2") as supervisor:
        wait_until(lambda: len(rota.workers("mine")) == 2, "both are there")
        id = running_job(rota, "nap", '{"seconds": 60}')
        children = children_of(supervisor.pid)
        supervisor.terminate()
        wait_until(lambda: supervisor.text.count('"draining"') == 3, "all of them drain")
        supervisor.terminate()
        assert supervisor.wait(5) == 128 + signal.SIGTERM
        wait_until(lambda: not any(alive(child) for child in children), "they are gone")
        wait_until(lambda: rota.job(id)["state"] == "pending", "the job went back")
        rota("jobs", "cancel", id)


def test_ctrl_c_reaches_the_processes_once(rota: Cli) -> None:
    """The terminal's signal goes to the supervisor alone, which tells its processes: they drain, once."""
    terminal = rota.terminal("work", "--processes", "2", "--queues", "mine", "shop:app")
    wait_until(lambda: len(rota.workers("mine")) == 2, "both are there")
    id = running_job(rota, "nap", '{"seconds": 1}')
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 0
    job = rota.job(id)
    assert (job["state"], job["attempt"]) == ("done", 1)
    assert "Traceback" not in ran.out
