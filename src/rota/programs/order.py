"""What the server tells the keeper to start: an ask with everything decided. Plain values, sent as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from rota.programs.ask import Limits

How = Literal["bubblewrap", "landlock", "bare"]
# What a program sees at a path: (path, "bind", what of the machine stands there) or (path, "link", where it
# leads).
Seen = tuple[str, Literal["bind", "link"], str]


@dataclass(frozen=True, slots=True)
class Order:
    """One job for the keeper. ``name`` is what those of its control groups begin with, in a report theirs;
    ``uid`` None keeps the server's user.

    ``groups`` is (version, controller to folder), ``landlock`` the version to use or 0, ``seen`` the
    toolchain.
    """

    name: str
    command: list[str]
    folder: str
    env: dict[str, str]
    network: bool
    limits: Limits
    grace_seconds: float
    how: How
    seen: list[Seen] = field(default_factory=list)
    uid: int | None = None
    bubblewrap: str = "bwrap"
    proc: bool = True
    netns: bool = True
    seccomp: bool = True
    landlock: int = 0
    groups: tuple[int, dict[str, str]] | None = None
    rlimits: bool = True

    def encode(self) -> bytes:
        """As bytes for the keeper."""
        # Not asdict, which copies it all before.
        found = {name: getattr(self, name) for name in _FIELDS}
        found["limits"] = dataclasses.asdict(self.limits)
        return json.dumps(found).encode()

    @classmethod
    def decode(cls, data: bytes) -> Order:
        """From the bytes of ``encode``."""
        found: dict[str, Any] = json.loads(data)
        found["limits"] = Limits(**found["limits"])
        found["seen"] = [(path, kind, target) for path, kind, target in found["seen"]]
        if found["groups"] is not None:
            found["groups"] = (found["groups"][0], found["groups"][1])
        return cls(**found)


_FIELDS = [each.name for each in dataclasses.fields(Order)]
