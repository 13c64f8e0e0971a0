"""The trace of the request that stored a job is in the job's headers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.kit import Site, problem

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


async def stored(site: Site, headers: Any, spec: object) -> list[dict[str, str]]:
    """The headers of the jobs that a request with these HTTP headers stores."""
    answer = await site.http.post("/v1/jobs", json=spec, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    shape = answer.json()
    jobs = shape.get("jobs", [shape])
    return [(await site.job(job["id"]))["headers"] for job in jobs]


async def test_one_job_goes_on_in_the_trace_of_its_request(site: Site) -> None:
    headers = {"traceparent": PARENT, "tracestate": "a=1,b=2"}
    assert await stored(site, headers, {"type": "t"}) == [headers]
    spec = {"type": "t", "headers": {"X-Mine": "1"}}
    assert await stored(site, headers, spec) == [{"X-Mine": "1", **headers}]
    waited = await site.http.post("/v1/jobs?wait=0", json={"type": "t"}, headers=headers)
    assert waited.json()["headers"] == headers


async def test_many_jobs_are_marked_as_such(site: Site) -> None:
    specs = {"jobs": [{"type": "t"}, {"type": "t", "headers": {"traceparent": OTHER}}]}
    found = await stored(site, {"traceparent": PARENT, "tracestate": "a=1"}, specs)
    assert found == [{"traceparent": PARENT, "tracestate": "rota=many,a=1"}, {"traceparent": OTHER}]
    found = await stored(site, {"traceparent": PARENT}, {"jobs": [{"type": "t"}]})
    assert found == [{"traceparent": PARENT}]


@pytest.mark.parametrize("name", ["traceparent", "TraceParent", "tracestate"])
async def test_a_job_that_names_its_own_keeps_it(site: Site, name: str) -> None:
    spec = {"type": "t", "headers": {name: "mine"}}
    assert await stored(site, {"traceparent": PARENT, "tracestate": "a=1"}, spec) == [{name: "mine"}]


async def test_what_is_malformed_is_passed_over(site: Site) -> None:
    for headers in (
        [("traceparent", "nonsense"), ("tracestate", "a=1")],
        [("traceparent", PARENT), ("traceparent", OTHER)],
        [("traceparent", PARENT + "\u00fc".encode("latin-1").decode("latin-1"))],
        [("tracestate", "a=1")],
    ):
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        assert await stored(site, encoded, {"type": "t"}) == [{}]
    split = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]
    assert await stored(site, split, {"type": "t"}) == [{"traceparent": PARENT, "tracestate": "a=1,b=2"}]
    bad = {"traceparent": PARENT, "tracestate": "A"}
    assert await stored(site, bad, {"type": "t"}) == [{"traceparent": PARENT}]


async def test_an_idempotency_key_does_not_see_the_trace(site: Site) -> None:
    first = {"traceparent": PARENT, "idempotency-key": "k"}
    again = {"traceparent": OTHER, "idempotency-key": "k"}
    assert await stored(site, first, {"type": "t"}) == await stored(site, again, {"type": "t"})
    own = {"type": "t", "idempotency_key": "j"}
    one = await stored(site, {"traceparent": PARENT}, own)
    assert await stored(site, {"traceparent": OTHER}, own) == one == [{"traceparent": PARENT}]
    assert await site.stored() == 2
    answer = await site.http.post("/v1/jobs", json={"type": "u"}, headers=again)
    problem(answer, 409, "idempotency_mismatch", "idempotency_key")
