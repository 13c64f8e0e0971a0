"""HTTP itself: framing, heads, targets, media types. Bytes as they are, over a real socket."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from rota.config import Settings
from tests.web.bad.kit import Case, head, names, refused, say, unharmed
from tests.web.kit import NOBODY, PATIENCE, Answer, Site, problem, serving

JSON = "Content-Type: application/json"
BODY = b'{"type": "t"}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")

# Everything after the line and the name: header lines, body, status, code.
FRAMING: list[tuple[int, str, tuple[str, ...], bytes]] = [
    (5, "length before chunks", (LENGTH, CHUNKED), CHUNKS),
    (5, "chunks before length", (CHUNKED, LENGTH), CHUNKS),
    (5, "gzip inside chunks", ("Transfer-Encoding: gzip, chunked",), CHUNKS),
    (5, "chunks inside gzip", ("Transfer-Encoding: chunked, gzip",), CHUNKS),
    (5, "two codings", (CHUNKED, CHUNKED), CHUNKS),
    (5, "a coding nobody knows", ("Transfer-Encoding: xchunked",), CHUNKS),
    (5, "identity", ("Transfer-Encoding: identity",), BODY),
    (5, "space before the colon", ("Transfer-Encoding : chunked",), CHUNKS),
    (5, "no number of a chunk", (CHUNKED,), b"zz\r\n" + CHUNKS),
    (5, "negative chunk", (CHUNKED,), b"-d\r\n" + CHUNKS),
    (5, "chunk beyond all bounds", (CHUNKED,), b"f" * 20 + b"\r\n" + CHUNKS),
    (5, "chunk shorter than said", (CHUNKED,), b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    (6, "two lengths", (LENGTH, "Content-Length: 3"), BODY),
    (6, "the same length twice", (LENGTH, LENGTH), BODY),
    (6, "a list of lengths", ("Content-Length: 13, 13",), BODY),
    (6, "negative", ("Content-Length: -13",), BODY),
    (6, "signed", ("Content-Length: +13",), BODY),
    (6, "hexadecimal", ("Content-Length: 0xd",), BODY),
    (6, "empty", ("Content-Length:",), BODY),
    (6, "beyond all bounds", ("Content-Length: 99999999999999999999999",), BODY),
    (12, "a line that goes on in the next", ("X-A: b\r\n c",), b""),
    (12, "space in a name", ("X Y: z",), b""),
    (12, "no colon", ("XY",), b""),
    (12, "NUL in a value", ("X: a\x00b",), b""),
    (12, "CR in a value", ("X: a\rb",), b""),
]


@pytest.mark.bad(5, 6, 12)
@pytest.mark.parametrize("case", FRAMING, ids=lambda case: f"{case[0]}-{case[1]}")
async def test_framing(site: Site, case: tuple[int, str, tuple[str, ...], bytes]) -> None:
    """Nobody may see two requests where we see one: such a connection ends."""
    _, _, lines, body = case
    start = "POST /v1/jobs HTTP/1.1"
    [answer, *more], closed = await say(site, head(site, start, JSON, *lines) + body)
    problem(answer, 400, "bad_framing")
    assert not more
    assert closed
    await unharmed(site)


STARTS = [
    Case(2, "a method in small letters", b"get /v1/stats HTTP/1.1", 400, "bad_framing"),
    Case(2, "a method nobody knows", b"FOO /v1/stats HTTP/1.1", 400, "bad_framing"),
    Case(2, "CONNECT", b"CONNECT example.com:443 HTTP/1.1", 400, "bad_framing"),
    Case(2, "CONNECT to a path", b"CONNECT /v1/stats HTTP/1.1", 405, "method_not_allowed"),
    Case(13, "no slash", b"GET v1/stats HTTP/1.1", 400, "bad_framing"),
    Case(13, "bytes beyond ASCII in the path", b"GET /v1/\xc3\xa4 HTTP/1.1", 400, "bad_framing"),
    Case(13, "bytes beyond ASCII in the query", b"GET /v1/jobs?q=\xc3\xa4 HTTP/1.1", 400, "bad_framing"),
    Case(13, "a space", b"GET /v1/jobs?q=a b HTTP/1.1", 400, "bad_framing"),
    Case(15, "NUL", b"GET /v1/\x00 HTTP/1.1", 400, "bad_framing"),
    Case(15, "a control character", b"GET /v1/\x01 HTTP/1.1", 400, "bad_framing"),
    Case(20, "HTTP/0.9", b"GET /v1/stats", 400, "bad_framing"),
    Case(20, "HTTP/1.2", b"GET /v1/stats HTTP/1.2", 400, "bad_framing"),
    Case(20, "HTTP/2.0", b"GET /v1/stats HTTP/2.0", 400, "bad_framing"),
    Case(20, "HTTP/9", b"GET /v1/stats HTTP/9", 400, "bad_framing"),
    Case(20, "HTTP/2 with prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM", 400, "bad_framing"),
    Case(20, "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_framing"),
    Case(20, "SSH", b"SSH-2.0-OpenSSH_9.2", 400, "bad_framing"),
    Case(20, "Redis", b"*1\r\n$4\r\nPING", 400, "bad_framing"),
    Case(20, "noise", bytes(range(128, 256)), 400, "bad_framing"),
    Case(20, "NULs", b"\x00" * 1000, 400, "bad_framing"),
]


@pytest.mark.parametrize("case", STARTS, ids=names)
async def test_starts(site: Site, case: Case) -> None:
    [answer], closed = await say(site, case.sent + b"\r\n" + head(site, "X: y"))
    await refused(site, answer, case)
    assert closed


@pytest.mark.bad(20)
async def test_bare_line_feeds(site: Site) -> None:
    [answer], closed = await say(site, b"GET /v1/stats HTTP/1.1\nHost: localhost\n\n")
    problem(answer, 400, "bad_framing")
    assert closed


@pytest.mark.bad(20)
async def test_noise_behind_a_good_request_takes_nothing_back(site: Site) -> None:
    """What was stored is answered as stored; the noise ends the connection."""
    good = head(site, "POST /v1/jobs HTTP/1.1", JSON, LENGTH) + BODY
    for noise in (b"noise\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\x16\x03\x01"):
        before = await site.stored()
        answers, closed = await say(site, good + noise)
        assert [answer.status_code for answer in answers] == [201]
        assert closed
        assert await site.stored() == before + 1
    answers, closed = await say(site, good * 3 + b"noise\r\n\r\n")
    assert [answer.status_code for answer in answers] == [201] * 3
    assert closed


# heads and targets


HEADS = [
    Case(12, "101 headers", b"".join(b"X-%d: y\r\n" % n for n in range(101)), 431, "headers_too_large"),
    Case(12, "5000 headers", b"X: y\r\n" * 5000, 431, "headers_too_large"),
    Case(12, "one of 33 KiB", b"X: " + b"y" * 33 * 1024 + b"\r\n", 431, "headers_too_large"),
    Case(
        12, "one of 5 MiB", b"X: " + b"y" * 5 * 1024 * 1024 + b"\r\n", 431, "headers_too_large", None, "32768"
    ),
    Case(12, "a long name", b"y" * 40_000 + b": x\r\n", 431, "headers_too_large", None, "100 headers"),
]


@pytest.mark.parametrize("case", HEADS, ids=names)
async def test_heads(site: Site, case: Case) -> None:
    start = head(site, "GET /v1/stats HTTP/1.1").removesuffix(b"\r\n")
    answers, closed = await say(site, start + case.sent + b"\r\n")
    assert closed
    if len(case.sent) < 300_000:
        # Who sends megabytes may be cut off before it hears why.
        await refused(site, answers[0], case)
    await unharmed(site)


@pytest.mark.bad(12)
async def test_a_head_without_end_is_refused_before_it_ends(site: Site) -> None:
    """No line of it is complete; memory does not grow with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(site, "GET /v1/stats HTTP/1.1").removesuffix(b"\r\n") + b"X: ")
    writer.write(b"y" * 50_000)
    answer = await asyncio.wait_for(Answer.read(reader), PATIENCE)
    problem(answer, 431, "headers_too_large")
    assert await reader.read() == b""
    writer.close()


