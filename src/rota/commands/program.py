"""A program that runs elsewhere, from here: its output as it is written, how it ended, what it left."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

from rota.commands import output
from rota.commands.common import FAILED, INTERRUPTED, as_json, connect_async, raw
from rota.commands.follow import explain as explain_end
from rota.commands.watching import Log
from rota.model.errors import NotFound, RotaError, Unavailable
from rota.model.job import ENDED, State
from rota.sdk import calls
from rota.sdk.aclient import AsyncClient
from rota.sdk.answers import JobInfo
from rota.sdk.desk import LOST
from rota.sdk.events import Event

WAITING = 1.5
"""Seconds after which somebody who waits is told why."""
AGAIN = 1.0
"""Seconds between two questions to a server that is away."""
TIME_IS_UP = 124
"""Exit status of a program that took too long, as timeout(1) has it."""
GAPS = ("Log full: ", LOST)
"""In what stands in the log where lines are missing."""
_ENDS = {
    "timeout": ("its time was up", TIME_IS_UP),
    "cpu": ("it used up its CPU time", 128 + signal.SIGXCPU),
    "memory": ("it wanted more memory than it may have", 128 + signal.SIGKILL),
    "disk": ("it wrote more to its folder than it may", 128 + signal.SIGXFSZ),
    "output": ("it wrote more than it may", 128 + signal.SIGKILL),
    "cancelled": ("it was cancelled", INTERRUPTED),
}


class Left(msgspec.Struct):
    """What was in its folder ``out``."""

    bytes: int
    entries: int = 0


class Ran(msgspec.Struct):
    """How a program ended, as its handler tells it."""

    ended: str
    status: int | None = None
    output: str = ""
    output_cut: bool = False
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    artifact: Left | None = None

    @property
    def exit_status(self) -> int:
        """The same for a shell."""
        if self.ended == "exit" and self.status is not None:
            return self.status
        return _ENDS.get(self.ended, ("", FAILED))[1]


class _Failure(msgspec.Struct):
    details: msgspec.Raw = msgspec.Raw(b"null")


class _Job(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Failure | None = None


def ran_of(body: bytes) -> Ran | None:
    """How the program of a job ended, where the job's JSON says so."""
    job = msgspec.json.decode(body, type=_Job)
    for told in (job.result, b"null" if job.error is None else job.error.details):
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.json.decode(told, type=Ran)
    return None


