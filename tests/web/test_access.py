"""access: one line for each request."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect

from rota.config import Settings
from tests.web.kit import Site, serving, until


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG, "rota.access")
    return lambda: [
        (record.levelname, "  ".join(record._plain).rsplit("  ", 1)[0])  # type: ignore[attr-defined]
        for record in caplog.records
        if record.name == "rota.access"
    ]


@pytest.fixture
async def dev(store: str) -> AsyncIterator[Site]:
    """A server for development."""
    async with serving(store, Settings(dev=True)) as site:
        yield site


async def test_every_answer_has_its_line_but_probes(dev: Site, lines: Any, caplog: Any) -> None:
    await dev.enqueue("a")
    await dev.get("/livez")
    await dev.get("/v1/jobs", limit=3)
    await dev.get("/nowhere", 404)
    await dev.post("/v1/jobs", {"typ": "a"}, 422)
    assert lines() == [
        ("INFO", "POST /v1/jobs 201"),
        ("INFO", "GET /v1/jobs?limit=3 200"),
        ("WARNING", "GET /nowhere 404"),
        ("WARNING", "POST /v1/jobs 422"),
    ]
    fields = vars(caplog.records[-1])
    assert (fields["method"], fields["path"], fields["status"]) == ("POST", "/v1/jobs", 422)
    assert fields["ms"] >= 0


async def test_a_socket_is_told_when_it_opens_and_when_it_is_refused(dev: Site, lines: Any) -> None:
    async with dev.worker("w1"):
        await until(lambda: lines() == [("INFO", "GET /v1/worker 101")], "the line")
    with pytest.raises(websockets.InvalidStatus):
        async with connect(dev.socket_url, additional_headers={"origin": "http://evil.example"}, proxy=None):
            pass
    assert lines()[1:] == [("WARNING", "GET /v1/worker 403")]


async def test_at_debug_it_is_there_too_and_else_not(store: str, lines: Any) -> None:
    async with serving(store, Settings(log_level="debug")) as site:
        await site.get("/nowhere", 404)
        assert lines() == [("DEBUG", "GET /nowhere 404")]
    async with serving(store) as site:
        await site.get("/nowhere", 404)
        assert len(lines()) == 1
