"""program_zip in the real sandbox: how programs end, what they leave, and what is no program."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import secrets
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.handlers.program_run import unpacked
from rota.handlers.settings import ProgramSettings
from rota.model.errors import BadInput, Unavailable
from rota.programs.archive import unpack
from rota.programs.sandbox import Sandbox
from tests.handlers.program_kit import USUAL, Files, details, in_base64, makefile, packed, result
from tests.handlers.program_kit import run_zip as run
from tests.programs.host import with_environment
from tests.programs.kit import sandbox
from tests.programs.zips import LINK, Item, build

pytestmark = pytest.mark.asyncio(loop_scope="module")


# how programs end


@pytest.mark.parametrize(
    ("lines", "options", "told", "seen"),
    [
        (["echo before; exit 3"], {}, "make run ended with status 2.", {"ended": "exit", "status": 2}),
        (["kill -9 $$PPID"], {}, "make run was ended by signal 9 (killed).", {"status": 137}),
        (
            ["echo before; sleep 30"],
            {"timeout": 0.5},
            "longer than its timeout of 0.5 s",
            {"ended": "timeout"},
        ),
        (
            ["while :; do :; done"],
            {"cpu_seconds": 1},
            "more CPU time than its limit of 1 s",
            {"ended": "cpu"},
        ),
        (
            ["python3 -c 'x = bytearray(300 << 20); print(len(x))'"],
            {"memory": "100 MiB"},
            "",
            {"artifact": None},
        ),
    ],
    ids=["status", "signal", "timeout", "cpu", "memory"],
)
async def test_failures_say_what_happened_and_carry_all_of_it(
    each_box: Sandbox, lines: list[str], options: dict[str, Any], told: str, seen: dict[str, Any]
) -> None:
    files = Files()
    ending = await run(each_box, {"zip": in_base64(makefile(*lines)), **options}, files)
    found = details(ending)
    assert ending.error is not None
    assert (ending.error.type, ending.retry, ending.delay) == ("ProgramFailed", True, None)
    assert told in ending.error.message
    assert {**found, **seen} == found
    assert set(found) == {
        *("ended", "status", "output", "output_cut", "wall_seconds", "cpu_seconds", "peak_memory", "artifact")
    }
    if "before" in lines[0]:
        assert found["output"].startswith("before\n")
        assert files.texts[0] == "before"


async def test_a_flood_that_fails_fits_as_well(each_box: Sandbox) -> None:
    program = makefile("head -c 3000000 /dev/zero", "exit 1")
    ending = await run(each_box, {"zip": in_base64(program)})
    assert details(ending)["output_cut"]
    assert ending.error is not None
    assert isinstance(ending.error.details, msgspec.Raw)
    assert len(bytes(ending.error.details)) <= 1 << 20


async def test_a_cancelled_program_ends_within_the_grace_with_all_its_children(each_box: Sandbox) -> None:
    files = Files()
    program = {
        **makefile("sh p.sh"),
        "p.sh": "trap '' TERM HUP INT\n(setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 50' >&2 &) &\n"
        "echo ready; printf 'so far'; sleep 50; sleep 50\n",
    }
    payload = {"zip": in_base64(program), "env": {"WORD": (word := secrets.token_hex(8))}}
    running = asyncio.create_task(run(each_box, payload, files, ProgramSettings(grace=0.2)))
    await files.said("ready")
    files.stop = "cancelled"
    running.cancel()
    ending = await running
    assert ending.end == "cancelled"
    assert not with_environment(f"WORD={word}")
    assert files.texts[-1] == "so far"


class Slow(io.BytesIO):
    """An archive whose reading waits once, in the middle of it."""

    def __init__(self, data: bytes, reads: int = -1) -> None:
        super().__init__(data)
        self.left = reads
        self.loop = asyncio.get_running_loop()
        self.reached = asyncio.Event()
        self.go_on = threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if not self.left:
            self.loop.call_soon_threadsafe(self.reached.set)
            self.go_on.wait(20)
        return super().read(size)


async def test_a_cancel_while_unpacking_waits_for_the_thread_and_leaves_nothing(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{number:04}": os.urandom(1000) for number in range(2000)}
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    counted = Slow(packed(files))
    unpack(counted, whole)
    source = Slow(packed(files), -counted.left - 500)
    unpacking = asyncio.create_task(unpacked(lambda: source, part, USUAL))
    await source.reached.wait()
    assert 0 < len(list(part.iterdir())) < 2000
    for _ in range(3):
        unpacking.cancel()
        await asyncio.wait({unpacking}, timeout=0.01)
    assert not unpacking.done()
    source.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await unpacking
    assert source.left == 0, "it stops at once"
    assert not any(part.iterdir())


# what it leaves


async def test_what_is_in_out_is_kept(each_box: Sandbox) -> None:
    files = Files()
    program = makefile(
        "mkdir -p out/sub; echo one >out/one; cp Makefile out/sub/; chmod 755 out/one",
        "ln -s /etc/passwd out/link; ln -s .. out/up; mkfifo out/pipe; mkdir out/empty",
    )
    got = result(await run(each_box, {"zip": in_base64(program)}, files))
    inside = files.inside()
    assert set(inside) == {"one", "sub/", "sub/Makefile", "empty/"}
    assert inside["one"] == b"one\n"
    assert got["artifact"]["entries"] == 4
    assert got["artifact"]["bytes"] == len(files.artifact or b"")
    assert len(got["artifact"]["sha256"]) == 64
    note = got["artifact_note"]
    for part in ("'link' is a link", "'up' is a link", "'pipe' is neither file nor folder"):
        assert part in note
    assert files.lines[-1] == ("warning", note)


@pytest.mark.parametrize("line", ["ln -s /etc out", "echo file >out", "mkfifo out", "mkdir out", ":"])
async def test_an_out_that_is_nothing(each_box: Sandbox, line: str) -> None:
    files = Files()
    got = result(await run(each_box, {"zip": in_base64(makefile(line))}, files))
    assert got["artifact"] is None
    assert files.artifact is None
    assert ("artifact_note" in got) == (line not in ("mkdir out", ":"))


async def test_what_a_failed_program_left_is_kept(each_box: Sandbox) -> None:
    files = Files()
    ending = await run(each_box, {"zip": in_base64(makefile("mkdir out; echo x >out/x; exit 1"))}, files)
    assert files.inside() == {"x": b"x\n"}
    assert details(ending)["artifact"]["bytes"] == len(files.artifact or b"")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("mkdir out; head -c 200000 /dev/urandom >out/noise", "packed it has more than 97.6"),
        ("mkdir out; truncate -s 3M out/a out/b", "all files together may have 4000000 bytes"),
    ],
)
async def test_too_much_is_told_and_does_not_fail(each_box: Sandbox, line: str, told: str) -> None:
    files = Files()
    settings = ProgramSettings(artifact_limit=100_000, disk=4_000_000)
    ending = await run(each_box, {"zip": in_base64(makefile(line))}, files, settings)
    got = result(ending)
    assert got["artifact"] is None
    assert files.artifact is None
    assert got["artifact_note"].startswith("out/ was not kept: ")
    assert files.lines[-1] == ("warning", got["artifact_note"])


KEPT = makefile("mkdir out; echo x >out/x")
LOST = makefile("mkdir out; echo x >out/x; exit 1")


async def test_an_artifact_that_the_server_finds_too_large(each_box: Sandbox) -> None:
    files = Files()
    files.refusal = BadInput("An artifact may have 10 bytes.", code="artifact_too_large", status=413)
    got = result(await run(each_box, {"zip": in_base64(KEPT)}, files))
    assert got["artifact"] is None
    assert got["artifact_note"] == "out/ was not kept: An artifact may have 10 bytes."


@pytest.mark.parametrize("refusal", [Unavailable("The server is away."), OSError("disk")])
async def test_an_artifact_that_gets_lost_is_no_success(each_box: Sandbox, refusal: Exception) -> None:
    files = Files()
    files.refusal = refusal
    ending = await run(each_box, {"zip": in_base64(KEPT)}, files)
    assert details(ending)["status"] == 0
    assert ending.error is not None
    assert (ending.error.type, ending.retry) == ("ProgramNotRun", True)
    assert ending.error.message == f"The program ran, but out/ could not be kept: {refusal}"
    ending = await run(each_box, {"zip": in_base64(LOST)}, files)
    assert ending.error is not None
    assert ending.error.type == "ProgramFailed"
    assert details(ending)["artifact_note"] == f"out/ could not be kept: {refusal}"


async def test_an_upload_that_does_not_arrive_is_tried_again(each_box: Sandbox) -> None:
    class Away(Files):
        async def read_upload(self, path: Path) -> None:
            raise Unavailable("The server is away.")

    ending = await run(each_box, {"upload": {"bytes": 1, "sha256": "", "entries": 1}}, Away())
    assert details(ending) == {"code": "unavailable"}
    assert ending.error is not None
    assert (ending.error.type, ending.retry) == ("ProgramNotRun", True)


async def test_a_sandbox_that_refuses_says_what_is_missing() -> None:
    async with sandbox(require="strict", leave_out=("seccomp",)) as other:
        ending = await run(other, {"zip": in_base64(makefile("echo hello"))})
    assert details(ending) == {"code": "sandbox_unavailable"}
    assert ending.error is not None
    assert (ending.error.type, ending.retry) == ("ProgramNotRun", True)
    assert "seccomp: left out by the configuration" in ending.error.message


# what is refused


def bad_link() -> str:
    made = build(Item("Makefile", b"run: ;\n"), Item("a", b"/etc/passwd", mode=LINK))
    return base64.b64encode(made).decode()


@pytest.mark.parametrize(
    ("payload", "type", "told", "code"),
    [
        ({}, "BadPayload", "Send one archive", None),
        ({"zip": "?"}, "BadPayload", "zip is not base64", None),
        ({"zip": "ä"}, "BadPayload", "zip is not base64", None),
        ({"zip": 1}, "BadPayload", "payload.zip", None),
        ({"zip": "", "zap": 1}, "BadPayload", "zap", None),
        ({"zip": "AAAA"}, "ProgramRefused", "the archive", "archive_unreadable"),
        ({"zip": bad_link()}, "ProgramRefused", "'a' in the archive", "archive_bad_kind"),
        ({"zip": in_base64({"readme": "x"})}, "ProgramRefused", "no Makefile at its top.", "no_makefile"),
        (
            {"zip": in_base64({"b/x": "x", "c/Makefile": "run:"})},
            "ProgramRefused",
            "no Makefile at its top nor in its first folder, 'b'.",
            "no_makefile",
        ),
        ({"zip": in_base64({"Makefile/x": "x"})}, "ProgramRefused", "no Makefile", "no_makefile"),
        ({"upload": {"bytes": 1, "sha256": "", "entries": 1}}, "ProgramRefused", "no upload", "no_upload"),
        (
            {"zip": "", "upload": {"bytes": 1, "sha256": "", "entries": 1}},
            "BadPayload",
            "Send one archive",
            None,
        ),
        ({"timeout": 0}, "BadPayload", "timeout must be more than 0 and at most 3600 s, not 0.", None),
        ({"timeout": 3601}, "BadPayload", "timeout must be more than 0 and at most 3600 s, not 3601.", None),
        ({"cpu_seconds": 3601}, "BadPayload", "cpu_seconds must be more than 0 and at most 3600 s", None),
        ({"cpus": 2}, "BadPayload", "cpus must be more than 0 and at most 1, not 2.", None),
        ({"memory": "1 GiB"}, "BadPayload", "at most 512 MiB, not 1 GiB.", None),
        ({"memory": "lots"}, "BadPayload", "memory must be bytes or a text such as 256MiB", None),
        ({"memory": -1}, "BadPayload", "memory must be", None),
        ({"memory": True}, "BadPayload", "payload.memory", None),
        ({"env": {"A=B": "c"}}, "BadPayload", "not 'A=B'", None),
        ({"env": {"A": 1}}, "BadPayload", "env", None),
        ({"env": {"A": "x" * 70_000}}, "BadPayload", "env may hold at most 64 KiB in all.", None),
        ({"network": True}, "ProgramRefused", "no network here (programs.network)", "network_not_allowed"),
    ],
)
async def test_what_cannot_run_fails_for_good(
    box: Sandbox, payload: dict[str, Any], type: str, told: str, code: str | None
) -> None:
    if not payload.keys() & {"zip", "upload"} and payload:
        payload = {"zip": in_base64(makefile(":")), **payload}
    ending = await run(box, payload)
    assert details(ending) == (None if code is None else {"code": code})
    assert ending.error is not None
    assert (ending.error.type, ending.retry) == (type, False)
    assert told in ending.error.message
