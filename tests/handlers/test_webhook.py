"""webhook against a real HTTP server: what is sent, what comes back, what is tried again."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import msgspec
import pytest

from rota.handlers.outcomes import retry_after
from rota.handlers.settings import WebhookSettings
from rota.handlers.webhook import WebhookPayload, WebhookResult, webhook
from rota.sdk.control import Fail, Retry
from rota.sdk.signature import BadPayload
from tests.handlers.http_sink import HttpSink, reply
from tests.handlers.record import JOB_ID, Record, certificate

OPEN = WebhookSettings(allow_networks=("127.0.0.1/32",), timeout=10)


async def call(
    settings: WebhookSettings = OPEN, job_headers: dict[str, str] | None = None, **fields: Any
) -> WebhookResult:
    payload = msgspec.convert(fields, WebhookPayload)
    return await webhook(settings)(Record().context(headers=job_headers), payload)


async def test_posts_json_and_gives_the_answer() -> None:
    answer = reply(201, '{"ok": "größer"}'.encode(), Content_Type="application/json", X_A="1")
    async with HttpSink({"/in": answer}).running() as sink:
        result = await call(url=sink.url("/in?q=1"), body={"a": [1, None]}, headers={"X-Key": " k "})
        assert (result.status, result.body, result.encoding) == (201, '{"ok": "größer"}', "text")
        assert result.headers == {"content-length": "18", "content-type": "application/json", "x-a": "1"}
        assert (result.truncated, result.url) == (False, sink.url("/in?q=1"))
        assert 0 <= result.elapsed_ms < 5000
        (request,) = sink.requests
        assert (request.method, request.target, request.body) == ("POST", "/in?q=1", b'{"a":[1,null]}')
        sent = request.headers
        assert abs(int(sent.pop("webhook-timestamp")) - time.time()) < 10
        assert sent.pop("user-agent").startswith("rota/")
        assert sent == {
            "host": f"127.0.0.1:{sink.port}",
            "accept": "*/*",
            "content-type": "application/json",
            "content-length": "14",
            "x-key": "k",
            "webhook-id": JOB_ID,
        }


@pytest.mark.parametrize(
    ("fields", "body", "kind", "length"),
    [
        ({"body": None}, b"null", "application/json", "4"),
        ({"body_text": "hé"}, "hé".encode(), "text/plain; charset=utf-8", "3"),
        ({"body_base64": "AP8="}, b"\x00\xff", "application/octet-stream", "2"),
        ({"body_text": "", "headers": {"content-type": "x/y"}}, b"", "x/y", "0"),
        ({}, b"", None, "0"),
        ({"method": "get"}, b"", None, None),
        ({"method": "DELETE"}, b"", None, None),
    ],
)
async def test_bodies(fields: dict[str, Any], body: bytes, kind: str | None, length: str | None) -> None:
    async with HttpSink({"/": reply(200)}).running() as sink:
        await call(url=sink.url(), **fields)
        (request,) = sink.requests
        assert request.body == body
        assert request.headers.get("content-type") == kind
        assert request.headers.get("content-length") == length
        assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "OPTIONS"])
async def test_methods(method: str) -> None:
    # The answer to HEAD names a length and has no body: reading one would hang.
    async with HttpSink({"/": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}).running() as sink:
        assert (await call(url=sink.url(), method=method)).body == ""
        assert sink.requests[0].method == method


async def test_the_trace_of_the_job_goes_along() -> None:
    trace = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "x-other": "no"}
    async with HttpSink({"/": reply(200)}).running() as sink:
        await call(url=sink.url(), job_headers=trace)
        assert sink.requests[0].headers["traceparent"] == trace["traceparent"]
        assert "x-other" not in sink.requests[0].headers


@pytest.mark.parametrize(
    ("answer", "body", "encoding"),
    [
        (reply(200, b"\xff\x00"), "/wA=", "base64"),
        (reply(200, "ä".encode("latin-1"), Content_Type="text/plain; charset=ISO-8859-1"), "ä", "text"),
        (reply(200, b"eA==", Content_Type="text/plain; charset=base64"), "ZUE9PQ==", "base64"),
        (reply(200, b"x", Content_Type="text/plain; charset=klingon"), "eA==", "base64"),
        (reply(200, b"x", Content_Encoding="gzip"), "eA==", "base64"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab", "text"),
    ],
)
async def test_bodies_that_come_back(answer: bytes, body: str, encoding: str) -> None:
    async with HttpSink({"/": answer}).running() as sink:
        result = await call(url=sink.url())
        assert (result.body, result.encoding) == (body, encoding)


async def test_repeated_headers_are_joined() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVary: a\r\nVary: b\r\n"
    answer += b"Set-Cookie: x=1\r\nSet-Cookie: y=2\r\n\r\n"
    async with HttpSink({"/": answer}).running() as sink:
        headers = (await call(url=sink.url())).headers
        assert (headers["vary"], headers["set-cookie"]) == ("a, b", "x=1\ny=2")


async def test_a_long_answer_is_cut_at_the_cap_not_inside_a_character() -> None:
    async with HttpSink({"/": reply(200, "ä".encode() * 600)}).running() as sink:
        settings = WebhookSettings(allow_networks=("127.0.0.1",), max_response_bytes=1001)
        result = await call(settings, url=sink.url())
        assert (result.body, result.truncated) == ("ä" * 500, True)


async def test_an_endless_answer_is_read_no_further_than_the_cap() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with HttpSink({"/": flood}).running() as sink:
        result = await call(url=sink.url())
        assert result.truncated
        assert len(result.body) == 65_536
        await asyncio.wait_for(sink.closed.wait(), 10)


async def drip(writer: asyncio.StreamWriter) -> None:
    """An answer that is always about to go on."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def informing(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("script", [drip, hang, informing])
