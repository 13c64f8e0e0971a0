"""rota jobs cancel, retry and delete by filter."""

from __future__ import annotations

import pytest

from tests.cli.kit import Cli


def fill(rota: Cli, queue: str, jobs: int = 3) -> list[str]:
    return [rota.put("x", queue=queue) for _ in range(jobs)]


def states(rota: Cli, ids: list[str]) -> list[str]:
    return [rota.job(id)["state"] for id in ids]


def test_by_filter(rota: Cli) -> None:
    ids = fill(rota, "bulk")
    ran = rota("jobs", "cancel", "--queue", "bulk", "--dry-run")
    assert (ran.status, ran.out, ran.err) == (0, "3 jobs would be met\n", "")
    ran = rota("jobs", "cancel", "--queue", "bulk", "--limit", "1")
    assert (ran.status, ran.out, ran.err) == (0, "1 job is cancelled or asked to stop\n", "")
    assert states(rota, ids) == ["cancelled", "pending", "pending"]
    ran = rota("jobs", "cancel", "--queue", "bulk", "--json")
    assert ran.json == {"matched": 2, "changed": 2, "skipped": 0, "cursor": None}
    assert rota("jobs", "retry", "--queue", "bulk").out == "3 jobs are pending again\n"
    assert states(rota, ids) == ["pending"] * 3
    assert rota("jobs", "delete", "--queue", "bulk", "--type", "x").out == "3 jobs are deleted\n"
    assert rota("jobs", "delete", "--queue", "bulk").out == "0 jobs are deleted\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Say which jobs to retry"),
        (["--limit", "5"], "Say which jobs to retry"),
        (["id", "--queue", "q"], "ids or a filter, not both"),
        (["id", "--dry-run"], "ids or a filter, not both"),
        (["--all", "--queue", "q"], "a filter or --all, not both"),
        (["--queue", "", "--state", "failed"], "--queue is empty"),
        (["--state", "", "--queue", "q"], "--state is empty"),
    ],
)
def test_what_is_not_clear_is_not_done(rota: Cli, arguments: list[str], told: str) -> None:
    ran = rota("jobs", "retry", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert told in ran.err


def test_a_state_that_does_not_fit_is_told(rota: Cli) -> None:
    ran = rota("jobs", "retry", "--state", "pending")
    assert ran.status == 1
    assert "not pending" in ran.err


def test_a_terminal_is_asked_first(rota: Cli) -> None:
    ids = fill(rota, "asked")
    screen = rota.terminal("jobs", "delete", "--queue", "asked")
    screen.until("Delete 3 jobs with their results and logs?")
    screen.type("n\n")
    assert screen.end().status == 1
    assert states(rota, ids) == ["pending"] * 3
    ran = rota.terminal("jobs", "delete", "--queue", "asked", "--yes").end()
    assert ran.status == 0
    assert "3 jobs are deleted" in ran.out


def test_a_terminal_shows_how_far_it_is(rota: Cli) -> None:
    assert rota("enqueue", "t", "--file", "-", "--queue", "many", stdin="1\n" * 4100).status == 0
    ran = rota.terminal("jobs", "delete", "--queue", "many", "--yes").end()
    assert ran.status == 0
    assert "0/4100" in ran.out
    assert "4100/4100" in ran.out
    assert "4,100 jobs are deleted" in ran.out
