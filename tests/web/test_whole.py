"""An enqueue that comes in one piece takes a shorter way through the server; nobody may notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rota.config import Settings
from rota.config.secret import Secret
from rota.core.service import Service
from rota.model.job import Kept, Request
from tests.web.bad.kit import head
from tests.web.kit import PATIENCE, Answer, Site, problem, serving, until
from tests.web.zips import zipped

POST = "POST /v1/jobs HTTP/1.1"
JSON = "Content-Type: application/json"
ZIP = "Content-Type: application/zip"
TOKEN = "Authorization: Bearer secret"
BODY = b'{"type": "t", "payload": [1, 2]}'


class Asked(NamedTuple):
    """A request without its Host and its length, and the status of its answer."""

    name: str
    status: int
    lines: tuple[str, ...] = (JSON, TOKEN)
    body: bytes = BODY
    start: str = POST
    coding: str = ""

    def __str__(self) -> str:
        return self.name

    def sent(self, site: Site) -> bytes:
        if self.coding:
            body = b"".join(
                b"%x\r\n%b\r\n" % (len(part), part) for part in (self.body[:7], self.body[7:], b"")
            )
            return head(site, self.start, *self.lines, f"Transfer-Encoding: {self.coding}") + body
        return head(site, self.start, *self.lines, f"Content-Length: {len(self.body)}") + self.body


CASES = [
    Asked("one", 201),
    Asked("many", 201, body=b'{"jobs": [{"type": "t"}, {"type": "u"}]}'),
    Asked("chunks", 201, coding="chunked"),
    Asked("the last one", 201, (JSON, TOKEN, "Connection: close")),
    Asked("HTTP/1.0", 201, start="POST /v1/jobs HTTP/1.0"),
    Asked("another type", 415, ("Content-Type: text/plain", TOKEN)),
    Asked("compressed", 415, (JSON, TOKEN, "Content-Encoding: gzip")),
    Asked("no token", 401, (JSON,)),
    Asked("wrong token", 401, (JSON, "Authorization: Bearer wrong")),
    Asked("another page", 403, (JSON, TOKEN, "Origin: http://elsewhere.example")),
    Asked("two hosts", 400, (JSON, TOKEN, "Host: localhost")),
    Asked("another coding", 400, coding="gzip, chunked"),
    Asked("too long", 413, body=BODY.ljust(2001)),
    Asked("too long in chunks", 413, body=BODY.ljust(2001), coding="chunked"),
    Asked("no JSON", 400, body=b"{"),
    Asked("bad field", 422, body=b'{"type": "t", "priority": 1000}'),
    Asked("twice", 400, body=b'{"type": "t", "payload": {"a": 1, "a": 2}}'),
    Asked("another method", 405, start="PUT /v1/jobs HTTP/1.1"),
    Asked("an archive", 201, (ZIP, TOKEN), zipped()),
    Asked("an archive in chunks", 201, (ZIP, TOKEN), zipped(), coding="chunked"),
    Asked("an archive without a token", 401, (ZIP,), zipped()),
    Asked("no archive", 422, (ZIP, TOKEN), b"x"),
    Asked("an archive with an odd job", 422, (ZIP, TOKEN, "Rota-Job: []"), zipped()),
    Asked("an archive that is too long", 413, (ZIP, TOKEN), zipped(3000)),
]


@pytest.fixture
async def guarded(store: str) -> AsyncIterator[Site]:
    async with serving(
        store, Settings(token=Secret("secret"), body_limit=2000, payload_limit=1000, upload_limit=1500)
    ) as site:
        yield site


class Peer(NamedTuple):
    """A connection and the server's end of it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    end: HttpToolsProtocol

    @classmethod
    @asynccontextmanager
    async def to(cls, site: Site) -> AsyncIterator[Peer]:
        before = set(site.server_state.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        try:
            await until(lambda: set(site.server_state.connections) - before, "the connection")
            [end] = set(site.server_state.connections) - before
            assert isinstance(end, HttpToolsProtocol)
            yield cls(reader, writer, end)
        finally:
            writer.close()

    async def answer(self) -> Answer:
        return await asyncio.wait_for(Answer.read(self.reader), PATIENCE)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)