async def test_an_answer_that_never_ends_does_not_hold_the_slot(script: Any) -> None:
    async with HttpSink({"/": script}).running() as sink:
        before = time.monotonic()
        with pytest.raises(Retry, match=r"gave no complete answer within 0\.5 s"):
            await call(url=sink.url(), timeout=0.5)
        assert time.monotonic() - before < 3


async def test_a_handshake_that_never_ends_does_not_hold_the_slot() -> None:
    async with HttpSink({"/": hang}).running() as sink:
        with pytest.raises(Retry, match="gave no complete answer"):
            await call(url=f"https://127.0.0.1:{sink.port}/", timeout=0.5)


async def test_cancelling_the_task_closes_the_connection() -> None:
    reached = asyncio.Event()

    async def waits(writer: asyncio.StreamWriter) -> None:
        reached.set()

    async with HttpSink({"/": waits}).running() as sink:
        running = asyncio.ensure_future(call(url=sink.url()))
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(sink.closed.wait(), 5)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
async def test_statuses_that_are_tried_again(status: int) -> None:
    async with HttpSink({"/": reply(status, b"over\x1b[31m\nloaded")}).running() as sink:
        with pytest.raises(Retry, match=rf"{status}.*: over \[31m loaded$") as caught:
            await call(url=sink.url("/?secret=1"))
        assert caught.value.delay is None
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 304, 300])
async def test_statuses_that_fail_at_once(status: int) -> None:
    async with HttpSink({"/": reply(status, b"n" * 5000 if status != 304 else b"")}).running() as sink:
        with pytest.raises(Fail, match=f"answered {status} ") as caught:
            await call(url=sink.url())
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("given", "delay"), [("7", 7.0), ("0", 1.0), ("999999999", 86400.0), ("soon", None), ("-5", None)]
)
async def test_retry_after_decides_the_delay(given: str, delay: float | None) -> None:
    for status in (429, 503):
        async with HttpSink({"/": reply(status, Retry_After=given)}).running() as sink:
            with pytest.raises(Retry) as caught:
                await call(url=sink.url())
            assert caught.value.delay == delay


def test_retry_after_may_be_a_date() -> None:
    now = 1_784_116_800.0  # 2026-07-15 12:00:00 UTC
    assert retry_after("Wed, 15 Jul 2026 12:01:30 GMT", now) == 90
    assert retry_after("Wed, 15 Jul 2026 11:00:00 GMT", now) == 1
    assert retry_after("Wed, 15 Jul 2126 11:00:00 GMT", now) == 86400
    assert retry_after(" 12 ", now) == 12
    for text in (None, "", "Wed, 99 Jul 2026", "1.5", "٣", "1" * 400, "Wed, 15 Jul 99999999999 11:00:00 GMT"):
        assert retry_after(text, now) is None


