"""Which headers are kept with a job, and which in memory only, until it has ended."""

from __future__ import annotations

import asyncio

import pytest

from rota.core.bus import Bus
from rota.model.errors import Unavailable
from rota.model.job import Applied, State
from rota.web.fronts.poll.credentials import Credentials, split


def test_names_are_written_in_one_way_and_the_last_value_counts() -> None:
    headers, secret = split(
        [
            (b"x-custom-thing", b"1"),
            (b"x-custom-thing", b"2"),
            (b"etag", b"a\tb"),
            (b"x--y", b"\xc3\xbc\xff"),
        ],
        None,
    )
    assert headers == {"X-Custom-Thing": "2", "Etag": "a b", "X--Y": "ü\ufffd"}
    assert secret == {}


def test_credentials_are_kept_apart() -> None:
    given = [
        (b"authorization", b"Basic eDp5"),
        (b"proxy-authorization", b"Bearer p"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    ]
    assert split(given, "ours") == (
        {},
        {"Authorization": "Basic eDp5", "Proxy-Authorization": "Bearer p", "Cookie": "b=2"},
    )


@pytest.mark.parametrize("value", [b"Bearer ours", b"bearer ours", b"BEARER   ours "])
@pytest.mark.parametrize("name", [b"authorization", b"proxy-authorization"])
def test_our_own_token_is_handed_to_nobody(name: bytes, value: bytes) -> None:
    assert split([(name, value)], "ours") == ({}, {})
    theirs = name.decode().title()
    assert split([(name, b"Bearer theirs"), (name, value)], "ours") == ({}, {theirs: "Bearer theirs"})


async def test_they_are_there_until_the_job_has_ended() -> None:
    bus = Bus()
    kept = Credentials(bus)
    kept.keep("a", {"Cookie": "a"})
    kept.keep("b", {"Cookie": "b"})
    kept.keep("c", {})
    bus.tell([Applied("a", 1, State.PENDING)])
    await asyncio.sleep(0)
    assert [kept.of(id) for id in "abc"] == [{"Cookie": "a"}, {"Cookie": "b"}, {}]
    bus.tell([Applied("a", 1, State.DONE)])
    await asyncio.sleep(0)
    assert [kept.of(id) for id in "ab"] == [{}, {"Cookie": "b"}]
    kept.forget("b")
    kept.forget("b")
    assert len(kept) == 0
    assert not bus._waiters


async def test_they_have_a_bound() -> None:
    bus = Bus()
    kept = Credentials(bus, most=2100)
    kept.keep("a", {"Cookie": "a"})
    kept.keep("b", {"Cookie": "b"})
    with pytest.raises(Unavailable):
        kept.keep("c", {"Cookie": "c"})
    assert not kept.of("c")
    kept.forget("a")
    kept.keep("c", {"Cookie": "c"})
    assert kept.of("c") == {"Cookie": "c"}
