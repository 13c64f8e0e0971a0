"""A real server, or worker, that runs programs: with folders of its own, as root or as an ordinary user, and
what must not be left of it.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import secrets
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

import rota
from rota.config.fronts import NAMES
from tests.crash.kit import until
from tests.programs.host import so_many_with_environment, with_environment
from tests.programs.kit import AS_ROOT, ORDINARY, interpreter, open_folder
from tests.server import DEADLINE, PROGRAMS, Process, Server, environment, running_server

Json = dict[str, Any]

STUBBORN = """
trap '' TERM HUP INT
(setsid sh -c 'trap "" TERM HUP INT; : >one; exec sleep 50' >/dev/null 2>&1 &) &
while [ ! -e one ]; do :; done
echo ready
while [ ! -e end ]; do sleep 0.05; done
echo ended
"""
"""Ignores polite signals, leaves a child in a session of its own, says that it is ready, and waits to be let
go (:meth:`Place.let_go`).
"""


def packed(program: str) -> str:
    """A program for the shell as an archive in base64."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("Makefile", "run:\n\t@sh program.sh\n")
        archive.writestr("program.sh", program)
    return base64.b64encode(made.getvalue()).decode()


class Place:
    """Folders for a server (``home``) and its programs (``jobs``)."""

    def __init__(self, folder: Path, ordinary: bool) -> None:
        self.folder = folder
        self.ordinary = ordinary and AS_ROOT
        self.home, self.jobs = folder / "home", folder / "jobs"
        self.python: Sequence[str] = (sys.executable,)
        self.env: dict[str, str | None] = {
            **PROGRAMS,
            "ROTA_PROGRAMS__FOLDER": str(self.jobs),
            "ROTA_HANDLERS__ENABLED": "false",
            **{f"ROTA_FRONTS__{name.upper()}__ENABLED": "false" for name in NAMES if name != "jqgo"},
        }
        for one in (self.home, self.jobs):
            one.mkdir()
            one.chmod(0o711 if one == self.jobs else 0o755)
        self.word = secrets.token_hex(8)
        self.port = 0
        self.http: httpx2.Client
        if self.ordinary:
            self._become_ordinary()

    @contextlib.contextmanager
    def server(self, *flags: str, env: Mapping[str, str | None] | None = None) -> Iterator[Server]:
        """``rota serve``; after a restart on the same port and store."""
        environ = {**self.env, **(env or {})}
        with contextlib.ExitStack() as stack:
            listen = f"127.0.0.1:{self.port}"
            manager = running_server(self.home, *flags, listen=listen, env=environ, python=self.python)
            server = stack.enter_context(manager)
            self.port = int(server.url.rpartition(":")[2])
            with httpx2.Client(base_url=server.url, timeout=DEADLINE, trust_env=False) as self.http:
                yield server
            if server.process.poll() is not None:
                # It was killed, or told to stop: there is nothing to be stopped in good order.
                stack.pop_all()
                server.close()

    @contextlib.contextmanager
    def worker(self, *flags: str) -> Iterator[Process]:
        """``rota work --programs`` for that server."""
        arguments = ["work", "--programs", "--url", f"http://127.0.0.1:{self.port}", *flags]
        env = environment({**self.env, "ROTA_LOG_FORMAT": "json"})
        worker = Process(arguments, self.home, env, self.python)
        try:
            yield worker
        finally:
            worker.close()

    def send(self, program: str = STUBBORN, **fields: Any) -> str:
        """Enqueue a program, which has ``self.word`` in its environment; the id."""
        payload = {"zip": packed(program), "env": {"WORD": self.word}, **fields.pop("payload", {})}
        answer = self.http.post("/v1/jobs", json={"type": "program_zip", "payload": payload, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, id: str, wait: float = 0) -> Json:
        job: Json = (
            self.http.get(f"/v1/jobs/{id}", params={"wait": wait}, timeout=wait + 10)
            .raise_for_status()
            .json()
        )
        return job

    def said(self, id: str) -> list[str]:
        """The lines that the program wrote so far."""
        return [line["text"] for line in self.http.get(f"/v1/jobs/{id}/logs").json()["lines"]]

    def running(self, id: str, times: int = 1) -> set[int]:
        """The program's processes, once it has said for the so-manieth time that it is ready."""
        until(lambda: self.said(id).count("ready") == times, "the program")
        return so_many_with_environment(2, self.word)

    def on(self) -> Json:
        """What ``/v1/workers`` says of programs, once they run."""

        def known() -> Json | None:
            told: Json = self.http.get("/v1/workers").json()["programs"]
            return told if told["state"] not in ("opening", "off") else None

        found: Json = until(known, "the sandbox")
        return found

    def let_go(self) -> None:
        """Let the programs that run come to their end."""
        # Folders of those that ended just now vanish on the way.
        for folder, _, names in os.walk(self.jobs):
            if "program.sh" in names:
                with contextlib.suppress(FileNotFoundError):
                    Path(folder, "end").touch()

    def left(self) -> list[str]:
        """What is left of programs: processes, folders, mounts."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return [
            *(f"process {pid}" for pid in with_environment(self.word)),
            *(f"folder {path}" for path in self.jobs.glob("*/*") if path.is_dir()),
            *(f"mount {line}" for line in mounts if str(self.folder) in line),
        ]

    def own(self) -> str:
        """The name of the server's own folder below ``jobs``, after which its control groups are named."""
        [folder] = self.jobs.iterdir()
        return folder.name

    def _become_ordinary(self) -> None:
        """Everything that a server takes, where an ordinary user can read it."""
        source = Path(rota.__file__).parent
        shutil.copytree(source, self.folder / "src" / "rota", ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["chmod", "-R", "go+rX", self.folder / "src"], check=True)
        for one in (self.home, self.jobs):
            os.chown(one, ORDINARY, ORDINARY)
        packages = Path(httpx2.__file__).parents[1]
        self.env["PYTHONPATH"] = os.pathsep.join([str(self.folder / "src"), str(packages)])
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        become = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
        self.python = (*become, interpreter())


@contextlib.contextmanager
def place(*, ordinary: bool = False) -> Iterator[Place]:
    """A place that is gone after the block."""
    with open_folder() as folder:
        yield Place(folder, ordinary)
