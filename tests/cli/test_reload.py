"""``rota work --reload``: a program that is edited while its worker runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.cli.kit import Cli, alive, children_of, wait_until
from tests.server import DEADLINE, Process, running

PROGRAM = """
import asyncio
import os
import time

import rota

app = rota.App(queue="edited")
TEXT = "first"


@app.task
def thread() -> str:
    return TEXT


@app.task
async def loop() -> str:
    return TEXT


@app.task(process=True)
def process() -> str:
    return TEXT


@app.task
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return TEXT


@app.task
def deaf(seconds: float) -> str:
    time.sleep(seconds)
    return TEXT


@app.task(process=True)
def busy(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        pass
"""


SECOND = 1_700_000_000.0


class Edited:
    """A program in a folder of its own, its worker, and jobs for it."""

    def __init__(self, rota: Cli, worker: Process) -> None:
        self.rota = rota
        self.worker = worker

    def write(self, text: str, name: str = "prog.py") -> None:
        """Save as editors do: a new file in place of the old one."""
        path = self.rota.folder / name
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(path.name + "~")
        draft.write_text(text)
        # All of one second: compiled files do not tell such versions apart when they are of one length, too.
        os.utime(draft, (SECOND, SECOND))
        draft.replace(path)

    def edit(self, text: str) -> None:
        """Save a version that answers ``text``, and wait until it works."""
        self.worker.wait_for("working", after=lambda: self.write(PROGRAM.replace('"first"', repr(text))))

    def run(self, type: str, payload: str = "null") -> object:
        """The result of a job of this program."""
        job = self.rota.job(self.rota.end(type, payload, queue="edited", max_attempts=1))
        assert job["state"] == "done", (job, self.worker.text)
        return job["result"]

    def start(self, type: str, payload: str) -> str:
        """A job that runs; its id."""
        id = self.rota.put(type, payload, queue="edited", max_attempts=1)
        wait_until(lambda: self.rota.job(id)["state"] == "running", "it runs")
        return id


@contextmanager
def editing(rota: Cli, folder: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Edited]:
    """A worker with --reload for a program in ``folder``."""
    place = Cli(folder, rota.url)
    (folder / "prog.py").write_text(PROGRAM)
    os.utime(folder / "prog.py", (SECOND, SECOND))
    arguments = ["work", "--reload", "prog:app", *flags]
    # Whoever runs the tests may have said that nothing is to be compiled into files.
    told = {"ROTA_URL": rota.url, "PYTHONDONTWRITEBYTECODE": None, **(env or {})}
    with running(folder, *arguments, env=told) as worker:
        worker.wait_for("connected")
        yield Edited(place, worker)


def stop_all(edited: Edited) -> None:
    """End the worker, and see that nothing of it is left."""
    children = tree_of(edited.worker.pid)
    assert edited.worker.stop() == 0
    assert not [pid for pid in children if alive(pid)]


def tree_of(pid: int) -> list[int]:
    found = []
    for child in children_of(pid):
        found += [child, *tree_of(child)]
    return found


@pytest.mark.parametrize("type", ["thread", "loop", "process"])
def test_the_next_job_runs_the_new_code(rota: Cli, tmp_path: Path, type: str) -> None:
    with editing(rota, tmp_path) as edited:
        assert edited.run(type) == "first"
        for text in ("newer", "newes"):
            edited.edit(text)
            assert edited.run(type) == text
        stop_all(edited)


def test_the_change_is_named_and_several_are_one(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path) as edited:
        start = len(edited.worker.lines)

        def save_all() -> None:
            for name in ("a.py", "b.py", "c.py", "d.py"):
                edited.write("", name)

        edited.worker.wait_for("working", after=save_all)
        reloads = [one for one in edited.worker.records(start) if one["event"] == "reloading"]
        assert [one["changed"] for one in reloads] == ["a.py, b.py, c.py and 1 more"]


def test_a_folder_that_comes_as_a_whole_is_a_change(rota: Cli, tmp_path: Path) -> None:
    whole, place = tmp_path / "whole", tmp_path / "work"
    (whole / "inner").mkdir(parents=True)
    (whole / "inner/words.py").write_text("WORD = 'moved'\n")
    place.mkdir()
    with editing(rota, place) as edited:
        lacking = (
            ("import words\n" + PROGRAM)
            .replace('"first"', "words.WORD")
            .replace("words", "whole.inner.words")
        )
        broken = "the program cannot be run; waiting for a change"
        edited.worker.wait_for(broken, after=lambda: edited.write(lacking))
        edited.worker.wait_for("working", after=lambda: whole.rename(place / "whole"))
        assert edited.run("thread") == "moved"


def test_a_broken_program_is_shown_and_waits_to_be_mended(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path) as edited:
        broken = "the program cannot be run; waiting for a change"
        for text, told in (
            (PROGRAM + "\ndef (\n", "SyntaxError: invalid syntax"),
            (PROGRAM + "\nimport not_there\n", "ModuleNotFoundError: No module named 'not_there'"),
            (PROGRAM.replace("app = ", "other = "), "NameError: name 'app' is not defined"),
            ("import sys\nsys.exit(3)\n", "ends the program when it is imported (status 3)"),
            ("import rota\napp = rota.App()\n", "The app prog:app has no tasks"),
        ):
            edited.worker.wait_for(broken, after=partial(edited.write, text))
            assert told in edited.worker.text
        frames = [line for line in edited.worker.lines if line.startswith("  File")]
        assert frames
        assert all(str(tmp_path / "prog.py") in line for line in frames)
        # A job that comes meanwhile waits, and runs once there is something to run it.
        id = rota.put("thread", queue="edited")
        edited.edit("mended")
        wait_until(lambda: rota.job(id)["state"] == "done", "the job that waited is done")
        assert rota.job(id)["result"] == "mended"
        stop_all(edited)


def test_a_program_that_is_broken_from_the_start(rota: Cli, tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text("import missing_part\n")
    with running(tmp_path, "work", "--reload", "prog:app", env={"ROTA_URL": rota.url}) as worker:
        worker.wait_for("the program cannot be run; waiting for a change")
        # The file that was lacking is what makes it run.
        (tmp_path / "prog.py").write_text("from missing_part import *\n" + PROGRAM)
        worker.wait_for("the program cannot be run; waiting for a change", after=lambda: None)
        worker.wait_for("working", after=lambda: (tmp_path / "missing_part.py").write_text(""))


def test_a_name_that_is_wrong_is_not_waited_for(rota: Cli, tmp_path: Path) -> None:
    ran = Cli(tmp_path, rota.url)("work", "--reload", "nowhere:app")
    assert ran.status == 2
    assert "There is no module 'nowhere'" in ran.err


def test_a_running_job_is_finished_first(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path, "--grace", "20s") as edited:
        id = edited.start("nap", '{"seconds": 0.7}')
        edited.edit("newer")
        job = rota.job(id)
        assert (job["state"], job["result"], job["attempt"]) == ("done", "first", 1)


@pytest.mark.parametrize("type", ["nap", "deaf", "busy"])
def test_what_takes_longer_is_handed_back_and_costs_no_attempt(rota: Cli, tmp_path: Path, type: str) -> None:
    pidfile = tmp_path / "pid"
    payload = {"busy": f'{{"path": "{pidfile}"}}'}.get(type, '{"seconds": 60}')
    with editing(rota, tmp_path, "--grace", "0.2") as edited:
        id = edited.start(type, payload)
        if type == "busy":
            wait_until(pidfile.exists, "it has written its number")
            first = int(pidfile.read_text())
        edited.write(PROGRAM.replace("60", "61"))
        wait_until(lambda: rota.job(id)["lease"] >= 2, "the new worker has it")
        job = rota.job(id)
        assert (job["attempt"], job["losses"]) == (1, 0)
        if type == "busy":
            assert not alive(first)
        rota("jobs", "cancel", id)
        stop_all(edited)


def test_several_processes_all_start_anew(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path, "--processes", "2", "--name", "till") as edited:
        wait_until(lambda: len(rota.workers("edited")) == 2, "both are there")
        assert {one["name"] for one in rota.workers("edited")} == {"till/1", "till/2"}
        before = {one["worker"] for one in rota.workers("edited")}
        edited.edit("newer")
        wait_until(
            lambda: len({one["worker"] for one in rota.workers("edited")} - before) == 2,
            "two new ones are there",
        )
        assert edited.run("thread") == "newer"
        stop_all(edited)


def test_only_the_program_is_watched(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path) as edited:
        start = len(edited.worker.lines)
        for name in (
            "notes.txt",
            "node_modules/x.py",
            "__pycache__/x.py",
            ".venv/x.py",
            ".git/x.py",
            ".#x.py",
        ):
            edited.write("x = 1\n", name)
        # What is watched comes last: were one of the others noticed, its name would be told too.
        edited.edit("newer")
        reloads = [one["changed"] for one in edited.worker.records(start) if one["event"] == "reloading"]
        assert reloads == ["prog.py"]


def test_modules_from_elsewhere_are_watched(rota: Cli, tmp_path: Path) -> None:
    shared, work = tmp_path / "shared", tmp_path / "work"
    (shared / "parts/deep").mkdir(parents=True)
    for folder in (shared / "parts", shared / "parts/deep"):
        (folder / "__init__.py").touch()
    (shared / "parts/deep/words.py").write_text("WORD = 'old'\n")
    (shared / "single.py").write_text("OTHER = 'old'\n")
    work.mkdir()
    with editing(rota, work, env={"PYTHONPATH": str(shared)}) as edited:
        imports = "from parts.deep.words import WORD\nfrom single import OTHER\n"
        text = (imports + PROGRAM).replace('"first"', "WORD + OTHER")
        edited.worker.wait_for("working", after=lambda: edited.write(text))
        assert edited.run("thread") == "oldold"
        for file, line, result in (
            (shared / "parts/deep/words.py", "WORD = 'new'\n", "newold"),
            (shared / "single.py", "OTHER = 'new'\n", "newnew"),
        ):
            edited.worker.wait_for("working", after=partial(file.write_text, line))
            assert edited.run("thread") == result
        # Broken, it is no module any more; its file is known all the same.
        (shared / "parts/deep/words.py").write_text("WORD = \n")
        edited.worker.wait_for("the program cannot be run; waiting for a change")
        mended = shared / "parts/deep/words.py"
        edited.worker.wait_for("working", after=lambda: mended.write_text("WORD = 'mended'\n"))
        assert edited.run("thread") == "mendednew"


def test_a_module_from_elsewhere_that_is_broken_from_the_start(rota: Cli, tmp_path: Path) -> None:
    shared, work = tmp_path / "shared", tmp_path / "work"
    shared.mkdir()
    work.mkdir()
    (shared / "words.py").write_text("WORD = \n")
    (work / "prog.py").write_text("import words\n" + PROGRAM)
    env = {"ROTA_URL": rota.url, "PYTHONPATH": str(shared)}
    with running(work, "work", "--reload", "prog:app", env=env) as worker:
        worker.wait_for("the program cannot be run; waiting for a change")
        worker.wait_for("working", after=lambda: (shared / "words.py").write_text("WORD = 'mended'\n"))


def test_ctrl_c_ends_all_at_once(rota: Cli, tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(PROGRAM)
    terminal = Cli(tmp_path, rota.url).terminal("work", "--reload", "prog:app")
    terminal.until("connected")
    assert rota.job(rota.end("process", queue="edited"))["state"] == "done"
    children = tree_of(terminal.process.pid)
    assert len(children) == 2
    terminal.type("\x03")
    ran = terminal.end()
    assert ran.status == 0
    assert "Traceback" not in ran.out
    assert not [pid for pid in children if alive(pid)]


def test_ctrl_c_ends_a_program_that_waits_to_be_mended(rota: Cli, tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text("def (\n")
    terminal = Cli(tmp_path, rota.url).terminal("work", "--reload", "prog:app")
    terminal.until("waiting for a change")
    assert "SyntaxError" in terminal.seen
    terminal.type("\x03")
    assert terminal.end().status == 0


def test_nothing_is_left_when_it_is_killed(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path) as edited:
        assert edited.run("process") == "first"
        children = tree_of(edited.worker.pid)
        assert len(children) == 2
        edited.worker.process.kill()
        wait_until(lambda: not any(alive(pid) for pid in children), "they are gone")
        edited.worker.wait()


def test_a_second_signal_ends_it_at_once(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path, "--grace", "60s") as edited:
        id = edited.start("nap", '{"seconds": 60}')
        children = tree_of(edited.worker.pid)
        edited.worker.terminate()
        wait_until(lambda: edited.worker.text.count('"draining"') == 2, "all of them drain")
        began = time.monotonic()
        edited.worker.terminate()
        assert edited.worker.wait() == 128 + signal.SIGTERM
        wait_until(lambda: not any(alive(pid) for pid in children), "they are gone")
        assert time.monotonic() - began < DEADLINE
        wait_until(lambda: rota.job(id)["state"] == "pending", "the job went back")
        rota("jobs", "cancel", id)


def test_a_process_that_dies_is_started_again(rota: Cli, tmp_path: Path) -> None:
    with editing(rota, tmp_path) as edited:
        [first] = children_of(edited.worker.pid)
        edited.worker.wait_for("working", after=lambda: os.kill(first, signal.SIGKILL))
        assert edited.run("thread") == "first"
