"""POST /v1/jobs: one job, many, keys, and waiting for the end."""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.web.kit import Site, lease, problem, read, until


async def test_one_job(site: Site) -> None:
    answer = await site.post("/v1/jobs", {"type": "resize"}, 201)
    id = answer.pop("id")
    assert answer == {"type": "resize", "queue": "default", "state": "pending", "created": True}
    job = await site.job(id)
    assert (job["id"], job["payload"], job["content_type"]) == (id, None, "application/json")


async def test_every_field_comes_back_as_it_was_given(site: Site) -> None:
    given = {
        "type": "resize",
        "payload": {"ä": [1, 2.5, None, True, "\U0001f600"], "big": 12345678901234567890, "__proto__": {}},
        "headers": {"trace-id": "abc"},
        "queue": "images/large",
        "priority": -7,
        "run_at": "2099-01-01T00:00:00.123456Z",
        "expires_at": "2099-01-02T02:00:00+02:00",
        "timeout": 2.5,
        "max_attempts": 3,
        "retry": {"kind": "list", "delays": [1.0, 2.5]},
        "tags": ["a", "b"],
        "unique_key": "user:1",
        "unique_states": ["scheduled", "pending"],
        "retention": 60.0,
    }
    job = await site.job(await site.enqueue(**given))  # type: ignore[arg-type]
    expected = given | {"state": "scheduled", "expires_at": "2099-01-02T00:00:00.000000Z"}
    assert {name: job[name] for name in expected} == expected
    assert (job["attempt"], job["lease"], job["attempts"], job["progress"]) == (0, 0, [], None)


async def test_bytes_with_a_content_type(site: Site) -> None:
    raw = bytes(range(256))
    id = await site.enqueue(payload_base64=base64.b64encode(raw).decode(), content_type="image/png")
    job = await site.job(id)
    assert base64.b64decode(job["payload_base64"]) == raw
    assert job["content_type"] == "image/png"
    assert "payload" not in job


async def test_many_jobs_are_answered_in_order(site: Site) -> None:
    body = {"jobs": [{"type": f"t{n}", "queue": f"q{n % 3}"} for n in range(100)]}
    answer = await site.post("/v1/jobs", body, 201)
    assert list(answer) == ["jobs"]
    assert [(job["type"], job["queue"]) for job in answer["jobs"]] == [
        (job["type"], job["queue"]) for job in body["jobs"]
    ]
    assert {(job["state"], job["created"]) for job in answer["jobs"]} == {("pending", True)}
    for n in (0, 57, 99):
        assert (await site.job(answer["jobs"][n]["id"]))["type"] == f"t{n}"


async def test_the_largest_batch(site: Site) -> None:
    ids = await site.enqueue_many(10_000)
    assert len(set(ids)) == 10_000 == await site.stored()


@pytest.mark.parametrize("count", [0, 10_001])
async def test_too_few_and_too_many_jobs(site: Site, count: int) -> None:
    answer = await site.http.post("/v1/jobs", json={"jobs": [{"type": "t"}] * count})
    assert str(count) in problem(answer, 422, "invalid_batch", "jobs")["detail"]
    assert await site.stored() == 0


async def test_one_bad_job_in_the_middle_stores_nothing(site: Site) -> None:
    jobs = [{"type": "t"} for _ in range(100)]
    jobs[57]["priority"] = 101  # type: ignore[assignment]
    told = problem(
        await site.http.post("/v1/jobs", json={"jobs": jobs}), 422, "invalid_priority", "jobs[57].priority"
    )
    assert "from -100 to 100, not '101'" in told["detail"]
    jobs[57] = {"type": "t", "prioritty": "1"}
    answer = await site.http.post("/v1/jobs", json={"jobs": jobs})
    assert problem(answer, 422, "unknown_field", "jobs[57].prioritty")["detail"].endswith("priority?")
    assert await site.stored() == 0


# keys


async def test_a_repeated_request_gives_the_same_job(site: Site) -> None:
    for headers in ({"idempotency-key": "k1"}, {"idempotency-key": '"k1"'}):
        for n in range(2):
            fresh = n == 0 and headers["idempotency-key"] == "k1"
            answer = await site.post("/v1/jobs", {"type": "t"}, 201 if fresh else 200, headers=headers)
            assert answer["created"] is fresh
            assert answer.get("why") == (None if fresh else "idempotency")
    assert await site.stored() == 1


async def test_a_key_with_another_body_is_a_conflict(site: Site) -> None:
    headers = {"idempotency-key": "k"}
    await site.post("/v1/jobs", {"type": "t", "payload": 1}, 201, headers=headers)
    for body in ({"type": "t", "payload": 2}, {"jobs": [{"type": "t", "payload": 1}]}):
        answer = await site.http.post("/v1/jobs", json=body, headers=headers)
        problem(answer, 409, "idempotency_mismatch", "idempotency_key")
    assert await site.stored() == 1


async def test_a_key_stands_for_a_whole_batch(site: Site) -> None:
    body = {"jobs": [{"type": "a"}, {"type": "b"}]}
    headers = {"idempotency-key": "k"}
    first = await site.post("/v1/jobs", body, 201, headers=headers)
    again = await site.post("/v1/jobs", body, 200, headers=headers)
    assert [job["id"] for job in again["jobs"]] == [job["id"] for job in first["jobs"]]
    assert {(job["created"], job["why"]) for job in again["jobs"]} == {(False, "idempotency")}


