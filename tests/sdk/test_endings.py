"""How handlers end, and how that is told: results, exceptions of every sort, payloads that do not fit."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

import rota
from rota.sdk.endings import MESSAGE_BYTES, RESULT_BYTES, TRACE_BYTES
from tests.sdk.memory import Server, until
from tests.sdk.working import ended, value_of, working


class Oops(Exception):
    pass


def fail(how: str) -> Any:
    match how:
        case "error":
            raise Oops("it broke")
        case "cause":
            try:
                fail("error")
            except Oops as error:
                raise ValueError("because") from error
        case "exit":
            raise SystemExit(3)
        case "fail":
            raise rota.Fail("never again")
        case "fail with details":
            raise rota.Fail("never again", details={"status": 3})
        case "retry with details":
            raise rota.Retry(message="later", details=["a", None])
        case "bad details":
            raise rota.Fail("never again", details={"list": [1, threading.Lock()]})
        case "large details":
            raise rota.Retry(message="x" * 100_000, details="x" * RESULT_BYTES)
        case "retry":
            raise rota.Retry(12.5, "later")
        case "retry by policy":
            raise rota.Retry
        case "snooze":
            rota.current().snooze(3)
        case "cancelled error":
            raise asyncio.CancelledError
        case "stopped":
            raise rota.JobStopped
        case "no words":
            raise Wordless
        case "surrogate":
            raise Oops("\ud800")
        case "long":
            raise Oops("x" * 100_000)
        case "deep":
            deep(900)
        case "object":
            return {"list": [1, threading.Lock()]}
        case "large":
            return "x" * (RESULT_BYTES + 1)
        case "large bytes":
            return b"x" * (RESULT_BYTES + 1)
    return how


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def deep(n: int) -> None:
    # Two functions in turn, so that Python does not fold the frames into "repeated".
    if n:
        deeper(n - 1)
    raise Oops("deep")


def deeper(n: int) -> None:
    deep(n - 1)


@pytest.fixture
def failing() -> rota.App:
    app = rota.App()

    @app.task
    async def loop(how: str) -> Any:
        return fail(how)

    @app.task
    def thread(how: str) -> Any:
        return fail(how)

    return app


@pytest.mark.parametrize("kind", ["loop", "thread"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (
            "error",
            {"end": "failed", "retry": True, "type": "tests.sdk.test_endings.Oops", "message": "it broke"},
        ),
        ("cause", {"end": "failed", "retry": True, "type": "ValueError", "message": "because"}),
        ("exit", {"end": "failed", "retry": True, "type": "SystemExit", "message": "3"}),
        ("fail", {"end": "failed", "retry": False, "type": "rota.Fail", "message": "never again"}),
        ("retry", {"end": "failed", "retry": True, "delay": 12.5, "type": "rota.Retry", "message": "later"}),
        ("retry by policy", {"end": "failed", "retry": True, "delay": None, "type": "rota.Retry"}),
        ("snooze", {"end": "snoozed", "delay": 3.0, "type": None}),
        ("cancelled error", {"end": "failed", "type": "asyncio.exceptions.CancelledError"}),
        ("stopped", {"end": "failed", "type": "rota.JobStopped"}),
        ("no words", {"end": "failed", "type": "tests.sdk.test_endings.Wordless"}),
        ("surrogate", {"end": "failed", "message": "?"}),
        ("object", {"end": "failed", "retry": False, "type": "BadResult"}),
        ("large", {"end": "failed", "retry": False, "type": "BadResult"}),
        ("large bytes", {"end": "failed", "retry": False, "type": "BadResult"}),
    ],
)
async def test_every_way_to_end(failing: rota.App, kind: str, how: str, expected: dict[str, Any]) -> None:
    server = Server()
    async with working(failing, server) as at_work:
        job = server.put(kind, {"how": how})
        await until(lambda: job.endings)
        # The worker lives, whatever it was.
        after = server.put(kind, {"how": "fine"})
        await until(lambda: after.endings)
        assert not at_work.task.done()
    assert value_of(after.ending) == "fine"
    ending = job.ending
    error = ending.error
    seen = {
        "end": ending.end,
        "retry": ending.retry,
        "delay": ending.delay,
        "type": error and error.type,
        "message": error and error.message,
    }
    assert seen == {**seen, **expected}
    if how == "object":
        assert error is not None
        assert "result.list[1] is lock" in error.message


@pytest.mark.parametrize("kind", ["loop", "thread"])
async def test_tracebacks_show_the_program_and_not_rota(failing: rota.App, kind: str) -> None:
    for how in ("error", "cause"):
        error = (await ended(failing, kind, {"how": how})).error
        assert error is not None
        assert error.traceback is not None
        assert 'raise Oops("it broke")' in error.traceback
        assert error.traceback.startswith("Traceback (most recent call last):")
        assert "rota/sdk" not in error.traceback
        assert ("direct cause" in error.traceback) == (how == "cause")


@pytest.mark.parametrize("kind", ["loop", "thread"])
async def test_details_go_with_the_error(failing: rota.App, kind: str) -> None:
    for how, details in (("fail with details", b'{"status":3}'), ("retry with details", b'["a",null]')):
        error = (await ended(failing, kind, {"how": how})).error
        assert error is not None
        assert bytes(error.details) == details  # type: ignore[arg-type]
        assert error.traceback is None


async def test_details_that_cannot_be_sent_cost_the_details_only(failing: rota.App) -> None:
    ending = await ended(failing, "loop", {"how": "bad details"})
    assert ending.error is not None
    assert (ending.retry, ending.error.details) == (False, msgspec.UNSET)
    assert ending.error.message.startswith("never again (its details were left out: details.list[1] is lock:")
    ending = await ended(failing, "loop", {"how": "large details"})
    assert ending.error is not None
    assert (ending.retry, ending.error.details) == (True, msgspec.UNSET)
    assert len(ending.error.message) == MESSAGE_BYTES
    assert ending.error.message.endswith(f"has {RESULT_BYTES + 2} bytes; at most {RESULT_BYTES} can be sent)")


async def test_errors_are_cut(failing: rota.App) -> None:
    error = (await ended(failing, "loop", {"how": "long"})).error
    assert error is not None
    assert len(error.message) == MESSAGE_BYTES
    error = (await ended(failing, "thread", {"how": "deep"})).error
    assert error is not None
    assert error.traceback is not None
    assert TRACE_BYTES * 0.9 < len(error.traceback.encode()) <= TRACE_BYTES
    assert error.traceback.startswith("...\n")
    assert error.traceback.rstrip().endswith("Oops: deep")


async def test_a_payload_that_does_not_fit_fails_for_good(failing: rota.App) -> None:
    for kind in ("loop", "thread"):
        for payload in ({}, {"how": 5}, {"how": "x", "more": 1}, [1]):
            ending = await ended(failing, kind, payload)
            assert ending.error is not None
            assert (ending.end, ending.retry, ending.error.type) == ("failed", False, "BadPayload")
