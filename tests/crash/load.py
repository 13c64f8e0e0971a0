"""Clients of several servers: they enqueue under idempotency keys, never give up, and write down what they
were told.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2

from tests.crash.history import History

ANSWER = 5.0
"""Seconds after which a request counts as in doubt and goes to the next server."""
PATIENCE = 60.0
_PAUSE = 0.05


class Load:
    """``threads`` that send about ``rate`` jobs a second together, to any of ``urls``, the same ones for the
    same seed.
    """

    def __init__(
        self, history: History, urls: Sequence[str], *, seed: int, rate: float = 60.0, threads: int = 4
    ) -> None:
        self._history = history
        self._urls = list(urls)
        self._rate = rate / threads
        self._stop = threading.Event()
        self.acked = 0
        self.refusals: list[str] = []
        self.by_server = dict.fromkeys(urls, 0)
        """Requests that each has acknowledged."""
        self._threads = [
            threading.Thread(target=self._run, args=(n, random.Random(f"{seed}-{n}")), daemon=True)
            for n in range(threads)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def finish(self) -> None:
        """Send nothing new; what is under way is repeated until it is acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not self.refusals, self.refusals
            assert not thread.is_alive(), "a request was never acknowledged"

    def _run(self, number: int, chance: random.Random) -> None:
        with httpx2.Client(timeout=ANSWER, trust_env=False) as http:
            for turn in range(1_000_000):
                if self._stop.is_set():
                    return
                name = f"{number}-{turn}"
                jobs = list(_jobs(name, chance))
                self._until_stored(http, name, jobs, chance)
                self._stop.wait(len(jobs) / self._rate * chance.uniform(0.5, 1.5))

    def _until_stored(
        self, http: httpx2.Client, name: str, jobs: list[dict[str, Any]], chance: random.Random
    ) -> None:
        body = json.dumps({"jobs": jobs}).encode()
        headers = {"content-type": "application/json", "idempotency-key": name}
        at = chance.randrange(len(self._urls))
        while True:
            url = self._urls[at % len(self._urls)]
            self._note("sent", jobs, to=url)
            try:
                answer = http.post(url + "/v1/jobs", content=body, headers=headers)
            except httpx2.TransportError as error:
                self._note("doubt", jobs, to=url, why=type(error).__name__)
            else:
                if answer.status_code in (200, 201):
                    ids = [job["id"] for job in answer.json()["jobs"]]
                    for job, id in zip(jobs, ids, strict=True):
                        self._history.note("acked", key=job["payload"]["key"], id=id, to=url)
                    self.acked += 1
                    self.by_server[url] += 1
                    return
                if answer.status_code < 500:
                    self._note("refused", jobs, to=url, why=answer.text)
                    self.refusals.append(answer.text)
                    return
                self._note("doubt", jobs, to=url, why=answer.text)
            at += 1
            # Not Event.wait: at the end, too, somebody must be given time to come back.
            threading.Event().wait(_PAUSE)

    def _note(self, what: str, jobs: list[dict[str, Any]], **more: Any) -> None:
        for job in jobs:
            self._history.note(what, key=job["payload"]["key"], **more)


def _jobs(name: str, chance: random.Random) -> Iterator[dict[str, Any]]:
    """The jobs of one request."""
    for n in range(1 if chance.random() < 0.7 else chance.randint(2, 12)):
        key = f"{name}-{n}"
        kind = chance.random()
        if kind < 0.1:
            yield {"type": "quick", "payload": {"key": key, "later": True}, "delay": chance.random()}
        elif kind < 0.2:
            again = {"kind": "fixed", "delay": 0.1}
            yield {"type": "flop", "payload": {"key": key, "later": True}, "retry": again}
        elif kind < 0.6:
            yield {"type": "quick", "payload": {"key": key}, "priority": chance.choice((0, 0, 5, -5))}
        else:
            type = "block" if kind < 0.7 or kind > 0.97 else "pause"
            # A few take long enough to be run by somebody else while the first one stands still.
            most = 300 if kind < 0.95 else 4000
            yield {"type": type, "payload": {"key": key, "ms": chance.randint(5, most)}}
