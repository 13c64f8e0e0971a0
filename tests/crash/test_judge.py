"""The judge finds what it is for: a history with each kind of fault, made up by hand, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash import judge as judging
from tests.crash.history import Event, Job
from tests.crash.judge import judge
from tests.crash.test_history import BASE, at, attempt


class Made:
    """A history by hand: clients, workers and the store, in seconds from its beginning."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.jobs: dict[str, Job] = {}

    def note(self, what: str, second: float, **more: Any) -> None:
        self.events.append({"what": what, "at": BASE + second, **more})

    def accept(self, id: str, key: int, sent: float, acked: float, **fields: Any) -> None:
        self.note("sent", sent, key=key, to="A")
        self.note("acked", acked, key=key, id=id, to="A")
        self.jobs[id] = {
            "id": id,
            "queue": "default",
            "priority": 0,
            "payload": {"key": key},
            "state": "pending",
            "attempt": 0,
            "lease": 0,
            "finished_at": None,
            "result": None,
            "attempts": [],
            **fields,
        }

    def run(self, id: str, start: float, stop: float, end: str = "done", told: bool | None = True) -> None:
        """One attempt; ``told`` is what its worker heard, None: nothing. A lost one is heard as too late."""
        job = self.jobs[id]
        lease, number = job["lease"] + 1, job["attempt"] + 1
        key, run = job["payload"]["key"], f"{id}{lease}"
        self.note("began", start + 0.01, id=id, key=key, attempt=number, run=run, by="w")
        self.note("ended", stop - 0.02, id=id, key=key, attempt=number, run=run, by="w")
        said = "done" if end == "lost" else end
        self.note("reported", stop - 0.01, id=id, lease=lease, end=said, run=run)
        if told is not None:
            self.note("answered", stop + 0.01, id=id, lease=lease, applied=told and end != "lost")
        job["attempts"].append(attempt(lease, start, stop, end))
        job.update(lease=lease, attempt=number, state="pending")
        if end == "done":
            result = {"key": key, "attempt": number, "run": run}
            job.update(state="done", finished_at=at(stop), result=result)

    def last(self, what: str, id: str = "a") -> Event:
        return next(event for event in reversed(self.events) if event["what"] == what and event["id"] == id)


def good() -> Made:
    """One that ran at once; one that was lost, whose worker reported too late; one retried; one in doubt."""
    made = Made()
    made.accept("a", 1, 0, 0.1)
    made.run("a", 1, 2)
    made.accept("b", 2, 0, 0.1)
    made.run("b", 1, 4, "lost")
    made.run("b", 5, 6)
    made.accept("c", 3, 0, 0.1)
    made.run("c", 1.5, 2, "failed")
    made.run("c", 3, 4, told=None)
    made.note("doubt", 2.5, key=4)
    made.accept("d", 4, 2.4, 2.9)
    made.run("d", 3, 3.5)
    made.note("refused", 3, key=5)
    made.note("fault", 2.2, kind="restart")
    return made


def told(made: Made, **bounds: float) -> list[str]:
    return judge(made.events, list(made.jobs.values()), **{"order": 3.0, **bounds}).broken


def test_a_good_history_is_accepted() -> None:
    made = good()
    verdict = judge(made.events, list(made.jobs.values()), gap=2.1, back=1.4)
    assert verdict.broken == []
    assert verdict[1:7] == (4, 4, 6, 1, 1, 1)
    assert verdict.gap == pytest.approx(2.0, abs=0.01)
    assert verdict.back == {"restart": pytest.approx(1.3, abs=0.01)}
    assert "back after restart 1.3 s" in str(verdict)
    assert judge([], []).broken == []


def failed(made: Made, losses: int) -> None:
    job = made.jobs["a"]
    job.update(state="failed", result=None)
    job["attempts"] = [attempt(n, n, n + 0.5, "lost") for n in range(1, losses + 1)]
    job.update(lease=losses, attempt=losses)
    made.events = [event for event in made.events if event.get("id") != "a" or event["what"] == "acked"]


def as_applied(made: Made) -> None:
    """The lost run of b is told that it counts."""
    event = next(one for one in made.events if one["what"] == "answered" and one["id"] == "b")
    event["applied"] = True


def late(made: Made) -> None:
    """... and reports after the next one began."""
    event = next(one for one in made.events if one["what"] == "reported" and one["id"] == "b")
    event["at"] = BASE + 5.5
    as_applied(made)


def overtaken(made: Made, **fields: Any) -> None:
    made.accept("x", 9, 0.2, 0.3)
    made.run("x", 8, 9)
    made.jobs["x"].update(fields)


def together(made: Made) -> None:
    """The two runs of c, both accepted, as their handlers saw it."""
    made.note("answered", 4, id="c", lease=2, applied=True)
    made.last("began", "c")["at"] = BASE + 1.6


BAD: dict[str, Callable[[Made], object]] = {
    "refused": lambda made: made.note("refused", 0, key=1),
    "cancelled": lambda made: made.jobs["a"].update(state="cancelled"),
    "given up": lambda made: failed(made, 2),
    "stale result": lambda made: made.jobs["b"]["result"].update(run="b1"),
    "accepted twice": lambda made: made.note("answered", 3, id="a", lease=1, applied=True),
    "finished twice": as_applied,
    "forgotten": lambda made: made.jobs["a"]["attempts"][0].update(end="lost"),
    "stale accepted": late,
    "shared lease": lambda made: made.note("reported", 1.5, id="a", lease=1, end="done", run="other"),
    "together": together,
    "overtaken": overtaken,
    # The rules that this judge shares with the simpler checker.
    "lost": lambda made: made.jobs.pop("a"),
    "open": lambda made: made.jobs["a"].update(state="running"),
    "doubled": lambda made: made.jobs.update(x=made.jobs["a"] | {"id": "x"}),
    "ghost": lambda made: made.note("began", 1, id="x", key=7, attempt=1, run="x1", by="w"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_history_is_refused_for_what_is_wrong_with_it(fault: str) -> None:
    made = good()
    BAD[fault](made)
    found = told(made)
    assert any(sentence.startswith(fault) for sentence in found), found


def test_every_rule_has_its_bad_history() -> None:
    source = Path(judging.__file__).read_text().splitlines()
    words = {line.split('yield f"')[1].split(":")[0] for line in source if 'yield f"' in line}
    assert words <= set(BAD)


def test_what_is_late_is_refused() -> None:
    made = good()
    assert told(made, gap=1.9)[0].startswith("pause")
    assert told(made, back=1.2)[0].startswith("slow")


def test_after_a_fault_somebody_has_to_come_back() -> None:
    made = good()
    made.accept("x", 9, 3.0, 3.1)
    made.note("fault", 2.95, kind="failover")
    assert "slow: it took inf s until a job that was sent after failover had ended" in told(made, back=60)


def test_what_may_be_is_not_refused() -> None:
    """Three lost workers, a report of a failure, one that waits for its time, a better priority, a zombie."""
    made = good()
    failed(made, 3)
    made.jobs["b"].update(state="failed", result=None)
    made.jobs["b"]["attempts"][1]["end"] = "failed"
    made.last("reported", "b")["end"] = "failed"
    assert told(made) == []
    made = good()
    overtaken(made, payload={"key": 9, "later": True})
    made.accept("y", 10, 0.2, 0.3, priority=-1)
    made.run("y", 8, 9)
    assert told(made) == []
    made.last("began", "b")["at"] = BASE + 5.2
    made.events[next(i for i, one in enumerate(made.events) if one.get("run") == "b1")]["at"] = BASE + 9
    assert told(made) == []
