"""Tickets: one request without a header, of one path, once, for half a minute."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rota import logs
from rota.config import Settings
from rota.config.secret import Secret
from rota.model.clock import SECOND, ManualClock
from rota.model.errors import BadInput, Unauthorized, Unavailable
from rota.web import ticket as mechanism
from rota.web.ticket import LIFETIME, LIVE, SKEW, Tickets
from tests.web.kit import NOBODY, Site, problem, serving

TOKEN = "correct-horse-battery"
RESULT = f"/v1/jobs/{NOBODY}/result"


@pytest.fixture
async def locked(store: str) -> AsyncIterator[Site]:
    async with serving(store, Settings(token=Secret(TOKEN), dev=True)) as site:
        yield site


async def ask(site: Site, path: str = LIVE) -> str:
    answer = await site.post("/v1/tickets", {"path": path}, 201)
    assert answer["expires_in"] == 30
    return str(answer["ticket"])


async def upgrade(site: Site, query: str, path: str = LIVE, **headers: str) -> int:
    """The status of an upgrade; when it is 101, events come."""
    url = f"ws://127.0.0.1:{site.port}{path}?{query}"
    try:
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            await socket.send('{"op": "ping"}')
            assert json.loads(await socket.recv()) == {"op": "pong"}
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def a_result(site: Site) -> str:
    """The path of the result of a job that is done."""
    id = await site.enqueue()
    async with site.worker() as worker:
        await worker.done(await worker.job(), result={"sum": 3})
    return f"/v1/jobs/{id}/result"


# --- over the wire ---


async def test_a_ticket_opens_the_live_socket_once(locked: Site) -> None:
    ticket = await ask(locked)
    assert await upgrade(locked, "") == 401
    assert await upgrade(locked, f"ticket={ticket}x") == 401
    assert await upgrade(locked, f"ticket={ticket}", origin="http://evil.example") == 403
    assert await upgrade(locked, f"ticket={ticket}", origin=locked.url) == 101
    assert await upgrade(locked, f"ticket={ticket}") == 401


async def test_a_ticket_saves_a_result_and_the_rest_of_the_query_stays(locked: Site) -> None:
    path = await a_result(locked)
    ticket = await ask(locked, path)
    del locked.http.headers["authorization"]
    answer = await locked.http.get(f"{path}?wait=0&ticket={ticket}")
    assert answer.json() == {"sum": 3}
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers.get_list("cache-control") == ["private, no-store"]
    problem(await locked.http.get(path, params={"ticket": ticket}), 401, "invalid_ticket")
    problem(await locked.http.get(path), 401, "missing_credentials")


async def test_a_ticket_is_for_its_path_and_for_get_and_nothing_else(locked: Site) -> None:
    path = await a_result(locked)
    ticket, live = await ask(locked, path), await ask(locked)
    del locked.http.headers["authorization"]
    for method, elsewhere in (
        ("HEAD", path),
        ("POST", path),
        ("DELETE", path.removesuffix("/result")),
        ("GET", path.removesuffix("/result")),
        ("GET", path + "/"),
        ("GET", path.replace("result", "logs")),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/events"),
        ("POST", "/v1/tickets"),
        ("GET", LIVE),
        ("GET", "/v1/worker"),
    ):
        for one in (ticket, live):
            answer = await locked.http.request(method, elsewhere, params={"ticket": one})
            assert answer.status_code == 401, (method, elsewhere)
    other = path.replace("result", "artifact")
    problem(await locked.http.get(other, params={"ticket": ticket}), 401, "invalid_ticket")
    assert await upgrade(locked, f"ticket={live}", path="/v1/worker") == 401
    assert await upgrade(locked, f"ticket={ticket}") == 401
    # None of all this used it up.
    assert (await locked.http.get(path, params={"ticket": ticket})).status_code == 200
    assert await upgrade(locked, f"ticket={live}") == 101


async def test_two_tickets_are_refused_and_a_header_goes_first(locked: Site) -> None:
    path = await a_result(locked)
    ticket, other = await ask(locked, path), await ask(locked, path)
    assert (await locked.http.get(path, params={"ticket": ticket})).status_code == 200
    wrong = {"authorization": "Bearer wrong"}
    answer = await locked.http.get(path, params={"ticket": ticket}, headers=wrong)
    problem(answer, 401, "invalid_credentials")
    del locked.http.headers["authorization"]
    answer = await locked.http.get(f"{path}?ticket={ticket}&ticket={other}")
    problem(answer, 400, "ambiguous_credentials")
    assert (await locked.http.get(path, params={"ticket": ticket})).status_code == 200


async def test_without_a_token_a_ticket_does_no_harm(site: Site) -> None:
    ticket = await ask(site)
    for _ in range(2):
        assert await upgrade(site, f"ticket={ticket}") == 101
    assert await upgrade(site, "ticket=nonsense") == 101
    path = await a_result(site)
    assert (await site.http.get(path, params={"ticket": "nonsense"})).json() == {"sum": 3}
    problem(await site.http.get("/v1/stats", params={"ticket": ticket}), 422, "unknown_parameter", "ticket")


async def test_what_may_be_asked_for(locked: Site) -> None:
    for path in (LIVE, "/v1/jobs/export", RESULT, RESULT.replace("result", "upload")):
        await ask(locked, path)
    for path in (
        "/v1/worker",
        "/v1/events",
        "/v1/jobs",
        "/v1/live?x=1",
        "/v1/live\n",
        "/v1/live/",
        "v1/live",
        "//v1/live",
        "/v1/jobs/a/b/result",
        "/v1/jobs/../result",
        f"/v1/jobs/{NOBODY}/logs",
        f"{RESULT}?wait=1",
        "",
    ):
        problem(await locked.http.post("/v1/tickets", json={"path": path}), 422, "invalid_path", "path")
    for body, code, field in (({}, "missing_field", "path"), ({"path": 1}, "wrong_type", "path")):
        problem(await locked.http.post("/v1/tickets", json=body), 422, code, field)
    answer = await locked.http.post("/v1/tickets", json={"path": LIVE, "ttl": 9})
    problem(answer, 422, "unknown_field", "ttl")
    answer = await locked.http.post("/v1/tickets", json={"path": LIVE})
    assert answer.headers["cache-control"] == "no-store"


async def test_no_log_shows_a_ticket(locked: Site, capsys: Any, tmp_path: Any) -> None:
    file = tmp_path / "log"
    logs.setup("debug", "json", file=str(file))
    try:
        path = await a_result(locked)
        ticket, live = await ask(locked, path), await ask(locked)
        await upgrade(locked, f"ticket={live}")
        await upgrade(locked, f"ticket={live}", path="/v1/worker")
        del locked.http.headers["authorization"]
        await locked.http.get(path, params={"wait": 0, "ticket": ticket})
        await locked.http.get("/v1/stats", params={"ticket": ticket})
        logging.getLogger("rota").warning("told of /v1/live?a=b&ticket=%s&c=d", ticket)
        assert logs.flush(10)
    finally:
        logs.shutdown()
    text = file.read_text()
    assert text.count("/v1/live") >= 2
    assert text.count(path) >= 1
    assert ticket not in text
    assert live not in text


# --- the mechanism ---


def refused(tickets: Tickets, path: str, ticket: str | bytes) -> None:
    with pytest.raises(Unauthorized) as caught:
        tickets.take(path, ticket if isinstance(ticket, bytes) else ticket.encode())
    assert caught.value.code == "invalid_ticket"


def test_servers_with_the_same_token_take_each_others_and_no_others() -> None:
    clock = ManualClock()
    one, two = (Tickets(TOKEN.encode(), clock.now) for _ in range(2))
    ticket = one.issue(LIVE).encode()
    refused(Tickets(b"another", clock.now), LIVE, ticket)
    refused(Tickets(None, clock.now), LIVE, ticket)
    two.take(LIVE, ticket)
    refused(two, LIVE, ticket)
    one.take(LIVE, ticket)


def test_it_ends_by_the_clock_with_room_for_clocks_that_differ() -> None:
    clock, theirs = ManualClock(), ManualClock()
    one, two = Tickets(TOKEN.encode(), clock.now), Tickets(TOKEN.encode(), theirs.now)
    ticket, late, slow, early = (one.issue(LIVE).encode() for _ in range(4))
    theirs.advance(-SKEW)
    two.take(LIVE, slow)
    theirs.advance(-1)
    refused(two, LIVE, early)
    clock.advance(LIFETIME + SKEW - 1)
    one.take(LIVE, ticket)
    clock.advance(1)
    refused(one, LIVE, late)


def test_a_clock_that_is_set_back_brings_no_used_ticket_back() -> None:
    clock = ManualClock()
    tickets = Tickets(TOKEN.encode(), clock.now)
    ticket = tickets.issue(LIVE).encode()
    tickets.take(LIVE, ticket)
    clock.advance(3600 * SECOND)
    tickets.take(LIVE, tickets.issue(LIVE).encode())
    assert len(tickets._used) == 1
    clock.advance(-3600 * SECOND + SECOND)
    refused(tickets, LIVE, ticket)
    tickets.take(LIVE, tickets.issue(LIVE).encode())


def test_no_byte_of_it_may_differ() -> None:
    tickets = Tickets(TOKEN.encode(), ManualClock().now)
    ticket = tickets.issue(RESULT)
    raw = base64.urlsafe_b64decode(ticket)
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        refused(tickets, RESULT, base64.urlsafe_b64encode(bytes(changed)))
    for odd in (
        "",
        "=",
        ticket + "A",
        ticket[:-1],
        ticket + "\n",
        f" {ticket[:-1]}",
        "A" * 76,
        "\u00e4" * 38,
    ):
        refused(tickets, RESULT, odd)
    refused(tickets, RESULT.upper(), ticket)
    assert len(raw) == 57
    assert TOKEN not in ticket
    assert tickets.issue(RESULT) != ticket
    tickets.take(RESULT, ticket.encode())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism, "MAX_USED", 3)
    clock = ManualClock()
    tickets = Tickets(TOKEN.encode(), clock.now)
    for _ in range(3):
        tickets.take(LIVE, tickets.issue(LIVE).encode())
    ticket = tickets.issue(LIVE).encode()
    with pytest.raises(Unavailable) as caught:
        tickets.take(LIVE, ticket)
    assert caught.value.code == "too_many_tickets"
    clock.advance(LIFETIME + SKEW)
    again = tickets.issue(LIVE).encode()
    tickets.take(LIVE, again)
    assert len(tickets._used) == len(tickets._order) == 1


def test_only_few_paths_have_tickets() -> None:
    tickets = Tickets(None, ManualClock().now)
    for path in ("/v1/jobs", "/v1/live/x", "", f"{RESULT}/.."):
        with pytest.raises(BadInput):
            tickets.issue(path)
