"""program_zip in the real sandbox: honest programs, both layouts, output live and in the result."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from pathlib import Path

import msgspec
import pytest

from rota.handlers.program_output import FULL
from rota.handlers.settings import ProgramSettings
from rota.programs.sandbox import Sandbox
from tests.handlers.program_kit import Files, in_base64, makefile, packed, result
from tests.handlers.program_kit import run_zip as run

pytestmark = pytest.mark.asyncio(loop_scope="module")


# honest programs

HONEST = {
    "Makefile": "run: program\n\t@echo from make\n\t@sh say.sh\n\t@python3 say.py\n\t@./program\n\t@./tool\n"
    "program: program.c\n\t@cc -o program program.c\n",
    "say.sh": "echo from a shell | tr a-z A-Z\n",
    "say.py": "import sys\nprint('from python', file=sys.stderr)\n",
    "program.c": '#include <stdio.h>\nint main(void) { puts("from C"); return 0; }\n',
    "tool": "#!/bin/sh\necho from a tool\n",
}
SAID = ["from make", "FROM A SHELL", "from python", "from C", "from a tool"]


@pytest.mark.parametrize("top", ["", "project/"])
async def test_programs_in_both_layouts(each_box: Sandbox, top: str) -> None:
    files = Files()
    ending = await run(
        each_box, {"zip": in_base64({top + name: text for name, text in HONEST.items()})}, files
    )
    got = result(ending)
    assert got.pop("wall_seconds") > 0
    assert got.pop("cpu_seconds") > 0
    assert 1 << 20 < got.pop("peak_memory") < 512 << 20
    assert got == {
        "ended": "exit",
        "status": 0,
        "output": "".join(line + "\n" for line in SAID),
        "output_cut": False,
        "artifact": None,
    }
    assert files.lines == [("info", line) for line in SAID]


async def test_a_makefile_at_the_top_goes_before_folders(each_box: Sandbox) -> None:
    both = {"a/Makefile": "run: ; @echo inside\n", "Makefile": "run: ; @echo top\n"}
    assert result(await run(each_box, {"zip": in_base64(both)}))["output"] == "top\n"
    folders = {"b/Makefile": "run: ; @echo b\n", "a/makefile": "run: ; @echo a\n", "readme": "x"}
    assert result(await run(each_box, {"zip": in_base64(folders)}))["output"] == "a\n"


async def test_an_archive_that_came_as_a_file(each_box: Sandbox) -> None:
    upload = packed(makefile("echo uploaded"))
    told = {"upload": {"bytes": len(upload), "sha256": "0" * 64, "entries": 1}}
    assert result(await run(each_box, told, Files(upload)))["output"] == "uploaded\n"


async def test_base64_may_have_line_breaks(each_box: Sandbox) -> None:
    text = base64.encodebytes(packed(makefile("echo hello"))).decode().replace("\n", "\r\n")
    assert result(await run(each_box, {"zip": text}))["output"] == "hello\n"


async def test_the_program_of_the_docs(each_box: Sandbox) -> None:
    page = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()
    [archive] = re.findall(r'"payload": \{"zip": "(.*?)"\}', page)
    [output] = re.findall(r'"output": "(hello.*?)"', page)
    assert result(await run(each_box, {"zip": archive}))["output"] == output.replace("\\n", "\n")


async def test_options_reach_the_program(each_box: Sandbox) -> None:
    lines = ('echo "$$NAME"', "ulimit -t", "cat /proc/net/dev 2>/dev/null | grep -c : || :")
    payload = {
        "zip": in_base64(makefile(*lines)),
        "env": {"NAME": "with spaces and ünicode"},
        "timeout": 20,
        "cpu_seconds": 7,
        "memory": "128MiB",
        "cpus": 0.5,
        "network": True,
    }
    said = result(await run(each_box, payload, settings=ProgramSettings(network=True)))["output"].split("\n")
    assert said[:2] == ["with spaces and ünicode", "7"] or said[1] == "8"


# output


def said(files: Files) -> str:
    """What the program wrote, from the log."""
    return "".join(text + ("\n" if level == "info" else "") for level, text in files.lines)


async def test_lines_arrive_while_the_program_runs(each_box: Sandbox) -> None:
    """Each is seen before the program, which waits for it, goes on; a line without an end comes too."""
    files = Files()
    lines = ("echo one; read word <go; echo $$word >&2", "printf 'no end'; read word <go; echo; echo $$word")
    archive = in_base64({**makefile("mkfifo -m 666 go", *lines)})
    running = asyncio.create_task(run(each_box, {"zip": archive}, files))

    await files.said("one")
    [path] = each_box._home().glob("*/go")
    # For both ways, so that opening waits for nobody.
    pipe = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(pipe, b"two\n")
        await files.said("no end")
        os.write(pipe, b"three\n")
        await files.said("three")
    finally:
        os.close(pipe)
    assert result(await running)["output"] == "one\ntwo\nno end\nthree\n"
    assert files.lines == [
        ("info", "one"),
        ("info", "two"),
        ("debug", "no end"),
        ("info", ""),
        ("info", "three"),
    ]


async def test_what_is_no_text_and_long_lines(each_box: Sandbox) -> None:
    files = Files()
    long = "é" * 9000
    archive = {**makefile("cat data"), "data": b"a\0b\xff\xc3\n" + long.encode() + b"\n\n\xe2\x82"}
    got = result(await run(each_box, {"zip": in_base64(archive)}, files))
    assert got["output"] == f"a\ufffdb\ufffd\ufffd\n{long}\n\n\ufffd"
    assert files.texts[0] == "a\ufffdb\ufffd\ufffd"
    assert said(files) == got["output"]
    assert all(len(text.encode()) <= 8000 for text in files.texts)


@pytest.mark.parametrize(
    ("program", "piece"),
    [
        ("import os\nfor n in range(40): os.write(1, b'%063d\\n' % n * 1024)\nprint('the end')", "0\n"),
        ("import os\nfor n in range(40): os.write(1, b'\\1\\n' * 32768)\nprint('the end')", "\1\n"),
        ("import os\nos.write(1, '€'.encode() * 900_000)\nprint('the end')", "€"),
        ("import os\nos.write(1, b'\\xff' * 900_000)\nprint('the end')", "\ufffd"),
    ],
    ids=["text", "control characters", "long characters", "no characters"],
)
async def test_a_flood_keeps_its_beginning_and_its_end(each_box: Sandbox, program: str, piece: str) -> None:
    files = Files()
    settings = ProgramSettings(log_lines=100)
    ending = await run(
        each_box, {"zip": in_base64({**makefile("python3 p.py"), "p.py": program})}, files, settings
    )
    assert isinstance(ending.result, msgspec.Raw)
    assert 900_000 < len(bytes(ending.result)) <= 1 << 20, "as much as fits, and no more"
    got = result(ending)
    assert got["output_cut"]
    first, told, last = got["output"].partition("\n[... ")
    assert told
    assert first.startswith((piece, "0" * 63))
    number, _, rest = last.partition(" bytes left out ...]\n")
    assert rest.endswith((piece + "the end\n", "39\nthe end\n"))
    whole = {"p": 40 * 65536, "\1": 40 * 65536, "€": 2_700_000, "\ufffd": 900_000}
    written = whole["p" if piece == "0\n" else piece[0]] + len("the end\n")
    if piece != "\ufffd":
        kept = len(first.encode()) + len(rest.encode())
        # Characters that the cut goes through are lost on both sides.
        assert 0 <= written - kept - int(number) <= 6
    assert len(files.lines) <= 101
    assert files.lines[-1] == ("warning", FULL)


async def test_a_log_has_no_more_bytes_than_the_result(each_box: Sandbox) -> None:
    files = Files()
    settings = ProgramSettings(output=1000, log_lines=100)
    program = makefile("head -c 900 /dev/zero | tr '\\0' a; echo; echo; head -c 900 /dev/zero | tr '\\0' b")
    got = result(await run(each_box, {"zip": in_base64(program)}, files, settings))
    assert got["output"] == "a" * 500 + "\n[... 802 bytes left out ...]\n" + "b" * 500
    assert files.texts[:3] == ["a" * 900, "", "b" * 98]
    assert len(files.texts) == 4


async def test_output_as_large_as_is_kept_is_whole(each_box: Sandbox) -> None:
    files = Files()
    settings = ProgramSettings(output=1000, log_lines=1)
    program = makefile("head -c 1000 /dev/zero | tr '\\0' a")
    got = result(await run(each_box, {"zip": in_base64(program)}, files, settings))
    assert (got["output"], got["output_cut"], files.texts) == ("a" * 1000, False, ["a" * 1000])
