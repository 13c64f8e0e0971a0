"""audience: all are told the same in the same order, and those who do not read are let go."""

from __future__ import annotations

import asyncio
from typing import Any

from rota.web.fronts.pqexec.audience import SLOW, Audience, Bounds
from tests.web.kit import until


class Client:
    """An ASGI client; while ``reads`` is not set it takes nothing."""

    def __init__(self, audience: Audience) -> None:
        self.got: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._says.put_nowait({"type": "websocket.connect"})
        self.done = asyncio.ensure_future(audience({"type": "websocket"}, self._says.get, self._take))

    @property
    def texts(self) -> list[str]:
        return [one["text"] for one in self.got if one["type"] == "websocket.send"]

    def say(self, text: str = "") -> None:
        self._says.put_nowait({"type": "websocket.receive", "text": text})

    async def leave(self) -> None:
        self._says.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.done

    async def _take(self, message: Any) -> None:
        await self.reads.wait()
        self.got.append(message)


async def test_the_first_message_is_greeted_and_later_ones_reminded() -> None:
    audience = Audience("hello", "read")
    client, other = Client(audience), Client(audience)
    await until(lambda: len(audience) == 2)
    for _ in range(3):
        client.say()
    other.say()
    await until(lambda: len(client.texts) == 3 and other.texts)
    assert client.texts == ["hello", "read", "read"]
    assert other.texts == ["hello"]
    await client.leave()
    await other.leave()
    assert not audience


async def test_who_does_not_read_is_let_go_and_holds_up_nobody() -> None:
    audience = Audience("hello", "read", Bounds(texts=10))
    stuck, reader = Client(audience), Client(audience)
    await until(lambda: len(audience) == 2)
    stuck.reads.clear()
    told: list[str] = []
    for number in range(100):
        told.append(str(number))
        audience.tell(told[-1])
        await until(lambda: len(reader.texts) == len(told))
    await until(lambda: len(audience) == 1, "the end of the stuck one")
    assert reader.texts == told
    stuck.reads.set()
    await stuck.done
    assert stuck.got[-1] == {"type": "websocket.close", "code": SLOW}
    assert stuck.texts == []
    await reader.leave()


async def test_a_large_text_reaches_all_who_read_but_no_second_one_waits_behind_it() -> None:
    audience = Audience("hello", "read", Bounds(characters=10))
    client = Client(audience)
    await until(lambda: len(audience) == 1)
    audience.tell("x" * 1000)
    await until(lambda: client.texts == ["x" * 1000])
    client.reads.clear()
    audience.tell("y" * 1000)
    audience.tell("z")
    client.reads.set()
    await client.done
    assert client.got[-1]["code"] == SLOW
