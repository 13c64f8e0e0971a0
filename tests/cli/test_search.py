"""The filters that look into jobs, on the command line."""

from __future__ import annotations

from tests.cli.kit import Cli


def test_lists_and_acts_by_what_jobs_carry(rota: Cli) -> None:
    def listed(*arguments: str) -> list[str]:
        return [
            job["id"] for job in rota("jobs", "list", "--queue", "look", *arguments, "--json").json["jobs"]
        ]

    a = rota.put("x", '{"user":{"id":42}}', queue="look", tags=("s", "t"))
    b = rota.put("y", '{"user":{"id":"42"}}', queue="look", tags=("s",))
    assert listed("--payload", "user.id:42") == [b, a]
    assert listed("--payload", 'user.id:"42"') == [b]
    assert listed("--payload", "user.id:42", "--tag", "s", "--tag", "t") == [a]
    assert listed("--type", "x", "--type", "y", "--queue", "other") == [b, a]
    assert listed("--id", b) == [b]
    assert listed("--error", "timeout") == []
    ran = rota("jobs", "list", "--payload", "user.id")
    assert ran.status == 1
    assert "PATH:VALUE" in ran.err
    assert (
        rota("jobs", "cancel", "--payload", "user.id:42", "--tag", "t").out
        == "1 job is cancelled or asked to stop\n"
    )
    assert rota.job(a)["state"] == "cancelled"
    assert rota.job(b)["state"] == "pending"
    assert "--payload is empty" in rota("jobs", "delete", "--payload", "", "--queue", "look").err