@pytest.mark.bad(12)
async def test_heads_within_the_bounds(site: Site) -> None:
    lines = [f"X-{n}: {'y' * 300}" for n in range(99)]
    assert (await site.raw(head(site, "GET /v1/stats HTTP/1.1", *lines))).status_code == 200


@pytest.mark.bad(13)
@pytest.mark.parametrize("size", [8193, 20_000, 100_000])
async def test_a_target_without_end(site: Site, size: int) -> None:
    start = f"GET /v1/jobs?q={'x' * (size - 11)} HTTP/1.1"
    for path in (head(site, start), start.encode()[:-9]):
        if path.endswith(b"\r\n") or size > 41_000:
            [answer], closed = await say(site, path)
            problem(answer, 414, "uri_too_long")
            assert closed
    await unharmed(site)


@pytest.mark.bad(13)
async def test_a_target_within_the_bounds(site: Site) -> None:
    assert (await site.get("/v1/jobs?q=" + "x" * 8000)) == {"jobs": [], "cursor": None}
    absolute = head(site, f"GET http://127.0.0.1:{site.port}/v1/stats HTTP/1.1")
    assert (await site.raw(absolute)).status_code == 200


@pytest.mark.bad(12)
@pytest.mark.parametrize("line", ["Content-Type: application/json", "Authorization: Bearer x", "Host: evil"])
async def test_trailers_are_no_headers(site: Site, line: str) -> None:
    chunks = b"d\r\n" + BODY + b"\r\n0\r\n" + line.encode() + b"\r\n\r\n"
    answer = await site.raw(head(site, "POST /v1/jobs HTTP/1.1", CHUNKED) + chunks)
    problem(answer, 415, "unsupported_media_type")
    await unharmed(site)


