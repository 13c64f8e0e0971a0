"""A client of Job Queue + Worker API, written from its documented behaviour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2

from tests.crash.kit import until
from tests.server import DEADLINE

Shown = dict[str, Any]


class Old:
    """Posts typed jobs and asks for them."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """On a connection of its own, as the program's example does."""
        return httpx2.request(
            method, self.url + path, timeout=DEADLINE, trust_env=False, verify=False, **options
        )

    def send(self, body: bytes) -> httpx2.Response:
        """POST these bytes as JSON."""
        return self.ask("POST", "/jobs", content=body, headers={"content-type": "application/json"})

    def post(self, type: str, payload: object = None) -> Shown:
        """A job as it was when it was made."""
        answer = self.ask("POST", "/jobs", json={"type": type, "payload": payload})
        assert answer.status_code == 202, answer.text
        made: Shown = answer.json()
        return made

    def get(self, id: str) -> Shown:
        answer = self.ask("GET", f"/jobs/{id}")
        assert answer.status_code == 200, answer.text
        found: Shown = answer.json()
        return found

    def until(self, id: str, status: str) -> Shown:
        """The job once it has this status."""
        self.wait(lambda: self.get(id)["status"] == status)
        return self.get(id)

    def wait(self, condition: Callable[[], object]) -> None:
        """Return once ``condition`` holds."""
        until(condition, "the condition")

    def count(self) -> int:
        """How many jobs the server holds, by its own word."""
        return int(sum(self.ask("GET", "/v1/stats").json()["states"].values()))
