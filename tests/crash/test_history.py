"""The checker finds what it is for: a history of each kind of fault, made up by hand, is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rota.model.clock import to_text
from tests.crash import history
from tests.crash.history import Event, History, Job, check

BASE = 1_800_000_000.0


def at(second: float) -> str:
    return to_text(round((BASE + second) * 1e6))


def attempt(lease: int, start: float, stop: float, end: str) -> dict[str, Any]:
    return {"lease": lease, "started_at": at(start), "finished_at": at(stop), "end": end}


def good() -> tuple[list[Event], list[Job]]:
    """Three jobs: one ran once; one was lost and ran again; one was given back and cancelled."""
    jobs: list[Job] = [
        {
            "id": "a",
            "payload": {"key": 1},
            "state": "done",
            "attempt": 1,
            "lease": 1,
            "finished_at": at(2),
            "result": {"key": 1, "attempt": 1},
            "attempts": [attempt(1, 1, 2, "done")],
        },
        {
            "id": "b",
            "payload": {"key": 2},
            "state": "done",
            "attempt": 2,
            "lease": 2,
            "finished_at": at(6),
            "result": {"key": 2, "attempt": 2},
            "attempts": [attempt(1, 1, 4, "lost"), attempt(2, 5, 6, "done")],
        },
        {
            "id": "c",
            "payload": {"key": 3},
            "state": "cancelled",
            "attempt": 0,
            "lease": 1,
            "finished_at": at(3),
            "result": None,
            "attempts": [attempt(1, 1, 2, "released")],
        },
    ]
    events: list[Event] = []
    for key, id in ((1, "a"), (2, "b"), (3, "c")):
        events.append({"what": "sent", "at": BASE, "key": key})
        events.append({"what": "acked", "at": BASE + 0.5, "key": key, "id": id})
    for id, n, second in (("a", 1, 1.1), ("b", 1, 1.1), ("b", 2, 5.1), ("c", 1, 1.1)):
        events.append(began(id, second, n))
    for id, n, second in (("a", 1, 1.9), ("b", 2, 5.9)):
        events.append({"what": "ended", "at": BASE + second, "id": id, "attempt": n})
    return events, jobs


def began(id: str, second: float, n: int = 1) -> Event:
    return {"what": "began", "at": BASE + second, "id": id, "attempt": n}


def test_a_good_history_is_accepted() -> None:
    assert check(*good()) == []
    assert check([], []) == []


Spoil = Callable[[list[Event], list[Job]], object]

BAD: dict[str, Spoil] = {
    "lost": lambda events, jobs: jobs.pop(0),
    "doubled": lambda events, jobs: jobs.append(jobs[2] | {"id": "d"}),
    "ids are there twice": lambda events, jobs: jobs.append(jobs[2]),
    "unstable": lambda events, jobs: events.append({"what": "acked", "at": BASE, "key": 1, "id": "b"}),
    "mixed up": lambda events, jobs: jobs[0].update(payload={"key": 3}),
    "stranger": lambda events, jobs: events.remove(next(e for e in events if e["what"] == "sent")),
    "open": lambda events, jobs: jobs[2].update(state="running"),
    "ghost": lambda events, jobs: events.append(began("x", 0)),
    "undead": lambda events, jobs: events.append(began("b", 7, 2)),
    "too often": lambda events, jobs: events.append(began("a", 1)),
    "wrong result": lambda events, jobs: jobs[1].update(result={"key": 2, "attempt": 1}),
    "from nowhere": lambda events, jobs: events.remove(next(e for e in events if e["what"] == "ended")),
    "leases": lambda events, jobs: jobs[1]["attempts"].reverse(),
    "miscounted": lambda events, jobs: jobs[2].update(attempt=1),
    "overlap": lambda events, jobs: jobs[1]["attempts"][0].update(finished_at=at(5.5)),
    "ends": lambda events, jobs: jobs[1]["attempts"][0].update(end="done"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_history_is_refused_for_what_is_wrong_with_it(fault: str) -> None:
    events, jobs = good()
    BAD[fault](events, jobs)
    told = check(events, jobs)
    assert any(fault in sentence for sentence in told), told


def test_every_rule_has_its_bad_history() -> None:
    words = {line.split('yield f"')[1].split(":")[0] for line in source() if "yield f" in line}
    assert words - {"not once"} == set(BAD) - {"ids are there twice"}


def source() -> list[str]:
    return Path(history.__file__).read_text().splitlines()


def only_a() -> tuple[list[Event], list[Job]]:
    events, jobs = good()
    return [event for event in events if event.get("id") == "a" or event.get("key") == 1], jobs[:1]


def test_once_is_once() -> None:
    assert check(*only_a(), once=True) == []
    assert check(*good()) == []
    assert [told.split(":")[0] for told in check(*good(), once=True)] == ["not once"] * 2
    events, jobs = only_a()
    assert any("not once" in told for told in check([*events, began("a", 1.5)], jobs, once=True))
    events = [event for event in events if event["what"] != "began"]
    assert any("not once" in told for told in check(events, jobs, once=True))
    events, jobs = only_a()
    jobs[0]["attempts"].insert(0, attempt(0, 0, 1, "released"))
    assert check(events, jobs) == []
    assert any("not once" in told for told in check(events, jobs, once=True))


def test_notes_outlive_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib\n"
        "from tests.crash.history import History\n"
        "history = History(pathlib.Path(sys.argv[1]))\n"
        "for n in range(100): history.note('began', id=n)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    status = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=False).returncode
    assert status == -9
    log = History(tmp_path)
    log.note("ended", id=5)
    assert [event["id"] for event in log.events("began")] == list(range(100))
    assert [event["what"] for event in log.events(id=5)] == ["began", "ended"]
    (tmp_path / "half.jsonl").write_text(json.dumps({"what": "x", "at": 0}) + '\n{"what": "ha')
    assert len(log.events()) == 102