@pytest.mark.bad(4, 12)
@pytest.mark.parametrize("more", [b"X: y\r\n" * 30_000, b"X: " + b"y" * 200_000], ids=["lines", "one line"])
async def test_trailers_without_end(site: Site, more: bytes) -> None:
    [answer], closed = await say(site, head(site, "POST /v1/jobs HTTP/1.1", JSON, CHUNKED) + b"0\r\n" + more)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("bad_framing", "invalid_json")
    assert closed
    await unharmed(site)


@pytest.mark.bad(4)
async def test_extensions_of_chunks_without_end(site: Site) -> None:
    sent = head(site, "POST /v1/jobs HTTP/1.1", JSON, CHUNKED) + b"1;" + b"x" * 200_000
    [answer], closed = await say(site, sent)
    problem(answer, 400, "bad_framing")
    assert closed
    await unharmed(site)


@pytest.mark.bad(4)
async def test_small_chunks_are_taken(site: Site) -> None:
    body = BODY.ljust(30_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    sent = head(site, "POST /v1/jobs HTTP/1.1", JSON, CHUNKED) + chunks + b"0\r\n\r\n"
    assert (await site.raw(sent)).status_code == 201


TARGETS = [
    Case(15, "NUL in the path", b"/v1/jobs/a%00b", 400, "bad_character"),
    Case(15, "line feed in the path", b"/v1/jobs/a%0Ab", 400, "bad_character"),
    Case(15, "CR in the path", b"/v1/queues/a%0d/pause", 400, "bad_character"),
    Case(15, "NUL in a value", b"/v1/jobs?queue=a%00", 400, "bad_character", "queue", "'queue'"),
    Case(15, "line feed in a value", b"/v1/jobs?q=a%0ab", 400, "bad_character", "q"),
    Case(15, "NUL in a name", b"/v1/jobs?a%00=1", 400, "bad_character"),
    Case(16, "no digits", b"/v1/jobs?type=%zz", 400, "bad_encoding", "type", "hexadecimal"),
    Case(16, "one digit", b"/v1/jobs?type=%a", 400, "bad_encoding", "type"),
    Case(16, "at the end", b"/v1/jobs?type=%", 400, "bad_encoding", "type"),
    Case(16, "in the path", b"/v1/jobs/%g0", 400, "bad_encoding"),
    Case(16, "no UTF-8 in a value", b"/v1/jobs?type=%ff", 400, "bad_encoding", "type", "UTF-8"),
    Case(16, "no UTF-8 in a name", b"/v1/jobs?%ff=x", 400, "bad_encoding"),
    Case(16, "no UTF-8 in the path", b"/v1/jobs/%c3%28", 400, "bad_encoding"),
    Case(16, "a surrogate", b"/v1/jobs?q=%ed%a0%80", 400, "bad_encoding", "q"),
    Case(16, "overlong", b"/v1/jobs?q=%c0%af", 400, "bad_encoding", "q"),
    Case(1, "a slash behind a percent sign", b"/v1%2Fjobs%2F..", 404, "job_not_found", "id"),
    Case(1, "two slashes", b"//v1//jobs", 404, "not_found"),
    Case(1, "a step up", b"/v1/../v1/stats", 404, "not_found"),
    Case(1, "another case", b"/V1/Jobs", 404, "not_found"),
    Case(1, "a file", b"/etc/passwd", 404, "not_found"),
    Case(1, "an absolute one", b"http://evil.example/nowhere", 404, "not_found"),
    Case(1, "an asterisk", b"/*", 404, "not_found"),
]


@pytest.mark.parametrize("case", TARGETS, ids=names)
async def test_targets(site: Site, case: Case) -> None:
    answer = await site.raw(head(site, f"GET {case.sent.decode()} HTTP/1.1"))
    await refused(site, answer, case)


@pytest.mark.bad(15)
async def test_a_target_of_a_hot_request_is_checked_alike(site: Site) -> None:
    start = "POST /v1/jobs?wait=1%00 HTTP/1.1"
    answer = await site.raw(head(site, start, JSON, LENGTH) + BODY)
    problem(answer, 400, "bad_character", "wait")
    await unharmed(site)


@pytest.mark.bad(2)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "DELETE"])
async def test_methods(site: Site, method: str) -> None:
    answer = await site.raw(head(site, f"{method} /v1/jobs HTTP/1.1"))
    assert method in problem(answer, 405, "method_not_allowed")["detail"]
    assert answer.headers["allow"] == "GET, POST"
    await unharmed(site)


