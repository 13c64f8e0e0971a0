"""Finding jobs by what they carry: the filters of lists and of acts on many."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.kit import Site, lease, problem


async def listed(site: Site, *asked: tuple[str, str]) -> list[str]:
    answer = await site.http.get("/v1/jobs", params=list(asked))
    assert answer.status_code == 200, answer.content
    return [job["id"] for job in answer.json()["jobs"]]


async def test_lists_by_payload_error_id_and_several_names(site: Site) -> None:
    a = await site.enqueue("mail", queue="one", tags=["x", "y"], payload={"user": {"id": 42}, "a.b": [1]})
    b = await site.enqueue("page", queue="two", tags=["x"], payload={"user": {"id": "42"}}, max_attempts=1)
    c = await site.enqueue("note", queue="six", payload={"user": {"id": 12345678901234567890}})
    async with site.worker("w1", queues=["two"]) as worker:
        error = {"type": "ReadTimeout", "message": "Nothing came: 100%"}
        await worker.finish({**lease(await worker.job()), "end": "failed", "error": error})
    assert await listed(site, ("payload", "user.id:42")) == [b, a]
    assert await listed(site, ("payload", 'user.id:"42"')) == [b]
    assert await listed(site, ("payload", "user.id:42"), ("payload", r"a\.b.0:1")) == [a]
    assert await listed(site, ("payload", "user.id:12345678901234567890")) == [c]
    assert await listed(site, ("payload", "user.id:12345678901234567891")) == []
    assert await listed(site, ("error", "TIMEOUT")) == [b]
    assert await listed(site, ("error", "100%")) == [b]
    assert await listed(site, ("error", "1%")) == []
    assert await listed(site, ("queue", "one"), ("queue", "six"), ("queue", "none")) == [c, a]
    assert await listed(site, ("type", "mail"), ("type", "page")) == [b, a]
    assert await listed(site, ("tag", "x")) == [b, a]
    assert await listed(site, ("tag", "x"), ("tag", "y")) == [a]
    for id in (a, a.upper(), a.replace("-", ""), a[:35]):
        assert await listed(site, ("id", id)) == [a]
    for length in (9, 12, 13, 17, 21):
        # Ids that were made at the same time begin alike.
        alike = [id for id in (c, b, a) if id.replace("-", "").startswith(a.replace("-", "")[:length])]
        assert await listed(site, ("id", a.replace("-", "")[:length])) == alike
    assert await listed(site, ("id", a[:1])) == [c, b, a]


@pytest.mark.parametrize(
    ("asked", "field", "told"),
    [
        ([("id", "")], "id", "1 to 36 hexadecimal"),
        ([("id", "g")], "id", "1 to 36 hexadecimal"),
        ([("id", "-1")], "id", "1 to 36 hexadecimal"),
        ([("id", "1%")], "id", "1 to 36 hexadecimal"),
        ([("id", "1" * 37)], "id", "1 to 36 hexadecimal"),
        ([("error", "")], "error", "1 to 200 characters"),
        ([("error", "x" * 201)], "error", "1 to 200 characters"),
        ([("payload", "")], "payload", "PATH:VALUE"),
        ([("payload", "user.id")], "payload", "PATH:VALUE"),
        ([("payload", ":1")], "payload", "PATH:VALUE"),
        ([("payload", "a\\b:1")], "payload", "backslash"),
        ([("payload", "a:" + "x" * 1000)], "payload", "1000 characters"),
        ([("payload", "a." * 100 + "b:1")], "payload", "64 names"),
        ([("payload", "a:1")] * 17, "payload", "at most 16 times"),
        ([("tag", "a")] * 33, "tag", "at most 32 times"),
        ([("queue", "a")] * 101, "queue", "at most 100 times"),
        ([("type", "a")] * 101, "type", "at most 100 times"),
    ],
)
async def test_what_cannot_be_looked_for_is_told(site: Site, asked: Any, field: str, told: str) -> None:
    answer = await site.http.get("/v1/jobs", params=asked)
    said = problem(answer, 422, "invalid_filter", field)
    assert told in said["detail"]


async def test_acts_on_many_take_the_same_filters(site: Site) -> None:
    ids = [
        await site.enqueue(f"t{n % 3}", queue=f"q{n % 2}", tags=["a", f"b{n % 2}"], payload={"n": n % 4})
        for n in range(12)
    ]

    async def matched(filter: dict[str, Any]) -> int:
        body = {"filter": filter, "dry_run": True}
        answer = await site.post("/v1/jobs/cancel", body)
        assert answer["cursor"] is None
        count: int = answer["matched"]
        return count

    assert await matched({"payload": ["n:1"]}) == 3
    assert await matched({"payload": "n:1"}) == 3
    assert await matched({"payload": ["n:1", "n:2"]}) == 0
    assert await matched({"payload": ["n:1"], "type": ["t0", "t1"]}) == 2
    assert await matched({"queue": ["q0", "q1"]}) == 12
    assert await matched({"queue": ["q0", "no"], "tag": "a"}) == 6
    assert await matched({"tag": ["a", "b1"]}) == 6
    assert await matched({"id": ids[3]}) == 1
    assert await matched({"error": "x"}) == 0
    done = await site.post("/v1/jobs/cancel", {"filter": {"payload": ["n:1"], "tag": ["a"]}})
    assert (done["matched"], done["changed"]) == (3, 3)
    assert [id for id in ids if await site.state(id) == "cancelled"] == ids[1::4]
    assert (await site.post("/v1/jobs/delete", {"filter": {"payload": ["n:1"], "state": "cancelled"}}))[
        "changed"
    ] == 3
    assert await site.stored() == 9


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        ({"payload": []}, "filter.payload"),
        ({"payload": ["a:1"] * 1000}, "filter.payload"),
        ({"payload": ["a"]}, "filter.payload"),
        ({"payload": ""}, "filter.payload"),
        ({"queue": []}, "filter.queue"),
        ({"tag": ["a"] * 33}, "filter.tag"),
        ({"id": ""}, "filter.id"),
        ({"error": ""}, "filter.error"),
    ],
)
async def test_an_act_on_what_cannot_be_looked_for_does_nothing(site: Site, filter: Any, field: str) -> None:
    await site.enqueue()
    answer = await site.http.post("/v1/jobs/delete", json={"filter": filter})
    problem(answer, 422, "invalid_filter", field)
    assert await site.stored() == 1
