"""Logs: one line for one event whatever is in it, no secrets, and nobody waits for the reader."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from rota import logs
from rota.web.access import AccessLog

LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (debug|info|warning|error) {1,4}\S")
log = logging.getLogger("rota.test")


def alone(*args: Any, **more: Any) -> None:
    """Set up without the test runner's own handlers, which do raise."""
    logging.getLogger().handlers.clear()
    logs.setup(*args, **more)


class Sink:
    """Where the logs go in a test; ``lines`` and ``events`` wait until all is written."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def setup(self, level: str = "info", format: str = "json", **more: Any) -> None:
        alone(level, format, stream=self.stream, **more)

    @property
    def text(self) -> str:
        assert logs.flush(10)
        return self.stream.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.split("\n")[:-1]]


@pytest.fixture
def sink() -> Iterator[Sink]:
    before = {
        name: logging.getLogger(name).level for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access")
    }
    sink = Sink()
    sink.setup()
    yield sink
    logs.shutdown()
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_a_json_line_has_time_level_event_and_fields(sink: Sink) -> None:
    log.warning("job %s ended", "a1", extra={"queue": "mail", "took": 1.5, "ids": ("x", "y"), "none": None})
    (event,) = sink.events
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event.pop("ts"))
    assert event == {
        "level": "warning",
        "logger": "rota.test",
        "event": "job a1 ended",
        "queue": "mail",
        "took": 1.5,
        "ids": ["x", "y"],
        "none": None,
    }


def test_an_exception_is_one_json_line(sink: Sink) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("handler failed", extra={"job": "a1"})
    (event,) = sink.events
    assert event["level"] == "error"
    assert event["error"]["type"] == "ValueError"
    assert event["error"]["message"] == "first\nsecond"
    assert "test_logs.py" in event["error"]["traceback"]


def test_the_level_counts_also_after_a_second_setup(sink: Sink) -> None:
    log.debug("not this")
    log.info("this")
    sink.setup("error")
    log.warning("nor this")
    log.error("and this")
    sink.setup("debug")
    log.debug("this too")
    assert [event["event"] for event in sink.events] == ["this", "and this", "this too"]


def test_text_is_a_line_for_people_without_colours_into_a_file(sink: Sink) -> None:
    sink.setup("debug", "text")
    log.info("job ended", extra={"queue": "mail", "note": "two words", "n": 3, "none": None})
    log.debug("fine", extra={"error": "nothing"})
    first, second = sink.text.splitlines()
    assert LINE.match(first)
    assert first.endswith(' info    job ended  queue=mail  note="two words"  n=3  none=null')
    assert second.endswith(" debug   fine  error=nothing")
    assert "\x1b" not in sink.text


def test_a_record_may_bring_words_for_people_and_a_traceback(sink: Sink) -> None:
    fields = {"status": 200, "traceback": "first\n  second\x1b[31m\n", "_plain": ("GET /a\nb", "3 ms\x07")}
    log.info("request", extra=fields)
    (event,) = sink.events
    assert (event["event"], event["status"]) == ("request", 200)
    assert event["traceback"] == fields["traceback"]
    assert "_plain" not in event
    sink.setup("debug", "text")
    before = sink.text
    log.info("request", extra=fields | {"token": "x", "_plain": ("GET /?token=abc123", "3 ms")})
    log.info("request", extra=fields)
    first, *rest = sink.text.removeprefix(before).splitlines()
    assert first.endswith(" info    GET /?token=***  3 ms")
    assert rest[:2] == ["    | first", "    |   second\\u001b[31m"]
    assert rest[2].endswith(" info    GET /a\\u000ab  3 ms\\u0007")


SAY = """
import logging
from rota import logs
from rota.web.access import AccessLog

