"""One answer for many pages: only for those who take an old one, and never one of other rights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rota.config import Settings
from rota.config.secret import Secret
from rota.model.errors import NotFound
from rota.web import sharing
from rota.web.answers import Json
from rota.web.asgi import Ring
from rota.web.sharing import Shared
from tests.web.bad.kit import head
from tests.web.kit import Answer, Site, serving

OLD, TOKEN = "Cache-Control: max-age=5", "Authorization: Bearer secret"


def asked(
    age: str | None = "max-age=5", path: str = "/v1/jobs", query: str = "", token: str = "a"
) -> Request:
    headers = [(b"authorization", token.encode())]
    if age is not None:
        headers.append((b"cache-control", age.encode()))
    return Request(
        {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
    )


class Maker:
    """Answers with the number of the answer once it is let go."""

    def __init__(self) -> None:
        self.made = 0
        self.go = asyncio.Event()
        self.kind: Callable[[int], Response] = Json

    async def __call__(self) -> Response:
        self.made += 1
        number = self.made
        await self.go.wait()
        return self.kind(number)


async def told(*answers: Awaitable[Response]) -> list[Any]:
    return [int(bytes(answer.body)) for answer in await asyncio.gather(*answers)]


async def test_those_who_ask_at_the_same_time_get_the_same() -> None:
    shared, make = Shared(), Maker()
    waiting = [asyncio.ensure_future(shared.answer(asked(), make)) for _ in range(50)]
    await asyncio.sleep(0)
    make.go.set()
    assert await told(*waiting) == [1] * 50
    assert await told(shared.answer(asked(), make)) == [1]


@pytest.mark.parametrize(
    "age", [None, "no-cache", "max-age=0", "max-age=5, no-cache", "private", "max-age=x"]
)
async def test_who_wants_a_fresh_one_gets_it(age: str | None) -> None:
    shared, make = Shared(), Maker()
    first = asyncio.ensure_future(shared.answer(asked(), make))
    await asyncio.sleep(0)
    fresh = asyncio.ensure_future(shared.answer(asked(age), make))
    await asyncio.sleep(0)
    make.go.set()
    assert await told(first, fresh) == [1, 2]
    assert await told(shared.answer(asked(age), make)) == [3]


async def test_a_fresh_one_replaces_what_others_get_and_an_older_one_does_not() -> None:
    shared, slow, quick = Shared(), Maker(), Maker()
    first = asyncio.ensure_future(shared.answer(asked(), slow))
    await asyncio.sleep(0)
    quick.made = 10
    quick.go.set()
    assert await told(shared.answer(asked("no-cache"), quick)) == [11]
    slow.go.set()
    assert await told(first) == [1]
    assert await told(shared.answer(asked(), slow)) == [11]


async def test_not_for_another_question_or_other_rights() -> None:
    shared, make = Shared(), Maker()
    make.go.set()
    different = (
        asked(),
        asked(token="b"),
        asked(query="queue=a"),
        asked(path="/v1/queues"),
    )
    assert await told(*(shared.answer(one, make) for one in different)) == [1, 2, 3, 4]
    assert await told(*(shared.answer(one, make) for one in different)) == [1, 2, 3, 4]


async def test_no_older_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("rota.web.sharing.time.monotonic", lambda: now)
    shared, make = Shared(), Maker()
    make.go.set()
    assert await told(shared.answer(asked("max-age=1"), make)) == [1]
    now += 1.5
    assert await told(shared.answer(asked("max-age=3600"), make)) == [1]
    assert await told(shared.answer(asked("max-age=1"), make)) == [2]
    now += sharing.MAX_AGE + 1
    assert await told(shared.answer(asked("max-age=3600"), make)) == [3]


async def test_who_leaves_takes_nobody_along() -> None:
    shared, make = Shared(), Maker()
    first = asyncio.ensure_future(shared.answer(asked(), make))
    await asyncio.sleep(0)
    second, third = (asyncio.ensure_future(shared.answer(asked(), make)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    third.cancel()
    await asyncio.wait([first, third])
    make.go.set()
    assert await told(second) == [1]


async def test_refusals_are_told_to_all_and_not_kept() -> None:
    shared = Shared()
    made = 0

    async def refuse() -> Response:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        raise NotFound("no")

    answers = await asyncio.gather(
        *(shared.answer(asked(), refuse) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in answers] == [NotFound] * 3
    assert made == 1
    with pytest.raises(NotFound):
        await shared.answer(asked(), refuse)
    assert made == 2


async def test_what_is_no_whole_json_is_made_for_each() -> None:
    shared, make = Shared(), Maker()
    make.kind = lambda number: PlainTextResponse(str(number))
    make.go.set()
    assert await told(*(shared.answer(asked(), make) for _ in range(3))) == [1, 2, 3]


async def test_it_takes_only_so_much_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MAX_KEPT", 3)
    monkeypatch.setattr(sharing, "MAX_BYTES", 100)
    monkeypatch.setattr(sharing, "MAX_BODY", 60)
    shared = Shared()

    async def answer(name: str, size: int) -> None:
        async def make() -> Response:
            return Json("x" * (size - 2))

        await shared.answer(asked(query=name), make)

    def kept() -> list[str]:
        return [key[1].decode() for key in shared._kept]

    for name in "abcd":
        await answer(name, 10)
    assert kept() == ["b", "c", "d"]
    await answer("large", 61)
    assert kept() == ["b", "c", "d"]
    await answer("e", 60)
    assert kept() == ["c", "d", "e"]
    await answer("f", 40)
    assert kept() == ["e", "f"]
    assert shared._bytes == 100


async def test_pages_and_programs(site: Site) -> None:
    """A page gets what is a moment old; who says nothing sees what it has done itself."""

    async def jobs(headers: dict[str, str] | None = None) -> int:
        return len((await site.http.get("/v1/jobs", headers=headers)).json()["jobs"])

    old, fresh = {"cache-control": "max-age=5"}, {"cache-control": "no-cache"}
    assert await jobs(old) == 0
    await site.enqueue()
    assert await jobs(old) == 0
    assert await jobs() == 1
    assert await jobs(fresh) == 1
    assert await jobs(old) == 1
    job = (await site.http.get("/v1/jobs", headers=old)).json()["jobs"][0]
    assert (await site.http.head("/v1/jobs", headers=old)).content == b""
    assert (await site.http.get(f"/v1/jobs/{job['id']}", headers=old)).json()["id"] == job["id"]


async def test_the_short_way_is_no_way_around(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is there goes out without the framework: nobody may notice, and nobody get in by it."""
    went: list[bool] = []
    before = Ring.ready

    def counted(*given: Any) -> Any:
        found = before(*given)
        went.append(found is not None)
        return found

    monkeypatch.setattr(Ring, "ready", counted)
    async with serving(store, Settings(token=Secret("secret"))) as site:

        async def jobs(*lines: str) -> Answer:
            return await site.raw(head(site, "GET /v1/jobs?limit=7 HTTP/1.1", *lines))

        first = await jobs(TOKEN)
        for _ in range(3):
            answer = await jobs(TOKEN, OLD)
            assert (answer.status_code, answer.content) == (200, first.content)
            assert answer.headers.keys() == first.headers.keys()
        assert went == [False, False, True, True]
        for lines in (
            (),
            ("Authorization: Bearer wrong",),
            (TOKEN, TOKEN),
            (TOKEN, "Origin: http://elsewhere.example"),
            (TOKEN, "Transfer-Encoding: gzip"),
        ):
            assert (await jobs(OLD, *lines)).status_code in (400, 401, 403), lines
        assert went[4:] == [False] * len(went[4:])
