"""What the page at /docs is made of, and who gets it. In a browser: tests/browser/test_docs.py."""

from __future__ import annotations

from rota.config import Settings
from rota.config.secret import Secret
from rota.web.auth import PAGE
from rota.web.docs import POLICY
from tests.web.kit import Site, problem, serving


async def test_the_policy_of_the_page(site: Site) -> None:
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    for path in PAGE:
        answer = await site.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await site.http.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        # Nothing of the page comes from elsewhere, or is made by writing HTML.
        for word in ("https://", "//cdn", "innerHTML", "insertAdjacent", "eval(", "style="):
            assert word not in answer.text
    for path in (
        "/docs/index.html",
        "/docs/..%2Fauth.py",
        "/docs/%2e%2e/auth.py",
        "/docs/nothing.js",
        "/docs/",
    ):
        problem(await site.http.get(path), 404, "not_found")


async def test_the_page_is_open_and_the_host_is_still_checked(store: str) -> None:
    async with serving(store, Settings(token=Secret("sesame"))) as site:
        for path in PAGE:
            assert (await site.http.get(path, headers={"authorization": ""})).status_code == 200
    async with serving(store) as site:
        problem(await site.http.get("/docs", headers={"host": "evil.example"}), 421, "unknown_host")
