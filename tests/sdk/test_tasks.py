"""Declaring tasks, their options, and the job that an enqueue sends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import rota
from rota.model.job import Fixed, State
from rota.model.spec import JobSpec
from rota.sdk.context import Context


def sent(spec: JobSpec) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(spec))


def test_calling_a_task_just_calls_the_function() -> None:
    app = rota.App()

    @app.task
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    @app.task(retries=1)
    async def triple(ctx: Context, x: int) -> int:
        ctx.progress(0.5, "half way")
        ctx.log("nobody listens")
        ctx.raise_if_cancelled()
        assert not ctx.cancelled
        return 3 * x

    assert double(4) == 8
    assert double("a") == "aa"  # type: ignore[arg-type, comparison-overlap]
    assert asyncio.run(triple(Context(), 4)) == 12
    assert (getattr(double, "__name__", ""), double.__doc__) == ("double", "Twice.")


def test_names_and_kinds() -> None:
    app = rota.App(queue="mails")

    class Holder:
        @staticmethod
        def work() -> None: ...

    @app.task
    def thread() -> None: ...
    @app.task(name="other.name/x:1", queue="elsewhere")
    async def loop() -> None: ...
    @app.task(process=True)
    async def process() -> None: ...

    inner = app.task(Holder.work)
    kinds = {name: task.kind for name, task in app.tasks.items()}
    assert kinds == {
        "thread": "thread",
        "other.name/x:1": "async",
        "process": "process",
        "Holder.work": "thread",
    }
    assert sent(thread.spec())["queue"] == "mails"
    assert sent(loop.spec())["queue"] == "elsewhere"
    assert inner.name == "Holder.work"


def test_what_cannot_be_a_task() -> None:
    app = rota.App()

    @app.task
    def known() -> None: ...

    def other() -> None: ...
    def yields() -> Any:
        yield 1

    async def yields_too() -> Any:
        yield 1

    with pytest.raises(ValueError, match="Two tasks have the name 'known'"):
        app.task(name="known")(other)
    with pytest.raises(ValueError, match="A task's name must be"):
        app.task(name="no spaces")(other)
    for function in (yields, yields_too):
        with pytest.raises(TypeError, match="must return its result, not yield"):
            app.task(function)
    with pytest.raises(ValueError, match="retries must be an integer from 0"):
        app.task(retries=-1)
    with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
        app.task(timeout=-1)
    with pytest.raises(TypeError, match="tags must be a list"):
        app.task(tags="abc")
    assert list(app.tasks) == ["known"]


def test_options_become_the_request() -> None:
    app = rota.App()

    @app.task(retries=4, timeout=timedelta(minutes=2), priority=3, tags=["a"], retry=Fixed(7), retention=60)
    def f(x: int) -> None: ...

    assert sent(f.spec(1)) == {
        "type": "f",
        "payload": {"x": 1},
        "queue": "default",
        "max_attempts": 5,
        "timeout": 120.0,
        "priority": 3,
        "tags": ["a"],
        "retry": {"kind": "fixed", "delay": 7},
        "retention": 60.0,
    }
    at = datetime(2031, 2, 3, 4, 5, tzinfo=UTC)
    bound = f.options(
        delay=timedelta(hours=1),
        priority=-1,
        queue="q",
        tags=("b", "c"),
        headers={"trace": "1"},
        unique_key="k",
        unique_states=["scheduled", State.PENDING],
        idempotency_key="i",
        expires_at=at,
        retries=0,
        retention=0,
    )
    assert sent(bound.spec(x=2)) == {
        "type": "f",
        "payload": {"x": 2},
        "queue": "q",
        "delay": 3600.0,
        "max_attempts": 1,
        "timeout": 120.0,
        "priority": -1,
        "tags": ["b", "c"],
        "headers": {"trace": "1"},
        "unique_key": "k",
        "unique_states": ["scheduled", "pending"],
        "idempotency_key": "i",
        "expires_at": "2031-02-03T04:05:00+00:00",
        "retry": {"kind": "fixed", "delay": 7},
        "retention": 0.0,
    }
    assert sent(f.options(run_at="2031-02-03T04:05:00Z").spec(1))["run_at"] == "2031-02-03T04:05:00Z"
    assert sent(f.options(priority=0).spec(1)).get("priority", 0) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delay": -1}, "delay must be 0 or more"),
        ({"delay": float("nan")}, "delay must be 0 or more"),
        ({"delay": True}, "delay must be seconds or a timedelta"),
        ({"delay": "soon"}, "delay must be seconds or a timedelta"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at must have a time zone"),  # noqa: DTZ001
        ({"unique_states": ["sleeping"]}, "sleeping"),
        ({"retries": 1.5}, "retries must be an integer"),
        ({"tags": "abc"}, "tags must be a list"),
        ({"content_type": "image/png"}, "needs a payload of bytes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_name(options: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        rota.job("t", {"a": 1}, **options)


def test_a_job_by_name() -> None:
    assert sent(rota.job("sleep", {"ms": 5}, delay=2)) == {
        "type": "sleep",
        "payload": {"ms": 5},
        "delay": 2.0,
    }
    assert sent(rota.job("x")) == {"type": "x", "payload": None}
    assert sent(rota.job("x", b"\x00", content_type="image/png")) == {
        "type": "x",
        "payload_base64": "AA==",
        "content_type": "image/png",
    }
    with pytest.raises(TypeError, match=r"payload\.a\[1\] is object"):
        rota.job("x", {"a": [1, object()]})


def test_current_is_for_handlers_only() -> None:
    with pytest.raises(RuntimeError, match="inside a running handler"):
        rota.current()


def test_the_context_refuses_nonsense() -> None:
    context = Context()
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="progress must be a number from 0 to 1"):
            context.progress(value)
    with pytest.raises(ValueError, match="level must be one of debug, info"):
        context.log("x", "loud")
    with pytest.raises(rota.Snooze) as snooze:
        context.snooze(timedelta(seconds=3))
    assert snooze.value.delay == 3.0
    with pytest.raises(ValueError, match="delay"):
        rota.Retry(-1)
