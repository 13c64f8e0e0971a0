"""A real server in a process of its own, on a free port, with a store in a folder of the test.

::

    with running_server(tmp_path) as server:
        httpx2.get(server.url + "/livez")
        server.wait_for("draining", after=server.terminate)

Leaving the block stops the server with SIGTERM and fails when that takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rota

DEADLINE = 20.0
"""Seconds after which what a test waits for counts as never happening."""

PROGRAMS: Mapping[str, str | None] = {"ROTA_PROGRAMS__ENABLED": None}
"""Of a server that runs programs, as by default."""
_NO_PROGRAMS = {"ROTA_PROGRAMS__ENABLED": "false"}
_SOURCE = Path(rota.__file__).parents[1]


class Process:
    """``python -m rota ...`` with its log (standard error), read line by line as it is written."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        self.command = [*python, "-m", "rota", *arguments]
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            self.command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(
        self, event: str, *, after: Callable[[], object] | None = None, deadline: float = DEADLINE
    ) -> dict[str, Any]:
        """The first log record of this event, one already written included (with ``after``: the first one
        since that was called). AssertionError with the whole log when it does not come.
        """
        start = len(self.lines) if after is not None else 0
        if after is not None:
            after()
        found: dict[str, Any] | None = None

        def there() -> bool:
            nonlocal found
            found = next((one for one in self.records(start) if one.get("event") == event), None)
            return found is not None or self._closed

        with self._news:
            self._news.wait_for(there, deadline)
        if found is None:
            raise AssertionError(f"no {event!r} from {self.command}; it said:\n{self.text}")
        return found

    def records(self, start: int = 0) -> list[dict[str, Any]]:
        """The log so far, without lines that are no records."""
        records = []
        for line in self.lines[start:]:
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
        return records

    @property
    def text(self) -> str:
        """All of standard error so far."""
        return "".join(self.lines)

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.send(signal.SIGTERM)

    def wait(self, deadline: float = DEADLINE) -> int:
        """The exit status, once the process has ended and all it said was read."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} does not end; it said:\n{self.text}") from None
        # A child may have inherited the pipe: what it says is no business of ours.
        self._reader.join(2)
        return status

    def stop(self, deadline: float = DEADLINE) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.terminate()
        return self.wait(deadline)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.wait()

    def close(self) -> None:
        """End it whatever it does; nothing of it is left behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(2)
        if self.process.stderr is not None and not self._reader.is_alive():
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


class Server(Process):
    """A server that listens at ``url`` and keeps its jobs at ``store``."""

    url = ""
    store = ""


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment for a process of ours: no settings of this machine; None in ``extra`` removes one."""
    env: dict[str, str | None] = {
        name: value for name, value in os.environ.items() if not name.startswith("ROTA_")
    }
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_SOURCE), os.environ.get("PYTHONPATH")]))
    env |= extra or {}
    return {name: value for name, value in env.items() if value is not None}


@contextlib.contextmanager
def running(folder: Path, *arguments: str, env: Mapping[str, str | None] | None = None) -> Iterator[Process]:
    """``python -m rota ARGUMENTS`` in ``folder``; stopped with SIGTERM at the end of the block."""
    process = Process(arguments, folder, environment({"ROTA_LOG_FORMAT": "json", **(env or {})}))
    try:
        yield process
        process.stop()
    finally:
        process.close()


@contextlib.contextmanager
def running_server(
    folder: Path,
    *flags: str,
    listen: str = "127.0.0.1:0",
    store: str | None = None,
    env: Mapping[str, str | None] | None = None,
    python: Sequence[str] = (sys.executable,),
) -> Iterator[Server]:
    """``rota serve`` in ``folder``, listening when the block begins. ``python`` is what starts it.

    It runs no programs unless ``env`` is :data:`PROGRAMS`: a sandbox takes a while to be tried.
    """
    store = store or f"sqlite:///{folder / 'rota.db'}"
    arguments = ["serve", "--listen", listen, "--store", store, "--log-format", "json", *flags]
    server = Server(arguments, folder, environment({**_NO_PROGRAMS, **(env or {})}), python)
    try:
        server.store = store
        server.url = str(server.wait_for("listening")["url"])
        yield server
        server.stop()
    finally:
        server.close()
