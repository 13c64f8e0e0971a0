"""A fallback: one handler for every type that no task of the app has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import rota
from rota.sdk.worker import Worker
from tests.sdk.memory import Server, Source, until
from tests.sdk.working import ended, value_of, working

both_homes = pytest.mark.parametrize("same_loop", [False, True], ids=["two loops", "one loop"])


@both_homes
async def test_it_runs_the_types_that_no_task_has(same_loop: bool) -> None:
    app = rota.App()

    @app.task
    async def known(payload: Any) -> Any:
        return ["known", payload]

    @app.fallback
    async def others(ctx: rota.Context, payload: Any) -> Any:
        return [ctx.type, payload, ctx.attempt]

    server = Server()
    async with working(app, server, same_loop=same_loop):
        jobs = [server.put("known", 1), server.put("resize", {"a": [1]})]
        jobs += [server.put("a/b.c:d"), server.put("others")]
        await until(lambda: all(job.endings for job in jobs))
    assert [value_of(job.ending) for job in jobs] == [
        ["known", 1],
        ["resize", {"a": [1]}, 1],
        ["a/b.c:d", None, 1],
        ["others", None, 1],
    ]
    assert server.hellos[0].types is None, "any type may come"


@both_homes
async def test_a_plain_function_runs_in_a_thread(same_loop: bool) -> None:
    app = rota.App(queue="mail")

    @app.fallback
    def others(ctx: rota.Context, user: int, text: str = "hello") -> str:
        return f"{ctx.type} {user} {text}"

    assert value_of(await ended(app, "greet", {"user": 7}, same_loop=same_loop)) == "greet 7 hello"
    assert Worker(app, Source(Server())).queues == ("mail",)
    assert others(rota.Context("id", "call"), 1) == "call 1 hello", "it is a function still"


async def test_a_payload_that_does_not_fit_fails_for_good() -> None:
    app = rota.App()

    @app.fallback
    async def others(user: int) -> None: ...

    ending = await ended(app, "greet", {"user": "seven"})
    assert ending.error is not None
    assert (ending.end, ending.retry, ending.error.type) == ("failed", False, "BadPayload")
    assert "user" in ending.error.message


async def test_bytes_and_their_content_type() -> None:
    app = rota.App()

    @app.fallback
    async def others(ctx: rota.Context, payload: bytes) -> Any:
        return [ctx.content_type, payload.decode()]

    server = Server()
    async with working(app, server):
        job = server.put("upload", payload_base64="aGk=", content_type="text/plain")
        await until(lambda: job.endings)
    assert value_of(job.ending) == ["text/plain", "hi"]


async def test_exceptions_of_the_context_mean_what_they_do_in_tasks() -> None:
    app = rota.App()

    @app.fallback
    async def others(ctx: rota.Context, payload: Any) -> None:
        match ctx.type:
            case "again":
                raise rota.Retry(delay=3)
            case "later":
                ctx.snooze(60)
            case "never":
                raise rota.Fail("no")
            case _:
                raise ValueError("boom")

    endings = {type: await ended(app, type) for type in ("again", "later", "never", "breaks")}
    assert [(one.end, one.retry, one.delay) for one in endings.values()] == [
        ("failed", True, 3),
        ("snoozed", True, 60),
        ("failed", False, None),
        ("failed", True, None),
    ]


def test_there_can_be_one() -> None:
    app = rota.App()

    @app.fallback
    async def first(payload: Any) -> None: ...

    with pytest.raises(ValueError, match=r"The app has a fallback already: first\. It can have one\."):

        @app.fallback
        async def second(payload: Any) -> None: ...

    assert app.others is first


def test_a_module_that_is_imported_again_declares_it_again() -> None:
    app = rota.App()

    def declare() -> Any:
        @app.fallback
        async def others(payload: Any) -> None: ...

        return others

    assert declare() is not declare()


def test_what_cannot_come_from_json_is_told_at_once() -> None:
    app = rota.App()
    with pytest.raises(TypeError, match=r"\*args cannot be sent"):

        @app.fallback
        async def others(*args: int) -> None: ...


async def test_a_worker_with_a_fallback_and_nothing_else_works() -> None:
    app = rota.App()

    @app.fallback
    async def others(payload: lambda: None) -> None: ...  # type: ignore[valid-type]

    with pytest.raises(TypeError):
        await asyncio.wait_for(Worker(app, Source(Server())).run(), 10)
