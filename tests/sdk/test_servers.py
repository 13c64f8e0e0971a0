"""A URL that names several servers: whichever answers is asked, workers take their jobs along."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import rota
from rota.model.errors import BadConfig, BadInput, RotaError, Unavailable
from rota.model.protocol import Hello, Lease
from rota.sdk import transport
from rota.sdk.address import Servers, find_urls
from rota.sdk.poll import PollSource
from rota.sdk.socket import SocketSource
from rota.sdk.source import Disconnected
from tests.sdk.peer import Asked, Peer, Reply, peer, problem
from tests.sdk.socket_peer import peering

HELLO = Hello("w", ("default",), 2, ("t",), "name", "1", held=(Lease("j1", 3),))


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may begin with any server begins with the first one."""
    monkeypatch.setattr("rota.sdk.address.random.randrange", lambda count: 0)


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def created(asked: Asked) -> Reply:
    return Reply(201, {"id": "j1", "state": "pending", "queue": "default", "type": "t", "created": True})


@pytest.fixture(params=["blocking", "asynchronous"])
def enqueue(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``enqueue(url, times)`` with one client; the server that it asks afterwards."""

    def blocking(url: str, times: int = 1) -> str:
        with rota.Client(url, retries=1) as client:
            for _ in range(times):
                client.enqueue(rota.job("t"))
            return client.url

    def asynchronous(url: str, times: int = 1) -> str:
        async def call() -> str:
            async with rota.AsyncClient(url, retries=1) as client:
                for _ in range(times):
                    await client.enqueue(rota.job("t"))
                return client.url

        return asyncio.run(call())

    return blocking if request.param == "blocking" else asynchronous


def test_the_addresses_are_read_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_urls("http://a:1/, https://b ,http://a:1") == ("http://a:1", "https://b")
    monkeypatch.setenv("ROTA_URL", "http://a:1,http://b:2")
    assert find_urls(None) == ("http://a:1", "http://b:2")
    for bad in ("http://a:1,", "http://a:1,b", ",", "http://a:1 http://b:2"):
        with pytest.raises(BadConfig, match="several with commas between"):
            find_urls(bad)


def test_those_who_ask_spread_over_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    urls = [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]
    assert {Servers(",".join(urls)).url for _ in range(200)} == set(urls)


def test_one_that_failed_is_left_once() -> None:
    servers = Servers("http://a,http://b,http://c")
    for _ in range(3):
        servers.leave("http://a")
    assert servers.url == "http://b"
    servers.leave("http://b")
    servers.leave("http://c")
    assert servers.url == "http://a"


def test_the_next_one_is_asked_where_nobody_listens(enqueue: Callable[..., str], nobody: str) -> None:
    with peer(created) as there:
        assert enqueue(f"{nobody},{there.url}", 3) == there.url
        assert len(there.asked) == 3


FAILURES = {
    "is not ready": lambda asked: problem(503, "unavailable", "The store is away."),
    "hangs up": lambda asked: Reply(hang_up=True),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_same_request_goes_to_the_next_one(enqueue: Callable[..., str], failure: str) -> None:
    with peer(FAILURES[failure]) as bad, peer(created) as good:
        assert enqueue(f"{bad.url},{good.url}", 2) == good.url
        assert len(bad.asked) == 1, "it is left"
        [tried], [one, other] = bad.asked, good.asked
        assert tried.headers["idempotency-key"] == one.headers["idempotency-key"]
        assert one.headers["idempotency-key"] != other.headers["idempotency-key"]


def test_an_answer_that_does_not_come_is_asked_for_elsewhere(
    enqueue: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, peer(created) as good:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert enqueue(f"{url},{good.url}") == good.url
        with pytest.raises(Unavailable, match="did not answer in time"):
            enqueue(url)


def test_what_may_have_been_done_is_not_done_again_elsewhere(nobody: str) -> None:
    with ExitStack() as stack:
        bad: Peer = stack.enter_context(peer(lambda asked: Reply(hang_up=True)))
        good: Peer = stack.enter_context(peer(created))
        with rota.Client(f"{bad.url},{good.url}") as client:
            with pytest.raises(Unavailable):
                client.retry("j1")
            assert not good.asked
            assert client.url == good.url, "but the next request goes there"


def test_a_refusal_is_the_answer_of_all(enqueue: Callable[..., str]) -> None:
    with peer(lambda asked: problem(400, "invalid", "No.")) as bad, peer(created) as good:
        with pytest.raises(BadInput):
            enqueue(f"{bad.url},{good.url}")
        assert not good.asked


def test_when_none_answers_all_are_named(enqueue: Callable[..., str], nobody: str) -> None:
    with peer(lambda asked: problem(503, "unavailable", "Away.")) as bad:
        with pytest.raises(RotaError, match="Away"):
            enqueue(f"{nobody},{bad.url}")
        assert len(bad.asked) == 2, "two rounds, as of one server"
    with pytest.raises(Unavailable) as caught:
        enqueue(f"{nobody},{bad.url}")
    assert f"{nobody} or {bad.url}" in str(caught.value)


async def test_a_worker_takes_its_jobs_along_to_the_next_server() -> None:
    async with peering() as one, peering() as other:
        source = SocketSource(f"{one.url},{other.url}")
        await source.open(HELLO)
        assert (len(one.frames), source.url) == (1, one.url)
        await one.sockets[0].close()
        with pytest.raises(Disconnected):
            await source.claim(1)
        await source.open(HELLO)
        [hello] = other.named("hello")
        assert hello["held"] == [{"id": "j1", "lease": 3}]
        assert source.url == other.url
        await source.close()


@pytest.mark.parametrize("why", ["nobody listens", "it says nothing"])
async def test_a_worker_goes_round(why: str, nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.sdk.socket.CONNECT_ONE_OF", 0.2)
    async with peering() as there, peering() as mute:
        mute.mute = True
        away = nobody if why == "nobody listens" else mute.url
        source = SocketSource(f"{away},{there.url}")
        with pytest.raises(Disconnected):
            await source.open(HELLO)
        await source.open(HELLO)
        assert there.named("hello")
        with pytest.raises(Disconnected):
            await source.open(HELLO)
        await source.close()


async def test_a_worker_that_polls_goes_on_at_the_next_server(nobody: str) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/v1/fetch":
            return Reply(200, {"jobs": [], "lease": 3.0, "beat": 1.0})
        return Reply(200, {"stop": []})

    with ExitStack() as stack:
        one: Peer = stack.enter_context(peer(answer))
        other: Peer = stack.enter_context(peer(answer))
        source = PollSource(f"{one.url},{other.url}")
        await source.open(HELLO)
        assert not other.asked
        one.answer = lambda asked: Reply(hang_up=True)
        assert await source.extend([Lease("j1", 3)], []) == []
        [asked] = other.asked
        assert asked.json["leases"] == [{"id": "j1", "lease": 3}]
        await source.close()


def test_events_come_from_the_next_server(nobody: str) -> None:
    stream = b"id: a-1\nevent: ready\ndata: {}\n\n"
    with peer(lambda asked: Reply(200, stream, "text/event-stream")) as there:
        with rota.Client(f"{nobody},{there.url}") as client:
            assert next(iter(client.events())).event == "ready"
