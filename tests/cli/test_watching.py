"""The log lines of a watched job come twice, as they are read and as events: each is told once."""

from __future__ import annotations

import asyncio

import rota as sdk
from rota.commands.watching import Log
from rota.sdk.events import Event
from tests.cli.kit import Cli


async def lines_of(rota: Cli, client: sdk.AsyncClient) -> tuple[str, list[Event]]:
    """A job that wrote two lines, and the events of them."""
    async with asyncio.timeout(20):
        events = client.events()
        assert (await anext(events)).event == "ready"
        id = rota.put("nap", '{"seconds": 0}')
        told: list[Event] = []
        # A line is told once it is kept.
        while len(told) < 2:
            event = await anext(events)
            if event.id == id and event.event == "log":
                told.append(event)
        return id, told


async def test_lines_that_were_read_are_not_told_again(rota: Cli) -> None:
    async with sdk.AsyncClient(rota.url) as client:
        id, events = await lines_of(rota, client)
        log = Log(0)
        assert [line.text for line in await log.news(client, id)] == ["lying down", "getting up"]
        assert [log.told(event) for event in events] == [True, True]
        assert not log.told(events[0]), "a line like it, written once more"


async def test_lines_that_were_told_are_not_read_again(rota: Cli) -> None:
    async with sdk.AsyncClient(rota.url) as client:
        id, events = await lines_of(rota, client)
        log = Log(0)
        assert not log.told(events[0])
        assert [line.text for line in await log.news(client, id)] == ["getting up"]
        assert await log.news(client, id) == []
