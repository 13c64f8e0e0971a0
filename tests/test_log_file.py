"""Logs in a file that is rotated while everybody writes: lines go on in the new file, and none is lost."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rota import logs
from tests.cli.kit import SHOP, Cli
from tests.server import DEADLINE, Process, environment, running

log = logging.getLogger("rota.test")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(path: Path) -> list[str]:
    return [record["event"] for record in records(path)]


def until(path: Path, event: str) -> dict[str, Any]:
    """The first record of this event in the file, once it is there."""
    end = time.monotonic() + DEADLINE
    while True:
        if path.exists():
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n") and (record := json.loads(line))["event"] == event:
                    return dict(record)
        assert time.monotonic() < end, f"no {event!r} in {path}"
        time.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where this process logs."""
    path = tmp_path / "rota.log"
    logs.setup(file=str(path))
    yield path
    logs.shutdown()


def write(text: str) -> None:
    log.info(text)
    assert logs.flush()


def test_a_file_gets_json_lines_and_is_not_for_everybody(path: Path) -> None:
    write("one")
    assert events(path) == ["one"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_a_second_start_goes_on_where_the_first_ended(path: Path) -> None:
    write("one")
    logs.shutdown()
    logs.setup(file=str(path))
    write("two")
    assert events(path) == ["one", "two"]


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(path: Path, tmp_path: Path) -> None:
    for n in range(3):
        write(f"line {n}")
        path.rename(tmp_path / f"rota.log.{n}")
    write("last")
    assert [events(tmp_path / f"rota.log.{n}") for n in range(3)] == [["line 0"], ["line 1"], ["line 2"]]
    assert events(path) == ["last"]


def test_a_file_that_was_replaced_removed_or_cut_is_no_trouble(path: Path) -> None:
    write("one")
    path.unlink()
    write("two")
    assert events(path) == ["two"]
    shutil.copy(path, path.with_suffix(".1"))
    os.truncate(path, 0)
    write("three")
    assert events(path) == ["three"], "no hole where the old lines were"
    other = path.with_suffix(".new")
    other.touch()
    other.replace(path)
    write("four")
    assert events(path) == ["four"]


def test_without_its_folder_the_old_file_goes_on(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    logs.setup(file=str(folder / "x.log"))
    write("one")
    away = folder.rename(tmp_path / "away")
    write("two")
    folder.mkdir()
    write("three")
    assert (events(away / "x.log"), events(folder / "x.log")) == (["one", "two"], ["three"])


def test_reopen_makes_the_file_at_once(path: Path, tmp_path: Path) -> None:
    write("one")
    path.rename(tmp_path / "old")
    logs.reopen()
    wait(path.exists)
    assert path.read_text() == ""


def test_nothing_is_held_open(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for n in range(20):
        write(f"line {n}")
        path.unlink()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_file_that_cannot_be_opened_leaves_the_logs_as_they_are(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        logs.setup(file=str(tmp_path / "no" / "x.log"))
    write("one")
    assert events(path) == ["one"]


@pytest.mark.parametrize("hangup", [False, True])
def test_a_server_whose_log_is_rotated_under_load(tmp_path: Path, hangup: bool) -> None:
    """As logrotate does: mv, and perhaps SIGHUP. Every request has its line, in one file or another."""
    path = tmp_path / "rota.log"
    arguments = ("serve", "--listen", "127.0.0.1:0", "--log-file", "rota.log", "--log-level", "debug")
    stop = threading.Event()
    asked: list[int] = []
    with running(tmp_path, *arguments) as server:
        url = until(path, "listening")["url"]

        def ask(start: int) -> None:
            with httpx2.Client(trust_env=False) as http:
                for n in range(start, 10**9, 3):
                    if stop.is_set():
                        return
                    http.get(f"{url}/v1/jobs?limit=1&q=n{n}").raise_for_status()
                    asked.append(n)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        try:
            for n in range(6):
                seen = len(asked)
                wait(lambda seen=seen: len(asked) > seen + 30)
                path.rename(tmp_path / f"rota.log.{n}")
                if hangup:
                    server.send(signal.SIGHUP)
                wait(path.exists)
        finally:
            stop.set()
            for thread in threads:
                thread.join(DEADLINE)
    files = [path, *(tmp_path / f"rota.log.{n}" for n in range(6))]
    found = [record["path"] for file in files for record in records(file) if record["event"] == "request"]
    lines = sorted(int(text.rpartition("n")[2]) for text in found if "q=n" in text)
    assert lines == sorted(asked)
    assert "stopped" in events(path)
    assert all(records(file) for file in files[1:])
    assert server.text == "", "nothing is left to standard error"


def wait(true: Any) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_sighup_alone_makes_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "rota.log"
    with running(tmp_path, "serve", "--listen", "127.0.0.1:0", "--log-file", str(path)) as server:
        # From here on it has nothing to say.
        until(path, "connected")
        path.rename(tmp_path / "old")
        server.send(signal.SIGHUP)
        wait(path.exists)
    assert "stopped" in events(path)


def test_workers_of_the_server_write_into_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    path = tmp_path / "rota.log"
    arguments = ("serve", "--listen", "127.0.0.1:0", "--log-file", str(path), "--work", "shop:app")
    with running(tmp_path, *arguments, "--processes", "2") as server:
        url = until(path, "listening")["url"]
        wait(lambda: events(path).count("working") == 2)
        rota = Cli(tmp_path, url)
        assert rota.job(rota.end("add", '{"a": 1, "b": 2}'))["result"] == 3
    assert server.text == ""
    assert events(path).count("stopped") == 3


def test_a_worker_with_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    path = tmp_path / "worker.log"
    env = {"ROTA_URL": "http://127.0.0.1:9", "ROTA_LOG_FILE": str(path)}
    with running(tmp_path, "work", "shop:app", env=env) as worker:
        until(path, "working")
        path.rename(tmp_path / "old")
        worker.send(signal.SIGHUP)
        wait(path.exists)
    assert "stopped" in events(path)


@pytest.mark.parametrize("command", [["serve", "--listen", "127.0.0.1:0"], ["work", "shop:app"]])
def test_a_file_that_cannot_be_had_is_told(tmp_path: Path, command: list[str]) -> None:
    process = Process([*command, "--log-file", "no/such/folder.log"], tmp_path, environment())
    try:
        assert process.wait() == 1
        assert (
            process.text
            == "Error: log_file: no/such/folder.log cannot be opened: No such file or directory.\n"
        )
    finally:
        process.close()
