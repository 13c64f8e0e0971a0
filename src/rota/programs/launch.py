"""The server's end of the keeper: starts it, hands it orders, follows one job until its overseer reports."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from rota.programs import passing
from rota.programs.order import Order

T = TypeVar("T")
_CHUNK = 64 << 10
# Seconds after which an overseer that should have ended its job is killed with it, and that an order may wait
# for one before somebody has to look what is wrong.
PATIENCE = 10.0
BEGIN = 60.0
_LONG = 1e8
_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from rota.programs.keeper import main; main()"


class Keeper:
    """One keeper process, started when first needed and again when it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def send(self, word: bytes, fds: list[int]) -> None:
        """Hand over descriptors; the first is the socket on which the answer is awaited. May take a tenth of
        a second."""
        with self._lock:
            for again in (True, False):
                if self._socket is None:
                    self._socket = self._start()
                try:
                    passing.give(self._socket, word, fds)
                except OSError:
                    self._stop()
                    if not again:
                        raise
                else:
                    return

    def offer(self, word: bytes, fds: list[int]) -> bool:
        """As ``send``, but only if that can be done at once; whether it was."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._socket is None:
                return False
            passing.give(self._socket, word, fds, wait=False)
        except OSError:
            return False
        else:
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let the keeper end; it does when nobody is at the other end."""
        with self._lock:
            self._stop()

    def renew(self) -> None:
        """Have another keeper from now on; what runs under this one runs on."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
            self._stop()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        source = str(Path(__file__).resolve().parents[2])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _MAIN, source, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                start_new_session=True,
            )
        ours.settimeout(30)
        return ours

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                # It waits for an overseer that stands still, which is for the next sweep.
                self._process.kill()
                self._process.wait()
            self._process = None


class Output:
    """Reads what a program writes, passes it on up to a size, and goes on reading to its end."""

    def __init__(self, fd: int, on_output: Callable[[bytes], None], keep: int, total: int) -> None:
        self.seen = 0
        self.cut = False
        self.failed: BaseException | None = None
        self.first = b""  # for an explanation when the program never started
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.too_much = asyncio.Event()
        self._fd = fd
        self._on_output = on_output
        self._keep = keep
        self._total = total
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def close(self) -> None:
        """Read no more."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if not self.ended.done():
            self.ended.set_result(None)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        before, self.seen = self.seen, self.seen + len(data)
        if len(self.first) < 2000:
            self.first += data[:2000]
        passed = data[: max(self._keep - before, 0)]
        self.cut = self.cut or len(passed) < len(data)
        if self.seen > self._total:
            self.too_much.set()
        if passed and self.failed is None:
            try:
                self._on_output(passed)
            except BaseException as error:
                self.failed = error
                self.too_much.set()


async def follow(
    keeper: Keeper, order: Order, held: list[int], output: Callable[[bytes], None], stop: asyncio.Event | None
) -> tuple[dict[str, Any] | None, Output]:
    """Start an order and wait until nothing of it is left: the overseer's report (None: it was killed) and
    the output.

    ``held`` are descriptors that the overseer keeps open until then. Cancelling asks the program to end,
    waits for that, and goes on as cancelled; a second time kills it.
    """
    for again in (True, False):
        with contextlib.ExitStack() as opened, contextlib.ExitStack() as handed:
            read, write = os.pipe2(os.O_CLOEXEC)
            handed.callback(os.close, write)
            reading = Output(read, output, order.limits.output, order.limits.output_total)
            opened.callback(reading.close)
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            handed.enter_context(theirs)
            opened.enter_context(control).setblocking(False)
            fds = [theirs.fileno(), _memory(handed, order.encode()), write, *held]
            if not keeper.offer(b"run", fds):
                await to_end(asyncio.to_thread(keeper.send, b"run", fds))
            handed.close()
            overseer = _Overseer(control, order)
            opened.callback(overseer.close)
            report = await overseer.wait(reading, stop)
            if overseer.group is not None and not report:
                # Whoever killed the overseer left its work to us.
                if overseer.stood_still:
                    # Others may, too.
                    keeper.renew()
                told = dataclasses.replace(order, name=overseer.group).encode()
                await request(keeper, b"clear", told, held)
            if overseer.cancelled:
                raise asyncio.CancelledError
            if overseer.group is None and not report and again:
                # The keeper was killed with the order in its hands, or stands still: nobody has begun.
                keeper.renew()
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading.ended), 5)
            break
    return (json.loads(report) if report else None), reading