@pytest.mark.bad(1, 2)
async def test_an_error_for_head_has_no_body(site: Site) -> None:
    for path, status in (("/v1/nothing", 404), ("/v1/fetch", 405), (f"/v1/jobs/{NOBODY}", 404)):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head(site, f"HEAD {path} HTTP/1.1", "Connection: close"))
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.endswith(b"\r\n\r\n")


# hosts


HOSTS = [
    Case(17, "none", b"", 400, "bad_host"),
    Case(17, "two", b"Host: localhost\r\nHost: localhost\r\n", 400, "bad_host"),
    Case(17, "two and different", b"Host: localhost\r\nHost: evil.example\r\n", 400, "bad_host"),
    Case(17, "foreign", b"Host: evil.example\r\n", 421, "unknown_host", None, "evil.example"),
    Case(17, "foreign with our port", b"Host: evil.example:80\r\n", 421, "unknown_host"),
    Case(17, "with a user", b"Host: localhost@evil.example\r\n", 421, "unknown_host"),
    Case(17, "broken", b"Host: [\r\n", 421, "unknown_host"),
    Case(17, "empty", b"Host:\r\n", 421, "unknown_host"),
    Case(17, "a path", b"Host: evil.example/localhost\r\n", 421, "unknown_host"),
]


@pytest.mark.parametrize("case", HOSTS, ids=names)
async def test_hosts(site: Site, case: Case) -> None:
    sent = b"POST /v1/jobs HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Length: 13\r\n\r\n%b"
    await refused(site, await site.raw(sent % (case.sent, BODY)), case)


