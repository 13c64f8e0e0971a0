"""Who may: nothing is told or done for those who may not. (More of it: tests/web/test_auth.py.)"""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from rota.config import Settings
from rota.config.secret import Secret
from tests.web.bad.kit import Case, head, names, refused, unharmed
from tests.web.kit import Site, problem, serving

TOKEN = "correct-horse-battery"
LOCKED = Settings(token=Secret(TOKEN))
BODY = b'{"type": "t"}'
LINES = ("Content-Type: application/json", f"Content-Length: {len(BODY)}")

CASES = [
    Case(21, "nothing", b"", 401, "missing_credentials", None, "Authorization: Bearer"),
    Case(22, "empty", b"Authorization:\r\n", 401, "invalid_credentials"),
    Case(22, "no scheme", TOKEN.join(["Authorization: ", "\r\n"]).encode(), 401, "invalid_credentials"),
    Case(22, "Basic", b"Authorization: Basic cm90YTpyb3Rh\r\n", 401, "invalid_credentials"),
    Case(22, "no token", b"Authorization: Bearer\r\n", 401, "invalid_credentials"),
    Case(22, "bytes", b"Authorization: Bearer \xff\xfe\r\n", 401, "invalid_credentials"),
    Case(22, "20,000 bytes", b"Authorization: Bearer " + b"x" * 20_000 + b"\r\n", 401, "invalid_credentials"),
    Case(23, "another", b"Authorization: Bearer correct-horse-batterz\r\n", 401, "invalid_credentials"),
    Case(23, "shorter", b"Authorization: Bearer correct-horse-batter\r\n", 401, "invalid_credentials"),
    Case(25, "twice", b"Authorization: Bearer correct-horse-battery\r\n" * 2, 400, "ambiguous_credentials"),
    Case(31, "another origin", b"Origin: https://evil.example\r\n", 403, "origin_not_allowed"),
    Case(31, "no origin at all", b"Origin: null\r\n", 403, "origin_not_allowed"),
]


@pytest.mark.parametrize("case", CASES, ids=names)
async def test_requests(store: str, case: Case) -> None:
    async with serving(store, LOCKED) as site:
        sent = head(site, "POST /v1/jobs HTTP/1.1", *LINES).removesuffix(b"\r\n") + case.sent + b"\r\n" + BODY
        answer = await site.raw(sent)
        await refused(site, answer, case)
        assert TOKEN not in answer.content.decode()
        if case.status == 401:
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.bad(22, 23)
async def test_all_wrong_tokens_are_told_the_same(store: str) -> None:
    async with serving(store, LOCKED) as site:
        told = set()
        for case in CASES:
            if case.code == "invalid_credentials":
                start = head(site, "GET /v1/stats HTTP/1.1").removesuffix(b"\r\n")
                told.add((await site.raw(start + case.sent + b"\r\n")).json()["detail"])
        assert len(told) == 1


@pytest.mark.bad(24)
@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Authorization"])
async def test_a_token_in_the_url(store: str, name: str) -> None:
    async with serving(store, LOCKED) as site:
        for start in (f"GET /v1/jobs?{name}={TOKEN}", f"POST /v1/jobs?wait=1&{name}={TOKEN}"):
            answer = await site.raw(head(site, start + " HTTP/1.1", *LINES) + BODY)
            problem(answer, 400, "credentials_in_url")
            assert TOKEN not in answer.content.decode()
        await unharmed(site)


@pytest.mark.bad(32, 21)
@pytest.mark.parametrize("path", ["/v1/worker", "/v1/live"])
async def test_sockets(store: str, path: str) -> None:
    """Refused before the upgrade, with a problem."""
    async with serving(store, LOCKED) as site:
        url = f"ws://127.0.0.1:{site.port}{path}"
        for headers, status in (
            ({"authorization": ""}, 401),
            ({"authorization": "Bearer x"}, 401),
            ({"origin": "https://evil.example"}, 403),
            ({"origin": "null"}, 403),
        ):
            with pytest.raises(InvalidStatus) as caught:
                async with site.socket(url=url, headers=headers):
                    pass
            assert caught.value.response.status_code == status
            assert caught.value.response.headers["content-type"] == "application/problem+json"
        await unharmed(site)


@pytest.mark.bad(31)
async def test_an_open_server_is_closed_to_pages_of_others(site: Site) -> None:
    answer = await site.send(BODY, headers={"origin": "https://evil.example"})
    problem(answer, 403, "origin_not_allowed")
    await unharmed(site)
