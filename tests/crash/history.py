"""What happened, written down by everybody who took part, and a checker that says which promise was broken.

Clients note what they sent and what was acknowledged; handlers note when they begin and end. Every note is
one line that a kill -9 of its writer cannot take back. In the end the store is read, and :func:`check`
compares.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Job = dict[str, Any]

GIVEN_BACK = ("released", "snoozed")
"""Ends of attempts that cost nothing."""
ENDED = ("done", "failed", "cancelled")
SLACK = 0.005
"""Seconds by which two readings of the same clock may seem out of order."""


class History:
    """Notes in a folder, one file per process that writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._name = os.urandom(4).hex()
        folder.mkdir(parents=True, exist_ok=True)

    def note(self, what: str, **more: Any) -> None:
        """Write down that this happened now."""
        line = json.dumps({"what": what, "at": time.time(), "who": os.getpid(), **more}) + "\n"
        # Numbers of processes come again, and the last line of one that was killed may be torn.
        handle = os.open(
            self.folder / f"{os.getpid()}-{self._name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def events(self, *kinds: str, **fields: Any) -> list[Event]:
        """All notes, oldest first; only of these kinds and with these fields where some are named."""
        found = []
        for file in self.folder.glob("*.jsonl"):
            # The last line may still be on its way.
            for line in file.read_text().split("\n")[:-1]:
                event = json.loads(line)
                if (not kinds or event["what"] in kinds) and fields.items() <= event.items():
                    found.append(event)
        return sorted(found, key=lambda event: float(event["at"]))


def check(
    events: Sequence[Event], jobs: Sequence[Job], *, once: bool = False, frozen: bool = False
) -> list[str]:
    """Every broken promise as a sentence.

    ``events``: ``sent`` and ``acked`` (``key``, ``id``) of clients, ``began`` and ``ended`` (``id``, ``key``,
    ``attempt``) of handlers. ``jobs``: the whole store, each job as the API gives it, its payload
    ``{"key": ...}``; a result names the key and the attempt that made it. ``once``: every job ran just once.
    ``frozen``: programs stood still; workers may have begun what somebody else had finished meanwhile, and
    servers have stored times of before.
    """
    rules: list[Callable[[Sequence[Event], dict[str, Job]], Iterator[str]]]
    rules = [_acknowledged, _doubled, _ended, _ran, _results, _attempts]
    if not frozen:
        rules += [_undead, _overlap]
    if once:
        rules.append(_once)
    by_id = {job["id"]: job for job in jobs}
    found = [f"{len(jobs) - len(by_id)} ids are there twice"] if len(by_id) < len(jobs) else []
    return found + [told for rule in rules for told in rule(events, by_id)]


def _acknowledged(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    """What was acknowledged is there, under the id that was told."""
    ids: dict[Any, str] = {}
    for event in events:
        if event["what"] != "acked":
            continue
        key, id = event["key"], event["id"]
        if id not in jobs:
            yield f"lost: {id} (key {key}) was acknowledged and is not there"
        elif jobs[id]["payload"]["key"] != key:
            yield f"mixed up: {id} was acknowledged for key {key} and holds another"
        if ids.setdefault(key, id) != id:
            yield f"unstable: key {key} was acknowledged as {ids[key]} and as {id}"


def _doubled(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    """Every job was asked for, and only once."""
    sent = {event["key"] for event in events if event["what"] == "sent"}
    for key, n in Counter(job["payload"]["key"] for job in jobs.values()).items():
        if n > 1:
            yield f"doubled: key {key} is there {n} times"
        if key not in sent:
            yield f"stranger: key {key} was never sent"


def _ended(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    for job in jobs.values():
        if job["state"] not in ENDED:
            yield f"open: {job['id']} is still {job['state']}"
        elif job["finished_at"] is None:
            yield f"open: {job['id']} is {job['state']} and has no end"


def _ran(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    """Handlers ran only what was handed out."""
    runs: Counter[str] = Counter()
    for event in events:
        if event["what"] != "began":
            continue
        job = jobs.get(event["id"])
        if job is None:
            yield f"ghost: {event['id']} ran and is not there"
            continue
        runs[event["id"]] += 1
    for id, n in runs.items():
        if n > len(jobs[id]["attempts"]):
            yield f"too often: {id} ran {n} times in {len(jobs[id]['attempts'])} attempts"


def _undead(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    """Nothing began after its end."""
    for event in events:
        job = jobs.get(event["id"]) if event["what"] == "began" else None
        if job is None or job["finished_at"] is None:
            continue
        if event["at"] > seconds(job["finished_at"]) + SLACK:
            yield f"undead: {event['id']} began to run after its end"


def _results(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    """A result comes from the attempt that counts, and from a handler that came to its end."""
    ended = {(event["id"], event["attempt"]) for event in events if event["what"] == "ended"}
    for job in jobs.values():
        if job["state"] != "done":
            continue
        result = job["result"] or {}
        if (result.get("key"), result.get("attempt")) != (job["payload"]["key"], job["attempt"]):
            yield f"wrong result: {job['id']} has {result} in attempt {job['attempt']}"
        if (job["id"], job["attempt"]) not in ended:
            yield f"from nowhere: {job['id']} is done, but no handler ended its attempt {job['attempt']}"


def _attempts(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    """Leases grow, attempts follow each other, and only real ones are counted."""
    for job in jobs.values():
        attempts = job["attempts"]
        leases = [one["lease"] for one in attempts]
        if leases != sorted(set(leases)) or (leases and leases[-1] != job["lease"]):
            yield f"leases: {job['id']} had {leases} and is at {job['lease']}"
        spent = sum(one["end"] not in GIVEN_BACK for one in attempts)
        if spent != job["attempt"]:
            yield f"miscounted: {job['id']} is at attempt {job['attempt']} after {spent} that count"
        if job["state"] == "done" and [one["end"] for one in attempts].count("done") != 1:
            yield f"ends: {job['id']} is done, and its attempts ended as {[one['end'] for one in attempts]}"


def _overlap(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    for job in jobs.values():
        for one, two in pairwise(job["attempts"]):
            if one["finished_at"] is None or one["finished_at"] > two["started_at"]:
                yield f"overlap: attempts with leases {one['lease']} and {two['lease']} of {job['id']}"


def _once(events: Sequence[Event], jobs: dict[str, Job]) -> Iterator[str]:
    runs: dict[str, int] = defaultdict(int)
    for event in events:
        if event["what"] == "began":
            runs[event["id"]] += 1
    for id, job in jobs.items():
        if runs[id] != 1 or [one["end"] for one in job["attempts"]] != ["done"]:
            yield f"not once: {id} ran {runs[id]} times, ends {[one['end'] for one in job['attempts']]}"


def seconds(moment: str) -> float:
    """A time of the API on the clock of the notes."""
    return datetime.fromisoformat(moment).timestamp()
