"""Bodies: what is no JSON, and what JSON allows but no program should have to hold."""

from __future__ import annotations

import json

import pytest

from tests.web.bad.kit import Case, names, refused, unharmed
from tests.web.kit import Site, lease, problem

E400 = (400, "invalid_json")
PAYLOAD = b'{"type": "t", "payload": %b}'


def nested(levels: int, kind: bytes = b"[%b]") -> bytes:
    text = b"1"
    for _ in range(levels):
        text = kind % text
    return text


BODIES = [
    Case(34, "empty", b"", *E400, None, "empty"),
    Case(34, "blank", b" \n\t ", *E400),
    Case(34, "null", b"null", 422, "wrong_type", None, "must be an object"),
    Case(34, "true", b"true", 422, "wrong_type"),
    Case(34, "number", b"5", 422, "wrong_type"),
    Case(34, "text", b'"t"', 422, "wrong_type"),
    Case(34, "list", b'[{"type": "t"}]', 422, "wrong_type", None, "must be an object"),
    Case(34, "jobs is an object", b'{"jobs": {"type": "t"}}', 422, "wrong_type", "jobs"),
    Case(34, "a job is null", b'{"jobs": [{"type": "t"}, null]}', 422, "wrong_type", "jobs[1]"),
    Case(35, "broken off", b'{"type": "t"', *E400),
    Case(35, "broken off in a string", b'{"type": "t', *E400),
    Case(35, "trailing comma", b'{"type": "t",\n "queue": "q",}', *E400, None, "line 2, column 15"),
    Case(35, "comment", b'{"type": "t"} // x', *E400, None, "line 1, column 15"),
    Case(35, "comment inside", b'{/* x */"type": "t"}', *E400),
    Case(35, "byte order mark", b'\xef\xbb\xbf{"type": "t"}', *E400, None, "byte order mark"),
    Case(35, "single quotes", b"{'type': 't'}", *E400, None, "line 1, column 2"),
    Case(35, "no quotes", b"{type: 1}", *E400),
    Case(35, "leading zero", PAYLOAD % b"01", *E400),
    Case(35, "plus", PAYLOAD % b"+1", *E400),
    Case(35, "bare point", PAYLOAD % b".5", *E400),
    Case(35, "hexadecimal", PAYLOAD % b"0x10", *E400),
    Case(35, "Python", PAYLOAD % b"None", *E400),
    Case(35, "line end in a string", PAYLOAD % b'"a\nb"', *E400),
    Case(35, "unknown escape", PAYLOAD % b'"\\q"', *E400),
    Case(35, "escape without digits", PAYLOAD % b'"\\u12g4"', *E400),
    Case(35, "UTF-16", '{"type": "t"}'.encode("utf-16-le"), *E400),
    Case(36, "two objects", b'{"type": "t"}{"type": "t"}', *E400),
    Case(36, "a list of lines", b'{"type": "t"}\n{"type": "t"}', *E400, None, "line 2, column 1"),
    Case(36, "a NUL behind", b'{"type": "t"}\x00', *E400),
    Case(36, "a bracket behind", b'{"type": "t"}}', *E400),
    Case(37, "in the job", b'{"type": "t", "type": "u"}', 400, "duplicate_key", "type", "'type'"),
    Case(37, "with the same value", b'{"type": "t", "type": "t"}', 400, "duplicate_key", "type"),
    Case(37, "jobs", b'{"jobs": [{"type": "t"}], "jobs": [{"type": "u"}]}', 400, "duplicate_key", "jobs"),
    Case(37, "in a job of many", b'{"jobs": [{"type": "t"}, {"type": "t", "priority": 1, "priority": 2}]}', 400, "duplicate_key", "jobs[1].priority"),
    Case(37, "in the payload", PAYLOAD % b'{"a": 1, "b": 2, "a": 3}', 400, "duplicate_key", "payload.a", "'a'"),
    Case(37, "deep in it", PAYLOAD % b'[0, {"x": [{"k": {}, "k": {}}]}]', 400, "duplicate_key", "payload[1].x[0].k"),
    Case(37, "escaped", PAYLOAD % b'{"a": 1, "\\u0061": 2}', 400, "duplicate_key", "payload.a"),
    Case(37, "beside escaped colons", PAYLOAD % b'{"a": "\\u003a", "a": 2}', 400, "duplicate_key", "payload.a"),
    Case(37, "empty", PAYLOAD % b'{"": 1, "": 2}', 400, "duplicate_key", "payload."),
    Case(37, "in a retry", b'{"type": "t", "retry": {"kind": "none", "kind": "none"}}', 400, "duplicate_key", "retry.kind"),
    Case(37, "in headers", b'{"type": "t", "headers": {"a": "1", "a": "2"}}', 400, "duplicate_key", "headers.a"),
    Case(38, "NaN", PAYLOAD % b"NaN", 400, "non_finite_number", "payload"),
    Case(38, "Infinity", PAYLOAD % b'{"a": [1, Infinity]}', 400, "non_finite_number", "payload.a[1]"),
    Case(38, "-Infinity", PAYLOAD % b"[-Infinity]", 400, "non_finite_number", "payload[0]"),
    Case(38, "1e999", PAYLOAD % b'{"a": 1e999}', 400, "non_finite_number", "payload.a", "1e999"),
    Case(38, "-1e999", PAYLOAD % b"[0.5, -1E+999]", 400, "non_finite_number", "payload[1]"),
    Case(38, "many digits and a point", PAYLOAD % (b"9" * 400 + b".5"), 400, "non_finite_number", "payload"),
    Case(38, "1e999 as a field", b'{"type": "t", "delay": 1e999}', 422, "invalid_duration", "delay"),
    Case(38, "NaN as a field", b'{"type": "t", "delay": NaN}', 400, "non_finite_number", "delay"),
    Case(39, "10,000 digits", PAYLOAD % (b"1" * 10_000), 400, "number_too_large", "payload", "4300 digits"),
    Case(39, "4301 digits", PAYLOAD % (b"[-" + b"1" * 4301 + b"]"), 400, "number_too_large", "payload[0]"),
    Case(40, "priority", b'{"type": "t", "priority": 9223372036854775808}', 422, "invalid_priority", "priority"),
    Case(40, "max_attempts", b'{"type": "t", "max_attempts": 1' + b"0" * 30 + b"}", 422, "invalid_max_attempts", "max_attempts"),
    Case(41, "65 lists", PAYLOAD % nested(65), 400, "too_deep", None, "64 levels"),
    Case(41, "65 objects", PAYLOAD % nested(65, b'{"a": %b}'), 400, "too_deep"),
    Case(41, "65 of both, with brackets in strings", PAYLOAD % nested(65, b'["]", %b]'), 400, "too_deep"),
    Case(41, "65 in a list of jobs", b'{"jobs": [{"type": "t", "payload": %b}]}' % nested(65), 400, "too_deep"),
    Case(41, "500 lists", PAYLOAD % nested(500), 400, "too_deep"),
    Case(41, "100,000 lists", PAYLOAD % (b"[" * 100_000 + b"]" * 100_000), 400, "too_deep", None, "64 levels"),
    Case(41, "100,000 objects", PAYLOAD % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 400, "too_deep"),
    Case(41, "never closed", PAYLOAD % (b"[" * 1_000_000), 400, "too_deep"),
    Case(42, "high", PAYLOAD % b'"\\ud800"', 400, "invalid_unicode", "payload"),
    Case(42, "low", PAYLOAD % b'{"a": "\\udc00"}', 400, "invalid_unicode", "payload.a"),
    Case(42, "the wrong way round", PAYLOAD % b'"\\udc00\\ud800"', 400, "invalid_unicode", "payload"),
    Case(42, "torn", PAYLOAD % b'["\\ud800-\\udc00"]', 400, "invalid_unicode", "payload[0]"),
    Case(42, "in a key", PAYLOAD % b'{"\\ud800": 1}', 400, "invalid_unicode", "payload"),
    Case(42, "in the type", b'{"type": "\\ud800"}', 400, "invalid_unicode", "type"),
    Case(42, "in a tag", b'{"type": "t", "tags": ["\\udfff"]}', 400, "invalid_unicode", "tags[0]"),
    Case(43, "in the payload", PAYLOAD % b'{"a": ["x\\u0000"]}', 422, "nul_character", "payload.a[0]"),
    Case(43, "in a key", PAYLOAD % b'{"\\u0000": 1}', 422, "nul_character", "payload"),
    Case(43, "in the queue", b'{"type": "t", "queue": "a\\u0000"}', 422, "nul_character", "queue"),
    Case(43, "in a unique key", b'{"type": "t", "unique_key": "a\\u0000"}', 422, "nul_character", "unique_key"),
    Case(43, "as it is", PAYLOAD % b'"a\x00b"', *E400),
    Case(44, "a byte", PAYLOAD % b'"\xff"', 400, "invalid_utf8", None, "byte 26"),
    Case(44, "Latin-1", PAYLOAD % '"ä"'.encode("latin-1"), 400, "invalid_utf8"),
    Case(44, "overlong", PAYLOAD % b'"\xc0\xaf"', 400, "invalid_utf8"),
    Case(44, "a surrogate", PAYLOAD % b'"\xed\xa0\x80"', 400, "invalid_utf8"),
    Case(44, "broken off", PAYLOAD % b'"\xe2\x82"', 400, "invalid_utf8"),
    Case(44, "in a key", PAYLOAD % b'{"\xff": 1}', 400, "invalid_utf8"),
    Case(45, "nearly", b'{"type": "t", "quue": "q"}', 422, "unknown_field", "quue", "Did you mean queue?"),
    Case(45, "in a job of many", b'{"jobs": [{"type": "t"}, {"type": "t", "tag": []}]}', 422, "unknown_field", "jobs[1].tag", "tags"),
    Case(45, "beside jobs", b'{"jobs": [{"type": "t"}], "queue": "q"}', 422, "unknown_field", "queue"),
    Case(45, "__proto__", b'{"type": "t", "__proto__": {"queue": "q"}}', 422, "unknown_field", "__proto__"),
    Case(45, "in a retry", b'{"type": "t", "retry": {"kind": "none", "delay": 5}}', 422, "unknown_field", "retry.delay"),
    Case(46, "300,000 tags", b'{"type": "t", "tags": [' + b",".join(b'"%d"' % n for n in range(300_000)) + b"]}", 422, "too_many_tags", "tags"),
    Case(46, "100,000 headers", b'{"type": "t", "headers": {' + b",".join(b'"h%d": ""' % n for n in range(100_000)) + b"}}", 422, "invalid_headers", "headers"),
    Case(46, "1,000,000 delays", b'{"type": "t", "retry": {"kind": "list", "delays": [' + b"1," * 1_000_000 + b"1]}}", 422, "invalid_backoff", "retry"),
]  # fmt: skip


