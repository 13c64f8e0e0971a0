"""The documents as tests read them, and the programs beside a server that they tell of."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx2

from tests.server import DEADLINE, environment

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
_BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL)


class Block(NamedTuple):
    """A block of code of a page, with the remark in front of it."""

    kind: str
    note: str | None
    text: str


def blocks(page: str) -> list[Block]:
    """All blocks of a page below docs/, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [Block(one["kind"], one["note"], one["text"]) for one in _BLOCK.finditer(text)]


def copy_of(example: str, folder: Path) -> Path:
    """An example in a folder of the test, where it may write."""
    place = folder / example
    shutil.copytree(EXAMPLES / example, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@contextlib.contextmanager
def beside(folder: Path, *command: str, env: Mapping[str, str | None]) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m COMMAND`` in a folder, which has to end well with SIGTERM."""
    log = folder / "said.log"
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=environment(env), stdout=said, stderr=said
        )
    try:
        yield process
        process.terminate()
        assert process.wait(DEADLINE) in (0, -15), log.read_text()
    except BaseException:
        print(log.read_text())
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def web(folder: Path, *command: str, env: Mapping[str, str | None]) -> Iterator[httpx2.Client]:
    """A web server of somebody else's (``{}`` in its command is the address), and a client for it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with beside(
        folder, *(part.format(f"127.0.0.1:{port}", port=port) for part in command), env=env
    ) as process:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False) as client:
            end = time.monotonic() + DEADLINE
            while True:
                try:
                    client.get("/nowhere")
                    break
                except httpx2.TransportError:
                    assert process.poll() is None, "it has ended"
                    assert time.monotonic() < end, "it does not answer"
                    time.sleep(0.05)
            yield client
