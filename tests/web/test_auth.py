"""Who may: tokens, and pages of other origins and names."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from rota.config import Settings
from rota.config.secret import Secret
from tests.web.kit import NOBODY, Site, problem, serving

TOKEN = "correct-horse-battery"
LOCKED = Settings(token=Secret(TOKEN))

EVERYTHING = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", f"/v1/jobs/{NOBODY}"),
    ("DELETE", f"/v1/jobs/{NOBODY}"),
    ("GET", f"/v1/jobs/{NOBODY}/result"),
    ("GET", f"/v1/jobs/{NOBODY}/logs"),
    ("POST", f"/v1/jobs/{NOBODY}/cancel"),
    ("GET", "/v1/queues"),
    ("POST", "/v1/queues/default/pause"),
    ("DELETE", "/v1/queues/default/jobs"),
    ("GET", "/v1/workers"),
    ("POST", "/v1/workers/w/drain"),
    ("GET", "/v1/stats"),
    ("POST", "/v1/tickets"),
    ("POST", "/v1/fetch"),
    ("POST", "/v1/finish"),
    ("POST", "/v1/beat"),
    ("GET", "/v1/worker"),
    ("GET", "/nothing"),
    ("PUT", "/v1/jobs"),
]


async def head(site: Site, *lines: str, method: str = "GET", path: str = "/v1/stats") -> object:
    """A request with exactly these headers."""
    return await site.raw("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1"))


async def refused_upgrade(site: Site, status: int, code: str, **options: object) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with site.socket(**options):
            pass
    answer = caught.value.response
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert f'"code":"{code}"'.encode() in (answer.body or b"")
    assert site.service.workers.roster == {}


# tokens


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "missing_credentials"),
        ("", "invalid_credentials"),
        ("Bearer", "invalid_credentials"),
        ("Bearer ", "invalid_credentials"),
        ("Bearer wrong", "invalid_credentials"),
        (f"Bearer {TOKEN}x", "invalid_credentials"),
        (f"Bearer {TOKEN[:-1]}", "invalid_credentials"),
        (f"Basic {TOKEN}", "invalid_credentials"),
        (TOKEN, "invalid_credentials"),
        (f"Bearer {TOKEN} {TOKEN}", "invalid_credentials"),
        ("Bearer ä", "invalid_credentials"),
    ],
)
async def test_without_the_token_there_is_nothing(store: str, given: str | None, code: str) -> None:
    async with serving(store, LOCKED) as site:
        lines = [f"Host: 127.0.0.1:{site.port}", "Content-Length: 0"]
        if given is not None:
            lines.append(f"Authorization: {given}")
        for method, path in EVERYTHING:
            answer = await head(site, *lines, method=method, path=path)
            problem(answer, 401, code)  # type: ignore[arg-type]
            assert answer.headers["www-authenticate"] == "Bearer"  # type: ignore[attr-defined]
            assert TOKEN not in str(answer.content)  # type: ignore[attr-defined]
        await site.quiet()
        assert site.service.dispatch.paused == set()


async def test_with_the_token_everything_answers(store: str) -> None:
    async with serving(store, LOCKED) as site:
        assert (await site.get("/v1/stats"))["enqueued"] == 0
        for scheme in ("bearer", "BEARER"):
            answer = await site.http.get("/v1/stats", headers={"authorization": f"{scheme} {TOKEN}"})
            assert answer.status_code == 200
        async with site.worker() as worker:
            await site.enqueue()
            assert (await worker.done(await worker.job()))["applied"] is True


async def test_two_tokens_are_ambiguous(store: str) -> None:
    async with serving(store, LOCKED) as site:
        line = f"Authorization: Bearer {TOKEN}"
        answer = await head(site, f"Host: 127.0.0.1:{site.port}", line, line)
        problem(answer, 400, "ambiguous_credentials")  # type: ignore[arg-type]


async def test_probes_need_no_token(store: str) -> None:
    async with serving(store, LOCKED) as site:
        for path in ("/livez", "/readyz", "/health"):
            answer = await head(site, f"Host: 127.0.0.1:{site.port}", path=path)
            assert answer.content == b'{"status":"ok"}'  # type: ignore[attr-defined]
        for path in ("/livez/", "/LIVEZ", "//livez", "/livez/../v1/stats", "/v1/stats?/livez"):
            answer = await head(site, f"Host: 127.0.0.1:{site.port}", path=path)
            assert answer.status_code == 401, path  # type: ignore[attr-defined]


async def test_the_worker_socket_needs_the_token_before_the_upgrade(store: str) -> None:
    async with serving(store, LOCKED) as site:
        site.auth = {}
        await refused_upgrade(site, 401, "missing_credentials")
        wrong = {"authorization": "Bearer wrong"}
        await refused_upgrade(site, 401, "invalid_credentials", headers=wrong)


async def test_a_token_in_the_address_is_none(store: str) -> None:
    async with serving(store, LOCKED) as site:
        answer = await head(site, f"Host: 127.0.0.1:{site.port}", path=f"/v1/stats?token={TOKEN}")
        problem(answer, 400, "credentials_in_url")  # type: ignore[arg-type]
        assert TOKEN not in str(answer.content)  # type: ignore[attr-defined]


# origins


ORIGINS = [
    "https://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost:{port}",
    "http://127.0.0.1:{port}.evil.example",
    "http://evil.example@127.0.0.1:{port}",
    "null",
    "",
    "file://",
    "http://[",
    "nonsense",
]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_pages_of_other_origins_may_not_call(site: Site, origin: str) -> None:
    origin = origin.format(port=site.port)
    body = b'{"type": "t"}'
    answer = await site.send(body, headers={"origin": origin})
    problem(answer, 403, "origin_not_allowed")
    problem(await site.http.get("/v1/jobs", headers={"origin": origin}), 403, "origin_not_allowed")
    await refused_upgrade(site, 403, "origin_not_allowed", headers={"origin": origin})
    assert await site.stored() == 0


async def test_our_own_pages_may(site: Site) -> None:
    origin = {"origin": site.url}
    assert (await site.send(b'{"type": "t"}', headers=origin)).status_code == 201
    async with site.socket(headers=origin) as worker:
        await worker.hello()


async def test_origins_are_checked_with_a_token_too(store: str) -> None:
    async with serving(store, LOCKED) as site:
        answer = await site.http.get("/v1/stats", headers={"origin": "https://evil.example"})
        problem(answer, 403, "origin_not_allowed")


# names


FOREIGN = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example",
    "localhost.evil",
    "",
    "[",
    "127.0.0.2",
]


@pytest.mark.parametrize("host", FOREIGN)
async def test_an_open_server_answers_to_its_own_names_only(site: Site, host: str) -> None:
    """Else a page whose name was made to point here (DNS rebinding) would count as our own."""
    host = host.format(port=site.port)
    for path in ("/v1/stats", "/livez"):
        problem(await head(site, f"Host: {host}", path=path), 421, "unknown_host")  # type: ignore[arg-type]
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    answer = await head(site, f"Host: {host}", *upgrade, path="/v1/worker")
    assert answer.status_code == 421  # type: ignore[attr-defined]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{port}", "127.0.0.1", "[::1]:{port}", "[::1]"])
async def test_its_own_names(site: Site, host: str) -> None:
    answer = await head(site, "Host: " + host.format(port=site.port))
    assert answer.status_code == 200  # type: ignore[attr-defined]


async def test_further_names_may_be_allowed(store: str) -> None:
    async with serving(store, Settings(allowed_hosts=("rota.example",))) as site:
        for host, status in (("rota.example", 200), ("Rota.Example:80", 200), ("x.rota.example", 421)):
            assert (await head(site, f"Host: {host}")).status_code == status  # type: ignore[attr-defined]


async def test_behind_a_token_any_name_will_do(store: str) -> None:
    async with serving(store, LOCKED) as site:
        answer = await head(site, "Host: rota.example", f"Authorization: Bearer {TOKEN}")
        assert answer.status_code == 200  # type: ignore[attr-defined]
