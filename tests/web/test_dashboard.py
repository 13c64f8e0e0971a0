"""The page at ``/`` and its files, as they are served: a strict policy, packed, kept by what they hold."""

from __future__ import annotations

import re

from rota.config import Settings
from rota.config.secret import Secret
from tests.web.kit import Site, problem, serving


def directives(policy: str) -> dict[str, list[str]]:
    found = (one.split() for one in policy.split(";"))
    return {name: values for name, *values in found}


async def test_the_policy_lets_nothing_in_that_is_not_ours(site: Site) -> None:
    answer = await site.http.get("/")
    policy = directives(answer.headers["content-security-policy"])
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "blob:"]
    assert policy["require-trusted-types-for"] == ["'script'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    # Nothing in the page itself would need more.
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\son\w+=|\bstyle=|https?://", answer.text)


async def test_files_are_packed_and_kept_for_as_long_as_they_are_the_same(site: Site) -> None:
    page = await site.http.get("/")
    again = await site.http.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    names = re.findall(r'(?:src|href)="(?:\./)?(ui/[^"]+)"', page.text)
    assert {name.rpartition(".")[2] for name in names} >= {"js", "css"}
    for name in names:
        packed = await site.http.get(f"/{name}", headers={"accept-encoding": "gzip"})
        plain = await site.http.get(f"/{name}", headers={"accept-encoding": "identity"})
        assert packed.content == plain.content
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < len(plain.content)
        assert ("immutable" in plain.headers["cache-control"]) == ("-" in name)
    for path in ("/ui/nothing.js", "/ui/..%2Findex.html", "/ui/index.html"):
        problem(await site.http.get(path), 404, "not_found")


async def test_it_needs_no_token_and_tells_nothing(store: str) -> None:
    async with serving(store, Settings(token=Secret("open sesame please"))) as site:
        site.http.headers.pop("authorization")
        page = await site.http.get("/")
        assert page.status_code == 200
        assert "sesame" not in page.text
        problem(await site.http.get("/v1/settings"), 401, "missing_credentials")
