"""An app's fallback in the tests of its program."""

from __future__ import annotations

from typing import Any

import pytest

import rota
from rota.testing import run


def test_it_runs_the_types_that_no_task_has() -> None:
    app = rota.App()

    @app.task
    def known(x: int) -> int:
        return x

    @app.fallback
    def others(ctx: rota.Context, payload: Any) -> Any:
        if payload == "break":
            raise rota.Fail("broken")
        return [ctx.type, payload]

    with run(app) as t:
        one = known.enqueue(1)
        two = app.enqueue(rota.job("resize", {"a": 1}))
        three = app.enqueue(rota.job("crop", "break"))
        assert t.run_due() == {"done": 2, "failed": 1}
        assert t.assert_done(one) == 1
        assert t.assert_done(two) == ["resize", {"a": 1}]
        assert three.status().state == "failed"


def test_a_worker_can_be_lost_at_it() -> None:
    app = rota.App()
    attempts: list[int] = []

    @app.fallback
    async def others(ctx: rota.Context, payload: Any) -> int:
        attempts.append(ctx.attempt)
        return ctx.attempt

    with run(app) as t:
        handle = app.enqueue(rota.job("resize", 1))
        t.lose_worker("resize")
        assert t.run_due() == {}
        assert t.advance("4s") == {"done": 1}
        assert t.assert_done(handle) == 2
    assert attempts == [1, 2]


def test_two_apps_cannot_both_have_one() -> None:
    one, two = rota.App(), rota.App()

    @one.fallback
    async def others(payload: Any) -> None: ...

    @two.fallback
    async def more(payload: Any) -> None: ...

    with pytest.raises(ValueError, match="Two of the apps have a fallback"), run(one, two):
        pass
