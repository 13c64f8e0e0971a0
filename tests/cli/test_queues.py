"""Queues and workers, and what is asked before it is done."""

from __future__ import annotations

from tests.cli.kit import Cli, wait_until
from tests.server import running


def test_list(rota: Cli) -> None:
    rota.put("x.unknown", queue="listed")
    title, *rows = rota("queues").out.splitlines()
    assert title.split()[:4] == ["QUEUE", "SCHEDULED", "PENDING", "RUNNING"]
    row = next(row for row in rows if row.startswith("listed "))
    assert row.split()[1:4] == ["0", "1", "0"]
    assert row.endswith("no worker for x.unknown")
    assert rota("queues", "list").out.splitlines()[0].split() == title.split()
    for ours, theirs in zip(
        rota("queues", "--json").json["queues"], rota.get("/v1/queues")["queues"], strict=True
    ):
        assert ours | {"oldest_age": None} == theirs | {"oldest_age": None}


def test_pause_and_resume_several(rota: Cli) -> None:
    assert rota("queues", "pause", "p1", "p2").out == "p1 is paused\np2 is paused\n"
    assert rota.queue("p1")["paused"] is True
    assert "paused" in next(row for row in rota("queues").out.splitlines() if row.startswith("p1 "))
    shape = rota("queues", "resume", "p1", "p2", "--json").json
    assert [(one["name"], one["paused"]) for one in shape["queues"]] == [("p1", False), ("p2", False)]


def test_a_name_that_can_be_none(rota: Cli) -> None:
    ran = rota("queues", "pause", "no name")
    assert ran.status == 1
    assert "A queue's name is" in ran.err


def test_clear_does_not_ask_programs(rota: Cli) -> None:
    for _ in range(3):
        rota.put("x", queue="full")
    assert rota("queues", "clear", "full").out == "3 jobs of full deleted\n"
    rota.put("x", queue="full")
    assert rota("queues", "clear", "full", "--json").json == {"deleted": 1}


def test_clear_asks_people(rota: Cli) -> None:
    rota.put("x", queue="asked")
    rota.put("x", queue="asked", delay=3600)
    terminal = rota.terminal("queues", "clear", "asked")
    terminal.until("Delete 1 pending and 1 scheduled jobs of asked? [y/N]: ")
    terminal.type("n\n")
    refused = terminal.end()
    assert refused.status == 1
    assert "Nothing was changed." in refused.out
    assert rota.queue("asked")["pending"] == 1

    terminal = rota.terminal("queues", "clear", "asked")
    terminal.until("[y/N]: ")
    terminal.type("y\n")
    assert "2 jobs of asked deleted" in terminal.end().out
    rota.put("x", queue="asked")
    sure = rota.terminal("queues", "clear", "asked", "--yes").end()
    assert "1 job of asked deleted" in sure.out
    assert "[y/N]" not in sure.out


def test_ctrl_c_at_the_question_changes_nothing(rota: Cli) -> None:
    rota.put("x", queue="kept")
    terminal = rota.terminal("queues", "clear", "kept")
    terminal.until("[y/N]: ")
    ran = terminal.interrupt()
    assert ran.status == 130
    assert "Traceback" not in ran.out
    assert rota.queue("kept")["pending"] == 1


def test_delete_of_many_asks_people(rota: Cli) -> None:
    ids = [rota.put("x", queue="many") for _ in range(2)]
    terminal = rota.terminal("jobs", "delete", *ids)
    terminal.until("Delete 2 jobs with their results and logs? [y/N]: ")
    terminal.type("\n")
    assert terminal.end().status == 1
    assert rota.job(ids[0])["state"] == "pending"
    assert "is deleted" in rota.terminal("jobs", "delete", ids[0]).end().out
    assert rota("jobs", "delete", ids[1], ids[0]).status == 1
    assert rota("jobs", "show", ids[1]).status == 1


def test_workers(rota: Cli) -> None:
    title, *rows = rota("workers").out.splitlines()
    titles = ["WORKER", "NAME", "VIA", "QUEUES", "BUSY", "SLOTS", "UP", "HEARD", "PROGRAMS", "TYPES"]
    assert title.split() == titles
    inside = next(row for row in rows if "built-in default" in row)
    assert inside.startswith("inside-")
    ours = next(row for row in rows if " socket " in row)
    assert "add,blocks,breaks,fails,nap,picture,says" in ours
    assert rota("workers", "list", "--json").json.keys() == {"workers", "beat", "programs"}


def test_drain_by_name(rota: Cli) -> None:
    options = ["--name", "leaver", "--queues", "elsewhere", "--grace", "0"]
    with running(rota.folder, "work", "shop:app", *options, env={"ROTA_URL": rota.url}) as worker:
        wait_until(lambda: rota.workers("elsewhere"), "it is there")
        assert rota("workers", "drain", "leaver").status == 0
        assert worker.wait() == 0
    ran = rota("workers", "drain", "leaver")
    assert ran.status == 1
    assert "No worker 'leaver' is connected" in ran.err


def test_health(rota: Cli, alone: Cli) -> None:
    assert rota("health").out.splitlines()[0] == f"ready: {rota.url}"
    told = rota("health", "--json").json
    assert (told["status"], "level" in told["condition"]) == ("ok", True)
    ran = alone("health")
    assert (ran.status, ran.out) == (1, "")
    assert "rota serve" in ran.err
