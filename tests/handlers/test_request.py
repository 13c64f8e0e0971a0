"""Where a webhook may lead: URLs, redirects, and the guard on every hop."""

from __future__ import annotations

import ssl
import time
from typing import Any

import msgspec
import pytest

from rota.handlers.request import check_url
from rota.handlers.settings import WebhookSettings
from rota.handlers.webhook import WebhookPayload, WebhookResult, webhook
from rota.sdk.control import Fail, Retry
from rota.sdk.signature import BadPayload
from tests.handlers.http_sink import HttpSink, reply, writing
from tests.handlers.record import Record, certificate

ONE = WebhookSettings(allow_networks=("127.0.0.1/32",), timeout=10)


async def call(settings: WebhookSettings = ONE, resolver: Any = None, **fields: Any) -> WebhookResult:
    handler = webhook(settings) if resolver is None else webhook(settings, resolver=resolver)
    return await handler(Record().context(), msgspec.convert(fields, WebhookPayload))


def to(location: str, status: int = 302) -> bytes:
    return reply(status, Location=location)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://example.com/", "must start with http:// or https://"),
        ("file:///etc/passwd", "must start with http:// or https://"),
        ("javascript:alert(1)", "must start with http:// or https://"),
        ("gopher://example.com/", "must start with http:// or https://"),
        ("//example.com/", "must start with http:// or https://"),
        ("example.com", "must start with http:// or https://"),
        ("", "must start with http:// or https://"),
        ("http://", "must name a host"),
        ("http:///path", "must name a host"),
        ("http://user:pw@example.com/", "must not hold a user name or password"),
        ("http://user@example.com", "must not hold a user name or password"),
        ("http://@example.com/", "must not hold a user name or password"),
        ("http://example.com/#part", "must not hold a fragment"),
        ("http://example.com/#", "must not hold a fragment"),
        ("http://example.com/" + "x" * 3000, "has 3019 characters; at most 2048 are allowed"),
        ("http://example.com/a b", "must not hold spaces"),
        ("http://example.com/\r\nX: 1", "must not hold spaces, backslashes or control characters"),
        ("http://example.com\\@evil.com/", "must not hold spaces, backslashes"),
        ("http://example.com/\0", "must not hold spaces, backslashes or control characters"),
        ("http://[::1", "is not a URL"),
        ("http://example.com:x/", "is not a URL"),
        ("http://exa\u2488mple.com/", "is not a URL"),
        ("http://example.com:25/", "names port 25, which is not one for web servers"),
        ("http://example.com:6379/", "names port 6379"),
        ("http://example.com:0/", "names port 0"),
        ("http://example.com:70000/", "names port 70000"),
        ("http://" + "a." * 130 + "com/", "must name a host"),
    ],
)
async def test_urls_that_are_refused_by_their_text(url: str, told: str) -> None:
    with pytest.raises(BadPayload, match=f"^url {told}"):
        await call(url=url)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("HTTP://Example.COM", "http://example.com"),
        ("https://exämple.com:8443/ä?q=ü@x", "https://xn--exmple-cua.com:8443/%C3%A4?q=%C3%BC@x"),
        ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://example.com/a@b", "http://example.com/a@b"),
    ],
)
def test_urls_that_are_taken(url: str, seen: str) -> None:
    assert str(check_url(url)) == seen


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "2130706433",
            "0x7f000001",
            "0177.1",
        ),
        *("127.1", "0", "localhost", "169.254.169.254", "100.64.0.1", "10.0.0.1", "192.168.0.1", "[fe80::1]"),
        *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]", "0.0.0.0", "[::]", "[::127.0.0.1]"),
    ],
)
async def test_inside_addresses_are_refused_at_once_and_nobody_is_called(host: str) -> None:
    async with HttpSink({"/": reply(200)}, hosts=("127.0.0.1", "::1")).running() as sink:
        with pytest.raises(Fail, match="which this server may not call"):
            await call(WebhookSettings(), url=sink.url(host=host))
        assert sink.connections == []


