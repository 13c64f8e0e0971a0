"""The filters that look into jobs, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.kit import Cli


def test_lists_and_acts_by_what_jobs_carry(rota: Cli) -> None:
    def listed(*arguments: str) -> list[str]:
        return [
            job["id"] for job in rota("jobs", "list", "--queue", "look", *arguments, "--json").json["jobs"]
        ]

    a = rota.put("x", '{"user":{"id":42}}', queue="look", tags=("s", "t"))
    b = rota.put("y", '{"user":{"id":"42"}}', queue="look", tags=("s",))
    assert listed("--payload", "user.id:42", "--tag", "s", "--tag", "t") == [a]
    assert listed("--type", "x", "--type", "y", "--queue", "other", "--id", b) == [b]
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


def test_exports_to_a_file_and_a_pipe(rota: Cli, tmp_path: Path) -> None:
    ids = [rota.put("x", f'{{"n":{n}}}', queue="out") for n in range(3)]
    ran = rota("jobs", "export", "--queue", "out", "--whole")
    assert ran.status == 0
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ids[::-1]
    assert [json.loads(line)["payload"] for line in ran.out.splitlines()] == [{"n": 2}, {"n": 1}, {"n": 0}]
    file = tmp_path / "jobs.csv"
    ran = rota("jobs", "export", str(file), "--queue", "out", "--columns", "id,payload", "--limit", "1")
    assert ran.status == 0
    assert file.read_bytes() == f'id,payload\r\n{ids[2]},"{{""n"":2}}"\r\n'.encode()
    assert rota("jobs", "export", str(file), "--queue", "out").status != 0, "it exists"
    ran = rota("jobs", "export", "--payload", "n:1", "--queue", "out", "--format", "csv", "--columns", "id")
    assert ran.out.split() == ["id", ids[1]]
