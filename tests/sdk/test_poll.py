"""The polling worker against an HTTP peer that speaks the bodies by hand."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import msgspec
import pytest

import rota
from rota.model.errors import Unauthorized
from rota.model.protocol import Ending, Hello, Lease, Line, Progress, Stop
from rota.sdk.poll import PollSource
from rota.sdk.source import Disconnected
from rota.sdk.worker import Worker
from tests.sdk.memory import until
from tests.sdk.peer import Asked, Peer, Reply, peer, problem

HELLO = Hello("w1", ("default",), 2, ("t",), "name", "1")


class Server:
    """Answers fetches from a queue of jobs, held as long as they ask; the rest at once."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.stop: list[dict[str, Any]] = []
        self.drain = False
        self.stale = False
        self.hold = False
        self.down: Reply | None = None
        self.over = threading.Event()

    def __call__(self, asked: Asked) -> Reply:
        if self.down is not None:
            return self.down
        body = asked.json
        match asked.path:
            case "/v1/fetch":
                return Reply(200, {"jobs": self.take(body), "lease": 15.0, "beat": 0.1, "drain": self.drain})
            case "/v1/finish":
                answers = [
                    {"id": one["id"], "lease": one["lease"], "applied": not self.stale}
                    | ({"code": "stale_lease", "detail": "Old."} if self.stale else {"state": "done"})
                    for one in body["outcomes"]
                ]
                if self.stale:
                    return problem(409, "stale_lease", "None was good.", answers=answers)
                return Reply(200, {"answers": answers})
            case _:
                if self.hold:
                    self.over.wait(10)
                return Reply(200, {"stop": self.stop, "drain": self.drain})

    def take(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        waited = 0.0
        while len(found) < body["slots"] and not self.over.is_set() and not self.drain:
            try:
                found.append(self.jobs.get_nowait())
            except queue.Empty:
                if found or waited >= body["wait"]:
                    break
                self.over.wait(0.005)
                waited += 0.005
        return found

    def put(self, id: str, **fields: Any) -> None:
        self.jobs.put(
            {"id": id, "lease": 1, "type": "t", "queue": "default", "attempt": 1, "max_attempts": 3, **fields}
        )


def bodies(found: Peer, path: str) -> list[dict[str, Any]]:
    return [asked.json for asked in found.asked if asked.path == path]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def at(server: Server) -> Iterator[Peer]:
    with peer(server) as found:
        yield found
        server.over.set()


@pytest.fixture
async def source(at: Peer) -> AsyncIterator[PollSource]:
    made = PollSource(at.url, "secret", wait=5)
    yield made
    await made.close()


async def soon(wish: Awaitable[Any]) -> Any:
    async with asyncio.timeout(5):
        return await wish


async def test_opening_asks_for_the_terms_and_loses_no_job(
    server: Server, at: Peer, source: PollSource
) -> None:
    server.put("early")
    welcome = await soon(source.open(HELLO))
    assert (welcome.lease, welcome.beat) == (15.0, 0.1)
    assert bodies(at, "/v1/fetch") == [
        {
            "worker": "w1",
            "queues": ["default"],
            "slots": 1,
            "wait": 0.0,
            "types": ["t"],
            "name": "name",
            "version": "1",
        }
    ]
    assert at.asked[0].headers["authorization"] == "Bearer secret"
    assert [job.id for job in await soon(source.claim(2))] == ["early"]


async def test_a_claim_waits_for_jobs(server: Server, at: Peer, source: PollSource) -> None:
    await soon(source.open(HELLO))
    claiming = asyncio.create_task(source.claim(2))
    await until(lambda: len(at.asked) == 2)
    assert not claiming.done()
    server.put("a", payload={"x": 1}, timeout=2.0)
    (job,) = await soon(claiming)
    assert (job.id, msgspec.json.decode(job.payload), job.timeout) == ("a", {"x": 1}, 2.0)
    assert bodies(at, "/v1/fetch")[1]["slots"] == 2
    assert bodies(at, "/v1/fetch")[1]["wait"] == 5


async def test_reports_beats_and_lines(server: Server, at: Peer, source: PollSource) -> None:
    await soon(source.open(HELLO))
    assert await soon(source.finish([])) == []
    (answer,) = await soon(source.finish([Ending("a", 2, "done", msgspec.Raw(b"1"))]))
    assert (answer.id, answer.lease, answer.applied, answer.state) == ("a", 2, True, "done")
    server.stop = [{"id": "a", "lease": 1, "reason": "stale_lease"}]
    assert await soon(source.extend([Lease("a", 1)], [Progress("a", 1, 0.5)])) == [
        Stop("a", 1, "stale_lease")
    ]
    await soon(source.log([Line("a", "text")]))
    assert bodies(at, "/v1/finish") == [{"worker": "w1", "outcomes": [{"id": "a", "lease": 2, "result": 1}]}]
    assert bodies(at, "/v1/beat") == [
        {
            "worker": "w1",
            "leases": [{"id": "a", "lease": 1}],
            "progress": [{"id": "a", "lease": 1, "value": 0.5}],
        },
        {"worker": "w1", "lines": [{"id": "a", "text": "text"}]},
    ]


async def test_a_report_of_which_nothing_was_good_is_an_answer_too(
    server: Server, source: PollSource
) -> None:
    await soon(source.open(HELLO))
    server.stale = True
    answers = await soon(source.finish([Ending("a", 1), Ending("b", 1)]))
    assert [(one.id, one.applied, one.code) for one in answers] == [
        ("a", False, "stale_lease"),
        ("b", False, "stale_lease"),
    ]


async def test_opening_again_says_what_is_held(server: Server, at: Peer, source: PollSource) -> None:
    await soon(source.open(HELLO))
    server.stop = [{"id": "a", "lease": 1, "reason": "stale_lease"}]
    held = msgspec.structs.replace(HELLO, held=(Lease("a", 1),))
    await soon(source.open(held))
    assert bodies(at, "/v1/beat")[0]["leases"] == [{"id": "a", "lease": 1}]
    assert await soon(source.stops()) == [Stop("a", 1, "stale_lease")]
    # No slot may be free, so nothing was fetched.
    assert len(bodies(at, "/v1/fetch")) == 1


async def test_drains(server: Server, at: Peer, source: PollSource) -> None:
    await soon(source.open(HELLO))
    server.drain = True
    await soon(source.extend([], []))
    assert source.drained.is_set()
    claiming = asyncio.create_task(source.claim(1))
    await until(lambda: len(bodies(at, "/v1/fetch")) == 2)
    # Told to take no more, it does not go on asking.
    end = asyncio.get_running_loop().time() + 0.5
    while asyncio.get_running_loop().time() < end:
        await soon(source.extend([], []))
    assert len(bodies(at, "/v1/fetch")) == 2
    claiming.cancel()
    server.drain = False
    await soon(source.open(HELLO))
    assert not source.drained.is_set()


async def test_a_beat_is_not_waited_for_until_the_lease_has_ended(server: Server, source: PollSource) -> None:
    await soon(source.open(HELLO))
    assert source._welcome is not None
    source._welcome = msgspec.structs.replace(source._welcome, lease=0.5)
    server.hold = True
    began = asyncio.get_running_loop().time()
    with pytest.raises(Disconnected, match="does not answer heartbeats"):
        await soon(source.extend([Lease("a", 1)], []))
    assert asyncio.get_running_loop().time() - began < 2


async def test_our_own_drain_gives_up_the_fetch(server: Server, at: Peer, source: PollSource) -> None:
    await soon(source.open(HELLO))
    claiming = asyncio.create_task(source.claim(1))
    await until(lambda: len(at.asked) == 2)
    await soon(source.drain())
    assert bodies(at, "/v1/beat") == [{"worker": "w1", "drain": True}]
    await soon(source.extend([], []))
    assert not claiming.done()
    claiming.cancel()
    assert len(bodies(at, "/v1/fetch")) == 2


async def test_failures(server: Server, source: PollSource) -> None:
    server.down = problem(401, "missing_credentials", "No token.")
    with pytest.raises(Unauthorized):
        await soon(source.open(HELLO))
    for reply in (
        problem(503, "draining", "Later."),
        Reply(hang_up=True),
        Reply(502, b"<html>", "text/html"),
    ):
        server.down = reply
        with pytest.raises(Disconnected):
            await soon(source.open(HELLO))
    server.down = None
    await soon(source.open(HELLO))
    server.down = problem(503, "draining", "Later.")
    for call in (source.claim(1), source.finish([Ending("a", 1)]), source.extend([], []), source.log([])):
        with pytest.raises(Disconnected):
            await soon(call)


async def test_a_whole_worker_by_polling(server: Server, at: Peer) -> None:
    app = rota.App()
    go = asyncio.Event()

    @app.task(name="t")
    async def t(x: int) -> int:
        if x == 2:
            await go.wait()
        return x

    worker = Worker(app, PollSource(at.url), queues=["default"], slots=2)
    task = asyncio.create_task(worker.run())
    server.put("a", payload={"x": 1})
    server.put("b", payload={"x": 2})
    await until(lambda: bodies(at, "/v1/finish"))
    await until(lambda: any(one["leases"] == [{"id": "b", "lease": 1}] for one in bodies(at, "/v1/beat")))
    server.down = problem(503, "draining", "Later.")
    go.set()
    asked = len(at.asked)
    await until(lambda: len(at.asked) > asked + 2)
    server.down = None
    await until(lambda: len(bodies(at, "/v1/finish")) >= 2)
    reported = [one["id"] for body in bodies(at, "/v1/finish") for one in body["outcomes"]]
    assert reported[0] == "a"
    assert set(reported) == {"a", "b"}
    worker.drain()
    await soon(task)
