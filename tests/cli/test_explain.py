"""rota jobs explain: for people, and as JSON."""

from __future__ import annotations

import httpx2

from tests.cli.kit import Cli
from tests.web.kit import NOBODY


def test_for_people(rota: Cli) -> None:
    id = rota.put("add", queue="nobody-here", priority=3)
    httpx2.post(f"{rota.url}/v1/queues/nobody-here/pause").raise_for_status()
    ran = rota("jobs", "explain", id)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:4] == [
        f"id       {id}",
        "state    pending",
        "starts   nobody can say yet",
        "because  The queue nobody-here is paused. [queue_paused]",
    ]
    elsewhere = "Workers that know the type add serve default."
    assert lines[4:] == [f"and      No worker serves the queue nobody-here. {elsewhere} [no_worker]"]


def test_a_time_that_is_known(rota: Cli) -> None:
    ran = rota("jobs", "explain", rota.put("nap", '{"seconds": 0}', delay=3600))
    starts, because = ran.out.splitlines()[2:]
    assert starts.startswith("starts   20")
    assert starts.endswith(("(in 59m)", "(in 60m)"))
    assert because.startswith("because  It is scheduled for 20")


def test_one_that_has_ended(rota: Cli) -> None:
    id = rota.end("fails", '{"text": "a\\u001b[31m\\nb"}', max_attempts=1)
    ran = rota("jobs", "explain", id)
    assert ran.out.splitlines()[2] == "starts   -"
    assert "because  It failed at " in ran.out
    assert "\x1b" not in ran.out


def test_as_json(rota: Cli) -> None:
    id = rota.end("add", '{"a": 1, "b": 2}')
    shape = rota("jobs", "explain", id, "--json").json
    assert shape == rota.get(f"/v1/jobs/{id}/explain") | {
        "now": shape["now"],
        "sentence": shape["sentence"],
        "causes": shape["causes"],
    }
    assert (shape["cause"], shape["causes"][0]["cause"]) == ("done", "done")


def test_no_such_job(rota: Cli) -> None:
    ran = rota("jobs", "explain", NOBODY)
    assert (ran.status, ran.out) == (1, "")
    assert "There is no job" in ran.err
