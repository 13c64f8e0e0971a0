"""WebSockets below and above their frames: the worker socket and the event socket."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp

from rota.core.service import Service
from rota.web import frames
from rota.web.live import Bounds, WorkerSocket
from tests.web.bad.kit import Case, head, unharmed
from tests.web.kit import NOBODY, PATIENCE, Answer, Json, Site, serving, until

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HELLO = {"op": "hello", "worker": "w1", "queues": ["default"], "slots": 1}


def frame(
    opcode: int, data: bytes, *, fin: bool = True, mask: bool = True, rsv: int = 0, size: int | None = None
) -> bytes:
    """One frame as it goes over the wire, faults and all."""
    length = len(data) if size is None else size
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    if length < 126:
        start = struct.pack("!BB", first, bit | length)
    elif length < 65536:
        start = struct.pack("!BBH", first, bit | 126, length)
    else:
        start = struct.pack("!BBQ", first, bit | 127, length)
    return start + (b"\0\0\0\0" if mask else b"") + data


class Raw:
    """A WebSocket made of bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def next(self) -> tuple[int, bytes]:
        """The next frame of the server."""
        async with asyncio.timeout(PATIENCE):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                [length] = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                [length] = struct.unpack("!Q", await self.reader.readexactly(8))
            return first & 15, await self.reader.readexactly(length)

    async def closed(self) -> int | None:
        """The close code; None where the server just hangs up."""
        try:
            while True:
                opcode, data = await self.next()
                if opcode == CLOSE:
                    return int(struct.unpack("!H", data[:2])[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def said(self) -> Json:
        """The next text."""
        opcode = data = None
        while opcode != TEXT:
            opcode, data = await self.next()
        told: Json = json.loads(data or b"")
        return told


@asynccontextmanager
async def opened(
    site: Site, path: str = "/v1/worker", sock: socket.socket | None = None
) -> AsyncIterator[Raw]:
    if sock is None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    else:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", site.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        writer.write(head(site, f"GET {path} HTTP/1.1", *lines))
        assert (await asyncio.wait_for(Answer.read(reader), PATIENCE)).status_code == 101
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def welcomed(site: Site, sock: socket.socket | None = None) -> AsyncIterator[Raw]:
    async with opened(site, sock=sock) as raw:
        raw.writer.write(frame(TEXT, json.dumps(HELLO).encode()))
        assert (await raw.said())["op"] == "welcome"
        yield raw


# frames that are none

BROKEN = [
    Case(106, "unmasked", frame(TEXT, b"{}", mask=False), 1002, ""),
    Case(106, "reserved bit", frame(TEXT, b"{}", rsv=4), 1002, ""),
    Case(106, "reserved opcode", frame(3, b"{}"), 1002, ""),
    Case(106, "reserved control opcode", frame(11, b""), 1002, ""),
    Case(106, "long ping", frame(PING, b"x" * 126), 1002, ""),
    Case(106, "ping in pieces", frame(PING, b"", fin=False), 1002, ""),
    Case(106, "the rest of nothing", frame(0, b"x"), 1002, ""),
    Case(106, "a text inside a text", frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002, ""),
    Case(106, "no UTF-8", frame(TEXT, b"\xff"), 1007, ""),
    Case(106, "no UTF-8 in pieces", frame(TEXT, b"\xe2", fin=False) + frame(0, b"("), 1007, ""),
    Case(106, "a close of one byte", frame(CLOSE, b"x"), 1002, ""),
    Case(106, "a close code that is none", frame(CLOSE, b"\x00\x01"), 1002, ""),
    Case(106, "a length with the top bit", b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, 1002, ""),
    Case(105, "17 MiB announced", frame(TEXT, b"", size=17 * 1024 * 1024), 1009, ""),
    Case(105, "17 MiB in two pieces", frame(TEXT, b" " * 9 * 1024 * 1024, fin=False) + frame(0, b"", size=8 * 1024 * 1024), 1009, ""),
    Case(106, "2000 empty pieces", frame(TEXT, b"", fin=False) + frame(0, b"", fin=False) * 2000, 1008, ""),
    Case(106, "HTTP", b"GET / HTTP/1.1\r\n\r\n", 1002, ""),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/worker", "/v1/live"])
@pytest.mark.parametrize("case", BROKEN, ids=str)
async def test_what_is_no_frame_closes_the_connection(site: Site, case: Case, path: str) -> None:
    async with opened(site, path) as raw:
        raw.writer.write(case.sent)
        # Where the length has its top bit set, libraries differ in the word for it.
        assert await raw.closed() in {case.status, 1009 if "top bit" in case.name else case.status}
    await until(lambda: not site.service.workers.roster)
    await unharmed(site)


@pytest.mark.bad(106)
async def test_a_message_that_never_ends(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames.Frames, "message_seconds", 0.2)
    async with serving(store) as site, welcomed(site) as raw:
        raw.writer.write(frame(TEXT, b'{"op": ', fin=False))
        assert await raw.closed() == 1008
        await until(lambda: not site.service.workers.roster)


@pytest.mark.bad(106)
async def test_a_message_in_a_thousand_pieces_is_taken(site: Site) -> None:
    text = json.dumps(HELLO).encode().ljust(1000)
    async with opened(site) as raw:
        for at, byte in enumerate(text):
            raw.writer.write(frame(TEXT if at == 0 else 0, bytes([byte]), fin=at == len(text) - 1))
        assert (await raw.said())["op"] == "welcome"


# words

WORDS = [
    Case(104, "nothing", b"", 0, "invalid_json"),
    Case(104, "no JSON", b"hello", 0, "invalid_json"),
    Case(104, "broken off", b'{"op": "beat"', 0, "invalid_json"),
    Case(104, "two", b'{"op": "beat"}{"op": "beat"}', 0, "invalid_json"),
    Case(104, "list", b"[]", 0, "wrong_type"),
    Case(104, "no op", b"{}", 0, "missing_field", "op"),
    Case(104, "unknown op", b'{"op": "dance"}', 0, "wrong_type", "op"),
    Case(104, "op of the server", b'{"op": "welcome", "lease": 1, "beat": 1, "version": ""}', 0, "wrong_type", "op"),
    Case(104, "two ops", b'{"op": "drain", "op": "drain"}', 0, "duplicate_key", "op"),
    Case(104, "unknown field", b'{"op": "beat", "sleases": []}', 0, "unknown_field", "sleases"),
    Case(104, "second hello", json.dumps(HELLO).encode(), 0, "second_hello", "op"),
    Case(104, "missing id", b'{"op": "beat", "leases": [{"lease": 1}]}', 0, "missing_field", "leases[0].id"),
    Case(37, "a key twice", b'{"op": "beat", "leases": [], "leases": []}', 0, "duplicate_key", "leases"),
    Case(38, "NaN", b'{"op": "beat", "progress": [{"id": "x", "lease": 1, "value": NaN}]}', 0, "non_finite_number", "progress[0].value"),
    Case(40, "a lease beyond", b'{"op": "beat", "leases": [{"id": "x", "lease": 9223372036854775808}]}', 0, "out_of_range", "leases[0].lease"),
    Case(41, "100,000 levels", b'{"op": "finish", "outcomes": [{"id": "x", "lease": 1, "result": ' + b"[" * 100_000, 0, "too_deep"),
    Case(43, "NUL", b'{"op": "log", "lines": [{"id": "x", "text": "\\u0000"}]}', 0, "nul_character", "lines[0].text"),
    Case(79, "progress", b'{"op": "beat", "progress": [{"id": "x", "lease": 1, "value": 1.5}]}', 0, "invalid_progress", "value"),
]  # fmt: skip


@pytest.mark.parametrize("case", WORDS, ids=str)
async def test_faulty_words_are_answered_and_the_connection_stays(site: Site, case: Case) -> None:
    await site.enqueue()
    async with site.worker() as worker:
        job = await worker.job()
        await worker.send_raw(case.sent.decode())
        refusal = await worker.refused()
        assert (refusal["code"], refusal.get("field")) == (case.code, case.field), refusal
        assert refusal["detail"][-1] in ".?"
        assert (await worker.done(job))["applied"] is True
    await unharmed(site, 1)


@pytest.mark.bad(104, 106)
async def test_ten_faults_close_the_connection(site: Site) -> None:
    async with site.worker() as worker:
        for _ in range(5):
            await worker.send_raw("nonsense")
            await worker.send_raw(b'{"op": "beat"}')
        assert await worker.closed() == 1008
        assert [one["code"] for one in worker.frames] == ["invalid_json"] * 10
    await unharmed(site)


@pytest.mark.bad(104, 108)
@pytest.mark.parametrize(
    ("sent", "code", "field"),
    [
        ("nonsense", "invalid_json", None),
        ('{"op": "subscribe"}', "missing_field", "topics"),
        ('{"op": "subscribe", "topics": ["*"], "topics": []}', "duplicate_key", "topics"),
        ('{"op": "subscribe", "topics": ["weather"]}', "invalid_topic", "topics"),
        (json.dumps({"op": "subscribe", "topics": ["*"] * 10_001}), "too_many_subscriptions", "topics"),
        ('{"op": "subscribe", "topics": ["*"], "after": "x"}', "invalid_cursor", None),
        ('{"op": "subscribe", "topics": ["*"], "after": "0123456789abcdef-1"}', "invalid_cursor", None),
    ],
)
async def test_faulty_words_on_the_event_socket(site: Site, sent: str, code: str, field: str | None) -> None:
    async with opened(site, "/v1/live") as raw:
        raw.writer.write(frame(TEXT, sent.encode()))
        told = await raw.said()
        assert (told["op"], told["code"], told["field"]) == ("error", code, field)
        raw.writer.write(frame(TEXT, b'{"op": "subscribe", "topics": ["*"], "after": "00000000-1"}'))
        told = await raw.said()
        assert (told["op"], told["reset"]) == ("subscribed", True), "a cursor from long ago is said to be one"
    await unharmed(site)


# silence


def bounded(bounds: Bounds) -> object:
    def make(service: Service) -> ASGIApp:
        return WorkerSocket(service, bounds)

    return make


@pytest.mark.bad(107)
@pytest.mark.parametrize("sent", [b"", frame(PING, b"x"), frame(TEXT, b'{"op": "he', fin=False)])
async def test_no_hello(store: str, sent: bytes) -> None:
    async with serving(store, application=bounded(Bounds(hello_seconds=0.2))) as site, opened(site) as raw:  # type: ignore[arg-type]
        raw.writer.write(sent)
        told = await raw.said()
        assert (told["op"], told["code"]) == ("error", "no_hello")
        assert await raw.closed() == 4401


@pytest.mark.bad(109)
async def test_who_answers_no_ping_is_closed(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rota import app

    made = app._web

    def hasty(*arguments: object) -> object:
        config = made(*arguments)  # type: ignore[arg-type]
        config.ws_ping_interval = config.ws_ping_timeout = 0.1
        return config

    monkeypatch.setattr(app, "_web", hasty)
    async with serving(store) as site, welcomed(site) as raw:
        assert await raw.closed() == 1011
        await until(lambda: not site.service.workers.roster)


def small() -> socket.socket:
    """Room for next to nothing, so that the server's answers pile up on its side."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.setblocking(False)
    return one


@pytest.mark.bad(109)
async def test_who_pings_and_does_not_read_is_cut_off(store: str) -> None:
    async with serving(store) as site, welcomed(site, small()) as raw:
        flood = frame(PING, b"x" * 125) * 1000
        with pytest.raises(ConnectionError):
            while True:
                raw.writer.write(flood)
                await asyncio.wait_for(raw.writer.drain(), PATIENCE)
        await until(lambda: not site.service.workers.roster)
        await unharmed(site)


@pytest.mark.bad(109)
async def test_answers_that_nobody_reads_are_bounded_in_bytes(store: str) -> None:
    """Few frames, but large ones: the server stops listening, and then lets go."""
    bounds = Bounds(max_unsent=1_000_000, stalled_seconds=0.3)
    async with serving(store, application=bounded(bounds)) as site, welcomed(site, small()) as raw:  # type: ignore[arg-type]
        unknown = [{"id": NOBODY, "lease": 1}] * 2000
        report = frame(TEXT, json.dumps({"op": "finish", "outcomes": unknown}).encode())
        sending = asyncio.ensure_future(flood(raw, report))
        await until(lambda: not site.service.workers.roster, "the end of it")
        sending.cancel()
        await asyncio.wait([sending])


async def flood(raw: Raw, report: bytes) -> None:
    while True:
        raw.writer.write(report)
        await raw.writer.drain()


@pytest.mark.bad(109)
async def test_who_reads_slowly_but_reads_is_kept(store: str) -> None:
    bounds = Bounds(max_unsent=1000, stalled_seconds=PATIENCE)
    async with serving(store, application=bounded(bounds)) as site, welcomed(site) as raw:  # type: ignore[arg-type]
        unknown = [{"id": NOBODY, "lease": 1}] * 100
        report = frame(TEXT, json.dumps({"op": "finish", "outcomes": unknown}).encode())
        for _ in range(20):
            raw.writer.write(report * 5)
            for _ in range(5):
                assert len((await raw.said())["answers"]) == 100
        assert "w1" in site.service.workers.roster


@pytest.mark.bad(105)
async def test_jobs_come_in_frames_within_the_limit(site: Site) -> None:
    """Twenty jobs of a megabyte each are more than a frame may hold."""
    ids = [await site.enqueue(payload="x" * 1_000_000) for _ in range(20)]
    async with site.socket(max_size=16 * 1024 * 1024) as worker:
        await worker.hello(slots=20)
        got = await worker.jobs(20)
        assert [job["id"] for job in got] == ids
