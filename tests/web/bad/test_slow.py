"""Clients that crawl, stop half-way, never ask, never read, or come in crowds. Deadlines are set short; what is
waited for is always the server's own act.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from rota.config import Settings
from tests.server import running_server
from tests.web.bad.kit import head, say, unharmed
from tests.web.kit import PATIENCE, Answer, Site, problem, serving, until

SHORT = Settings(header_timeout=0.2, body_timeout=0.3, keep_alive=0.4)
PATIENT = Settings(header_timeout=3600.0, body_timeout=3600.0, keep_alive=3600.0)
JSON = "Content-Type: application/json"
BODY = b'{"type": "t"}'
POST = ("POST /v1/jobs HTTP/1.1", JSON)


class Peer:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, site: Site) -> Peer:
        return cls(*await asyncio.open_connection("127.0.0.1", site.port))

    async def answer(self) -> Answer:
        return await asyncio.wait_for(Answer.read(self.reader), PATIENCE)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        except ConnectionResetError:
            return b""
        finally:
            self.writer.close()

    async def drip(self, sent: bytes) -> Answer:
        """Send byte by byte until the server has enough of it."""
        answer = asyncio.ensure_future(Answer.read(self.reader))
        for byte in sent:
            self.writer.write(bytes([byte]))
            done, _ = await asyncio.wait([answer], timeout=0.02)
            if done:
                break
        return await asyncio.wait_for(answer, PATIENCE)


# the first word, the head, the body


@pytest.mark.bad(14)
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n\r\n"], ids=["nothing", "a line", "lines"])
async def test_who_asks_nothing_is_closed(store: str, sent: bytes) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(sent)
        assert await peer.rest() == b""
        await unharmed(site)


@pytest.mark.bad(14)
@pytest.mark.parametrize(
    "sent", [b"P", b"POST /v1/jo", b"POST /v1/jobs HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: y"]
)
async def test_half_a_head(store: str, sent: bytes) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(sent)
        told = problem(await peer.answer(), 408, "request_timeout")
        assert "0.2 seconds" in told["detail"]
        assert await peer.rest() == b""
        await unharmed(site)


@pytest.mark.bad(14)
async def test_a_head_byte_by_byte(store: str) -> None:
    """Every byte is in time; the head is not."""
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        problem(await peer.drip(head(site, *POST, "X: " + "y" * 5000)), 408, "request_timeout")
        assert await peer.rest() == b""
        await unharmed(site)


@pytest.mark.bad(14)
@pytest.mark.parametrize(
    "lines", [("Content-Length: 1000",), ("Transfer-Encoding: chunked",)], ids=["length", "chunks"]
)
@pytest.mark.parametrize("sent", [b"", b'4\r\n{"ty'], ids=["nothing", "a piece"])
async def test_half_a_body(store: str, lines: tuple[str, ...], sent: bytes) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(head(site, *POST, *lines) + sent)
        told = problem(await peer.answer(), 408, "request_timeout")
        assert "16384 bytes" in told["detail"]
        assert await peer.rest() == b""
        await unharmed(site)


@pytest.mark.bad(14)
async def test_a_body_byte_by_byte(store: str) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        answer = await peer.drip(head(site, *POST, "Content-Length: 5000") + b" " * 5000)
        problem(answer, 408, "request_timeout")
        assert await peer.rest() == b""
        await unharmed(site)


@pytest.mark.bad(14)
async def test_a_body_that_flows_may_take_longer(store: str) -> None:
    """A second more for each 16 KiB: this one has earned them."""
    async with serving(store, SHORT) as site:
        body = BODY.ljust(200_000)
        peer = await Peer.to(site)
        peer.writer.write(head(site, *POST, f"Content-Length: {len(body)}") + body[:-1])
        loop = asyncio.get_running_loop()
        over = loop.time() + 4 * SHORT.body_timeout
        await until(lambda: loop.time() > over)
        peer.writer.write(body[-1:])
        assert (await peer.answer()).status_code == 201
        peer.writer.close()


@pytest.mark.bad(14)
async def test_a_body_that_nobody_wants_has_a_deadline_too(store: str) -> None:
    """The answer was given before the body came; the rest of it may not take for ever."""
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(head(site, "POST /v1/jobs HTTP/1.1", "Content-Length: 1000"))
        problem(await peer.answer(), 415, "unsupported_media_type")
        assert await peer.rest() == b""
        await unharmed(site)


# between requests


@pytest.mark.bad(14)
async def test_an_idle_connection_is_closed(store: str) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(head(site, "GET /livez HTTP/1.1"))
        assert (await peer.answer()).status_code == 200
        assert await peer.rest() == b""


@pytest.mark.bad(14)
@pytest.mark.parametrize("sent", [b"GET /liv", b"\r\n"])
async def test_half_a_second_request(store: str, sent: bytes) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(head(site, "GET /livez HTTP/1.1"))
        assert (await peer.answer()).status_code == 200
        peer.writer.write(sent)
        rest = await peer.rest()
        assert rest == b"" if sent == b"\r\n" else rest.startswith(b"HTTP/1.1 408 ")


@pytest.mark.bad(14)
async def test_half_a_second_body(store: str) -> None:
    async with serving(store, SHORT) as site:
        peer = await Peer.to(site)
        peer.writer.write(head(site, "GET /livez HTTP/1.1"))
        assert (await peer.answer()).status_code == 200
        peer.writer.write(head(site, *POST, "Content-Length: 1000"))
        problem(await peer.answer(), 408, "request_timeout")
        assert await peer.rest() == b""
        await unharmed(site)


@pytest.mark.bad(14)
async def test_waiting_for_an_answer_is_no_idling(store: str) -> None:
    """A long poll lasts longer than any of the deadlines, with half a request behind it."""
    async with serving(store, SHORT) as site:
        id = await site.enqueue()
        peer = await Peer.to(site)
        peer.writer.write(head(site, f"GET /v1/jobs/{id}?wait=1 HTTP/1.1") + b"GET /liv")
        answer = await peer.answer()
        assert (answer.status_code, answer.json()["state"]) == (200, "pending")
        assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.bad(14)
async def test_in_time_nothing_is_cut_off(store: str) -> None:
    """Pieces of every size, with pauses well within the bounds, on one connection."""
    async with serving(store, PATIENT) as site:
        peer = await Peer.to(site)
        whole = head(site, *POST, f"Content-Length: {len(BODY)}") + BODY
        for size in (1, 7, 50, 1000):
            for start in range(0, len(whole), size):
                peer.writer.write(whole[start : start + size])
                await peer.writer.drain()
                await asyncio.sleep(0)
            assert (await peer.answer()).status_code == 201
        peer.writer.close()
        assert await site.stored() == 4


# peers that do not read


@pytest.mark.bad(109)
async def test_a_client_that_never_reads_is_cut_off(store: str) -> None:
    async with serving(store, SHORT) as site:
        id = await site.enqueue()
        async with site.worker() as worker:
            await worker.done(await worker.job(), result="x" * 1_000_000)
        before = set(connections(site))
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", site.port))
        ask = head(site, f"GET /v1/jobs/{id}/result HTTP/1.1") * 50
        await asyncio.get_running_loop().sock_sendall(deaf, ask)
        await until(lambda: set(connections(site)) - before, "the connection")
        [mine] = set(connections(site)) - before
        await until(lambda: mine not in connections(site), "its end")
        deaf.close()
        await unharmed(site, 1)


def connections(site: Site) -> list[object]:
    """What the server has open."""
    return list(site.server_state.connections)


# crowds


FEW = Settings(connections=10)


@pytest.mark.bad(14)
async def test_more_connections_than_there_may_be(store: str) -> None:
    async with serving(store, FEW) as site, AsyncExitStack() as stack:
        peers = []
        for _ in range(10):
            peer = await Peer.to(site)
            stack.callback(peer.writer.close)
            peer.writer.write(head(site, "GET /livez HTTP/1.1"))
            assert (await peer.answer()).status_code == 200
            peers.append(peer)
        [answer], closed = await say(site, head(site, *POST, f"Content-Length: {len(BODY)}") + BODY)
        told = problem(answer, 503, "too_many_connections")
        assert "10 connections" in told["detail"]
        assert answer.headers["retry-after"] == "1"
        assert closed
        # Probes are answered all the same, and so are those who were there before.
        [answer], _ = await say(site, head(site, "GET /readyz HTTP/1.1", "Connection: close"))
        assert answer.status_code == 200
        peers[0].writer.write(head(site, *POST, f"Content-Length: {len(BODY)}") + BODY)
        assert (await peers[0].answer()).status_code == 201
        peers[1].writer.close()
        await until(lambda: len(connections(site)) < 10)
        assert await site.stored() == 1
        assert (await site.get("/v1/stats"))["enqueued"] == 1


@pytest.mark.bad(14)
async def test_a_crowd_beyond_all_bounds_is_closed_at_once(store: str) -> None:
    async with serving(store, FEW) as site, AsyncExitStack() as stack:
        peers = [await Peer.to(site) for _ in range(150)]
        for peer in peers:
            stack.callback(peer.writer.close)
        await until(lambda: len(connections(site)) == 110, "the last that are kept")
        assert await peers[-1].rest() == b""


# as people run it


@pytest.mark.bad(14)
def test_the_settings_reach_a_server_of_its_own(tmp_path: Path) -> None:
    env = {"ROTA_HEADER_TIMEOUT": "1s", "ROTA_BODY_TIMEOUT": "300ms", "ROTA_CONNECTIONS": "10"}
    with running_server(tmp_path, env=env) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, PATIENCE) as peer:
            assert peer.recv(1000) == b""
        with socket.create_connection(address, PATIENCE) as peer:
            peer.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
                + JSON.encode()
                + b"\r\nContent-Length: 9\r\n\r\n{"
            )
            assert peer.recv(1000).startswith(b"HTTP/1.1 408 ")
        crowd = [socket.create_connection(address, PATIENCE) for _ in range(10)]
        answer = httpx2.get(server.url + "/v1/stats", trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_connections")
        for peer in crowd:
            peer.close()