class Screen:
    """Standard output as the program had it. ``shown``: whether anything is to be seen there."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._said: list[str] = []
        self._last = ""
        self._live = True

    def piece(self, text: str) -> None:
        """The next piece of output, now."""
        if self._live and text:
            self._said.append(text)
            self._write(text)
            self._last = text[-1]

    def lost(self) -> None:
        """Pieces are missing: what comes now waits for the whole."""
        self._live = False

    def again(self) -> None:
        """The program starts anew."""
        self._said.clear()
        self._live = True

    def rest(self, whole: str, cut: bool) -> bool:
        """Show what has not been shown of all that the program wrote; False when what was shown is something
        else. ``cut``: of the whole a part was left out, which it says where that is.
        """
        said = "".join(self._said)
        at = _behind(said, whole)
        if at is None and cut:
            at = next((n for n, (a, b) in enumerate(zip(said, whole, strict=False)) if a != b), len(said))
        if at is not None:
            self._write(whole[at:])
            self._last = whole[-1:] or self._last
        return at is not None

    def end(self) -> None:
        """What people read next begins a line of its own."""
        if self._shown and output.terminal() and self._last not in ("", "\n"):
            output.note("")

    def _write(self, text: str) -> None:
        if self._shown and text:
            output.write(text.encode("utf-8", "replace"))


def _behind(said: str, whole: str) -> int | None:
    """Where ``whole`` goes on behind what was said; None when it does not begin like that. A line that was
    shown in pieces may have been given ends of lines that it does not have.
    """
    if whole.startswith(said):
        return len(said)
    letters = said.replace("\n", "")
    if not whole.replace("\n", "").startswith(letters):
        return None
    left = len(letters)
    for at, letter in enumerate(whole):
        if not left:
            return at + (letter == "\n" and said.endswith("\n"))
        left -= letter != "\n"
    return len(whole)


async def to_its_end(id: str, place: Path | None) -> int:
    """Follow the job, save what it left, and the exit status that stands for how it went."""
    screen = Screen(shown=not as_json())
    async with connect_async() as client:
        following = _Following(client, id, screen)
        job, body = await following.run()
        ran = ran_of(body)
        if ran is not None and not screen.rest(ran.output, ran.output_cut):
            output.note(f"This is not all of the output as it was written: rota jobs show {output.inert(id)}")
        screen.end()
        if as_json():
            output.document(body)
        if ran is None:
            explain_end(job)
            return following.interrupted or FAILED
        status = following.interrupted or ran.exit_status
        _tell(ran)
        if place is not None:
            saved = await _save(client, id, ran, place)
            status = status or (0 if saved else FAILED)
        elif ran.artifact is not None and not as_json():
            output.note(f"It left {_left(ran.artifact)} in out/: rota jobs artifact {output.inert(id)}")
        return status


class _Following:
    """One job. ``interrupted``: the exit status, once somebody here has had it cancelled."""

    def __init__(self, client: AsyncClient, id: str, screen: Screen) -> None:
        self.interrupted = 0
        self._client = client
        self._id = id
        self._screen = screen
        self._log = Log(0)
        self._job: tuple[JobInfo, bytes] | None = None
        self._began = False
        self._tries = 0
        """How many there were, the one that is due included."""
        self._away = False
        self._looked = False
        self._cancel: asyncio.Task[None] | None = None

    async def run(self) -> tuple[JobInfo, bytes]:
        """The job, and its JSON, once it has ended. Raises NotFound when it goes away."""
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number, main)
        why = asyncio.create_task(self._say_why())
        try:
            while True:
                try:
                    async for event in self._client.events([f"job:{self._id}"]):
                        await self._take(event)
                        if self._job is not None:
                            return self._job
                except Unavailable as error:
                    self._gone(error.detail)
                    self._looked = False
                    await asyncio.sleep(AGAIN)
        except asyncio.CancelledError:
            output.note(f"Left alone, it may go on: rota jobs watch {output.inert(self._id)}")
            raise click.exceptions.Exit(self.interrupted or INTERRUPTED) from None
        finally:
            why.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _take(self, event: Event) -> None:
        match event.event:
            case "away":
                self._gone(str(event.data.get("why")))
            case "log":
                if not self._log.told(event):
                    self._line(str(event.data.get("level")), str(event.data.get("text")))
            case "started":
                self._began, self._tries = True, max(self._tries, 1)
            case "requeued":
                self._tries += 1
                self._again()
            case "finished" | "deleted":
                await self._look()
            case "ready" | "reset":
                if self._away:
                    output.note("The server is back.")
                    self._away = False
                if event.event == "reset" or not self._looked:
                    await self._look()

    async def _look(self) -> None:
        """The job as it is now, with what its log has more than was shown."""
        body = await self._client.send(raw(calls.job(self._id)))
        job = msgspec.json.decode(body, type=JobInfo)
        self._looked = True
        self._began = self._began or job.state == "running" or job.ended
        if len(job.attempts) > max(self._tries, 1):
            # Which lines are of which try cannot be told; the last one's are in the result.
            self._again()
            self._screen.lost()
        self._tries = max(self._tries, len(job.attempts))
        ran = ran_of(body) if job.ended else None
        if ran is None:
            # Of a program that has ended, all is in the result.
            for line in await self._log.news(self._client, self._id):
                self._line(line.level, line.text)
        if job.ended:
            self._job = job, body

    def _line(self, level: str, text: str) -> None:
        if level == "info":
            self._screen.piece(text + "\n")
        elif level == "debug":
            # A piece of a line whose end has not come yet.
            self._screen.piece(text)
        elif any(gap in text for gap in GAPS):
            self._screen.lost()
        else:
            output.note(output.inert(text))

    def _again(self) -> None:
        output.note("Its worker left, and another one starts it again.")
        self._screen.again()

    def _gone(self, why: str) -> None:
        if not self._away:
            output.note(output.inert(f"{why} Trying on."))
        self._away = True

    async def _say_why(self) -> None:
        while True:
            await asyncio.sleep(WAITING)
            if self._began:
                return
            with contextlib.suppress(Unavailable, NotFound):
                told = await self._client.explain(self._id)
                if told.state in ENDED or told.state is State.RUNNING:
                    return
                output.note(output.inert(f"It waits: {told.sentence}"))
                return

    def _on_signal(self, number: int, main: asyncio.Task[Any] | None) -> None:
        if not self.interrupted:
            self.interrupted = 128 + number
            output.note("Cancelling it. Ctrl-C again leaves it to itself.")
            self._cancel = asyncio.create_task(self._ask())
        elif main is not None:
            main.cancel()

    async def _ask(self) -> None:
        try:
            await self._client.cancel(self._id)
        except RotaError as error:
            # It may have ended just now.
            if error.status != 409:
                output.note(output.inert(f"It could not be cancelled: {error.detail}"))


async def _save(client: AsyncClient, id: str, ran: Ran, place: Path) -> bool:
    if ran.artifact is None:
        output.note(f"It left nothing in out/, so there is no {str(place)!r}.")
        return False
    try:
        if place.suffix == ".zip":
            await client.artifact(id, place)
        else:
            with tempfile.TemporaryDirectory(prefix="rota-run-") as folder:
                archive = Path(folder) / "artifact.zip"
                await client.artifact(id, archive)
                await asyncio.to_thread(_unpack, archive, place)
    except (OSError, RotaError) as error:
        told = error.detail if isinstance(error, RotaError) else error.strerror or str(error)
        output.note(output.inert(f"{str(place)!r} cannot be written: {told}"))
        return False
    output.note(output.inert(f"Saved {_left(ran.artifact)} in {str(place)!r}."))
    return True


def _unpack(archive: Path, place: Path) -> None:
    from rota.programs.archive import unpack

    place.mkdir(exist_ok=True)
    with archive.open("rb") as file:
        unpack(file, place)


def _tell(ran: Ran) -> None:
    how = f"exit status {ran.status}" if ran.ended == "exit" else _ENDS.get(ran.ended, (ran.ended, 0))[0]
    memory = f"{_size(ran.peak_memory)} of memory at most"
    figures = f"{ran.wall_seconds:.2f} s, {ran.cpu_seconds:.2f} s of CPU, {memory}"
    output.note(output.inert(f"{how[0].upper()}{how[1:]}: {figures}."))


def _left(artifact: Left) -> str:
    return f"{artifact.entries} file{'s' if artifact.entries != 1 else ''} ({_size(artifact.bytes)} packed)"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
