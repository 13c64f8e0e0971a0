"""Saved views of pages."""

from __future__ import annotations

from typing import Any

from rota.core import views
from tests.web.kit import Site, problem, read, serving

VIEW = {"page": "jobs", "query": "state=failed&queue=emails", "columns": None}


async def put(site: Site, name: str, status: int = 201, **fields: Any) -> Any:
    return read(await site.http.put(f"/v1/views/{name}", json={**VIEW, **fields}), status)


async def names(site: Site) -> list[str]:
    return [one["name"] for one in (await site.get("/v1/views"))["views"]]


async def test_views_are_kept_for_all(store: str) -> None:
    async with serving(store) as site:
        assert await names(site) == []
        assert await put(site, "Failed mails") == {"name": "Failed mails", **VIEW}
        await put(site, "ärger & co", columns=["id", "type"])
        await put(site, "all", query="")
    async with serving(store) as site:
        assert await names(site) == ["all", "Failed mails", "ärger & co"]
        assert (await site.get("/v1/views"))["views"][2]["columns"] == ["id", "type"]
        await put(site, "Failed mails", 200, query="state=failed")
        assert (await site.get("/v1/views"))["views"][1]["query"] == "state=failed"
        assert (await site.http.delete("/v1/views/Failed mails")).status_code == 204
        assert await names(site) == ["all", "ärger & co"]
        problem(await site.http.delete("/v1/views/Failed mails"), 404, "view_not_found", "name")


async def test_what_is_no_view_is_refused(site: Site) -> None:
    for name in ("x" * 101, "%20a", "a%20", ".hidden", "a%09b", "a%7Fb"):
        problem(await site.http.put(f"/v1/views/{name}", json=VIEW), 422, "invalid_view", "name")
    for name in ("a%2Fb", "a/b", ""):
        problem(await site.http.put(f"/v1/views/{name}", json=VIEW), 404, "not_found")
    for field, value, where in (
        ("page", "", "page"),
        ("page", "a\nb", "page"),
        ("query", "x" * 4001, "query"),
        ("columns", ["id"] * 51, "columns"),
        ("columns", ["id", ""], "columns[1]"),
    ):
        answer = await site.http.put("/v1/views/v", json={**VIEW, field: value})
        problem(answer, 422, "invalid_view", where)
    problem(await site.http.put("/v1/views/v", json={**VIEW, "owner": "me"}), 422, "unknown_field", "owner")
    problem(await site.http.put("/v1/views/v", json={"page": "jobs"}), 422, "missing_field", "query")
    assert await names(site) == []
    await put(site, "x" * 100, query="x" * 4000, columns=["id"] * 50)


async def test_there_is_an_end_to_them(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(views, "MOST", 2)
    await put(site, "a")
    await put(site, "b")
    problem(await site.http.put("/v1/views/c", json=VIEW), 409, "too_many_views")
    await put(site, "b", 200)
    assert await names(site) == ["a", "b"]
