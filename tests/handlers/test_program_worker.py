"""Programs in the hands of a real worker: its timeout, its cancel and its drain end the whole tree; and the
same as an ordinary user.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from rota.handlers.program import build_programs
from rota.handlers.settings import ProgramSettings
from rota.model.job import State
from rota.model.protocol import Answer, Ending, Lease, Line, Progress, Stop, Work
from rota.programs.sandbox import Sandbox
from rota.sdk.worker import Worker
from tests.handlers.one_job import OneJob
from tests.handlers.program_kit import in_base64
from tests.handlers.record import JOB_ID
from tests.programs.host import with_environment
from tests.programs.kit import AS_ROOT, ORDINARY, ROOT, interpreter, open_folder, sandbox

STUBBORN = {
    "Makefile": "run:\n\t@sh p.sh\n",
    "p.sh": "trap '' TERM HUP INT\n(setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 50' >&2 &) &\n"
    "echo ready; printf 'so far'; while :; do sleep 50; done\n",
}


class Source(OneJob):
    """One job, for a worker whose network may be in another thread. Its log is kept; ``ready`` is set once
    the program has said so.
    """

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.lines: list[str] = []
        self.ready = asyncio.Event()
        self._home = asyncio.get_running_loop()
        self._network: asyncio.AbstractEventLoop | None = None
        self._stops: asyncio.Queue[list[Stop]] = asyncio.Queue()

    def stop(self) -> None:
        assert self._network is not None
        self._network.call_soon_threadsafe(self._stops.put_nowait, [Stop(JOB_ID, 1, "cancelled")])

    async def finish(self, outcomes: list[Ending]) -> list[Answer]:
        [ending] = outcomes
        self._home.call_soon_threadsafe(self.ending.set_result, ending)
        return [Answer(ending.id, ending.lease, True, State.DONE)]

    async def log(self, lines: list[Line]) -> None:
        self.lines += [line.text for line in lines]
        if "ready" in self.lines:
            self._home.call_soon_threadsafe(self.ready.set)

    async def extend(self, leases: list[Lease], progress: list[Progress]) -> list[Stop]:
        return []

    async def stops(self) -> list[Stop]:
        self._network = asyncio.get_running_loop()
        return await self._stops.get()


def cancel(worker: Worker, source: Source) -> str:
    source.stop()
    return "cancelled"


def drain(worker: Worker, source: Source) -> str:
    worker.drain()
    worker.drain()
    return "released"


@pytest.mark.parametrize("how", [cancel, drain])
@pytest.mark.parametrize("same_loop", [True, False], ids=["in the server", "elsewhere"])
async def test_the_whole_tree_ends(how: Callable[[Worker, Source], str], same_loop: bool) -> None:
    async with sandbox() as box, asyncio.timeout(60):
        lines = await play(box, how, None, same_loop)
    assert lines == ["ready", "so far"]


@pytest.mark.parametrize("same_loop", [True, False], ids=["in the server", "elsewhere"])
async def test_the_whole_tree_ends_when_its_time_is_up(same_loop: bool) -> None:
    lines: list[str] = []
    seconds = 1.0
    async with sandbox() as box, asyncio.timeout(100):
        # Long enough, however busy the machine is, for the program to say something before.
        while lines[:1] != ["ready"]:
            lines = await play(box, lambda *_: "timeout", seconds, same_loop)
            seconds *= 3


async def play(
    box: Sandbox, how: Callable[[Worker, Source], str], timeout: float | None, same_loop: bool
) -> list[str]:
    """Run the stubborn program, let it end this way, and look that nothing of it is left; its log."""
    word = secrets.token_hex(8)
    payload = msgspec.Raw(msgspec.json.encode({"zip": in_base64(STUBBORN), "env": {"WORD": word}}))
    source = Source(Work(JOB_ID, 1, "program_zip", "default", 1, 3, payload=payload, timeout=timeout))
    worker = Worker(
        build_programs(ProgramSettings(grace=0.3), box), source, slots=1, same_loop=same_loop, grace=10
    )
    running = asyncio.create_task(worker.run())
    ready = asyncio.create_task(source.ready.wait())
    first: set[asyncio.Future[Any]] = {ready, source.ending}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if timeout is None:
        assert with_environment(f"WORD={word}")
    end = how(worker, source)
    assert (await source.ending).end == end
    ready.cancel()
    worker.drain()
    await running
    # The folder goes last, after all processes.
    while any(path.name != "lock" for path in box._home().iterdir()):
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=1)
    assert not with_environment(f"WORD={word}")
    return source.lines


def test_the_same_as_an_ordinary_user() -> None:
    """The scenario of tests/handlers/play_program.py, by this user and by another one without any rights."""
    with open_folder() as folder:
        command = [sys.executable, "-m", "tests.handlers.play_program", str(folder)]
        if AS_ROOT:
            command += [str(ORDINARY), interpreter()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert len(played) == (2 if AS_ROOT else 1)
    assert played[-1]["profile"] in ("strict", "standard")
    for found in played:
        check(found)


def check(found: dict[str, Any]) -> None:
    assert (found["honest"]["end"], found["honest"]["result"]["output"]) == ("done", "from make\nfrom C\n")
    assert found["honest"]["artifact"] == {"kept": "kept\n"}
    assert found["honest"]["result"]["artifact_note"].startswith("not kept of out/: ")
    assert found["failing"]["details"]["output"].endswith("Error 3\n")
    assert found["refused"]["details"] == {"code": "no_makefile"}
    assert found["timeout"]["details"]["ended"] == "timeout"
    assert found["secret"]["result"]["output"] == "held\n"
    assert found["cancelled"]["end"] == "cancelled"
    assert found["left"] == []