@pytest.mark.parametrize("case", BODIES, ids=names)
async def test_bodies(site: Site, case: Case) -> None:
    await refused(site, await site.send(case.sent), case)


@pytest.mark.bad(36)
async def test_jobs_that_were_good_until_the_last(site: Site) -> None:
    """One fault among thousands: all or none."""
    good = [{"type": "t", "payload": {"n": n, "text": "a: [b] {c}"}} for n in range(3000)]
    text = json.dumps({"jobs": good}).encode()
    bad = text.replace(b'{"n": 2500,', b'{"n": 1, "n": 2500,')
    problem(await site.send(bad), 400, "duplicate_key")
    await unharmed(site)
    problem(await site.send(text.replace(b'{"n": 2500,', b'{"n": 1e999,')), 400, "non_finite_number")
    await unharmed(site)
    assert (await site.send(text)).status_code == 201
    assert await site.stored() == 3000


ANYTHING = [
    b'{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}',
    b'{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}, "toString": null, "": 0}',
    b'{"a:b": ":", "\\u003a": "\\\\u003a", "\\u003A:": "{\\"a\\": 1, \\"a\\": 2}"}',
    b"[123456789012345678901234567890, -9223372036854775809, 1.10, 1e2, -0.0, 1E-999, 5e-324]",
    b'"\\ud83d\\ude00 \\u00e4 \\\\u0000 \\\\ud800 \\/ \\u2028"',
    b'["NaN", "Infinity", "-Infinity", {"NaN": "1e999"}]',
    '"\u202e\u200b\ufeff\U0001f4a9"'.encode(),
    b"1" * 4300,
    nested(64),
    nested(64, b'{"a": %b}'),
    nested(64, b'["]}[{", "\\"", %b]'),
    b"[" + b"{}," * 200_000 + b"{}]",
    b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(60_000)) + b"}",
    b"[" + b"1," * 400_000 + b"1]",
    b"  [ 1 ,\n\t2 ]  ",
]


