"""The settings of the parallel queue, whose YAML file is taken as it stands, alone or beside Rota's own keys.

=========================================  ===================================================
``app.host``, ``app.port``                 ``listen``
``app.executor_shutdown_timeout_ms``       ``grace``
``executor_service.workers_limit``         ``fronts.pqexec.workers_limit``; 5 if 0 or left out
the other keys of ``app``                  read and checked, but without effect
=========================================  ===================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rota.config import kinds
from rota.config.settings import DAY, Settings
from rota.config.sources import Given, show

VARIABLE = "APP_CONFIG_PATH"
"""Where the program was told its file."""
FILE = "config/local.yaml"
"""Where it was when nobody said."""
WORKERS = 5
"""Tasks at a time when the file says nothing."""


class _Host(kinds.Host):
    """An empty one was every address of the machine."""

    def parse(self, value: object) -> str:
        return "0.0.0.0" if value == "" else super().parse(value)  # noqa: S104  # as it was there


class _Line(kinds.Text):
    allowed = "a text without control characters"

    def parse(self, value: object) -> str:
        return "" if value == "" else super().parse(value)


HOST, PORT, GRACE, LIMIT = (
    "app.host",
    "app.port",
    "app.executor_shutdown_timeout_ms",
    "executor_service.workers_limit",
)
MEANS = {HOST: "listen", PORT: "listen", GRACE: "grace", LIMIT: "fronts.pqexec.workers_limit"}
"""The setting behind a key."""
IDLE: dict[str, kinds.Kind] = {
    "app.static_endpoint": _Line(),
    "app.public_folder": _Line(),
    "app.views_folder": _Line(),
    "app.templates_ext": _Line(),
    "app.fiber_shutdown_timeout_ms": kinds.Whole(0, DAY * 1000),
}
"""Keys that have nothing to say here: the page comes with Rota, and connections end with ``grace``."""
KEYS: dict[str, kinds.Kind] = {
    HOST: _Host(),
    PORT: kinds.Whole(0, 65535),
    GRACE: kinds.Whole(0, DAY * 1000),
    LIMIT: kinds.Whole(0, 10_000),
    **IDLE,
}


class Read(NamedTuple):
    """What a file says in Rota's words. ``idle``: the text and the place of each key without effect.
    ``listen``: the place of the address, when it is of the parallel queue.
    """

    given: list[Given]
    idle: dict[str, tuple[str, str]]
    listen: str | None


def read(given: Sequence[Given], complain: Callable[[str, str, str], None]) -> Read:
    """Put the old keys of a file into Rota's. ``complain``: called with key, place and sentence."""
    old = {one.path: one for one in given if one.path in KEYS and one.value is not None}
    ours = {one.path: one for one in given if one.path not in KEYS}
    values: dict[str, object] = {}
    for path, (_, value, origin) in old.items():
        try:
            values[path] = KEYS[path].parse(value)
        except kinds.Refused as refused:
            told = str(refused) or f"must be {KEYS[path].allowed}"
            complain(path, origin, f"{told}, not {show(value)}.")
            continue
        if (other := ours.get(MEANS.get(path, ""))) is not None:
            complain(path, origin, f"means the same as {other.path} ({other.origin}); keep one of them.")
    found = list(ours.values())
    listen = None
    if HOST in values or PORT in values:
        named = [path for path in (HOST, PORT) if path in values]
        listen = f"{old[named[0]].origin}, {' and '.join(named)}"
        found.append(Given(MEANS[HOST], _address(values), listen))
    if GRACE in values:
        found.append(Given(MEANS[GRACE], f"{values[GRACE]}ms", f"{old[GRACE].origin}, {GRACE}"))
    if values.get(LIMIT):
        found.append(Given(MEANS[LIMIT], values[LIMIT], f"{old[LIMIT].origin}, {LIMIT}"))
    elif LIMIT in values or (old and LIMIT not in old and MEANS[LIMIT] not in ours):
        file = next(iter(old.values())).origin.rpartition(":")[0]
        found.append(Given(MEANS[LIMIT], WORKERS, f"{file}, without {LIMIT}"))
    idle = {
        path: (KEYS[path].show(values[path]), old[path].origin)
        for path in IDLE  # in their order, not that of the file
        if path in values
    }
    return Read(found, idle, listen)


def _address(values: dict[str, object]) -> str:
    host, port = kinds.split_address(Settings().listen)
    host, port = str(values.get(HOST, host)), int(str(values.get(PORT, port)))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