async def test_allow_private_lets_them_be_called() -> None:
    async with HttpSink({"/": reply(200)}, hosts=("127.0.0.1", "::1")).running() as sink:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1"):
            assert (await call(WebhookSettings(allow_private=True), url=sink.url(host=host))).status == 200
        assert sink.requests[1].headers["host"] == f"[::1]:{sink.port}"


async def test_a_name_that_resolves_inside_is_refused() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.2"]

    async with HttpSink({"/": reply(200)}, hosts=("127.0.0.2",)).running() as sink:
        with pytest.raises(Fail, match=r"public\.test \(127\.0\.0\.2\) is a loopback address"):
            await call(url=sink.url(host="public.test"), resolver=inside)
        assert sink.connections == []


async def test_a_name_is_resolved_once_per_hop_and_called_where_it_was_checked() -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    answers = {"/": reply(200, b"ok"), "/again": to("/")}
    async with HttpSink(answers, hosts=("127.0.0.1", "127.0.0.2")).running() as sink:
        assert (await call(url=sink.url(host="rebind.test"), resolver=rebinding)).body == "ok"
        assert asked == ["rebind.test"]
        assert sink.connections == ["127.0.0.1"]
        asked.clear()
        # The second hop goes to the same name, which now leads inside.
        with pytest.raises(Retry, match=r"A redirect was not followed: rebind\.test \(127\.0\.0\.2\)"):
            await call(url=sink.url("/again", host="rebind.test"), resolver=rebinding)
        assert sink.connections == ["127.0.0.1"] * 2


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.2", "localhost6.test", "[::ffff:127.0.0.2]"])
async def test_redirects_inside_are_not_followed(host: str) -> None:
    async def names(host: str, port: int) -> list[str]:
        return [{"localhost6.test": "::1"}.get(host, host)]

    async with HttpSink(hosts=("127.0.0.1", "::1", "127.0.0.2")).running() as sink:
        sink.answers = {"/out": to(sink.url("/in", host)), "/in": reply(200, b"secret")}
        with pytest.raises(Retry, match=r"A redirect was not followed: .* may not call"):
            await call(url=sink.url("/out"), resolver=names)
        assert sink.connections == ["127.0.0.1"]


@pytest.mark.parametrize(
    "location",
    [
        *("ftp://127.0.0.1/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://127.0.0.1:25/"),
        *("http://[::1", "javascript:alert(1)", "http://127.0.0.1/" + "x" * 3000),
    ],
)
async def test_redirects_to_nonsense_are_not_followed(location: str) -> None:
    async with HttpSink({"/": to(location)}).running() as sink:
        with pytest.raises(Retry, match="A redirect was not followed: its Location "):
            await call(url=sink.url())
        assert len(sink.connections) == 1


async def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    answers = {f"/{n}": to(f"/{n + 1}?x={n}#frag") for n in range(4)} | {"/4": reply(200, b"end")}
    async with HttpSink(answers).running() as sink:
        result = await call(url=sink.url("/1"))
        assert (result.body, result.url) == ("end", sink.url("/4?x=3"))
        with pytest.raises(Retry, match="More than 3 redirects"):
            await call(url=sink.url("/0"))
        assert len(sink.requests) == 8


async def test_a_circle_of_redirects_ends() -> None:
    async with HttpSink({"/": to("/")}).running() as sink:
        with pytest.raises(Retry, match="More than 3 redirects"):
            await call(url=sink.url())
        assert len(sink.requests) == 4


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "POST", "GET", b""),
        (307, "POST", "POST", b"hello"),
        (308, "POST", "POST", b"hello"),
        (301, "PUT", "PUT", b"hello"),
        (302, "PATCH", "PATCH", b"hello"),
        (303, "PUT", "GET", b""),
        (303, "HEAD", "HEAD", b""),
        (302, "GET", "GET", b""),
        (308, "DELETE", "DELETE", b""),
    ],
)
async def test_methods_and_bodies_across_redirects(status: int, method: str, then: str, body: bytes) -> None:
    given: dict[str, Any] = {"body_text": "hello"} if method in ("POST", "PUT", "PATCH") else {}
    async with HttpSink({"/a": to("/b", status), "/b": reply(200)}).running() as sink:
        await call(url=sink.url("/a"), method=method, **given)
        second = sink.requests[1]
        assert (second.method, second.body) == (then, body)
        assert ("content-type" in second.headers) == bool(body)
        assert second.headers["webhook-id"] == sink.requests[0].headers["webhook-id"]


