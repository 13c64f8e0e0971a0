"""The programs of JobQueueGo: each text that its own worker gives."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from rota.handlers.program import jqgo_programs
from rota.handlers.settings import ProgramSettings
from rota.model.protocol import Ending
from rota.programs.sandbox import Sandbox
from tests.handlers.http_sink import HttpSink, reply
from tests.handlers.program_kit import Files, details, ended, in_base64, makefile, result
from tests.programs.kit import sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")
USUAL = ProgramSettings(timeout=15, allow_networks=("127.0.0.1/32",))


async def run(
    box: Sandbox, type: str, input: str, files: Files | None = None, settings: ProgramSettings = USUAL
) -> Ending:
    payload = {"type": type, "input": input, "duration": 0, "attempts": 0}
    return await ended(jqgo_programs(settings, box), type, payload, files)


def failure(ending: Ending) -> tuple[str, Any]:
    """The message and the details; every failure is tried again."""
    found = details(ending)
    assert ending.error is not None
    assert (ending.error.type, ending.retry, ending.delay) == ("ProgramFailed", True, None)
    return ending.error.message, found


@pytest.mark.parametrize("top", ["", "project/"])
async def test_the_output_is_the_result(box: Sandbox, top: str) -> None:
    files = Files()
    program = {top + "Makefile": "run:\n\techo hello\n\t@echo error >&2\n\t@mkdir out; echo x >out/x\n"}
    ending = await run(box, "program_zip", in_base64(program), files)
    assert result(ending) == "echo hello\nhello\nerror\n"
    assert files.texts == ["echo hello", "hello", "error"]
    assert files.inside() == {"x": b"x\n"}


@pytest.mark.parametrize(
    ("input", "text"),
    [
        ("not base64", "failed to decode base64 input"),
        ("YQ", "failed to decode base64 input"),
        ("", "failed to unzip project"),
        (base64.b64encode(b"no archive").decode(), "failed to unzip project"),
        (
            in_base64(makefile("echo before", "exit 3")),
            "make run error: exit status 2\nOutput: before\nmake: *** [Makefile:3: run] Error 3\n",
        ),
        (
            in_base64({"readme": "x"}),
            "make run error: exit status 2\nOutput: make: *** No rule to make target 'run'.  Stop.\n",
        ),
        (
            in_base64(makefile("echo before", "kill -9 $$PPID")),
            "make run error: signal: killed\nOutput: before\n",
        ),
    ],
    ids=["words", "padding", "nothing", "no archive", "status", "no makefile", "signal"],
)
async def test_failures_of_programs(box: Sandbox, input: str, text: str) -> None:
    message, found = failure(await run(box, "program_zip", input))
    assert message == text
    if found and "result" in found:
        assert found["result"] == text
        assert "output" not in found
        assert found["ended"] == "exit"


async def test_a_program_that_takes_too_long(box: Sandbox) -> None:
    files = Files()
    settings = ProgramSettings(timeout=0.5)
    message, found = failure(
        await run(box, "program_zip", in_base64(makefile("echo before; sleep 50")), files, settings)
    )
    assert message == "make run timed out"
    assert (found["result"], found["ended"]) == ("make run timed out", "timeout")
    assert files.texts[0] == "before"


async def test_a_limit_says_which(box: Sandbox) -> None:
    settings = ProgramSettings(cpu_seconds=1)
    program = in_base64(makefile("echo before", "while :; do :; done"))
    message, found = failure(await run(box, "program_zip", program, settings=settings))
    assert message.startswith("make run error: used more CPU time than its limit of 1 s\nOutput: before\n")
    assert found["ended"] == "cpu"


async def test_a_long_output_of_a_failure_is_whole(box: Sandbox) -> None:
    program = in_base64(makefile("python3 -c 'print(\"x\" * 99999)'", "exit 1"))
    message, found = failure(await run(box, "program_zip", program))
    assert len(message) == 10_000
    head, _, said = found["result"].partition("\nOutput: ")
    assert head == "make run error: exit status 2"
    assert said == "x" * 99_999 + "\nmake: *** [Makefile:3: run] Error 1\n"


async def test_the_longest_text_fits(box: Sandbox) -> None:
    program = in_base64(makefile("head -c 3000000 /dev/zero", "exit 1"))
    ending = await run(box, "program_zip", program)
    _, found = failure(ending)
    assert ending.error is not None
    assert isinstance(ending.error.details, msgspec.Raw)
    assert 1_000_000 < len(bytes(ending.error.details)) <= 1 << 20
    assert " bytes left out ...]" in found["result"]
    ending = await run(box, "program_zip", in_base64(makefile("head -c 3000000 /dev/zero")))
    assert isinstance(ending.result, msgspec.Raw)
    assert len(bytes(ending.result)) <= 1 << 20


async def test_downloads(box: Sandbox) -> None:
    answers = {"/good": reply(body=b"echo hello"), "/bad": reply(body=b"#!/bin/sh\necho no\nexit 4\n")}
    async with HttpSink(answers).running() as sink:
        assert result(await run(box, "execurl", sink.url("/good"))) == "hello\n"
        message, _ = failure(await run(box, "execurl", sink.url("/bad")))
        assert message == "Exec error: exit status 4\nOutput: no\n"
        message, _ = failure(await run(box, "execurl", sink.url("/none")))
        assert message == f"Download error: {sink.url('/none')} answered 404 Not Found: no such path"
    for url, told in (
        (sink.url("/gone"), f"{sink.url('/gone')}: 127.0.0.1 port {sink.port}: Connection refused"),
        ("http://10.1.2.3/x", "10.1.2.3 is a private address, which this server may not call."),
        ("nowhere", "url must start with http:// or https://."),
    ):
        message, _ = failure(await run(box, "execurl", url))
        assert message == f"Download error: {told}"


async def test_a_download_may_run_longer_than_a_make(box: Sandbox) -> None:
    settings = ProgramSettings(timeout=0.3, max_timeout=30, allow_networks=("127.0.0.1/32",))
    async with HttpSink({"/p": reply(body=b"sleep 1; echo done")}).running() as sink:
        assert result(await run(box, "execurl", sink.url("/p"), settings=settings)) == "done\n"


async def test_a_sandbox_that_refuses_is_a_failure_in_words() -> None:
    async with sandbox(require="strict", leave_out=("seccomp",)) as box:
        message, _ = failure(await run(box, "program_zip", in_base64(makefile("echo hello"))))
    assert message.startswith("make run error: programs need the profile strict: ")
    assert message.endswith("\nOutput: ")