@pytest.mark.bad(37, 38, 39, 41, 46, 47)
@pytest.mark.parametrize("payload", ANYTHING, ids=range(len(ANYTHING)))
async def test_what_is_odd_but_good_comes_back_as_it_was(site: Site, payload: bytes) -> None:
    """Not a digit of it is changed, on the way in, to the worker, and out again as a result."""
    answer = await site.send(PAYLOAD % payload)
    assert answer.status_code == 201, answer.text
    id = answer.json()["id"]
    assert payload.strip() in (await site.http.get(f"/v1/jobs/{id}")).content
    async with site.worker() as worker:
        job = await worker.job()
        assert job["payload"] == json.loads(payload)
        report = b'{"op": "finish", "outcomes": [{"id": "%b", "lease": 1, "result": %b}]}'
        await worker.send_raw((report % (id.encode(), payload)).decode())
        assert (await worker.next("finished"))["answers"][0]["state"] == "done"
    assert (await site.http.get(f"/v1/jobs/{id}/result")).content == payload.strip()


@pytest.mark.bad(34, 35, 36, 37, 38, 41, 42, 43, 44)
@pytest.mark.parametrize("path", ["/v1/fetch", "/v1/finish", "/v1/beat"])
async def test_the_requests_of_workers_alike(site: Site, path: str) -> None:
    for body, status, code, field in (
        (b"", 400, "invalid_json", None),
        (b"{", 400, "invalid_json", None),
        (b"[]", 422, "wrong_type", None),
        (b"{}", 422, "missing_field", "worker"),
        (b'{"worker": "\xff"}', 400, "invalid_utf8", None),
        (b'{"worker": "\\u0000"}', 422, "nul_character", "worker"),
        (b'{"worker": "\\ud800"}', 400, "invalid_unicode", "worker"),
        (b'{"wroker": "w"}', 422, "unknown_field", "wroker"),
        (b'{"worker": NaN}', 400, "non_finite_number", "worker"),
    ):
        problem(await site.send(body, path), status, code, field)
    rest = {
        "/v1/fetch": b'"queues": ["q"], "wait": 0',
        "/v1/finish": b'"outcomes": []',
        "/v1/beat": b'"leases": []',
    }
    problem(await site.send(b'{"worker": "w", %b} x' % rest[path], path), 400, "invalid_json")
    body = b'{"worker": "w", %b, "worker": "v"}' % rest[path]
    problem(await site.send(body, path), 400, "duplicate_key", "worker")
    assert (await site.get("/v1/workers"))["workers"] == []
    await unharmed(site)