class _Overseer:
    """The server's end of one job: what its overseer says, and what it is told."""

    def __init__(self, control: socket.socket, order: Order) -> None:
        self.group: str | None = None  # the name of the job's control groups, once it has begun
        self.cancelled = 0
        self.stood_still = False
        self._control = control
        self._order = order
        self._pidfd = -1
        self._loop = asyncio.get_running_loop()
        self._report: asyncio.Future[bytes] = self._loop.create_future()
        # Whoever makes it stand still holds up nobody for longer than this.
        self._clock = self._loop.call_later(BEGIN, self._give_up)
        self._loop.add_reader(control, self._listen)

    def close(self) -> None:
        """Hear no more."""
        self._clock.cancel()
        self._loop.remove_reader(self._control)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    async def wait(self, reading: Output, stop: asyncio.Event | None) -> bytes:
        """The report; empty when the overseer was killed. Cancelling is passed on to it and counted in
        ``cancelled``."""
        flood = self._loop.create_task(reading.too_much.wait())
        stopping = self._loop.create_task(stop.wait()) if stop is not None else None
        try:
            while not self._report.done():
                try:
                    ahead: set[asyncio.Future[Any]] = {self._report}
                    ahead |= {task for task in (flood, stopping) if task is not None and not task.done()}
                    done, _ = await asyncio.wait(ahead, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:
                    self.cancelled += 1
                    self._say(b"stop" if self.cancelled == 1 else b"kill")
                    continue
                if flood in done:
                    self._say(b"output")
                if stopping is not None and stopping in done:
                    self._say(b"stop")
        finally:
            flood.cancel()
            if stopping is not None:
                stopping.cancel()
        return self._report.result()

    def _listen(self) -> None:
        try:
            data, fds = passing.take(self._control, _CHUNK, wait=False)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if data.startswith(b'{"begun"'):
            self.group = json.loads(data)["begun"]
            (self._pidfd,) = fds
            self._give_up_in(min(self._order.limits.wall_seconds, _LONG) + self._order.grace_seconds)
            return
        self._loop.remove_reader(self._control)
        if not self._report.done():
            self._report.set_result(data)

    def _say(self, word: bytes) -> None:
        self._give_up_in(self._order.grace_seconds if word == b"stop" else 0)
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            self._control.send(word)

    def _give_up_in(self, seconds: float) -> None:
        self._clock.cancel()
        self._clock = self._loop.call_later(seconds + PATIENCE, self._give_up)

    def _give_up(self) -> None:
        # It stands still: kill it, and its job with it.
        self.stood_still = True
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        elif not self._report.done():
            self._report.set_result(b"")


async def to_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that cannot be left half-done, even when cancelled; the cancel is passed on
    afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def request(
    keeper: Keeper, word: bytes, told: bytes | None = None, held: list[int] | None = None
) -> Any:
    """Let the keeper do one thing (keeper.py) in a process of its own, and wait for the answer."""

    def ask() -> bytes:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            with theirs, contextlib.ExitStack() as opened:
                fds = [theirs.fileno(), *([] if told is None else [_memory(opened, told)]), *(held or [])]
                keeper.send(word, fds)
            control.settimeout(120)
            return control.recv(_CHUNK)

    said = await to_end(asyncio.to_thread(ask))
    if not said:
        raise OSError(f"the keeper has no answer to {word.decode()}")
    return json.loads(said)


def _memory(opened: contextlib.ExitStack, data: bytes) -> int:
    """A descriptor that holds these bytes, until the stack is closed."""
    fd = os.memfd_create("told", os.MFD_CLOEXEC)
    opened.callback(os.close, fd)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd
