"""All jobs that match, as lines of JSON and as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import httpx2
import pytest

from rota.web import rows as written
from tests.web.kit import Site, lease, problem, until


async def exported(site: Site, **asked: Any) -> httpx2.Response:
    answer = await site.http.get("/v1/jobs/export", params=asked)
    assert answer.status_code == 200, answer.content
    return answer


async def lines(site: Site, **asked: Any) -> list[dict[str, Any]]:
    answer = await exported(site, **asked)
    assert answer.headers["content-type"] == "application/x-ndjson"
    text = answer.content.decode()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


async def table(site: Site, **asked: Any) -> list[list[str]]:
    answer = await exported(site, format="csv", **asked)
    assert answer.headers["content-type"].startswith("text/csv")
    text = answer.content.decode()
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline="")))


async def test_lines_are_the_list_and_whole_ones_the_jobs(site: Site) -> None:
    ids = await site.enqueue_many(1100, payload={"n": 1})
    extra = await site.enqueue("other", queue="q", tags=["x"], payload=[1, {"a": "\u2028"}])
    jobs = await lines(site)
    assert [job["id"] for job in jobs] == [extra, *ids[::-1]]
    assert jobs[:50] == (await site.get("/v1/jobs"))["jobs"]
    assert await lines(site, limit=2, queue="default") == jobs[1:3]
    assert [job["id"] for job in await lines(site, limit=501)] == [extra, *ids[:599:-1]]
    assert await lines(site, queue="q", whole="true") == [await site.job(extra)]
    assert await lines(site, tag="x", columns="payload,id") == [
        {"payload": [1, {"a": "\u2028"}], "id": extra}
    ]
    assert await lines(site, payload="nothing:here") == []


async def test_a_file_with_a_name_is_sent_that_nothing_runs(site: Site) -> None:
    for format in ("ndjson", "csv"):
        headers = (await exported(site, format=format)).headers
        assert headers["content-disposition"].startswith('attachment; filename="rota-jobs-')
        assert headers["content-disposition"].endswith(f'.{format}"')
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]


async def test_a_payload_of_several_lines_stays_on_one(site: Site) -> None:
    body = b'{"type": "t", "payload": {\r\n  "a":\n\t"x\\ny"\r}}'
    answer = await site.http.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 201
    [job] = await lines(site, whole="true")
    assert job["payload"] == {"a": "x\ny"}


async def test_csv_has_a_line_of_names_and_cells_that_no_spreadsheet_runs(site: Site) -> None:
    evil = ["=1+1", "+1x", "-cmd", "@x", "\uff1dwide", "plain", 'a "b", c', "-3.5"]
    for text in evil:
        await site.enqueue("t", tags=[text], unique_key=text, priority=-3)
    bytes_id = await site.enqueue("t", payload_base64="AAEC", content_type="image/png", unique_key="b")
    [names, *rows] = await table(
        site, columns="unique_key,priority,tags,started_at,cancel_requested,payload,payload_base64"
    )
    assert names == [
        "unique_key",
        "priority",
        "tags",
        "started_at",
        "cancel_requested",
        "payload",
        "payload_base64",
    ]
    told = [text if text in evil[5:] else "'" + text for text in evil]
    assert [row[0] for row in rows] == ["b", *told[::-1]]
    assert {row[1] for row in rows[1:]} == {"-3"}
    assert json.loads(rows[-1][2]) == ["=1+1"]
    assert {tuple(row[3:]) for row in rows[1:]} == {("", "false", "null", "")}
    assert rows[0][5:] == ["", "AAEC"]
    [names, row] = await table(site, id=bytes_id)
    assert names == list(written.LISTED)
    assert len(row) == len(names)
    [names, row] = await table(site, id=bytes_id, whole="true")
    assert names == [*written.LISTED, *written.CARRIED]
    assert await table(site, queue="none", columns="id") == [["id"]]


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "=", "-", "+1 1", "-1e5=", "\uff0b", "\uff20x"])
def test_what_would_run_is_defused_whatever_column_it_is_in(text: str) -> None:
    assert written.cell(text) == "'" + text


async def test_columns_are_all_that_a_job_can_have(site: Site) -> None:
    """Whoever adds a member to a job is told so here."""
    async with site.worker("w") as worker:
        await site.enqueue("t", payload_base64="AAEC", content_type="image/png", max_attempts=1)
        await worker.finish(
            {**lease(await worker.job()), "end": "done", "result_base64": "AA==", "content_type": "x/y"}
        )
        await site.enqueue("t")
    bytes_too, plain = await lines(site, whole="true")
    assert {*bytes_too, *plain} == {*written.LISTED, *written.CARRIED}
    assert {name for job in await lines(site) for name in job} == set(written.LISTED)


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"format": "xml"}, "invalid_format", "format"),
        ({"columns": "id,colour"}, "invalid_filter", "columns"),
        ({"columns": ""}, "invalid_filter", "columns"),
        ({"whole": "yes"}, "invalid_filter", "whole"),
        ({"limit": "0"}, "invalid_limit", "limit"),
        ({"payload": "x"}, "invalid_filter", "payload"),
        ({"cursor": "x"}, "unknown_parameter", "cursor"),
    ],
)
async def test_what_cannot_be_exported(site: Site, asked: dict[str, str], code: str, field: str) -> None:
    problem(await site.http.get("/v1/jobs/export", params=asked), 422, code, field)


async def test_who_leaves_in_the_middle_ends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    found, ended = site.service.jobs, asyncio.Event()
    pages = 0

    async def first_only(*args: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 1:
            return await found(*args)
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(site.service, "jobs", first_only)
    await site.enqueue_many(3000)
    async with httpx2.AsyncClient() as http, http.stream("GET", f"{site.url}/v1/jobs/export") as answer:
        async for _ in answer.aiter_raw():
            break
        assert not ended.is_set()
    await until(ended.is_set, "the end of the export")
    assert pages == 2
