"""execurl: downloads under the address rules of webhooks, then runs in the real sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rota.handlers.addresses import resolve
from rota.handlers.program import build_programs
from rota.handlers.settings import ProgramSettings
from rota.model.protocol import Ending
from rota.programs.sandbox import Sandbox
from tests.handlers.http_sink import HttpSink, reply, writing
from tests.handlers.program_kit import Files, details, ended, result
from tests.programs.kit import AS_ROOT, sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPEN = ProgramSettings(allow_networks=("127.0.0.1/32",), timeout=30, download_timeout=20)


async def run(
    box: Sandbox,
    url: str,
    files: Files | None = None,
    settings: ProgramSettings = OPEN,
    resolver: Any = resolve,
    **options: Any,
) -> Ending:
    before = set(box._home().iterdir())
    app = build_programs(settings, box, resolver=resolver)
    ending = await ended(app, "execurl", {"url": url, **options}, files)
    assert set(box._home().iterdir()) == before
    return ending


def failure(ending: Ending, *, again: bool) -> str:
    """The message of a job that failed before a program ran."""
    assert details(ending) is None
    assert ending.error is not None
    assert ending.retry is again
    assert ending.error.type in (("rota.Retry",) if again else ("rota.Fail", "BadPayload"))
    return ending.error.message


@pytest.mark.parametrize(
    "program",
    [
        "#!/bin/sh\necho $WORD; mkdir out; echo x >out/x\n",
        "#!/usr/bin/env python3\nimport os\nprint(os.environ['WORD'])\nos.mkdir('out'); open('out/x', 'w')\n",
        "echo $WORD\nmkdir out; : >out/x\n",
    ],
    ids=["shell", "python", "no interpreter"],
)
async def test_a_program_is_fetched_and_run(box: Sandbox, program: str) -> None:
    files = Files()
    async with HttpSink({"/p": reply(body=program.encode())}).running() as sink:
        got = result(await run(box, sink.url("/p"), files, env={"WORD": "hello"}))
        (request,) = sink.requests
    assert (request.method, request.headers["user-agent"][:5]) == ("GET", "rota/")
    assert (got["ended"], got["status"], got["output"]) == ("exit", 0, "hello\n")
    assert set(files.inside()) == {"x"}
    assert files.texts == ["hello"]


async def test_a_program_without_an_interpreter_where_there_is_no_bubblewrap() -> None:
    # An ordinary user has no other way.
    out = ("bubblewrap", "network") if AS_ROOT else ()
    async with sandbox(leave_out=out) as other:
        async with HttpSink({"/p": reply(body=b"echo hello")}).running() as sink:
            assert result(await run(other, sink.url("/p")))["output"] == "hello\n"


async def test_a_program_that_fails(box: Sandbox) -> None:
    async with HttpSink({"/p": reply(body=b"echo no; exit 3")}).running() as sink:
        ending = await run(box, sink.url("/p"))
    assert ending.error is not None
    assert (ending.error.type, ending.error.message) == ("ProgramFailed", "The program ended with status 3.")
    assert (details(ending)["status"], details(ending)["output"]) == (3, "no\n")


async def test_it_cannot_reach_where_it_came_from(box: Sandbox) -> None:
    """The download is made outside; what was downloaded has no network."""
    program = b"""#!/usr/bin/env python3
import os, socket
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)
except OSError as error:
    print("refused")
"""
    async with HttpSink({"/p": reply(body=program)}).running() as sink:
        got = result(await run(box, sink.url("/p"), env={"PORT": str(sink.port)}))
        assert len(sink.connections) == 1
    assert got["output"] == "refused\n"


async def test_redirects_are_followed_where_they_may_lead(box: Sandbox) -> None:
    answers = {"/a": reply(302, Location="/b"), "/b": reply(body=b"echo moved")}
    async with HttpSink(answers).running() as sink:
        assert result(await run(box, sink.url("/a")))["output"] == "moved\n"


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://127.0.0.2/x", "http://[::1]/x", "ftp://127.0.0.1/x"]
)
async def test_redirects_to_forbidden_places_are_not(box: Sandbox, target: str) -> None:
    async with HttpSink({"/a": reply(302, Location=target)}).running() as sink:
        assert "redirect was not followed" in failure(await run(box, sink.url("/a")), again=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1234/", "http://10.0.0.1/", "http://2130706433/"])
async def test_forbidden_addresses_are_final(box: Sandbox, url: str) -> None:
    told = failure(await run(box, url, settings=ProgramSettings()), again=False)
    assert "which this server may not call" in told


async def test_a_name_with_one_forbidden_address_is_forbidden(box: Sandbox) -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "169.254.169.254"]

    async with HttpSink({"/": reply(body=b"echo")}).running() as sink:
        told = failure(await run(box, f"http://rebind.test:{sink.port}/", resolver=both), again=False)
        assert not sink.connections
    assert "rebind.test (169.254.169.254) is a link-local address" in told


@pytest.mark.parametrize(
    "url", ["", "file:///etc/passwd", "http://user:pw@x/", "http://x:22/", "http://a b/"]
)
async def test_what_is_no_address_of_a_program(box: Sandbox, url: str) -> None:
    assert failure(await run(box, url), again=False).startswith("url ")


@pytest.mark.parametrize(("status", "again"), [(404, False), (403, False), (503, True), (429, True)])
async def test_other_answers_are_no_programs(box: Sandbox, status: int, again: bool) -> None:
    async with HttpSink({"/p": reply(status, b"echo wrong", Retry_After="7")}).running() as sink:
        ending = await run(box, sink.url("/p?secret=1"))
    told = failure(ending, again=again)
    assert told.startswith(f"{sink.url('/p')} answered {status}")
    assert told.endswith(": echo wrong")
    assert ending.delay == (7 if again else None)


async def test_a_huge_answer_is_cut_short(box: Sandbox) -> None:
    settings = ProgramSettings(allow_networks=("127.0.0.1/32",), download_limit=102_400)
    endless = b"HTTP/1.1 200 OK\r\n\r\n"

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(endless)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with HttpSink({"/p": script, "/just": reply(body=b"#" * 102_399 + b"\n")}).running() as sink:
        told = failure(await run(box, sink.url("/p"), settings=settings), again=False)
        assert told == f"{sink.url('/p')} has more than 100 KiB, which is the most that is downloaded."
        assert result(await run(box, sink.url("/just"), settings=settings))["output"] == ""


async def test_a_slow_answer_is_given_up(box: Sandbox) -> None:
    settings = ProgramSettings(allow_networks=("127.0.0.1/32",), download_timeout=0.3)
    slow = writing(reply(body=b"echo late"), after=20)
    async with HttpSink({"/p": slow}).running() as sink:
        told = failure(await run(box, sink.url("/p"), settings=settings), again=True)
    assert told == f"{sink.url('/p')} gave no complete answer within 0.3 s."


async def test_nobody_there_is_tried_again(box: Sandbox) -> None:
    async with HttpSink({}).running() as sink:
        url = sink.url("/p")
    assert "Connection refused" in failure(await run(box, url), again=True)


async def test_a_cancel_while_downloading(box: Sandbox) -> None:
    before = set(box._home().iterdir())
    started = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\necho")
        started.set()
        await asyncio.Event().wait()

    async with HttpSink({"/p": script}).running() as sink:
        files = Files()
        running = asyncio.create_task(run(box, sink.url("/p"), files))
        await started.wait()
        files.stop = "cancelled"
        running.cancel()
        assert (await running).end == "cancelled"
    assert set(box._home().iterdir()) == before
