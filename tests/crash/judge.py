"""The judge of runs in which everything is killed: it reads what clients, handlers and workers wrote down and
what the store holds in the end, and says which promise was broken, and how soon work went on.

Besides the notes of :mod:`tests.crash.history` there are

* of clients: ``sent`` and ``acked`` may come several times for a key (``to``: the server that was asked);
  ``doubt`` (no answer, or 503: nobody knows) and ``refused`` (4xx: nothing was stored);
* of handlers: ``began`` and ``ended`` name the ``run``, a word of its own for every start of a handler,
  which its result holds too, and ``by``, the worker;
* of workers: ``reported`` (``id``, ``lease``, ``end``, ``run``) before a report goes out, ``answered``
  (``id``, ``lease``, ``applied``) when its answer came;
* of whoever breaks things: ``fault`` (``kind``) when it begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.crash.history import Event, Job, check, seconds

LOSSES = 3
"""Workers that a job may lose before it is failed."""


class Verdict(NamedTuple):
    """``broken``: each broken promise as a sentence. Times in seconds."""

    broken: list[str]
    jobs: int
    acked: int
    runs: int
    lost_runs: int
    """Attempts that a lost worker cost."""
    stale: int
    """Reports that were told to be too late."""
    doubts: int
    """Requests that got no answer, or 503, and were sent again."""
    gap: float
    """The longest time in which nothing ended although jobs waited."""
    back: dict[str, float]
    """By kind of fault, the longest time from one until a job that was sent after it had ended."""

    def __str__(self) -> str:
        back = ", ".join(f"{kind} {worst:.1f} s" for kind, worst in sorted(self.back.items()))
        return (
            f"{self.acked} acknowledged, {self.jobs} jobs, {self.runs} runs; broken promises: "
            f"{len(self.broken)}; attempts lost {self.lost_runs}, late reports refused {self.stale}, "
            f"requests in doubt {self.doubts}; longest pause {self.gap:.1f} s; "
            f"back after {back or 'no fault'}"
        )


def judge(
    events: Sequence[Event],
    jobs: Sequence[Job],
    *,
    order: float = 10.0,
    gap: float | None = None,
    back: float | None = None,
) -> Verdict:
    """Compare. ``order``: seconds by which a job may be overtaken, as a claim that was cut off hides its jobs
    for a while, and one by a server that stood still bears the time of before; ``gap`` and ``back``: bounds
    for the figures of these names.
    """
    by_id = {job["id"]: job for job in jobs}
    notes: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        notes[event["what"]].append(event)
    broken = check(events, jobs, frozen=True)
    for rule in (_refused, _ends, _results, _applied, _leases, _apart):
        broken += rule(notes, by_id)
    broken += _order(notes, by_id, order)
    longest = longest_gap(notes, by_id)
    if gap is not None and longest > gap:
        broken.append(f"pause: nothing ended for {longest:.1f} s although jobs waited")
    after: dict[str, float] = {}
    for kind, took in recoveries(notes, by_id):
        after[kind] = max(after.get(kind, 0.0), took)
        if back is not None and took > back:
            broken.append(f"slow: it took {took:.1f} s until a job that was sent after {kind} had ended")
    ends = [one["end"] for job in jobs for one in job["attempts"]]
    return Verdict(
        broken,
        len(by_id),
        len({event["key"] for event in notes["acked"]}),
        len(notes["began"]),
        ends.count("lost"),
        sum(not event["applied"] for event in notes["answered"]),
        len(notes["doubt"]),
        longest,
        after,
    )


Notes = dict[str, list[Event]]
Jobs = dict[str, Job]


def _refused(notes: Notes, jobs: Jobs) -> Iterator[str]:
    """What was refused is not there."""
    there = {job["payload"]["key"] for job in jobs.values()}
    for event in notes["refused"]:
        if event["key"] in there:
            yield f"refused: key {event['key']} was refused and is there"


def _ends(notes: Notes, jobs: Jobs) -> Iterator[str]:
    """Only what was worked on, or lost often enough, or reported as failed, has ended without being done."""
    failed = {(event["id"], event["lease"]) for event in notes["reported"] if event["end"] != "done"}
    for job in jobs.values():
        if job["state"] == "cancelled":
            yield f"cancelled: {job['id']}, by nobody"
        elif job["state"] == "failed":
            lost = [one["end"] for one in job["attempts"]].count("lost")
            if lost < LOSSES and (job["id"], job["lease"]) not in failed:
                yield f"given up: {job['id']} failed after {lost} lost workers, and nobody said so"


def _results(notes: Notes, jobs: Jobs) -> Iterator[str]:
    """The result is that of the run which was reported under the lease that finished the job."""
    reported = defaultdict(set)
    for event in notes["reported"]:
        reported[event["id"], event["lease"]].add(event["run"])
    for job in jobs.values():
        if job["state"] == "done":
            run = (job["result"] or {}).get("run")
            if run not in reported[job["id"], job["lease"]]:
                yield f"stale result: {job['id']} holds that of run {run}, not reported under {job['lease']}"


def _applied(notes: Notes, jobs: Jobs) -> Iterator[str]:
    """A report is accepted once, under the newest lease, and what was accepted stays."""
    said = {(event["id"], event["lease"]): event for event in notes["reported"]}
    began = {event["run"]: event["at"] for event in notes["began"]}
    runs: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for (id, lease), event in said.items():
        if event["run"] in began:
            runs[id].append((lease, began[event["run"]]))
    accepted: set[tuple[str, int]] = set()
    finished: set[str] = set()
    for event in notes["answered"]:
        place = (event["id"], event["lease"])
        job, report = jobs.get(event["id"]), said.get(place)
        if not event["applied"] or job is None or report is None:
            continue
        if place in accepted:
            yield f"accepted twice: {event['id']} under lease {event['lease']}"
        accepted.add(place)
        if report["end"] == "done":
            if event["id"] in finished:
                yield f"finished twice: {event['id']}"
            finished.add(event["id"])
        attempt = next((one for one in job["attempts"] if one["lease"] == event["lease"]), None)
        if attempt is None or attempt["end"] != report["end"]:
            end = attempt and attempt["end"]
            yield f"forgotten: {event['id']} was accepted as {report['end']} under {event['lease']}, is {end}"
        for lease, start in runs[event["id"]]:
            if lease > event["lease"] and report["at"] > start:
                yield f"stale accepted: {event['id']} under {event['lease']}, after {lease} began"


def _leases(notes: Notes, jobs: Jobs) -> Iterator[str]:
    """Nobody else runs a job under the same lease."""
    runs: dict[tuple[str, int], set[str | None]] = defaultdict(set)
    for event in notes["reported"]:
        runs[event["id"], event["lease"]].add(event["run"])
    for (id, lease), found in runs.items():
        # A report that gives a job back says nothing of its run.
        if len(found - {None}) > 1:
            yield f"shared lease: {id} ran {len(found)} times under {lease}"


def _apart(notes: Notes, jobs: Jobs) -> Iterator[str]:
    """Runs that were accepted did not run at the same time."""
    accepted = {(event["id"], event["lease"]) for event in notes["answered"] if event["applied"]}
    counted = {event["run"] for event in notes["reported"] if (event["id"], event["lease"]) in accepted}
    began = {event["run"]: event for event in notes["began"]}
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for event in notes["ended"]:
        if event["run"] in counted and event["run"] in began:
            spans[event["id"]].append((began[event["run"]]["at"], event["at"]))
    for id, found in spans.items():
        for one, two in pairwise(sorted(found)):
            if two[0] < one[1]:
                yield f"together: two accepted runs of {id} ran at the same time"


def _order(notes: Notes, jobs: Jobs, slack: float) -> Iterator[str]:
    """Priority, then age: what was acknowledged before another job was sent does not start long after it."""
    sent = _first(notes["sent"], "key")
    acked = _first(notes["acked"], "id")
    lanes: dict[str, dict[int, list[Job]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs.values():
        # A job that waited for its time, or has come back, has another place than its age says.
        if job["attempts"] and job["id"] in acked and not job["payload"].get("later"):
            lanes[job["queue"]][job["priority"]].append(job)
    for lane in lanes.values():
        for priority, late in lane.items():
            early = [one for worse, found in lane.items() if worse <= priority for one in found]
            # The first start of all those that were sent after a moment.
            early.sort(key=lambda job: sent[job["payload"]["key"]])
            moments = [sent[job["payload"]["key"]] for job in early]
            firsts = [(float("inf"), "")] * (len(early) + 1)
            for i in range(len(early) - 1, -1, -1):
                firsts[i] = min(firsts[i + 1], (_started(early[i]), early[i]["id"]))
            for job in late:
                first, other = firsts[bisect_right(moments, acked[job["id"]])]
                after = _started(job) - first
                if after > slack:
                    yield f"overtaken: {job['id']} began {after:.1f} s after {other}, which was sent later"


def _started(job: Job) -> float:
    return seconds(job["attempts"][0]["started_at"])


def _first(events: Iterable[Event], field: str) -> dict[Any, float]:
    """When each was first noted."""
    found: dict[Any, float] = {}
    for event in events:
        found[event[field]] = min(event["at"], found.get(event[field], event["at"]))
    return found


def longest_gap(notes: Notes, jobs: Jobs) -> float:
    """The longest time in which no job ended although one that was acknowledged waited for it."""
    acked = _first(notes["acked"], "id")
    waits = [
        (acked[id], seconds(job["finished_at"]))
        for id, job in jobs.items()
        if id in acked and job["finished_at"] is not None and not job["payload"].get("later")
    ]
    # Some have ended before anybody noted that they were accepted.
    waits = [(one, end) for one, end in waits if one < end]
    longest = since = 0.0
    waiting = 0
    for moment, begins in sorted([(one, 1) for one, _ in waits] + [(end, 0) for _, end in waits]):
        if begins:
            since = since if waiting else moment
            waiting += 1
        else:
            longest, since = max(longest, moment - since), moment
            waiting -= 1
    return longest


def recoveries(notes: Notes, jobs: Jobs) -> Iterator[tuple[str, float]]:
    """For each fault, how long it took until a job that was sent after it had ended."""
    sent = _first(notes["sent"], "key")
    never = float("inf")
    ends = sorted(
        (sent[job["payload"]["key"]], seconds(job["finished_at"]) if job["finished_at"] else never)
        for job in jobs.values()
        if job["payload"]["key"] in sent
    )
    moments = [one for one, _ in ends]
    firsts = [never] * (len(ends) + 1)
    for i in range(len(ends) - 1, -1, -1):
        firsts[i] = min(firsts[i + 1], ends[i][1])
    for event in notes["fault"]:
        first = firsts[bisect_right(moments, event["at"])]
        if moments and moments[-1] > event["at"]:
            yield event["kind"], first - event["at"]
