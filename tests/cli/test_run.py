"""``rota run``: a folder there and its output here, with a worker of its own for programs."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.commands.program import Screen
from tests.cli.kit import Cli, wait_until
from tests.cli.run_kit import GATE, HELLO, bytes_of, newest, program, serving_programs
from tests.server import DEADLINE, Server


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    yield from serving_programs(folder)


def test_hello(rota: Cli, tmp_path: Path) -> None:
    ran = rota("run", program(tmp_path / "hello"))
    assert (ran.status, ran.out) == (0, "hello\n")
    assert ran.err.startswith("Exit status 0: ")
    assert ran.err.endswith(" s, 0.25 s of CPU, 3.0 MiB of memory at most.\n")
    job = newest(rota)
    assert (job["type"], job["queue"], job["state"]) == ("program_zip", "default", "done")
    assert job["max_attempts"] == 1
    assert set(job["payload"]) == {"upload"}  # type: ignore[call-overload]


def test_the_status_is_that_of_make(rota: Cli, tmp_path: Path) -> None:
    ran = rota("run", program(tmp_path / "p", "run:\n\t@echo to stderr >&2; exit 7\n"))
    assert ran.status == 2
    assert ran.out.startswith("to stderr\nmake: *** ")
    assert "Error 7" in ran.out
    assert ran.err.startswith("Exit status 2: ")


@pytest.mark.parametrize(
    "content",
    [
        b"no end of line",
        b"\n\n  leading and trailing  \n\n\n",
        b"10%\r20%\r100%\rdone\n",
        "gr\u00fc\u00dfe \u2603\n".encode(),
        b"x" * 20_000 + b"\n" + b"y" * 9_000,
        b"",
    ],
    ids=["no end", "blank", "returns", "unicode", "long", "nothing"],
)
def test_output_is_as_the_program_wrote_it(rota: Cli, tmp_path: Path, content: bytes) -> None:
    ran = bytes_of(rota, "run", program(tmp_path / "p", "run:\n\t@cat data\n", data=content))
    assert (ran.returncode, ran.stdout) == (0, content)


def test_much_output_comes_whole(rota: Cli, tmp_path: Path) -> None:
    """A hundred times what a log keeps."""
    ran = bytes_of(rota, "run", program(tmp_path / "p", "run:\n\t@seq 100000\n"))
    assert ran.returncode == 0
    assert ran.stdout == b"".join(b"%d\n" % n for n in range(1, 100_001))
    assert ran.stderr.startswith(b"Exit status 0: "), "nothing else was said"


@pytest.mark.parametrize(
    ("pieces", "whole", "rest"),
    [
        ([], "all\n", "all\n"),
        (["one\n"], "one\ntwo", "two"),
        (["one\n"], "one\n", ""),
        (["half\n", " line\n"], "half line\nmore\n", "more\n"),
        (["half\n", " line\n"], "half line", ""),
        (["a\n", "b\n", "c\n"], "a\n[... 9 bytes left out ...]\nz\n", "[... 9 bytes left out ...]\nz\n"),
    ],
    ids=["nothing", "some", "all", "ends of lines", "no end", "left out"],
)
def test_the_rest_comes_from_the_result(
    pieces: list[str], whole: str, rest: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    screen = Screen(shown=True)
    for piece in pieces:
        screen.piece(piece)
    assert capfdbinary.readouterr().out == "".join(pieces).encode()
    assert screen.rest(whole, cut="left out" in whole)
    assert capfdbinary.readouterr().out == rest.encode()


def test_what_is_not_the_beginning_of_the_result_is_not_gone_on_with(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    screen = Screen(shown=True)
    screen.piece("one\n")
    assert not screen.rest("two\nthree\n", cut=False)
    screen.again()
    assert screen.rest("two\n", cut=False), "another try"
    assert capfdbinary.readouterr().out == b"one\ntwo\n"


def test_output_is_shown_as_it_comes(rota: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = rota.start("run", program(tmp_path / "p", GATE.format(gate=gate)))
    assert process.stdout is not None
    assert process.stdout.read(7) == b"half a "
    gate.touch()
    out, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, b"line\n")


def test_options_reach_the_program(rota: Cli, tmp_path: Path) -> None:
    ran = rota(
        *("run", program(tmp_path / "p", "run:\n\t@echo $$A and $$B\n")),
        *(
            "--env",
            "A=1=2",
            "--env",
            "B=",
            "--memory",
            "64MiB",
            "--cpus",
            "0.5",
            "--timeout",
            "1m",
            "--network",
        ),
    )
    assert ran.out == "1=2 and\n"
    payload = newest(rota)["payload"]
    assert isinstance(payload, dict)
    del payload["upload"]
    env = {"A": "1=2", "B": ""}
    assert payload == {"env": env, "memory": 64 << 20, "cpus": 0.5, "timeout": 60.0, "network": True}


def test_time_that_is_up(rota: Cli, tmp_path: Path) -> None:
    ran = rota("run", program(tmp_path / "p", "run:\n\t@echo on; sleep 60\n"), "--timeout", "500ms")
    assert (ran.status, ran.out) == (124, "on\n")
    assert ran.err.startswith("Its time was up: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--env", "AB"], "'--env': must be NAME=VALUE"),
        (["--env", "1A=b"], "'--env': must be NAME=VALUE"),
        (["--memory", "lots"], "'--memory': must be bytes or a text such as"),
        (["--timeout", "0"], "'--timeout'"),
        (["--cpus", "0"], "'--cpus'"),
        (["--output", "x", "--no-wait"], "does not go with --no-wait"),
        (["--output", "no/such/folder"], "There is no folder 'no/such'"),
        (["--output", "taken.zip"], "'taken.zip' exists already"),
        (["--output", "taken"], "'taken' exists and is no empty folder"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(alone: Cli, arguments: list[str], told: str) -> None:
    (alone.folder / "taken.zip").touch()
    program(alone.folder / "taken")
    ran = alone("run", program(alone.folder / "p"), *arguments)
    assert ran.status == 2
    assert told in ran.err
    assert ran.out == ""


def test_no_makefile_and_no_folder(alone: Cli) -> None:
    (alone.folder / "empty").mkdir()
    ran = alone("run", "empty")
    assert ran.status == 2, "nothing was sent: there is no server"
    assert "'empty' has no Makefile" in ran.err
    assert "printf 'run:\\n\\t@echo hello\\n' > empty/Makefile" in ran.err
    ran = alone("run", "nothing")
    assert (ran.status, "There is no folder 'nothing'" in ran.err) == (2, True)


def test_what_is_left_out_is_said(rota: Cli, tmp_path: Path) -> None:
    place = program(tmp_path / "p", "run:\n\t@ls\n", kept="x")
    for n in range(12):
        (tmp_path / "p" / f"link{n:02}").symlink_to("/etc/passwd")
    ran = rota("run", place)
    assert ran.out == "Makefile\nkept\n"
    told = ran.err.splitlines()
    assert told[:2] == ["Left out: link00 is a link.", "Left out: link01 is a link."]
    assert told[10:11] == ["Left out: 2 more."]


def test_an_archive_is_taken_as_it_is(rota: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "top.zip"
    with zipfile.ZipFile(archive, "w") as packing:
        packing.writestr("top/Makefile", HELLO)
    assert rota("run", str(archive)).out == "hello\n"
    archive.write_text("none")
    ran = rota("run", str(archive))
    assert (ran.status, ran.out, "archive" in ran.err) == (1, "", True)


def test_no_wait_and_json(rota: Cli, tmp_path: Path) -> None:
    place = program(tmp_path / "p")
    id = rota("run", place, "--no-wait").out.strip()
    wait_until(lambda: rota.job(id)["state"] == "done", "it is done")
    assert rota("run", place, "--no-wait", "--json").json["created"] is True
    ran = rota("run", place, "--json")
    assert (ran.json["state"], ran.json["result"]["output"]) == ("done", "hello\n")


def test_what_it_leaves_is_saved(rota: Cli, tmp_path: Path) -> None:
    place = program(tmp_path / "p", "run:\n\t@mkdir -p out/sub && echo one > out/a && echo two > out/sub/b\n")
    files = tmp_path / "files"
    ran = rota("run", place, "-o", str(files))
    assert ran.status == 0
    assert ((files / "a").read_text(), (files / "sub" / "b").read_text()) == ("one\n", "two\n")
    assert f"in {str(files)!r}." in ran.err
    archive = tmp_path / "it.zip"
    assert rota("run", place, "--artifact", str(archive)).status == 0
    assert set(zipfile.ZipFile(archive).namelist()) == {"a", "sub/", "sub/b"}
    ran = rota("run", place)
    [told] = [line for line in ran.err.splitlines() if "rota jobs artifact" in line]
    assert told.startswith("It left 3 files (")
    id = told.rpartition(" ")[2]
    ran = rota("jobs", "artifact", id, str(tmp_path / "again.zip"))
    assert ran.status == 0
    assert (tmp_path / "again.zip").read_bytes()[:4] == b"PK\3\4"
    ran = rota("jobs", "artifact", id, str(tmp_path / "again.zip"))
    assert (ran.status, "File exists" in ran.err) == (1, True)
    assert bytes_of(rota, "jobs", "artifact", id, "-").stdout == (tmp_path / "again.zip").read_bytes()


def test_nothing_to_save_is_a_failure(rota: Cli, tmp_path: Path) -> None:
    ran = rota("run", program(tmp_path / "p"), "-o", str(tmp_path / "files"))
    assert (ran.status, ran.out) == (1, "hello\n")
    assert "It left nothing in out/" in ran.err
    id = str(newest(rota)["id"])
    ran = rota("jobs", "artifact", id, str(tmp_path / "none.zip"))
    assert (ran.status, ran.err) == (1, "Error: The job has no artifact (yet).\n")


def test_a_bar_shows_how_the_sending_goes(rota: Cli, tmp_path: Path) -> None:
    place = program(tmp_path / "p", data=os.urandom(3_000_000))
    ran = rota.terminal("run", place).end()
    assert "Sending p" in ran.out
    assert "3.0/3.0 MB" in ran.out
    assert "hello\r\n" in ran.out
    assert "Sending" not in bytes_of(rota, "run", place).stderr.decode()


def test_the_last_line_on_a_terminal_has_an_end(rota: Cli, tmp_path: Path) -> None:
    ran = rota.terminal("run", program(tmp_path / "p", "run:\n\t@printf end\n")).end()
    assert ran.out.startswith("end\r\nExit status 0")


def test_watch_shows_every_line_of_many(rota: Cli, tmp_path: Path) -> None:
    """More than a log keeps, as fast as they come."""
    gate, folder = tmp_path / "gate", tmp_path / "p"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    place = program(folder, f"run:\n\t@{wait}; for n in $$(seq 3000); do echo line $$n; done\n")
    id = rota("run", place, "--no-wait").out.strip()
    process = rota.start("jobs", "watch", id)
    assert process.stdout is not None
    while b"  running  " not in process.stdout.readline():
        pass
    gate.touch()
    out, err = process.communicate(timeout=DEADLINE)
    shown = [line.split()[-1] for line in out.decode().splitlines() if "  info  " in line]
    assert shown == [str(n) for n in range(1, 3001)]
    assert (process.returncode, err) == (0, b"")
