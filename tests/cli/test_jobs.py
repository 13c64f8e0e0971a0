"""Looking at jobs and acting on them."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path

import httpx2
import pytest

from tests.cli.kit import Cli, wait_until

NOBODY = "01a2019c-1a5a-753e-bf88-f7904bc490bf"


def test_list_has_titles_and_rows_of_the_same_number_of_words(rota: Cli) -> None:
    done = rota.end("add", '{"a": 1, "b": 2}', tags=["listed"])
    late = rota.put("add", '{"a": 1, "b": 2}', tags=["listed"], delay=7200)
    ran = rota("jobs", "list", "--tag", "listed")
    assert (ran.status, ran.err) == (0, "")
    title, first, second = ran.out.splitlines()
    assert title.split() == ["ID", "TYPE", "QUEUE", "STATE", "TRY", "AGE", "NOTE"]
    assert first.split()[:5] == [late, "add", "default", "scheduled", "0/10"]
    assert "in 1" in first[title.index("NOTE") :]
    assert second.split()[:5] == [done, "add", "default", "done", "1/10"]
    assert second.split()[6:] == ["-"]


def test_list_filters_as_the_api_does(rota: Cli) -> None:
    one = rota.put("x.one", queue="filtered", tags=["red"])
    two = rota.put("x.two", queue="filtered", delay=3600)

    def ids(*filters: str) -> list[str]:
        return [
            job["id"] for job in rota("jobs", "list", "--queue", "filtered", "--json", *filters).json["jobs"]
        ]

    assert ids() == [two, one]
    assert ids("--type", "x.two") == [two]
    assert ids("--tag", "red") == [one]
    assert ids("--state", "scheduled") == [two]
    assert ids("--state", "scheduled,done", "--state", "pending") == [two, one]
    assert ids("-q", "x.on") == [one]
    assert ids("--since", "1h") == [two, one]
    assert ids("--until", "1h") == []
    assert ids("--since", "2100-01-01T00:00:00Z") == []
    assert ids("--limit", "1") == [two]


def test_list_as_json_is_the_answer_of_the_api(rota: Cli) -> None:
    rota.put("x.three", queue="raw")
    ours = rota("jobs", "list", "--queue", "raw", "--json")
    theirs = httpx2.get(rota.url + "/v1/jobs", params={"queue": "raw"})
    assert ours.out == json.dumps(theirs.json(), separators=(",", ":")) + "\n"


def test_list_goes_on_where_it_ended(rota: Cli) -> None:
    assert rota("enqueue", "t", "--file", "-", "--queue", "paged", stdin="1\n" * 1203).status == 0
    first = rota("jobs", "list", "--queue", "paged", "--limit", "1001", "--json").json
    rest = rota(
        "jobs", "list", "--queue", "paged", "--limit", "1000", "--cursor", first["cursor"], "--json"
    ).json
    ids = [job["id"] for job in first["jobs"] + rest["jobs"]]
    assert (len(first["jobs"]), len(rest["jobs"]), rest["cursor"]) == (1001, 202, None)
    assert ids == [
        job["id"] for job in rota("jobs", "list", "--queue", "paged", "--all", "--json").json["jobs"]
    ]
    some = rota("jobs", "list", "--queue", "paged", "--limit", "2")
    assert len(some.out.splitlines()) == 3
    assert "--cursor" in some.err


def test_list_of_nothing(rota: Cli) -> None:
    ran = rota("jobs", "list", "--queue", "no-such-queue")
    assert (ran.status, ran.out, ran.err) == (0, "", "There are no such jobs.\n")
    assert rota("jobs", "list", "--queue", "no-such-queue", "--json").json == {"jobs": [], "cursor": None}


def test_an_unknown_state_is_refused_with_the_known_ones(rota: Cli) -> None:
    ran = rota("jobs", "list", "--state", "dead")
    assert ran.status == 1
    assert "scheduled, pending, running, done, failed, cancelled" in ran.err


def test_show_tells_everything(rota: Cli) -> None:
    id = rota.end("breaks", '{"text": "first\\nsecond"}', tags=["a"], headers={"h": "v"}, max_attempts=1)
    ran = rota("jobs", "show", id)
    assert ran.status == 0
    facts = dict(
        line.split(maxsplit=1) for line in ran.out.split("\n\n")[0].splitlines() if not line.startswith(" ")
    )
    assert facts["id"] == id
    assert facts["type"] == "breaks"
    assert facts["state"] == "failed"
    assert facts["attempt"] == "1 of 1"
    assert facts["tags"] == "a"
    assert facts["header"] == "h: v"
    assert facts["payload"] == '{"text":"first\\nsecond"}'
    assert facts["error"] == "OSError: first"
    assert "\n         second\n" in ran.out
    assert "raise OSError(text)" in ran.out
    title, row = ran.out.splitlines()[-2:]
    assert title.split()[:3] == ["TRY", "END", "STARTED"]
    assert row.split()[:2] == ["1", "failed"]
    assert "first\\u000asecond" in row


def test_show_as_json_is_the_answer_of_the_api(rota: Cli) -> None:
    id = rota.end("add", '{"a": 1, "b": 2}')
    theirs = httpx2.get(f"{rota.url}/v1/jobs/{id}")
    assert rota("jobs", "show", id, "--json").json == theirs.json()


@pytest.mark.parametrize(
    "command", ["show", "watch", "logs", "result", "cancel", "retry", "run-now", "delete"]
)
def test_a_job_that_is_not_there(rota: Cli, command: str) -> None:
    ran = rota("jobs", command, NOBODY)
    assert ran.status == 1
    assert f"There is no job '{NOBODY}'" in ran.err
    assert "Traceback" not in ran.err


def test_an_id_cannot_lead_elsewhere(rota: Cli) -> None:
    assert rota("jobs", "show", "..").status == 2
    assert rota("jobs", "show", "../queues").status == 1
    assert rota("jobs", "delete", "").status == 2


def test_several_at_once_and_what_fails_does_not_stop_the_others(rota: Cli) -> None:
    first, second = (rota.put("x", queue="several") for _ in range(2))
    ran = rota("jobs", "cancel", first, NOBODY, second)
    assert ran.status == 1
    assert ran.out == f"{first} is cancelled\n{second} is cancelled\n"
    assert ran.err.startswith(f"{NOBODY}: There is no job")
    again = rota("jobs", "cancel", first, "--json")
    assert again.status == 1
    assert again.json["jobs"] == []
    assert [(error["id"], error["code"]) for error in again.json["errors"]] == [(first, "invalid_state")]


def test_cancel_retry_and_delete(rota: Cli) -> None:
    id = rota.put("add", '{"a": 1, "b": 2}', delay=3600)
    assert rota("jobs", "cancel", id).out == f"{id} is cancelled\n"
    retried = rota("jobs", "retry", id, "--json").json
    assert (retried["jobs"][0]["id"], retried["errors"]) == (id, [])
    assert rota("jobs", "watch", id).status == 0
    assert rota("jobs", "delete", id, "--json").json == {"jobs": [{"id": id}], "errors": []}
    assert rota("jobs", "show", id).status == 1


def test_cancel_of_a_running_job(rota: Cli) -> None:
    id = rota.put("nap", '{"seconds": 60}')
    wait_until(lambda: rota.job(id)["state"] == "running", "it runs")
    assert rota("jobs", "delete", id).status == 1
    assert rota("jobs", "cancel", id).out == f"{id} was asked to stop\n"
    assert rota("jobs", "watch", id).status == 1
    assert rota.job(id)["state"] == "cancelled"


def test_run_now(rota: Cli) -> None:
    id = rota.put("add", '{"a": 1, "b": 2}', delay=3600)
    assert rota("jobs", "run-now", id).status == 0
    assert rota("jobs", "result", id, "--wait", "10s").out == "3\n"


def test_watch_follows_states_progress_and_lines(rota: Cli) -> None:
    id = rota.put("nap", '{"seconds": 0}', delay=3600)
    process = rota.start("jobs", "watch", id)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.split()[1:3] == [b"scheduled", b"due"]
    httpx2.post(f"{rota.url}/v1/jobs/{id}/run-now").raise_for_status()
    out = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 0
    words = [line.split()[1] for line in out.splitlines()[:-1] if " pending " not in line]
    assert sorted(words) == sorted(["running", "info", "progress", "warning", "done"]), "each of them once"
    assert (words[0], words[-1]) == ("running", "done")
    assert "attempt 1 of 10" in out
    assert "50% half asleep" in out
    assert out.index("lying down") < out.index("getting up")
    assert out.splitlines()[-1] == '"rested"'


def test_watch_of_a_failure(rota: Cli) -> None:
    ran = rota("jobs", "watch", rota.put("fails", '{"text": "out of\\npaper"}'))
    assert ran.status == 1
    assert "failed" in ran.out
    assert "rota.Fail: out of\n" + " " * 22 + "paper" in ran.out


def test_watch_gives_up_in_time(rota: Cli) -> None:
    id = rota.put("x", queue="unserved")
    ran = rota("jobs", "watch", id, "--timeout", "300ms")
    assert ran.status == 3
    assert "No worker serves the queue unserved" in ran.out
    assert rota("jobs", "watch", id, "--timeout", "100ms", "--json").json["job"]["state"] == "pending"


def test_watch_of_a_retry(rota: Cli) -> None:
    id = rota.put(
        "breaks", '{"text": "torn"}', delay=3600, max_attempts=2, retry={"kind": "fixed", "delay": 0.5}
    )
    process = rota.start("jobs", "watch", id)
    assert process.stdout is not None
    process.stdout.readline()
    httpx2.post(f"{rota.url}/v1/jobs/{id}/run-now").raise_for_status()
    out = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 1
    words = [line.split()[1] for line in out.splitlines() if line[8:9] == "Z"]
    assert [word for word in words if word != "pending"] == ["running", "scheduled", "running", "failed"]
    assert "attempt 2 of 2" in out
    assert "torn" in out


def test_watch_of_several(rota: Cli) -> None:
    good, bad = (rota.put(type, '{"text": "x"}', delay=3600) for type in ("says", "fails"))
    process = rota.start("jobs", "watch", good, bad)
    assert process.stdout is not None
    for _ in range(2):
        assert b"scheduled" in process.stdout.readline()
    for id in (good, bad):
        httpx2.post(f"{rota.url}/v1/jobs/{id}/run-now").raise_for_status()
    out = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 1, "one of them failed"
    assert re.search(f"Z  {good}  done", out)
    assert re.search(f"Z  {bad}  failed", out)
    assert rota("jobs", "watch", good, rota.end("says", '{"text": "y"}')).status == 0


def test_watch_as_json_lines(rota: Cli) -> None:
    id = rota.put("nap", '{"seconds": 0}', delay=3600)
    process = rota.start("jobs", "watch", id, "--json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["event"], first["job"]["state"]) == ("job", "scheduled")
    httpx2.post(f"{rota.url}/v1/jobs/{id}/run-now").raise_for_status()
    told = [json.loads(line) for line in process.communicate(timeout=20)[0].splitlines()]
    assert process.returncode == 0
    assert [one["text"] for one in told if one["event"] == "log"] == ["lying down", "getting up"]
    assert [one["attempt"] for one in told if one["event"] == "started"] == [1]
    assert (told[-1]["event"], told[-1]["job"]["state"], told[-1]["job"]["result"]) == (
        "job",
        "done",
        "rested",
    )


def test_watch_of_a_queue_and_a_type(rota: Cli) -> None:
    process = rota.start("jobs", "watch", "--queue", "watched", "--type", "b", "--json")
    assert process.stdout is not None
    ready = threading.Event()

    def knock() -> None:
        # Nothing says that the watch has begun but that it tells of something.
        while not ready.wait(0.1):
            rota.put("b", queue="watched")

    knocking = threading.Thread(target=knock)
    knocking.start()
    first = json.loads(process.stdout.readline())
    ready.set()
    knocking.join()
    assert (first["event"], first["type"], first["queue"]) == ("enqueued", "b", "watched")
    rota.put("a", queue="watched")
    rota.put("b", queue="elsewhere")
    last = rota.put("b", queue="watched")
    seen: list[dict] = []
    while not seen or seen[-1]["id"] != last:
        seen.append(json.loads(process.stdout.readline()))
    assert {(one["type"], one["queue"]) for one in seen} == {("b", "watched")}
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert rota("jobs", "watch", "--queue", "watched", "--timeout", "1ms").status == 0
    assert rota("jobs", "watch", last, "--queue", "watched").status == 2


def test_watch_interrupted(rota: Cli) -> None:
    process = rota.start("jobs", "watch", rota.put("x", queue="unserved"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")


def test_watch_of_a_job_that_is_deleted_meanwhile(rota: Cli) -> None:
    id = rota.put("x", queue="unserved")
    process = rota.start("jobs", "watch", id)
    assert process.stdout is not None
    process.stdout.readline()
    assert rota("jobs", "delete", id).status == 0
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"The job {id} was deleted" in err.decode()


def test_logs(rota: Cli) -> None:
    id = rota.end("nap", '{"seconds": 0}')
    lines = rota("jobs", "logs", id).out.splitlines()
    assert [line.split(maxsplit=2)[1:] for line in lines] == [
        ["info", "lying down"],
        ["warning", "getting up"],
    ]
    assert rota("jobs", "logs", id, "--after", "1").out.splitlines() == lines[1:]
    shape = rota("jobs", "logs", id, "--json").json
    assert ([line["text"] for line in shape["lines"]], shape["next"]) == (["lying down", "getting up"], 2)


def test_logs_follow(rota: Cli) -> None:
    id = rota.put("nap", '{"seconds": 2}')
    ran = rota("jobs", "logs", "--follow", id)
    assert ran.status == 0
    assert [line.split()[1] for line in ran.out.splitlines()] == ["info", "warning"]


def test_result_of_bytes(rota: Cli, folder: Path) -> None:
    id = rota.end("picture")
    process = rota.start("jobs", "result", id)
    out, _ = process.communicate(timeout=20)
    assert out == bytes(range(256))
    assert rota("jobs", "result", id, "--output", "picture.bin").out == ""
    assert (folder / "picture.bin").read_bytes() == out
    assert rota("jobs", "result", id, "--output", "no/such/folder").status == 1


def test_result_of_a_job_that_has_none(rota: Cli) -> None:
    failed = rota("jobs", "result", rota.end("fails", '{"text": "no"}'))
    waits = rota("jobs", "result", rota.put("x", queue="unserved"))
    assert (failed.status, failed.out, waits.status, waits.out) == (1, "", 3, "")
    assert "rota.Fail: no" in failed.err
    assert "is pending" in waits.err


def test_nothing_that_comes_from_a_job_reaches_the_terminal(rota: Cli) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\u202ereversed\u2028\r\x08"
    id = rota.end("says", json.dumps({"text": evil}), tags=["evil"])
    failed = rota.end("fails", json.dumps({"text": evil}))
    outputs = [
        rota("jobs", "show", id),
        rota("jobs", "show", id, "--json"),
        rota("jobs", "list", "--tag", "evil"),
        rota("jobs", "logs", id),
        rota("jobs", "logs", id, "--json"),
        rota("jobs", "result", id),
        rota("jobs", "watch", id),
        rota("jobs", "show", failed),
        rota("jobs", "watch", failed),
        rota("jobs", "result", failed),
        rota("jobs", "show", evil),
    ]
    for ran in outputs:
        for character in evil:
            assert character not in ran.out + ran.err or character.isprintable(), ran
    assert rota("jobs", "show", id, "--json").json["result"] == evil
    assert rota("jobs", "result", id).json == evil