RESULTS = [
    (b"NaN", "NaN"),
    (b'{"a": [1e999]}', "result.a[0]"),
    (b'{"a": 1, "a": 2}', "'a'"),
    (b'{"a": "\\u0000"}', "NUL"),
    (b'"\\ud800"', "surrogate"),
    (b"1" * 5000, "4300"),
    (nested(65), "64 levels"),
]


@pytest.mark.bad(78)
@pytest.mark.parametrize(("result", "words"), RESULTS, ids=[words for _, words in RESULTS])
async def test_a_result_that_cannot_be_kept_fails_its_job_and_no_other(
    site: Site, result: bytes, words: str
) -> None:
    """Over the socket and over plain HTTP. The job is not left to run into its end."""
    await site.enqueue_many(2)
    async with site.worker(slots=2) as worker:
        bad, good = await worker.jobs(2)
        report = b'{"op": "finish", "outcomes": [{"id": "%b", "lease": 1, "result": %b}, {"id": "%b", "lease": 1, "result": "1e999"}]}'
        await worker.send_raw((report % (bad["id"].encode(), result, good["id"].encode())).decode())
        answers = (await worker.next("finished"))["answers"]
        assert [answer["state"] for answer in answers] == ["failed", "done"]
    await site.enqueue_many(2)
    fetched = await site.post("/v1/fetch", {"worker": "p", "queues": ["default"], "slots": 2, "wait": 1})
    polled = fetched["jobs"]
    outcomes = b",".join(
        b'{"id": "%b", "lease": %d, "result": %b}' % (job["id"].encode(), job["lease"], one)
        for job, one in zip(polled, (result, b'"1e999"'), strict=True)
    )
    answer = await site.send(b'{"worker": "p", "outcomes": [%b]}' % outcomes, "/v1/finish")
    assert [one["state"] for one in answer.json()["answers"]] == ["failed", "done"], answer.text
    for id, state in (
        (bad["id"], "failed"),
        (good["id"], "done"),
        (polled[0]["id"], "failed"),
        (polled[1]["id"], "done"),
    ):
        job = await site.job(id)
        assert job["state"] == state
        if state == "failed":
            assert job["error"]["type"] == "ResultRejected"
            assert words in job["error"]["message"] or words == "NaN"
            assert job["attempt"] == 1
        else:
            assert job["result"] == "1e999"