async def test_secrets_stay_with_the_origin_they_were_meant_for() -> None:
    secrets = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k"}
    settings = WebhookSettings(allow_networks=("127.0.0.0/30",))
    async with HttpSink(hosts=("127.0.0.1", "127.0.0.2")).running() as sink:
        sink.answers = {
            "/same": to("/end", 307),
            "/other": to(sink.url("/end", "127.0.0.2"), 307),
            "/end": reply(200),
        }
        await call(settings, url=sink.url("/same"), headers=secrets, body=1)
        await call(settings, url=sink.url("/other"), headers=secrets, body=1)
        same, other = sink.requests[1], sink.requests[3]
        assert {name: same.headers.get(name.lower()) for name in secrets} == secrets
        assert not {name.lower() for name in secrets} & set(other.headers)
        assert other.headers["host"] == f"127.0.0.2:{sink.port}"
        assert other.headers["content-type"] == "application/json"
        assert other.body == b"1"


async def test_another_port_is_another_origin() -> None:
    async with HttpSink({"/end": reply(200)}).running() as second, HttpSink().running() as first:
        first.answers = {"/": to(second.url("/end"))}
        await call(url=first.url(), headers={"Authorization": "Bearer x"})
        assert "authorization" not in second.requests[0].headers


async def test_cookies_are_not_kept() -> None:
    async with HttpSink(
        {"/a": reply(302, Location="/b", Set_Cookie="x=1"), "/b": reply(200)}
    ).running() as sink:
        await call(url=sink.url("/a"))
        assert "cookie" not in sink.requests[1].headers


async def test_https_never_leads_to_http() -> None:
    async with HttpSink(tls=True).running() as secure, HttpSink({"/": reply(200)}).running() as plain:
        secure.answers = {"/down": to(plain.url()), "/side": to("/end"), "/end": reply(200, b"end")}
        handler = webhook(ONE, context=ssl.create_default_context(cafile=certificate()))
        with pytest.raises(Retry, match="leaves https for http"):
            await handler(Record().context(), WebhookPayload(secure.url("/down")))
        assert plain.connections == []
        assert (await handler(Record().context(), WebhookPayload(secure.url("/side")))).body == "end"
        plain.answers = {"/up": to(secure.url("/end"))}
        assert (await handler(Record().context(), WebhookPayload(plain.url("/up")))).body == "end"


async def test_all_hops_share_one_deadline() -> None:
    async with HttpSink({f"/{n}": writing(to(f"/{n + 1}"), after=0.25) for n in range(3)}).running() as sink:
        before = time.monotonic()
        with pytest.raises(Retry, match=r"no complete answer within 0\.4 s"):
            await call(url=sink.url("/0"), timeout=0.4)
        assert time.monotonic() - before < 2
        assert len(sink.requests) == 2


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_3xx_are_no_redirects(status: int) -> None:
    async with HttpSink({"/": to("/b", status), "/b": reply(200)}).running() as sink:
        with pytest.raises(Fail, match=f"answered {status}"):
            await call(url=sink.url())
        assert len(sink.requests) == 1


async def test_a_redirect_to_nowhere_is_a_status_like_any_other() -> None:
    async with HttpSink({"/": reply(302)}).running() as sink:
        with pytest.raises(Fail, match="answered 302"):
            await call(url=sink.url())
