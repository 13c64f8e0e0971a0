"""rota failures."""

from __future__ import annotations

import json

from tests.cli.kit import Cli


def fail(rota: Cli, text: str, queue: str, type: str = "breaks") -> str:
    """A job of ``shop.py`` that fails; the id."""
    return rota.end(type, json.dumps({"text": text}), queue=queue, max_attempts=1)


def test_failed_jobs_are_listed_by_what_they_failed_of(rota: Cli) -> None:
    assert "No job is failed" in rota("failures").err
    ids = [fail(rota, f"disk {n}", "default") for n in range(3)]
    # Ended by the handler on purpose: no traceback of interest, but a cause.
    other = fail(rota, "no", "default", "fails")
    ran = rota("failures")
    assert (ran.status, ran.err) == (0, "")
    title, last, first = ran.out.splitlines()
    assert title.split() == [
        *("FINGERPRINT", "TYPE", "JOBS", "LAST", "FIRST", "24", "HOURS", "ERROR", "WHERE", "MESSAGE")
    ]
    assert (last.split()[1:3], first.split()[1:3]) == (["fails", "1"], ["breaks", "3"])
    assert first.split()[-4:] == ["OSError", "shop.py:breaks", "disk", "2"]
    assert sum(int(one) for one in first.split()[5].split(",")) == 3
    print_ = first.split()[0]
    listed = rota("jobs", "list", "--fingerprint", print_, "--json").json["jobs"]
    assert [job["id"] for job in listed] == ids[::-1]
    assert rota("failures", "--json").json == rota.get("/v1/failures")
    page = rota("failures", "--limit", "1")
    assert len(page.out.splitlines()) == 2
    rest = rota("failures", "--json", "--cursor", page.err.split()[-1]).json
    assert [one["fingerprint"] for one in rest["failures"]] == [print_]
    assert [one["job"] for one in rota("failures", "--type", "fails", "--json").json["failures"]] == [other]
    assert rota("failures", "--queue", "none", "--json").json == {"failures": [], "cursor": None}


def test_a_terminal_shows_bars_and_nothing_that_moves_the_cursor(rota: Cli) -> None:
    fail(rota, "\x1b[2J gone", "default")
    ran = rota.terminal("failures", columns=200).end()
    assert ran.status == 0
    assert "█" in ran.out
    assert "\\u001b[2J gone" in ran.out