def shown(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What must not depend on the way."""
    body = answer.json()
    for one in body.get("jobs", [body]):
        one.pop("id", None)
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, body


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_whole_or_in_pieces_the_answer_is_the_same(guarded: Site, case: Asked) -> None:
    sent = case.sent(guarded)
    async with Peer.to(guarded) as peer:
        peer.writer.write(sent)
        whole = await peer.answer()
        assert whole.status_code == case.status
        if whole.headers.get("connection") == "close":
            assert await peer.rest() == b""
        else:
            peer.writer.write(head(guarded, "GET /livez HTTP/1.1"))
            assert (await peer.answer()).json() == {"status": "ok"}
        stored = await guarded.stored()
    async with Peer.to(guarded) as peer:
        peer.writer.write(sent[:-1])
        await until(lambda: peer.end.cycle is not None)
        peer.writer.write(sent[-1:])
        assert shown(await peer.answer()) == shown(whole)
        assert await guarded.stored() == 2 * stored


async def test_a_key_that_stands_for_another_body(site: Site) -> None:
    async with Peer.to(site) as peer:
        for body, status in ((BODY, 201), (BODY, 200), (b'{"type": "u"}', 409)):
            lines = (JSON, "Idempotency-Key: k", f"Content-Length: {len(body)}")
            peer.writer.write(head(site, POST, *lines) + body)
            assert (await peer.answer()).status_code == status
        assert await site.stored() == 1


async def test_a_store_that_refuses(site: Site) -> None:
    await site.service.engine.close()
    async with Peer.to(site) as peer:
        peer.writer.write(Asked("one", 503).sent(site))
        answer = await peer.answer()
        problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"


async def test_what_follows_waits_for_its_turn(site: Site) -> None:
    """All in one piece: answers come in the order of the requests, whatever way those take."""
    id = await site.enqueue()
    one = Asked("one", 201).sent(site)
    async with Peer.to(site) as peer:
        peer.writer.write(
            one
            + head(site, f"GET /v1/jobs/{id}?wait=0.2 HTTP/1.1")
            + one
            + one
            + head(site, "GET /livez HTTP/1.1")
        )
        answers = [await peer.answer() for _ in range(5)]
        assert [answer.status_code for answer in answers] == [201, 200, 201, 201, 200]
        assert (answers[1].json()["id"], answers[4].json()) == (id, {"status": "ok"})
        assert await site.stored() == 4


@pytest.mark.parametrize("body", [b"zz\r\n", b"3\r\n{}"], ids=["no chunk", "a cut one"])
async def test_a_body_that_breaks_in_the_same_piece(site: Site, body: bytes) -> None:
    async with Peer.to(site) as peer:
        peer.writer.write(head(site, POST, JSON, "Transfer-Encoding: chunked") + body + b"zz\r\n\r\n")
        problem(await peer.answer(), 400, "bad_framing")
        assert await peer.rest() == b""
        assert await site.stored() == 0


# while the store writes


class Held:
    """Lets enqueues begin, and end when told to."""

    def __init__(self, service: Service, patch: pytest.MonkeyPatch) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self._enqueue = service.enqueue
        patch.setattr(service, "enqueue", lambda asked: asyncio.ensure_future(self._held(asked)))

    async def _held(self, asked: Request) -> list[Kept]:
        kept = await self._enqueue(asked)
        self.began.set()
        await self.may_end.wait()
        return kept


@pytest.fixture
def held(site: Site, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(site.service, monkeypatch)


async def test_a_server_that_stops_gives_the_answer_and_closes(site: Site, held: Held) -> None:
    async with Peer.to(site) as peer:
        peer.writer.write(Asked("one", 201).sent(site))
        await asyncio.wait_for(held.began.wait(), PATIENCE)
        peer.end.shutdown()
        held.may_end.set()
        answer = await peer.answer()
        assert (answer.status_code, answer.headers["connection"]) == (201, "close")
        assert await peer.rest() == b""


async def test_a_client_that_leaves_leaves_its_job(site: Site, held: Held) -> None:
    async with Peer.to(site) as peer:
        peer.writer.write(Asked("one", 201).sent(site))
        await asyncio.wait_for(held.began.wait(), PATIENCE)
        peer.writer.transport.abort()
        await until(lambda: peer.end not in site.server_state.connections, "its end")
        held.may_end.set()
        assert await site.get("/livez") == {"status": "ok"}
        assert await site.stored() == 1


async def test_waiting_for_the_store_is_no_idling(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No deadline runs meanwhile; all run again afterwards."""
    async with serving(store, Settings(header_timeout=0.1, body_timeout=0.1, keep_alive=0.1)) as site:
        held = Held(site.service, monkeypatch)
        async with Peer.to(site) as peer:
            loop = asyncio.get_running_loop()
            peer.writer.write(Asked("one", 201).sent(site))
            await asyncio.wait_for(held.began.wait(), PATIENCE)
            over = loop.time() + 0.5
            await until(lambda: loop.time() > over)
            held.may_end.set()
            assert (await peer.answer()).status_code == 201
            assert await peer.rest() == b""


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_idle_connection_is_closed_whatever_it_waited_for_before(store: str, pieces: int) -> None:
    """The deadlines before were long ones."""
    async with serving(store, Settings(header_timeout=3600.0, body_timeout=3600.0, keep_alive=0.2)) as site:
        async with Peer.to(site) as peer:
            sent = Asked("one", 201).sent(site)
            if pieces == 2:
                peer.writer.write(sent[:-1])
                await until(lambda: peer.end.cycle is not None)
                sent = sent[-1:]
            peer.writer.write(sent)
            assert (await peer.answer()).status_code == 201
            assert await peer.rest() == b""


async def test_no_answer_is_added_to_those_that_nobody_takes(site: Site) -> None:
    async with Peer.to(site) as peer:
        # As the transport does when its buffer is full.
        peer.end.pause_writing()
        peer.writer.write(Asked("one", 201).sent(site))
        await until(lambda: site.server_state.tasks, "a request that waits to be answered")
        await until(lambda: peer.end.cycle.response_started is False and peer.end.flow.write_paused)
        peer.end.resume_writing()
        assert (await peer.answer()).status_code == 201


async def test_each_request_has_its_own_time(store: str) -> None:
    """Slow heads and bodies on one connection, each in time, all together not."""

    async def passes(seconds: float) -> None:
        over = asyncio.get_running_loop().time() + seconds
        await until(lambda: asyncio.get_running_loop().time() > over)

    async with serving(store, Settings(header_timeout=1.5, body_timeout=1.5)) as site:
        sent = Asked("one", 201).sent(site)
        async with Peer.to(site) as peer:
            for first in (len(sent), 20, len(sent) - 1, 20, len(sent) - 1):
                peer.writer.write(sent[:first])
                await passes(0.05)
                peer.writer.write(sent[first:])
                assert (await peer.answer()).status_code == 201
                await passes(0.8)


async def test_http_1_0_needs_no_host(site: Site) -> None:
    answer = await site.raw(
        f"POST /v1/jobs HTTP/1.0\r\n{JSON}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    )
    assert (answer.status_code, answer.headers["connection"]) == (201, "close")