logs.setup()
logging.getLogger("rota").info("hello", extra={"a": 1})
"""


def on_a_terminal(**env: str) -> str:
    """What SAY writes to standard error when that is a terminal."""
    master, slave = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", SAY], stderr=slave, env=os.environ | env, timeout=30, check=True
        )
        return os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)


def test_auto_is_text_on_a_terminal_coloured_unless_unwanted() -> None:
    assert "\x1b[32minfo" in on_a_terminal(TERM="xterm", NO_COLOR="")
    for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb", "NO_COLOR": ""}):
        plain = on_a_terminal(**env)
        assert LINE.match(plain)
        assert plain.endswith("info    hello  a=1\r\n")


def test_auto_is_json_elsewhere_and_keeps_standard_output_free() -> None:
    child = subprocess.run(
        [sys.executable, "-c", SAY], capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(child.stderr)["event"] == "hello"
    assert child.stdout == ""


# --- whatever is in it ---


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


NASTY: list[object] = [
    *("\x1b[31mred\x1b[0m", "a\nINFO forged line", "a\r\nb", "\x00", "\x7f", "\x9b2J", "\u2028", "\u202e"),
    *(
        "\ud800",
        b"\xff" * 100,
        float("nan"),
        2**70,
        {1, 2},
        {"k": {"k": [object()]}},
        Broken(),
        ValueError("x"),
    ),
]


@pytest.mark.parametrize("format", ["json", "text"])
@pytest.mark.parametrize("value", NASTY, ids=lambda value: type(value).__name__)
def test_nothing_breaks_a_line(sink: Sink, format: str, value: object) -> None:
    sink.setup(format=format)
    log.info("event %s", value, extra={"field": value, "nested": {"in": [value]}})
    check_one_line(sink.text, format)


@pytest.mark.parametrize("format", ["json", "text"])
@given(event=st.text(), field=st.text(), name=st.text(min_size=1, max_size=20))
def test_no_text_breaks_a_line(format: str, event: str, field: str, name: str) -> None:
    sink = Sink()
    sink.setup(format=format)
    try:
        log.info("e %s", event, extra={f"f {name}": field})
        check_one_line(sink.text, format)
    finally:
        logs.shutdown()


def check_one_line(text: str, format: str) -> None:
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    text.encode()
    if format == "json":
        assert json.loads(text)["level"] == "info"
    else:
        assert LINE.match(text)


def test_wrong_arguments_are_shown_and_not_raised(sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    sink.setup()
    log.info("%d of %d", "x")  # noqa: PLE1206
    log.info("%s", Broken())
    first, second = sink.events
    assert first["event"] == "%d of %d ('x',)"
    assert second["event"].startswith("%s ")
    assert capsys.readouterr().err == ""


def test_a_traceback_in_text_cannot_pose_as_a_line(sink: Sink) -> None:
    sink.setup(format="text")
    try:
        raise ValueError("x\n12:00:00.000 info    forged\x1b[2J")
    except ValueError:
        log.exception("failed")
    first, *rest = sink.text.splitlines()
    assert LINE.match(first)
    assert len(rest) > 2
    assert all(line.startswith("    | ") for line in rest)
    assert "\x1b" not in sink.text


def test_huge_values_are_cut(sink: Sink) -> None:
    log.info("big", extra={"text": "x" * 1_000_000, "list": list(range(1_000_000))})
    log.info("y" * 1_000_000, extra={f"field{n}": "z" * 8000 for n in range(100)})
    first, second = sink.events
    assert first["text"].endswith("... (1000000 characters)")
    assert len(first["list"]) == 100
    assert second["cut"] > logs.MAX_LINE
    assert all(len(line) < 2 * logs.MAX_LINE for line in sink.text.splitlines())


# --- no secrets ---


@pytest.mark.parametrize("format", ["json", "text"])
def test_no_secret_comes_through(sink: Sink, format: str) -> None:
    sink.setup(format=format, secrets=['pass"word', "sesame-open", "sesame-open-wide"])
    log.info(
        'login with sesame-open-wide and sesame-open and pass"word',
        extra={
            "token": "t0p-one",
            "smtp_password": "t0p-two",
            "headers": {"Authorization": "t0p-three", "X-Rota-Token": "t0p-kept"},
            "line": "Authorization: Bearer t0p-four",
            "url": "http://user:t0p-five@host/path?a=1&token=t0p-six",
            "note": 'pass"word',
        },
    )
    try:
        raise ValueError("Bearer t0p-seven sesame-open")
    except ValueError:
        log.exception("failed")
    text = sink.text
    for secret in ("sesame", "-wide", "pass", "-one", "-two", "-three", "-four", "-five", "-six", "-seven"):
        assert secret not in text.replace("smtp_password", "").replace("Bearer ***", "")
    assert "user:***@host/path?a=1&token=***" in text


# --- other loggers ---


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/boom":
        raise ValueError("boom")
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def serve_and_ask(paths: list[str]) -> None:
    web = AccessLog(hello, logging.DEBUG)
    config = uvicorn.Config(web, port=0, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        for path in paths:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await reader.read()
            writer.close()
        server.should_exit = True
        await task


async def test_requests_are_logged_at_debug_without_probes_and_tokens(sink: Sink) -> None:
    sink.setup("debug")
    await serve_and_ask(["/v1/jobs?token=abc123", "/livez", "/readyz?x=1", "/health"])
    requests = [event for event in sink.events if event["event"] == "request"]
    assert [(event["level"], event["method"], event["path"], event["status"]) for event in requests] == [
        ("debug", "GET", "/v1/jobs?token=***", 204)
    ]


async def test_at_info_uvicorn_says_only_what_went_wrong(sink: Sink) -> None:
    await serve_and_ask(["/v1/jobs", "/boom"])
    (event,) = sink.events
    assert (event["level"], event["logger"], event["error"]["type"]) == (
        "error",
        "uvicorn.error",
        "ValueError",
    )


def test_the_libraries_that_tell_headers_are_kept_quiet(sink: Sink) -> None:
    sink.setup("debug")
    for name in ("httpx2", "httpcore2.http11", "websockets.client", "aiosmtplib"):
        logging.getLogger(name).info("headers and all")
        logging.getLogger(name).warning("trouble")
    assert {event["event"] for event in sink.events} == {"trouble"}
    assert len(sink.events) == 4


def test_warnings_are_logged(sink: Sink) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        sink.setup()
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        assert "old ways" in sink.events[0]["event"]
        logs.shutdown()


# --- nobody waits ---


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_stands_still_holds_nobody_up_and_learns_what_it_missed(blocking: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    total = logs.MAX_WAITING + 5_000
    got: list[bytes] = []
    with os.fdopen(reading, "rb") as reader:
        with os.fdopen(writing, "w") as writer:
            alone("info", "json", stream=writer)
            try:
                for n in range(total):
                    log.info("line", extra={"n": n, "filling": "x" * 200})
                assert not logs.flush(0.01)
                thread = threading.Thread(target=lambda: got.extend(reader))
                thread.start()
                assert logs.flush(30)
            finally:
                logs.shutdown()
        thread.join(30)
    events = [json.loads(line) for line in got]
    dropped = sum(event["count"] for event in events if event["event"] == "log lines dropped")
    numbers = [event["n"] for event in events if event["event"] == "line"]
    assert dropped > 0
    assert len(numbers) + dropped == total
    assert numbers == sorted(numbers)


def test_a_program_ends_although_nobody_reads_its_log() -> None:
    code = (
        "import logging; from rota import logs; logs.setup()\n"
        "for n in range(3000): logging.getLogger('rota').info('x' * 500)\n"
        "print('ended', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.wait(timeout=30) == 0
        assert child.stdout is not None
        assert child.stdout.read() == b"ended\n"


def test_all_lines_are_written_before_a_program_ends() -> None:
    code = (
        "import logging; from rota import logs; logs.setup()\n"
        "for n in range(5000): logging.getLogger('rota').info('line')\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert child.stderr.count(b"\n") == 5000


def test_a_forked_child_logs_too_and_repeats_nothing() -> None:
    code = (
        "import logging, os; from rota import logs; logs.setup()\n"
        "logging.getLogger('rota').info('parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    logging.getLogger('rota').info('child'); logs.flush(10); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert sorted(json.loads(line)["event"] for line in child.stderr.splitlines()) == ["child", "parent"]


def test_a_closed_stream_is_nobodys_trouble(sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    sink.stream.close()
    log.info("into the void")
    assert logs.flush(10)
    logs.shutdown()
    log.info("after the end")
    assert "Error" not in capsys.readouterr().err