@pytest.mark.bad(78, 80)
async def test_an_error_with_characters_that_cannot_be_kept(site: Site) -> None:
    id = await site.enqueue(max_attempts=1)
    async with site.worker() as worker:
        job = await worker.job()
        error = '{"type": "E\\u0000", "message": "a\\u0000b \\ud800", "traceback": "\\udfff"}'
        head = json.dumps({"op": "finish", "outcomes": [{**lease(job), "end": "failed"}]})
        await worker.send_raw(head.replace('"failed"', f'"failed", "error": {error}'))
        assert (await worker.next("finished"))["answers"][0]["state"] == "failed"
    kept = (await site.job(id))["error"]
    assert kept == {"type": "E\ufffd", "message": "a\ufffdb \ufffd", "traceback": "\ufffd"}


@pytest.mark.bad(78)
async def test_a_report_with_other_faults_is_refused_whole(site: Site) -> None:
    """A bad result does not excuse what is wrong beside it."""
    await site.enqueue()
    async with site.worker() as worker:
        id = (await worker.job())["id"]
        for outcome, field in (
            (f'{{"id": "{id}", "lease": 1, "lease": 1, "result": 1e999}}', "outcomes[0].lease"),
            (f'{{"id": "{id}", "lease": 1, "delay": 1e999}}', "outcomes[0].delay"),
            (f'{{"id": "{id}\\u0000", "lease": 1, "result": "\\u0000"}}', "outcomes[0].id"),
        ):
            await worker.send_raw('{"op": "finish", "outcomes": [' + outcome + "]}")
            assert (await worker.refused())["field"] == field
        assert await site.state(id) == "running"
