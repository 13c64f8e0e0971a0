"""Jobs fetched by long poll (``/v1/fetch``, ``/v1/finish``, ``/v1/beat``), where a WebSocket cannot pass."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import TypeVar

import msgspec

from rota.model.errors import StaleLease, Unavailable
from rota.model.protocol import (
    Answer,
    BeatBody,
    Ending,
    Fetch,
    FinishBody,
    Hello,
    Lease,
    Line,
    Progress,
    Stop,
    Welcome,
    Work,
)
from rota.sdk import calls
from rota.sdk.aclient import AsyncClient
from rota.sdk.calls import Call
from rota.sdk.files import RemoteFiles
from rota.sdk.source import Disconnected

T = TypeVar("T")

WAIT = 30.0
"""Seconds for which the server may hold a fetch."""
LAST_FETCH = 1.0
"""Seconds in which a server that was told of the drain should answer a waiting fetch."""


class PollSource:
    """A :class:`rota.sdk.source.Source` over plain HTTP. ``url`` and ``token`` as for :class:`rota.App`."""

    def __init__(self, url: str | None = None, token: str | None = None, *, wait: float = WAIT) -> None:
        self.drained = asyncio.Event()
        self._client = AsyncClient(url, token, retries=1)
        self._files = RemoteFiles(url, token)
        self._wait = wait
        self._ask = Fetch("", ())
        self._welcome: Welcome | None = None
        self._draining = asyncio.Event()
        self._jobs: deque[Work] = deque()
        self._stops: asyncio.Queue[list[Stop]] = asyncio.Queue()

    async def open(self, hello: Hello) -> Welcome:
        self.drained.clear()
        self._jobs.clear()
        self._ask = Fetch(
            hello.worker, hello.queues, 1, 0.0, hello.types, hello.name, hello.version, hello.sandbox
        )
        if hello.held or self._welcome is not None:
            # All slots may be taken, so nothing is fetched; this keeps what is held, or says that it is lost.
            stops = await self.extend(list(hello.held), [])
            if stops:
                self._stops.put_nowait(stops)
        if self._welcome is None:
            got = await self._send(calls.fetch(self._ask))
            self._jobs.extend(got.jobs)
            self._welcome = Welcome(got.lease, got.beat, "")
        return self._welcome

    async def claim(self, slots: int) -> list[Work]:
        while not self._jobs:
            await self._fetch(slots)
        return [self._jobs.popleft() for _ in range(min(slots, len(self._jobs)))]

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        if not outcomes:
            return []
        try:
            return await self._send(calls.finish(FinishBody(self._ask.worker, outcomes)))
        except StaleLease as error:
            # Said when not one of them was good any more.
            return msgspec.convert(error.extra.get("answers"), list[Answer])

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        return await self._beat(BeatBody(self._ask.worker, leases, progress))

    async def log(self, lines: list[Line]) -> None:
        await self._beat(BeatBody(self._ask.worker, lines=lines))

    async def stops(self) -> list[Stop]:
        return await self._stops.get()

    async def drain(self) -> None:
        # The server answers the fetch that waits; what it brings all the same is handed back.
        self._draining.set()
        await self._beat(BeatBody(self._ask.worker, drain=True))

    async def read_upload(self, lease: Lease, path: Path) -> None:
        await self._files.read_upload(lease, path)

    async def keep_artifact(self, lease: Lease, path: Path) -> None:
        await self._files.keep_artifact(self._ask.worker, lease, path)

    async def close(self) -> None:
        await self._client.close()
        await self._files.close()

    async def _fetch(self, slots: int) -> None:
        ask = msgspec.structs.replace(self._ask, slots=slots, wait=self._wait)
        since = asyncio.get_running_loop().time()
        fetch = asyncio.create_task(self._send(calls.fetch(ask)))
        drain = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({fetch, drain}, return_when=asyncio.FIRST_COMPLETED)
            if not fetch.done():
                await asyncio.wait({fetch}, timeout=LAST_FETCH)
            if not fetch.done():
                # Given up, the server takes back what it would have brought.
                fetch.cancel()
                await _for_ever()
            got = fetch.result()
        finally:
            fetch.cancel()
            drain.cancel()
        self._jobs.extend(got.jobs)
        if got.drain:
            self.drained.set()
        if not got.jobs:
            if self.drained.is_set() or self._draining.is_set():
                await _for_ever()
            if asyncio.get_running_loop().time() - since < 1.0:
                # Whatever cut the wait short must not turn it into a busy loop.
                await asyncio.sleep(min(0.2, self._wait))

    async def _beat(self, body: BeatBody) -> list[Stop]:
        lease = 2.0 if self._welcome is None else self._welcome.lease
        try:
            # Better to connect again in time than to wait for an answer until the leases have ended.
            async with asyncio.timeout(max(1.0, lease / 2)):
                answer = await self._send(calls.beat(body))
        except TimeoutError:
            raise Disconnected("The server does not answer heartbeats.") from None
        if answer.drain:
            self.drained.set()
        return answer.stop

    async def _send(self, call: Call[T]) -> T:
        try:
            return await self._client.send(call)
        except Unavailable as error:
            raise Disconnected(error.detail) from None


async def _for_ever() -> None:
    await asyncio.Event().wait()
