"""A server in small: opens a sandbox in the folder named, runs one program, and says so. To be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rota.programs.ask import Ask
from rota.programs.sandbox import Sandbox

PROGRAM = """
trap '' TERM HUP INT
(setsid sh -c 'trap "" TERM HUP INT; : >one; exec sleep 50' >/dev/null 2>&1 &) &
while [ ! -e one ]; do :; done
echo ready
sleep 50
"""


async def main() -> None:
    out = sys.argv[3:]
    async with Sandbox(Path(sys.argv[1]), leave_out=out) as sandbox, sandbox.workplace() as folder:

        def hear(data: bytes) -> None:
            print(data.decode(), end="", flush=True)

        await sandbox.run(Ask(["/bin/sh", "-c", PROGRAM], folder, {"WORD": sys.argv[2]}), hear)


if __name__ == "__main__":
    asyncio.run(main())
