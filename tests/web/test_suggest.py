"""Suggestions: what could be looked for, while somebody types it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.kit import Site, lease, problem


async def values(site: Site, field: str, prefix: str = "", **asked: Any) -> list[tuple[str, Any]]:
    answer = await site.get("/v1/suggest", field=field, prefix=prefix, **asked)
    assert set(answer) == {"field", "values"}
    assert answer["field"] == field
    return [(one["value"], one["jobs"]) for one in answer["values"]]


async def test_names_come_with_their_jobs_the_most_used_first(site: Site) -> None:
    for n in range(5):
        await site.enqueue(
            "Mail" if n else "page", queue="emails" if n < 3 else "exports", tags=["a", f"b{n % 2}"]
        )
    async with site.worker("w-7", queues=["empty", "emails"], types=["none"]):
        assert await values(site, "queue") == [("emails", 3), ("exports", 2), ("empty", 0)]
        assert await values(site, "queue", "E", limit=2) == [("emails", 3), ("exports", 2)]
        assert await values(site, "queue", "ex") == [("exports", 2)]
        assert await values(site, "queue", "%") == []
        assert await values(site, "queue", type="page") == [("emails", 1), ("empty", 0)]
        assert await values(site, "type", "m") == [("Mail", 4)]
        assert await values(site, "type") == [("Mail", 4), ("page", 1), ("none", 0)]
        assert await values(site, "state", "p") == [("pending", 5)]
        assert await values(site, "state", queue="exports", type="page", prefix="pend") == [("pending", 0)]
        assert await values(site, "worker") == [("w-7", None)]
    assert await values(site, "tag") == [("a", 5), ("b0", 3), ("b1", 2)]
    assert await values(site, "tag", "b") == [("b0", 3), ("b1", 2)]
    assert await values(site, "tag", "B") == []
    assert await values(site, "tag", queue="exports") == [("a", None), ("b0", None), ("b1", None)]


async def test_members_of_payloads_and_their_values(site: Site) -> None:
    await site.enqueue(
        "t", payload={"user": {"id": 42, "a.b": "x:y"}, "items": [{"sku": "s"}, 1], "none": {}}
    )
    await site.enqueue("t", payload={"user": {"id": "42", "vip": True}, "long": "x" * 200, "": 1})
    await site.enqueue("t", payload={"user": {"id": 12345678901234567890}, "left": None, "rate": 0.10})
    await site.enqueue("t", payload=[{"deep": 1}])
    await site.enqueue("t", payload="a text")
    await site.enqueue("t", payload_base64="AAAA", content_type="image/png")
    await site.enqueue("other", payload={"elsewhere": "big" * 50_000})
    paths = [path for path, jobs in await values(site, "payload", limit=100)]
    assert paths[0] == "user.id"
    assert sorted(paths[1:]) == sorted(
        ["0.deep", "items.0.sku", "left", "long", "rate", r"user.a\.b", "user.vip"]
    ), "what is large is not looked into"
    assert [path for path, _ in await values(site, "payload", "US")] == ["user.id", r"user.a\.b", "user.vip"]
    assert await values(site, "payload", type="other") == []
    for prefix, found in (
        ("user.id:", ["user.id:42", "user.id:12345678901234567890"]),
        ("user.id:1", ["user.id:12345678901234567890"]),
        (r"user.a\.b:x", [r"user.a\.b:x:y"]),
        ("user.vip:", ["user.vip:true"]),
        ("left:", ["left:null"]),
        ("rate:", ["rate:0.1"]),
        ("long:", []),
        ("user:", []),
        ("absent:", []),
    ):
        assert [value for value, _ in await values(site, "payload", prefix)] == found
    for value in ("user.id:42", r"user.a\.b:x:y", "user.vip:true", "left:null", "rate:0.1"):
        assert (await site.get("/v1/jobs", payload=value))["jobs"], "what is suggested is found"


async def test_errors_are_those_that_were_seen(site: Site) -> None:
    async with site.worker("w", queues=["default"]) as worker:
        for name, message in (
            ("KeyError", "'id'"),
            ("ReadTimeout", "no answer\nfrom there"),
            ("KeyError", "'x'"),
        ):
            await site.enqueue(max_attempts=1)
            error = {"type": name, "message": message}
            await worker.finish({**lease(await worker.job()), "end": "failed", "error": error})
    assert (await values(site, "error"))[:2] == [("KeyError", 2), ("ReadTimeout", 1)]
    assert await values(site, "error", "read") == [("ReadTimeout", 1)]
    assert await values(site, "error", "no") == [("no answer", None)]
    assert await values(site, "error", queue="none") == []
    [(found, _)] = await values(site, "error", "no")
    assert len((await site.get("/v1/jobs", error=found))["jobs"]) == 1


async def test_more_jobs_than_are_counted(site: Site) -> None:
    await site.enqueue_many(1001, tags=["many", "x"])
    await site.enqueue(tags=["few"])
    assert await values(site, "tag", limit=3) == [("many", None), ("x", None), ("few", 1)]


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({}, "missing_parameter", "field"),
        ({"field": "colour"}, "invalid_field", "field"),
        ({"field": "queue", "limit": "101"}, "invalid_limit", "limit"),
        ({"field": "queue", "queue": "no queue"}, "invalid_queue", "queue"),
        ({"field": "queue", "tag": "x"}, "unknown_parameter", "tag"),
    ],
)
async def test_what_cannot_be_suggested(site: Site, asked: dict[str, str], code: str, field: str) -> None:
    problem(await site.http.get("/v1/suggest", params=asked), 422, code, field)