async def test_fifty_at_once_with_one_key_make_one_job(site: Site) -> None:
    async def one() -> tuple[int, str]:
        answer = await site.http.post("/v1/jobs", json={"type": "t"}, headers={"idempotency-key": "k"})
        return answer.status_code, answer.json()["id"]

    answers = await asyncio.gather(*(one() for _ in range(50)))
    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    assert len({id for _, id in answers}) == 1 == await site.stored()


async def test_keys_in_the_jobs_themselves(site: Site) -> None:
    old = await site.enqueue(idempotency_key="k1", payload=1)
    body = {"jobs": [{"type": "work", "idempotency_key": f"k{n}", "payload": 1} for n in (1, 2)]}
    answer = await site.post("/v1/jobs", body, 201)
    assert [job["created"] for job in answer["jobs"]] == [False, True]
    assert answer["jobs"][0]["id"] == old
    body["jobs"][1]["payload"] = 2
    problem(await site.http.post("/v1/jobs", json=body), 409, "idempotency_mismatch", "idempotency_key")
    both = await site.http.post(
        "/v1/jobs", json={"type": "t", "idempotency_key": "x"}, headers={"idempotency-key": "y"}
    )
    problem(both, 422, "conflicting_fields", "idempotency_key")
    assert await site.stored() == 2


@pytest.mark.parametrize("key", ["", '""', "x" * 201])
async def test_a_bad_key_is_refused(site: Site, key: str) -> None:
    answer = await site.http.post("/v1/jobs", json={"type": "t"}, headers={"idempotency-key": key})
    problem(answer, 422, "invalid_idempotency_key", "Idempotency-Key")
    assert await site.stored() == 0


async def test_a_unique_key_names_its_holder(site: Site) -> None:
    first = await site.enqueue("a", unique_key="k")
    answer = await site.post("/v1/jobs", {"type": "b", "unique_key": "k"}, 200)
    assert (answer["id"], answer["created"], answer["why"]) == (first, False, "unique")


# waiting


async def test_wait_gives_the_whole_job_once_it_is_done(site: Site) -> None:
    async with site.worker() as worker:
        call = asyncio.ensure_future(site.http.post("/v1/jobs?wait=30", json={"type": "t"}))
        job = await worker.job()
        assert not call.done()
        await worker.done(job, result={"answer": 42})
        answer = read(await call, 200)
    assert (answer["id"], answer["state"], answer["result"]) == (job["id"], "done", {"answer": 42})
    assert answer == await site.job(job["id"])


async def test_wait_gives_a_failed_job_too(site: Site) -> None:
    async with site.worker() as worker:
        call = asyncio.ensure_future(
            site.http.post("/v1/jobs?wait=30", json={"type": "t", "max_attempts": 1})
        )
        job = await worker.job()
        error = {"type": "ValueError", "message": "no", "traceback": "line 1"}
        await worker.finish({**lease(job), "end": "failed", "error": error})
        answer = read(await call, 200)
    assert (answer["state"], answer["reason"], answer["error"]) == ("failed", "attempts_used_up", error)


async def test_wait_ends_with_202_when_the_job_has_not_ended(site: Site) -> None:
    answer = await site.post("/v1/jobs?wait=0.05", {"type": "t"}, 202)
    assert (answer["state"], answer["waiting_because"]) == ("pending", "No worker serves the queue default.")
    assert (await site.post("/v1/jobs?wait=0", {"type": "t"}, 202))["state"] == "pending"


async def test_a_client_that_leaves_while_it_waits_leaves_its_job(site: Site) -> None:
    body = b'{"type": "t"}'
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST /v1/jobs?wait=60 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    await until(lambda: site.service.workers.meter.enqueued.total() == 1)
    writer.transport.abort()
    async with site.worker() as worker:
        assert (await worker.done(await worker.job()))["state"] == "done"


@pytest.mark.parametrize("wait", ["-1", "601", "soon", "", "nan", "inf"])
async def test_a_bad_wait_is_refused_and_nothing_stored(site: Site, wait: str) -> None:
    answer = await site.http.post("/v1/jobs", params={"wait": wait}, json={"type": "t"})
    problem(answer, 422, "invalid_wait", "wait")
    assert await site.stored() == 0


async def test_wait_is_for_one_job(site: Site) -> None:
    answer = await site.http.post("/v1/jobs?wait=1", json={"jobs": [{"type": "t"}]})
    problem(answer, 422, "conflicting_fields", "wait")
    problem(await site.http.post("/v1/jobs?wiat=1", json={"type": "t"}), 422, "unknown_parameter", "wiat")
    problem(
        await site.http.post("/v1/jobs?wait=1&wait=2", json={"type": "t"}), 422, "duplicate_parameter", "wait"
    )
    assert await site.stored() == 0


async def test_wait_for_a_job_that_was_there(site: Site) -> None:
    id = await site.enqueue("t", unique_key="k")
    answer = await site.post("/v1/jobs?wait=0.05", {"type": "t", "unique_key": "k"}, 202)
    assert answer["id"] == id


async def test_get_waits_too(site: Site) -> None:
    id = await site.enqueue()
    call = asyncio.ensure_future(site.get(f"/v1/jobs/{id}", wait=30))
    await until(lambda: site.service.bus._waiters)
    await site.post(f"/v1/jobs/{id}/cancel")
    assert (await call)["state"] == "cancelled"
    answer = await site.http.get(f"/v1/jobs/{id}", params={"wait": 700})
    problem(answer, 422, "invalid_wait", "wait")
