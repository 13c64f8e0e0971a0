"""What programs hand to the SDK and should not: told before it is sent, or in the server's own words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import rota
from rota.model.errors import BadInput
from rota.sdk.socket import SocketSource
from rota.sdk.worker import Worker
from tests.server import running_server

LOOP: list[Any] = []
LOOP.append(LOOP)


class Thing:
    """No JSON."""


VALUES = [
    (Thing(), "payload is Thing"),
    ({"items": [0, 1, 2, Thing()]}, "payload.items[3] is Thing"),
    ({"a": (1, {"b": object})}, "payload.a[1].b is type"),
    ("\ud800", "payload is str"),
    ({"a": ["\udfff"]}, "payload.a[0] is str"),
    (float("nan"), "payload is float: NaN and infinity"),
    ({"a": [None, float("inf")]}, "payload.a[1] is float"),
    ({"a": {"b": -float("inf")}}, "payload.a.b is float"),
    (10**5000, "payload is int"),
    (LOOP, "payload[0] is list"),
    ({"f": lambda: None}, "payload.f is function"),
]


@pytest.mark.bad(52, 38, 39, 42)
@pytest.mark.parametrize(("value", "told"), VALUES, ids=[told for _, told in VALUES])
def test_values_that_json_cannot_write_are_named(value: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        rota.job("t", value)
    assert told in str(caught.value)


@pytest.mark.bad(52)
def test_null_beside_numbers_is_no_fault() -> None:
    rota.job("t", {"a": None, "b": [1.5, {"null": None}], "c": "null"})


REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"payload": "a\0b"}, "nul_character", "payload"),
    ({"payload": {"a": "x" * 1_100_000}}, "payload_too_large", "payload"),
    ({"payload": [[[]]] * 400_000}, "payload_too_large", "payload"),
    ({"queue": "no such*"}, "invalid_queue", "queue"),
    ({"priority": 101}, "invalid_priority", "priority"),
    ({"tags": ["x" * 65]}, "invalid_tags", "tags"),
    ({"unique_key": "\u00e4" * 101}, "invalid_unique_key", "unique_key"),
]


@pytest.mark.bad(43, 49, 51, 53, 61, 68)
def test_the_server_says_no_in_the_same_words(tmp_path: Path) -> None:
    """One code and one sentence, over HTTP and in the SDK; nothing is stored."""
    with running_server(tmp_path) as server, rota.Client(server.url) as client:
        for fields, code, field in REFUSED:
            with pytest.raises((BadInput, ValueError)) as caught:
                client.enqueue(rota.job("t", **fields))
            if isinstance(caught.value, BadInput):
                assert (caught.value.code, caught.value.field) == (code, field)
                assert caught.value.detail
        deep: Any = 1
        for _ in range(65):
            deep = [deep]
        with pytest.raises(BadInput) as refusal:
            client.enqueue(rota.job("t", deep))
        assert refusal.value.code == "too_deep"
        assert client.jobs().jobs == ()


@pytest.mark.bad(78, 80)
async def test_what_handlers_say_reaches_the_server_whatever_is_in_it(tmp_path: Path) -> None:
    """NUL and halves of characters, in results, errors, lines and progress; the worker goes on."""
    app = rota.App()

    @app.task
    def returns(text: str) -> Any:
        return {"nan": float("nan"), "nul": "a\0b", "half": "\ud800"}[text]

    @app.task
    def fails() -> None:
        raise rota.Fail("a\0b \ud800")

    @app.task
    def talks(ctx: rota.Context) -> str:
        for _ in range(30):
            ctx.log("a\0b \ud800")
            ctx.progress(0.5, "half \0 way")
        return "done"

    with running_server(tmp_path) as server:
        worker = Worker(app, SocketSource(server.url), queues=["default"])
        async with rota.AsyncClient(server.url) as client:
            running = asyncio.ensure_future(worker.run())
            ended = {}
            for text in ("nan", "nul", "half"):
                ended[text] = await client.run(rota.job("returns", {"text": text}, retries=0), 15)
            failed = await client.run(rota.job("fails", {}, retries=0), 15)
            talked = await client.run(rota.job("talks", {}, retries=0), 15)
            lines = await client.logs(talked.id)
            worker.drain()
            await running
    assert [one.state for one in ended.values()] == ["failed"] * 3
    assert failed.state == "failed"
    assert "a\ufffdb" in str(failed.error)
    assert talked.state == "done"
    assert len(lines.lines) == 30
