"""What fronts share, with fronts made for the test: methods, words, marks, pages of jobs, bodies."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import BATCH, Service
from rota.core.whole import whole
from rota.engines.open import open_engine
from rota.model.errors import NotFound, RotaError, StoreError, Unavailable
from rota.model.job import State
from rota.model.spec import JobSpec
from rota.web import api, front
from rota.web.auth import Gate
from rota.web.front import Front, Handler, Json, Text
from tests.web.kit import NOBODY, Site, serving


def refuse(error: RotaError) -> Response:
    return Text(f"no: {error.code}", error.status)


def words(name: str, text: str = "") -> Handler:
    async def answer(request: Request) -> Response:
        return Text(f"{name} {request.method} {text}".strip())

    return answer


@asynccontextmanager
async def mounted(
    store: str, *fronts: Front, token: str | None = None, alone: bool = False
) -> AsyncIterator[Site]:
    build = api.build_fronts if alone else api.build
    async with serving(
        store, application=lambda service: build(service, Gate(token, None), 1000, fronts)
    ) as site:
        yield site


def a_front(name: str, requests: Mapping[tuple[str, str], Handler]) -> Front:
    return Front(name, requests, refuse)


async def test_methods_of_a_path(store: str) -> None:
    one = a_front(
        "one",
        {
            ("GET", "/thing"): words("get"),
            ("PUT", "/thing"): words("put"),
            ("GET", "/taken"): words("takes"),
            ("HEAD", "/taken"): words("only looks"),
            ("POST", "/only"): words("post"),
        },
    )
    async with mounted(store, one) as site:
        for method, path, status, text in (
            ("GET", "/thing", 200, "get GET"),
            ("HEAD", "/thing", 200, ""),
            ("PUT", "/thing", 200, "put PUT"),
            ("GET", "/taken", 200, "takes GET"),
            ("HEAD", "/taken", 200, ""),
            ("POST", "/only", 200, "post POST"),
            ("POST", "/thing", 405, "no: method_not_allowed"),
            ("OPTIONS", "/thing", 405, "no: method_not_allowed"),
            ("DELETE", "/thing", 405, "no: method_not_allowed"),
            ("HEAD", "/only", 405, ""),
        ):
            answer = await site.http.request(method, path)
            assert (answer.status_code, answer.text) == (status, text), (method, path)
            allowed = {"/thing": "GET, PUT", "/taken": "GET, HEAD", "/only": "POST"}[path]
            assert answer.headers.get("allow") == (allowed if status == 405 else None)
        looked = await site.http.head("/taken")
        assert looked.headers["content-length"] == str(len("only looks HEAD")), "it did not do what GET does"
        # A slash at the end is another path, and nobody is sent elsewhere.
        for path in ("/thing/", "//thing", "/Thing"):
            # Whole, because //thing alone would be the name of a host.
            answer = await site.http.get(site.url + path, follow_redirects=False)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_of_two_fronts_with_one_path_the_first_has_it(store: str) -> None:
    one = a_front("one", {("GET", "/same"): words("one")})
    requests = {("GET", "/same"): words("two"), ("GET", "/other"): words("two")}
    two = Front("two", requests, lambda error: Text("two", error.status))
    async with mounted(store, one, two, token="t" * 16) as site:
        auth = {"authorization": "Bearer " + "t" * 16}
        assert (await site.http.get("/same", headers=auth)).text == "one GET"
        assert (await site.http.get("/other", headers=auth)).text == "two GET"
        assert (await site.http.get("/same")).text == "no: missing_credentials"
        assert (await site.http.get("/other")).text == "two"


@pytest.mark.parametrize("alone", [False, True])
async def test_refusals_are_in_the_words_of_the_front(
    store: str, alone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(error: Exception) -> Handler:
        async def answer(request: Request) -> Response:
            raise error

        return answer

    async def reads(request: Request) -> Response:
        return Text(str(len(await front.body(request, 10))))

    one = a_front(
        "one",
        {
            ("GET", "/known"): failing(NotFound("No such thing.")),
            ("GET", "/away"): failing(Unavailable("Not now.")),
            ("GET", "/full"): failing(StoreError("No room.", code="storage_full", status=507)),
            ("GET", "/bug"): failing(ZeroDivisionError("secret")),
            ("POST", "/reads"): reads,
        },
    )
    async with mounted(store, one, alone=alone) as site:
        for path, status, text in (
            ("/known", 404, "no: not_found"),
            ("/away", 503, "no: unavailable"),
            ("/full", 507, "no: storage_full"),
            ("/known%zz", 400, None),
        ):
            answer = await site.http.get(path)
            assert answer.status_code == status
            assert text is None or answer.text == text
            assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
        answer = await site.http.post("/reads", content=b"x" * 10)
        assert answer.text == "10"
        answer = await site.http.post("/reads", content=b"x" * 11)
        assert (answer.status_code, answer.text, answer.headers["connection"]) == (
            413,
            "no: payload_too_large",
            "close",
        )
        with caplog.at_level(logging.ERROR, "rota.web"):
            answer = await site.http.get("/bug")
        assert (answer.status_code, answer.text) == (500, "no: internal")
        [record] = [one for one in caplog.records if one.name == "rota.web"]
        assert record.exc_info is not None, "the log says what happened"


async def test_jobs_carry_the_mark_of_their_front(site: Site) -> None:
    service = site.service
    mine = await front.submit(service, "one", JobSpec(type="t", tags=("mine",)))
    assert mine.tags == ("mine", "front:one")
    assert (await front.job(service, "one", mine.id)).id == mine.id
    plain = await site.enqueue("t", tags=["one"])
    for name, id in (("two", mine.id), ("one", plain), ("one", NOBODY), ("one", ""), ("one", "x" * 5000)):
        with pytest.raises(NotFound) as refused:
            await front.job(service, name, id)
        assert refused.value.code == "job_not_found"
    assert await listed(service, "one") == [mine.id]
    assert await listed(service, "two") == []
    shown = await site.get(f"/v1/jobs/{mine.id}")
    assert shown["tags"] == ["mine", "front:one"]


async def listed(service: Service, name: str, **match: Any) -> list[str]:
    return [job.id async for job in whole(service, front.ids(service, name, **match))]


async def test_all_or_none_are_stored(site: Site) -> None:
    with pytest.raises(RotaError):
        await front.submit_all(site.service, "one", [JobSpec(type="t"), JobSpec(type="no type")])
    assert await site.stored() == 0


async def test_all_jobs_of_a_front_over_all_pages(site: Site) -> None:
    service = site.service
    made = await front.submit_all(service, "one", [JobSpec(type="t")] * (BATCH + 7))
    await front.submit_all(service, "two", [JobSpec(type="t")] * 3)
    await site.enqueue_many(3, "t")
    assert await listed(service, "one") == [job.id for job in made], "oldest first, each once"
    assert len(await listed(service, "one", states=(State.PENDING,))) == BATCH + 7
    assert await listed(service, "one", states=(State.DONE,)) == []


@pytest.mark.parametrize(
    ("body", "yes"),
    [
        (b"{}", True),
        (b" [1, 2.5e3, null] ", True),
        (b'"' + b"x" * 100_000 + b'"', True),
        (b"[" + b"1," * (2 * 1024 * 1024) + b"1]", True),
        (b"", False),
        (b"{} {}", False),
        (b'1,"a":2', False),
        (b'1},{"a":2', False),
        (b"[1,]", False),
        (b"'a'", False),
        (b"NaN", False),
        (b"-Infinity", False),
        (b"1e400", False),
        (b"1" * 4301, False),
        (b'{"a":1,"a":1}', False),
        (b'{"a":1,"\\u0061":1}', False),
        (b'"\\ud83d"', False),
        (b'"\\u0000"', False),
        (b'"\xff"', False),
        (b'"\xed\xa0\x80"', False),
        (b"\xff\xfe1\x00", False),
        (b"\xef\xbb\xbf{}", False),
        (b"\x1f\x8b\x08", False),
        (b"[" * 65 + b"]" * 65, False),
        (b"[" * 3_000_000, False),
        (b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000, False),
        (b"]" * 3_000_000, False),
    ],
    ids=range(27),
)
def test_what_can_be_kept_as_json(body: bytes, yes: bool) -> None:
    assert front.is_json(body) is yes


async def test_answers_end_as_they_are_told_to() -> None:
    assert Json({"a": "é<"}, end=b"\n").body == '{"a":"é<"}\n'.encode()
    assert Json([], 202).status_code == 202
    assert Text("a").headers["content-type"] == "text/plain; charset=utf-8"


async def test_what_a_front_accepted_is_there_after_a_restart(store: str) -> None:
    engine = await open_engine(store)
    job = await front.submit(Service(engine), "one", JobSpec(type="t"))
    await engine.close()
    async with serving(store) as site:
        assert (await front.job(site.service, "one", job.id)).tags == ("front:one",)