@pytest.mark.parametrize(
    ("expected", "status", "good"),
    [
        (404, 404, True),
        ([404, "5xx"], 503, True),
        ("3xx", 302, True),
        (204, 200, False),
        ("2xx", 299, True),
        ([201, 202], 200, False),
    ],
)
async def test_expected_statuses(expected: Any, status: int, good: bool) -> None:
    async with HttpSink({"/": reply(status, Location="/elsewhere")}).running() as sink:
        if good:
            assert (await call(url=sink.url(), expected_status=expected)).status == status
            assert len(sink.requests) == 1
        else:
            with pytest.raises(Fail, match=f"answered {status}"):
                await call(url=sink.url(), expected_status=expected)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 2", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"],
)
async def test_broken_answers_are_tried_again(answer: bytes) -> None:
    async def broken(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with HttpSink({"/": broken}).running() as sink:
        with pytest.raises(Retry, match=rf"^http://127\.0\.0\.1:{sink.port}/: "):
            await call(url=sink.url())


async def test_a_header_bomb_is_refused() -> None:
    async def bomb(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    async with HttpSink({"/": bomb}).running() as sink:
        with pytest.raises(Retry):
            await call(url=sink.url(), timeout=9)


async def test_nobody_listening_is_tried_again() -> None:
    async with HttpSink().running() as sink:
        url = sink.url()
    with pytest.raises(Retry, match=r"127\.0\.0\.1 port \d+: "):
        await call(url=url)


async def test_tls_checks_the_name_of_the_url_at_the_pinned_address() -> None:
    context = ssl.create_default_context(cafile=certificate())

    async def names(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with HttpSink({"/": reply(200)}, tls=True).running() as sink:
        handler = webhook(OPEN, resolver=names, context=context)
        good, bad = (WebhookPayload(sink.url(host=host)) for host in ("hook.test", "other.test"))
        assert (await handler(Record().context(), good)).status == 200
        assert sink.requests[0].headers["host"] == f"hook.test:{sink.port}"
        assert sink.names == ["hook.test"]
        with pytest.raises(Retry, match="certificate verify failed"):
            await handler(Record().context(), bad)
        with pytest.raises(Retry, match="certificate verify failed"):
            await call(url=sink.url())
        assert len(sink.requests) == 1


async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    async with HttpSink({"/": reply(200)}).running() as sink, HttpSink().running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password secret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        await call(url=sink.url())
        assert proxy.connections == []
        assert "authorization" not in sink.requests[0].headers


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"method": "TRACE"}, "method must be one of GET, HEAD, POST"),
        ({"method": "GET\r\nX: 1"}, "method must be one of"),
        ({"timeout": 0}, "timeout must be more than 0 and at most 600 seconds, not 0"),
        ({"timeout": 601}, "timeout must be more than 0"),
        ({"expected_status": "6xx"}, "expected_status must be a status from 100 to 599"),
        ({"expected_status": 99}, "expected_status must be"),
        ({"expected_status": []}, "expected_status must name at least one"),
        (
            {"body": 1, "body_text": "x"},
            "Give one of body, body_text and body_base64, not body and body_text",
        ),
        ({"body_base64": "!!"}, "body_base64 is not base64"),
        ({"headers": {"X-A": "a\r\nX-Evil: 1"}}, "headers.X-A may hold printable ASCII characters only"),
        ({"headers": {"X-A": "a\nb"}}, "headers.X-A may hold"),
        ({"headers": {"X-A": "a\0b"}}, "headers.X-A may hold"),
        ({"headers": {"X A": "b"}}, "'X A' is not a header name"),
        ({"headers": {"X-A:": "b"}}, "is not a header name"),
        ({"headers": {"X\r\nA": "b"}}, "is not a header name"),
        ({"headers": {"": "b"}}, "is not a header name"),
        ({"headers": {f"X-{n}": "" for n in range(51)}}, "headers may hold at most 50 names"),
        ({"headers": {"X-A": "x" * 20000}}, "16384 characters in all"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_name(fields: dict[str, Any], told: str) -> None:
    async with HttpSink({"/": reply(200)}).running() as sink:
        with pytest.raises(BadPayload, match=told):
            await call(url=sink.url(), **fields)
        assert sink.connections == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
        ),
        *("Expect", "Proxy-Authorization", "Proxy-Connection", "Webhook-Id", "webhook-timestamp"),
    ],
)
async def test_headers_that_frame_the_message_cannot_be_given(name: str) -> None:
    with pytest.raises(BadPayload, match=f"headers.{name} is set by Rota"):
        await call(url="http://127.0.0.1/", headers={name: "x"})