@pytest.mark.bad(17)
async def test_http_1_0_needs_no_host_and_is_closed(site: Site) -> None:
    [answer], closed = await say(site, b"GET /v1/stats HTTP/1.0\r\n\r\n")
    assert answer.status_code == 200
    assert closed


# bodies


KINDS = [
    Case(8, "none", b"", 415, "unsupported_media_type", None, "application/json"),
    Case(8, "empty", b"Content-Type:\r\n", 415, "unsupported_media_type"),
    Case(8, "text", b"Content-Type: text/plain\r\n", 415, "unsupported_media_type"),
    Case(8, "a form", b"Content-Type: application/x-www-form-urlencoded\r\n", 415, "unsupported_media_type"),
    Case(8, "parts", b"Content-Type: multipart/form-data; boundary=x\r\n", 415, "unsupported_media_type"),
    Case(8, "nearly", b"Content-Type: application/jsonx\r\n", 415, "unsupported_media_type"),
    Case(9, "UTF-16", b"Content-Type: application/json; charset=utf-16\r\n", 415, "unsupported_media_type"),
    Case(9, "Latin-1", b"Content-Type: application/json;charset=latin1\r\n", 415, "unsupported_media_type"),
    Case(
        10, "gzip", b"Content-Encoding: gzip\r\n", 415, "unsupported_encoding", None, "Content-Encoding: gzip"
    ),
    Case(10, "brotli", b"Content-Encoding: br\r\n", 415, "unsupported_encoding"),
    Case(10, "two", b"Content-Encoding: identity, gzip\r\n", 415, "unsupported_encoding"),
    Case(10, "something", b"Content-Encoding: x\r\n", 415, "unsupported_encoding"),
]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/finish"])
@pytest.mark.parametrize("case", KINDS, ids=names)
async def test_kinds_of_bodies(site: Site, case: Case, path: str) -> None:
    kind = b"" if case.line != 10 else b"Content-Type: application/json\r\n"
    body = gzip.compress(BODY)
    start = head(site, f"POST {path} HTTP/1.1", f"Content-Length: {len(body)}").removesuffix(b"\r\n")
    await refused(site, await site.raw(start + kind + case.sent + b"\r\n" + body), case)


@pytest.mark.bad(3, 18)
async def test_an_oversized_body_that_asks_first_is_told_before_it_is_sent(store: str) -> None:
    async with serving(store, Settings(body_limit=2000, payload_limit=1000)) as site:
        lines = (JSON, "Content-Length: 2001", "Expect: 100-continue")
        [answer], closed = await say(site, head(site, "POST /v1/jobs HTTP/1.1", *lines))
        assert "at most 2000 bytes" in problem(answer, 413, "payload_too_large")["detail"]
        assert closed
        await unharmed(site)


@pytest.mark.bad(18)
async def test_a_body_that_asks_first_and_fits_is_asked_for(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head(site, "POST /v1/jobs HTTP/1.1", JSON, LENGTH, "Expect: 100-continue"))
    assert (await asyncio.wait_for(Answer.read(reader), PATIENCE)).status_code == 100
    writer.write(BODY)
    assert (await asyncio.wait_for(Answer.read(reader), PATIENCE)).status_code == 201
    writer.close()


@pytest.mark.bad(4)
async def test_chunks_that_pass_the_limit(store: str) -> None:
    async with serving(store, Settings(body_limit=2000, payload_limit=1000)) as site:
        chunks = b"".join(b"3e8\r\n" + b" " * 1000 + b"\r\n" for _ in range(3))
        [answer], closed = await say(site, head(site, "POST /v1/jobs HTTP/1.1", JSON, CHUNKED) + chunks)
        problem(answer, 413, "payload_too_large")
        assert closed
        await unharmed(site)


