"""The worker socket against a peer that speaks the frames by hand, in plain JSON."""

from __future__ import annotations

import asyncio
import http
import json
import socket
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import msgspec
import pytest
from websockets.http11 import Response

import rota
from rota.model.errors import BadInput, Forbidden, Unauthorized
from rota.model.protocol import Ending, Hello, Lease, Line, Progress, Stop
from rota.sdk.socket import SocketSource
from rota.sdk.source import Disconnected
from rota.sdk.worker import Worker
from tests.sdk.memory import until
from tests.sdk.socket_peer import WELCOME, Peer, peering

HELLO = Hello("w1", ("default",), 2, ("t",), "name", "1", (Lease("held", 3),))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with peering() as found:
        yield found


@pytest.fixture
async def source(peer: Peer) -> AsyncIterator[SocketSource]:
    made = SocketSource(peer.url, "secret")
    yield made
    await made.close()
    await made.close()


def work(id: str, lease: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": id, "lease": lease, "type": "t", "queue": "q", "attempt": 1, "max_attempts": 3, **fields}


async def soon(wish: Awaitable[Any]) -> Any:
    async with asyncio.timeout(5):
        return await wish


async def test_hello_and_welcome(peer: Peer, source: SocketSource) -> None:
    welcome = await source.open(HELLO)
    assert (welcome.lease, welcome.beat, welcome.version) == (3.0, 1.0, "9")
    assert peer.frames == [
        {
            "op": "hello",
            "worker": "w1",
            "queues": ["default"],
            "slots": 2,
            "types": ["t"],
            "name": "name",
            "version": "1",
            "held": [{"id": "held", "lease": 3}],
        }
    ]
    request = peer.requests[0]
    assert request.path == "/v1/worker"
    assert request.headers["Authorization"] == "Bearer secret"
    assert "Sec-WebSocket-Extensions" not in request.headers


async def test_jobs_come_in_frames_and_are_claimed_up_to_the_slots(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    waiting = asyncio.create_task(source.claim(2))
    frame = [
        work("a", payload={"x": [1, "ä"]}, timeout=2.5, new_field=1),
        work("b"),
        work("c", payload_base64="AA=="),
    ]
    await peer.say({"op": "jobs", "jobs": frame})
    first = await soon(waiting)
    second = await soon(source.claim(5))
    assert [job.id for job in first + second] == ["a", "b", "c"]
    assert (msgspec.json.decode(first[0].payload), first[0].timeout) == ({"x": [1, "ä"]}, 2.5)
    assert second[0].payload_base64 == "AA=="


async def test_endings_are_reported_and_answered(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    answers = await soon(
        source.finish([Ending("a", 1, "done", msgspec.Raw(b"[1]")), Ending("b", 2, "snoozed", delay=3.0)])
    )
    assert [(one.id, one.lease, one.applied) for one in answers] == [("a", 1, True), ("b", 2, True)]
    assert peer.named("finish") == [
        {
            "op": "finish",
            "outcomes": [
                {"id": "a", "lease": 1, "result": [1]},
                {"id": "b", "lease": 2, "end": "snoozed", "delay": 3.0},
            ],
        }
    ]


async def test_answers_may_come_in_any_order(peer: Peer, source: SocketSource) -> None:
    held: list[dict[str, Any]] = []

    def hold(frame: dict[str, Any]) -> None:
        if frame["op"] == "finish":
            held.append(peer.agree(frame) or {})

    peer.answer = hold
    await source.open(HELLO)
    reports = [asyncio.create_task(source.finish([Ending(id, 1)])) for id in "abc"]
    await until(lambda: len(held) == 3)
    for answer in reversed(held):
        await peer.say(answer)
    assert [(await soon(report))[0].id for report in reports] == ["a", "b", "c"]


async def test_a_report_that_is_too_large_for_a_frame_is_split(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    big = msgspec.Raw(b'"' + b"x" * 6_000_000 + b'"')
    answers = await soon(source.finish([Ending(str(n), 1, "done", big) for n in range(4)]))
    assert [one.id for one in answers] == ["0", "1", "2", "3"]
    assert [len(frame["outcomes"]) for frame in peer.named("finish")] == [2, 2]


async def test_beats_progress_and_lines(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    assert await soon(source.extend([Lease("a", 1)], [Progress("a", 1, 0.5, "half")])) == []
    await soon(source.log([Line("a", "text", "error", "2026-01-01T00:00:00Z")]))
    await until(lambda: len(peer.frames) == 3)
    assert peer.frames[1:] == [
        {
            "op": "beat",
            "leases": [{"id": "a", "lease": 1}],
            "progress": [{"id": "a", "lease": 1, "value": 0.5, "message": "half"}],
        },
        {"op": "log", "lines": [{"id": "a", "text": "text", "level": "error", "at": "2026-01-01T00:00:00Z"}]},
    ]


async def test_a_beat_counts_only_when_the_server_has_got_it(
    peer: Peer, source: SocketSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open: bytes go out, nothing comes back, no error either."""
    peer.welcome = {**WELCOME, "lease": 0.5}
    await source.open(HELLO)
    transport = peer.sockets[0].transport
    transport.pause_reading()
    began = asyncio.get_running_loop().time()
    with pytest.raises(Disconnected, match="does not answer heartbeats"):
        await soon(source.extend([Lease("a", 1)], []))
    assert asyncio.get_running_loop().time() - began < 2
    transport.resume_reading()


async def test_stops_and_drain(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    await peer.say({"op": "cancel", "jobs": [{"id": "a", "lease": 1, "reason": "cancelled"}]})
    assert await soon(source.stops()) == [Stop("a", 1, "cancelled")]
    assert not source.drained.is_set()
    await peer.say({"op": "drain"})
    await soon(source.drained.wait())
    await source.open(HELLO)
    assert not source.drained.is_set()


async def test_draining_hands_back_what_was_under_way(peer: Peer, source: SocketSource) -> None:
    def cross(frame: dict[str, Any]) -> dict[str, Any] | None:
        # The jobs were sent before the drain was read.
        if frame["op"] == "drain":
            return {"op": "jobs", "jobs": [work("x", 4), work("y", 5)]}
        return peer.agree(frame)

    peer.answer = cross
    await source.open(HELLO)
    await soon(source.drain())
    assert [frame["op"] for frame in peer.frames] == ["hello", "drain", "finish", "finish"]
    assert peer.frames[-1]["outcomes"] == [
        {"id": "x", "lease": 4, "end": "released"},
        {"id": "y", "lease": 5, "end": "released"},
    ]


async def test_jobs_that_nobody_claims_are_kept_alive_and_then_handed_back(
    peer: Peer, source: SocketSource
) -> None:
    peer.welcome = {**WELCOME, "beat": 0.2}
    await source.open(HELLO)
    await peer.say({"op": "jobs", "jobs": [work("a"), work("b")]})
    assert [job.id for job in await soon(source.claim(1))] == ["a"]
    loop = asyncio.get_running_loop()
    for beat in (loop.time(), loop.time() + 0.21):
        while loop.time() < beat:
            await soon(source.log([]))
        await soon(source.extend([Lease("a", 1)], []))
    assert [frame["leases"] for frame in peer.named("beat")] == [
        [{"id": "a", "lease": 1}, {"id": "b", "lease": 1}],
        [{"id": "a", "lease": 1}],
    ]
    assert peer.named("finish")[0]["outcomes"] == [{"id": "b", "lease": 1, "end": "released"}]


@pytest.mark.parametrize("call", ["claim", "finish", "extend", "log", "drain"])
async def test_every_call_tells_that_the_connection_is_gone(
    peer: Peer, source: SocketSource, call: str
) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "claim": (1,),
        "finish": ([Ending("a", 1)],),
        "extend": ([], []),
        "log": ([],),
        "drain": (),
    }
    with pytest.raises(Disconnected):
        await soon(getattr(source, call)(*arguments[call]))
    await source.open(HELLO)
    peer.mute = True
    under_way = asyncio.create_task(source.claim(1) if call == "claim" else source.finish([Ending("z", 1)]))
    await until(lambda: call == "claim" or len(peer.frames) == 2)
    peer.sockets[0].transport.abort()
    with pytest.raises(Disconnected):
        await soon(under_way)
    with pytest.raises(Disconnected):
        await soon(getattr(source, call)(*arguments[call]))
    # What the server had pushed is not ours any more; a new connection begins anew.
    peer.mute = False
    await source.open(HELLO)
    assert len(peer.sockets) == 2


async def test_jobs_of_a_lost_connection_are_forgotten(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    await peer.say({"op": "jobs", "jobs": [work("old")]})
    await soon(source.extend([], []))
    await source.open(HELLO)
    await peer.say({"op": "jobs", "jobs": [work("new")]})
    assert [job.id for job in await soon(source.claim(5))] == ["new"]


async def test_frames_that_are_none_end_the_connection(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    claiming = asyncio.create_task(source.claim(1))
    await peer.say("{nonsense")
    with pytest.raises(Disconnected, match="frame that is none"):
        await soon(claiming)


async def test_what_a_newer_server_says_is_passed_over(peer: Peer, source: SocketSource) -> None:
    await source.open(HELLO)
    await peer.say({"op": "greeting", "to": "everybody"})
    await peer.say({"op": "jobs", "jobs": [work("a")]})
    assert [job.id for job in await soon(source.claim(1))] == ["a"]
    await peer.say({"op": "jobs", "jobs": [{"id": "b"}]})
    with pytest.raises(Disconnected, match="frame that is none"):
        await soon(source.claim(1))


async def test_a_refused_frame_reaches_the_report_that_waits(peer: Peer, source: SocketSource) -> None:
    peer.answer = lambda frame: {"op": "error", "code": "invalid_frame", "detail": "No.", "field": "outcomes"}
    await source.open(HELLO)
    with pytest.raises(BadInput, match=r"No\.") as caught:
        await soon(source.finish([Ending("a", 1)]))
    assert (caught.value.code, caught.value.field) == ("invalid_frame", "outcomes")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"code": "missing_credentials", "detail": "No token."}, Unauthorized),
        (403, {"code": "forbidden", "detail": "Not you."}, Forbidden),
        (503, {"code": "draining", "detail": "Later."}, Disconnected),
        (502, {}, Disconnected),
        (500, {}, Disconnected),
    ],
)
async def test_refusals(
    peer: Peer, source: SocketSource, status: int, body: dict[str, str], kind: type[Exception]
) -> None:
    peer.refuse = http_response(status, body)
    with pytest.raises(kind) as caught:
        await soon(source.open(HELLO))
    if body:
        assert body["detail"] in str(caught.value)


def http_response(status: int, body: dict[str, str]) -> Response:
    from websockets.datastructures import Headers

    data = json.dumps(body).encode()
    headers = Headers({"Content-Type": "application/problem+json", "Content-Length": str(len(data))})
    return Response(status, http.HTTPStatus(status).phrase, headers, data)


async def test_a_hello_that_is_refused_says_why(peer: Peer, source: SocketSource) -> None:
    peer.welcome = {
        "op": "error",
        "code": "invalid_queues",
        "detail": "queues must name 1 to 100.",
        "field": "queues",
    }
    with pytest.raises(BadInput, match="1 to 100") as caught:
        await soon(source.open(HELLO))
    assert (caught.value.code, caught.value.field) == ("invalid_queues", "queues")


async def test_nobody_at_home() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(Disconnected, match=f"No Rota server answers at {url}"):
            await soon(SocketSource(url).open(HELLO))


async def test_a_whole_worker_over_a_socket(peer: Peer) -> None:
    """Jobs, a cut, the ending that was under way told again."""
    app = rota.App()
    go = asyncio.Event()

    @app.task(name="t")
    async def t(x: int) -> int:
        if x == 2:
            await go.wait()
        return x

    worker = Worker(app, SocketSource(peer.url), queues=["default"], slots=4)
    task = asyncio.create_task(worker.run())
    await until(lambda: peer.named("hello"))
    await peer.say({"op": "jobs", "jobs": [work("a", payload={"x": 1}), work("b", payload={"x": 2})]})
    await until(lambda: peer.named("finish"))
    assert peer.named("finish")[0]["outcomes"] == [{"id": "a", "lease": 1, "result": 1}]
    peer.sockets[0].transport.abort()
    await until(lambda: len(peer.named("hello")) == 2)
    assert peer.named("hello")[1]["held"] == [{"id": "b", "lease": 1}]
    assert peer.named("hello")[1]["worker"] == peer.named("hello")[0]["worker"] == worker.id
    go.set()
    await until(lambda: len(peer.named("finish")) == 2)
    assert peer.named("finish")[1]["outcomes"] == [{"id": "b", "lease": 1, "result": 2}]
    worker.drain()
    await soon(task)
    assert peer.named("drain")


async def test_a_server_without_its_store_is_left_and_the_report_kept(
    peer: Peer, source: SocketSource
) -> None:
    """What it cannot take just now is no fault of the report, and none of the worker."""
    again = {"op": "error", "code": "store_unavailable", "detail": "The store is away.", "again": True}
    peer.answer = lambda frame: again if frame["op"] == "finish" else None
    await soon(source.open(HELLO))
    with pytest.raises(Disconnected, match="The store is away"):
        await soon(source.finish([Ending("j1", 1)]))
    peer.welcome = again
    with pytest.raises(Disconnected, match="The store is away"):
        await soon(source.open(HELLO))


async def test_an_answer_belongs_to_the_report_with_just_its_endings(
    peer: Peer, source: SocketSource
) -> None:
    peer.answer = lambda frame: None
    await soon(source.open(HELLO))
    both = asyncio.create_task(source.finish([Ending("j1", 1), Ending("j2", 1)]))
    first = asyncio.create_task(source.finish([Ending("j1", 1)]))
    await until(lambda: len(peer.named("finish")) == 2)
    told = [{"id": id, "lease": 1, "applied": True} for id in ("j1", "j2")]
    await peer.say({"op": "finished", "answers": told})
    assert len(await soon(both)) == 2
    assert not first.done()
    await peer.say({"op": "finished", "answers": told[:1]})
    assert len(await soon(first)) == 1
