"""Program jobs played by this user and then, told to, as another one: ``python -m tests.handlers.play_program
FOLDER [UID PYTHON]``. Says how each ended, as JSON.

The second time is in a child of the first, which has loaded all that the other user may not be able to read.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from rota.handlers.program import build_programs
from rota.handlers.settings import ProgramSettings
from rota.model.protocol import Ending
from rota.programs import launch
from rota.programs.sandbox import Sandbox
from tests.handlers.program_kit import Files, ended, in_base64, makefile
from tests.programs.host import with_environment
from tests.programs.kit import ROOT

HONEST: dict[str, str | bytes] = {
    "top/Makefile": "run: program\n\t@echo from make\n\t@./program\n"
    "\t@mkdir -p out/closed; echo kept >out/kept\n"
    "\t@ln -s /etc/passwd out/link; chmod 0 out/closed\n"
    "program: program.c\n\t@cc -o program program.c\n",
    "top/program.c": '#include <stdio.h>\nint main(void) { puts("from C"); return 0; }\n',
}


async def play(root: Path) -> dict[str, Any]:
    secret = root.parent / f"secret-{os.geteuid()}"
    secret.write_text("SECRET")
    secret.chmod(0o600)
    found: dict[str, Any] = {}
    word = secrets.token_hex(8)
    async with Sandbox(root) as box:
        found["profile"] = (await box.probe()).profile
        app = build_programs(ProgramSettings(timeout=30, grace=0.3), box)

        async def one(name: str, files: dict[str, str | bytes], **options: Any) -> None:
            port = Files()
            found[name] = told(await ended(app, "program_zip", {"zip": in_base64(files), **options}, port))
            if port.artifact is not None:
                inside = port.inside().items()
                found[name]["artifact"] = {path: text.decode() for path, text in inside if text}

        await one("honest", HONEST)
        await one("failing", makefile("exit 3"))
        await one("refused", {"readme": "x"})
        await one("timeout", makefile("sleep 30"), timeout=0.3)
        await one("secret", makefile("cat $$SECRET 2>/dev/null || echo held"), env={"SECRET": str(secret)})
        port = Files()
        payload = {"zip": in_base64(makefile("echo ready; setsid sleep 50")), "env": {"WORD": word}}
        running = asyncio.create_task(ended(app, "program_zip", payload, port))
        await port.said("ready")
        port.stop = "cancelled"
        running.cancel()
        found["cancelled"] = told(await running)
        left = [path.name for path in box._home().iterdir() if path.name != "lock"]
        found["left"] = left + sorted(with_environment(f"WORD={word}"))
    return found


def told(ending: Ending) -> dict[str, Any]:
    error = ending.error
    return {
        "end": ending.end,
        "result": msgspec.json.decode(ending.result) if isinstance(ending.result, msgspec.Raw) else None,
        "message": error and error.message,
        "details": msgspec.json.decode(error.details) if error and error.details else None,
    }


def as_other(folder: Path, uid: int, python: str) -> Any:
    """Play it in a child that has become this user."""
    shutil.copytree(ROOT / "src" / "rota", folder / "src" / "rota")
    subprocess.run(["chmod", "-R", "go+rX", folder / "src"], check=True)
    home = folder / "home"
    home.mkdir()
    os.chown(home, uid, uid)
    answer = folder / "answer"
    answer.touch()
    os.chown(answer, uid, uid)
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        os.chdir("/")
        # Who starts the keeper has to be able to read it.
        sys.executable = python
        launch.__file__ = str(folder / "src" / "rota" / "programs" / "launch.py")
        try:
            answer.write_text(json.dumps(asyncio.run(play(home / "jobs"))))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    return json.loads(answer.read_text())


def main() -> None:
    folder = Path(sys.argv[1])
    found = [asyncio.run(play(folder / "jobs"))]
    if len(sys.argv) > 2:
        found.append(as_other(folder, int(sys.argv[2]), sys.argv[3]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