@pytest.mark.bad(7)
@pytest.mark.parametrize("lines", [(LENGTH,), (CHUNKED,)], ids=["length", "chunks"])
async def test_a_body_that_breaks_off(site: Site, lines: tuple[str, ...]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    body = BODY[:-1] if LENGTH in lines else CHUNKS[:-5]
    writer.write(head(site, "POST /v1/jobs HTTP/1.1", JSON, *lines) + body)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()
    await unharmed(site)


@pytest.mark.bad(19)
async def test_ranges_are_not_served(site: Site) -> None:
    id = await site.enqueue()
    async with site.worker() as worker:
        await worker.done(await worker.job(), result="x" * 1000)
    ranges = "Range: bytes=" + ",".join(f"{n}-{n}" for n in range(2000))
    answer = await site.raw(head(site, f"GET /v1/jobs/{id}/result HTTP/1.1", ranges))
    assert (answer.status_code, len(answer.content)) == (200, 1002)


# upgrades


HANDSHAKES: list[tuple[str, str, tuple[str, ...], bytes]] = [
    ("POST", "bad_handshake", (*UPGRADE, KEY, "Sec-WebSocket-Version: 13"), b""),
    ("GET", "bad_handshake", (*UPGRADE, KEY), b""),
    ("GET", "bad_handshake", (*UPGRADE, KEY, "Sec-WebSocket-Version: 8"), b""),
    ("GET", "bad_handshake", (*UPGRADE, KEY, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), b""),
    ("GET", "bad_handshake", (*UPGRADE, "Sec-WebSocket-Version: 13"), b""),
    ("GET", "bad_handshake", (*UPGRADE, "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Version: 13"), b""),
    ("GET", "bad_handshake", (*UPGRADE, "Sec-WebSocket-Key: \u00e4", "Sec-WebSocket-Version: 13"), b""),
    ("GET", "bad_handshake", (*UPGRADE, KEY, KEY, "Sec-WebSocket-Version: 13"), b""),
    ("GET", "bad_handshake", (*UPGRADE, KEY, "Sec-WebSocket-Version: 13", LENGTH), BODY),
    ("POST", "unsupported_upgrade", ("Connection: Upgrade", "Upgrade: h2c", JSON, LENGTH), BODY),
]


@pytest.mark.bad(106)
@pytest.mark.parametrize("case", HANDSHAKES, ids=lambda case: f"106-{case[1]}-{HANDSHAKES.index(case)}")
async def test_handshakes(site: Site, case: tuple[str, str, tuple[str, ...], bytes]) -> None:
    method, code, lines, body = case
    [answer], closed = await say(site, head(site, f"{method} /v1/worker HTTP/1.1", *lines) + body)
    problem(answer, 400, code)
    assert closed
    await unharmed(site)


@pytest.mark.bad(12, 106)
async def test_a_handshake_with_a_long_header(site: Site) -> None:
    lines = (*UPGRADE, KEY, "Sec-WebSocket-Version: 13", "X: " + "y" * 9000)
    [answer], closed = await say(site, head(site, "GET /v1/worker HTTP/1.1", *lines))
    problem(answer, 431, "headers_too_large")
    assert closed
    await unharmed(site)


@pytest.mark.bad(1, 106)
async def test_a_socket_where_there_is_none(site: Site) -> None:
    lines = (*UPGRADE, KEY, "Sec-WebSocket-Version: 13")
    for path in ("/v1/jobs", "/nothing"):
        [answer], closed = await say(site, head(site, f"GET {path} HTTP/1.1", *lines))
        problem(answer, 404, "not_found")
        assert closed


@pytest.mark.bad(20)
async def test_an_offer_of_another_protocol_is_left_aside(site: Site) -> None:
    [answer], closed = await say(
        site, head(site, "GET /v1/stats HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c")
    )
    assert answer.status_code == 200
    assert closed
