"""A host with something to lose: secrets, sockets and a process, for programs to try themselves on, and a
look whether anything happened to them. Needs the standard library and Rota only, so that any user's Python
can run it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CANARY = "CANARY-7f3a"


@dataclass
class Host:
    """What programs are told of it, and what must stay as it is."""

    folder: Path
    env: dict[str, str]
    listeners: list[socket.socket]
    victim: subprocess.Popen[bytes]
    before: dict[str, tuple[object, ...]]

    def harm(self) -> list[str]:
        """What is not as it was."""
        found = []
        if self.victim.poll() is not None:
            found.append("the victim is dead")
        ready, _, _ = select.select(self.listeners, [], [], 0)
        found += [f"somebody reached {sock.getsockname()}" for sock in ready]
        if (now := look(self.folder)) != self.before:
            found.append(f"files are not what they were: {now} instead of {self.before}")
        return found


def look(folder: Path) -> dict[str, tuple[object, ...]]:
    """All files below a folder: mode, owner, content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.read_text() if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """The host, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="rota-host-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, folder)
        (folder / "file").write_text(CANARY)
        (folder / "file").chmod(0o644)
        (folder / "secret").write_text(CANARY)
        (folder / "secret").chmod(0o600)
        (folder / "folder").mkdir()
        (folder / "folder" / "inside").write_text(CANARY)
        (folder / "folder").chmod(0o777)
        (folder / "other").mkdir(mode=0o700)
        (folder / "other" / "program").write_text(CANARY)
        tcp = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = tcp.getsockname()[1]
        listeners = [tcp]
        with contextlib.suppress(OSError):
            listeners.append(held.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6)))
        udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", port))
        listeners.append(udp)
        for name in (f"\0rota-test-{os.getpid()}", str(folder / "socket")):
            sock = held.enter_context(socket.socket(socket.AF_UNIX))
            sock.bind(name)
            sock.listen()
            listeners.append(sock)
        (folder / "socket").chmod(0o777)
        victim = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        held.callback(victim.wait)
        held.callback(victim.kill)
        env = {
            "FILE": str(folder / "file"),
            "SECRET": str(folder / "secret"),
            "FOLDER": str(folder / "folder"),
            "OTHER": str(folder / "other"),
            "PORT": str(port),
            "ABSTRACT": f"rota-test-{os.getpid()}",
            "SOCKET": str(folder / "socket"),
            "VICTIM": str(victim.pid),
        }
        yield Host(folder, env, listeners, victim, look(folder))


def with_environment(word: str) -> set[int]:
    """The processes that have this word in their environment."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if word.encode() in Path(f"/proc/{name}/environ").read_bytes():
                    found.add(int(name))
    return found


def so_many_with_environment(least: int, word: str) -> set[int]:
    """The same, once there are so many: one that just becomes another program has none for a moment."""
    until = time.monotonic() + 20
    while len(found := with_environment(word)) < least:
        assert time.monotonic() < until, f"{found} and no more"
    return found


def kill_all(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
