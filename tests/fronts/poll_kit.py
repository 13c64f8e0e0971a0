"""Clients and workers of job-poll-queue, written from what its users were told: one waits, the other asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import httpx2

from tests.crash.kit import until
from tests.server import DEADLINE

Json = dict[str, Any]
OPEN: list[httpx2.Client] = []
"""Of the workers of this test."""


class Client(threading.Thread):
    """One submit; ``answer`` is there when it is over."""

    def __init__(
        self, url: str, body: object = None, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._content = content if body is None else json.dumps(body).encode()
        self._headers = dict(headers or {})
        self._answer: httpx2.Response | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with http() as client:
                self._answer = client.post(
                    self._url + "/api/submit", content=self._content, headers=self._headers, timeout=60
                )
        except httpx2.TransportError as error:
            self.error = error

    def answer(self) -> httpx2.Response:
        """Once it is there."""
        self.join(DEADLINE)
        assert self._answer is not None, self.error or "no answer"
        return self._answer

    def payload(self) -> Any:
        """Of a good answer."""
        answer = self.answer()
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"completed_at", "created_at", "job_id", "payload"}
        return answer.json()["payload"]


class Worker:
    """Asks for jobs and completes them."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.http = http(headers)
        OPEN.append(self.http)

    def poll(self) -> Json | None:
        answer = self.http.get(self.url + "/api/worker/poll")
        assert answer.headers["content-type"] == "application/json"
        if answer.status_code == 204:
            assert answer.content == b""
            return None
        assert answer.status_code == 200, answer.text
        job: Json = answer.json()
        assert set(job) == {"headers", "job_id", "payload"}
        return job

    def next(self) -> Json:
        """A job, once there is one."""
        job: Json = until(self.poll, "a job")
        return job

    def complete(self, job: Json | str, result: object = None, content: bytes | None = None) -> None:
        """Must be taken."""
        id = job if isinstance(job, str) else job["job_id"]
        content = json.dumps(result).encode() if content is None else content
        answer = self.http.post(f"{self.url}/api/worker/complete/{id}", content=content)
        assert (answer.status_code, answer.text) == (200, f'{{"job_id":"{id}","message":"Job completed"}}')

    def stats(self) -> list[int]:
        """Pending, running, completed, total."""
        told = self.http.get(self.url + "/api/admin/stats").json()
        return [told[name] for name in ("pending", "running", "completed", "total")]

    def until_pending(self, count: int) -> None:
        until(lambda: self.stats()[0] == count, f"{count} pending jobs")


def http(headers: Mapping[str, str] | None = None) -> httpx2.Client:
    """A client that takes nothing from the machine it runs on."""
    return httpx2.Client(trust_env=False, timeout=DEADLINE, headers=dict(headers or {}))
