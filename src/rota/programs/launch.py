"""The server's end of the keeper: starts it, hands it orders, follows one job until its overseer reports."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from rota.programs.order import Order

T = TypeVar("T")
_CHUNK = 64 << 10
_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from rota.programs.keeper import main; main()"


class Keeper:
    """One keeper process, started when first needed and again when it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._groups: bytes | None = None

    def use_groups(self, token: str, place: tuple[int, dict[str, str]]) -> None:
        """From now on jobs have control groups in this place (version, controller to folder), named after
        the token."""
        with self._lock:
            self._groups = json.dumps([token, place]).encode()
            if self._socket is not None:
                self._send_groups(self._socket, self._groups)

    def send(self, word: bytes, fds: list[int]) -> None:
        """Hand over descriptors; the first is the socket on which the answer is awaited. May take a tenth of
        a second."""
        with self._lock:
            for again in (True, False):
                if self._socket is None:
                    self._socket = self._start()
                try:
                    socket.send_fds(self._socket, [word], fds)
                except OSError:
                    self._stop()
                    if not again:
                        raise
                else:
                    return

    @property
    def running(self) -> bool:
        """Whether handing over will not have to start it."""
        return self._socket is not None

    def close(self) -> None:
        """Let the keeper end; it does when nobody is at the other end."""
        with self._lock:
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
        if self._groups is not None:
            self._send_groups(ours, self._groups)
        return ours

    def _send_groups(self, sock: socket.socket, groups: bytes) -> None:
        # Messages are taken in turn, each by the next overseer: whatever is sent after this knows of it.
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answer, theirs, contextlib.ExitStack() as opened:
            socket.send_fds(sock, [b"groups"], [theirs.fileno(), _memory(opened, groups)])

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
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
    loop = asyncio.get_running_loop()
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        with theirs, contextlib.ExitStack() as opened:
            opened.callback(os.close, write)
            fds = [theirs.fileno(), _memory(opened, order.encode()), write, *held]
            if keeper.running:
                keeper.send(b"run", fds)
            else:
                await to_end(asyncio.to_thread(keeper.send, b"run", fds))
    except BaseException:
        control.close()
        os.close(read)
        raise
    control.setblocking(False)
    reading = Output(read, output, order.limits.output, order.limits.output_total)
    try:
        report, group = await _wait(control, reading, stop)
        if not report:
            # Whoever killed the overseer left its work to us.
            await request(keeper, b"clear", dataclasses.replace(order, name=group).encode(), held)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(reading.ended), 5)
    finally:
        loop.remove_reader(control)
        control.close()
        reading.close()
    return (json.loads(report) if report else None), reading


async def _wait(control: socket.socket, reading: Output, stop: asyncio.Event | None) -> tuple[bytes, str]:
    """The report, and the name of the job's control groups, which the overseer tells before it begins."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bytes] = loop.create_future()
    group = ""

    def listen() -> None:
        try:
            data = control.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data.startswith(b'{"group"'):
            nonlocal group
            group = json.loads(data)["group"]
            return
        loop.remove_reader(control)
        if not told.done():
            told.set_result(data)

    loop.add_reader(control, listen)
    flood = loop.create_task(reading.too_much.wait())
    stopping = loop.create_task(stop.wait()) if stop is not None else None
    cancelled = 0
    try:
        while not told.done():
            try:
                ahead: set[asyncio.Future[Any]] = {told}
                ahead |= {task for task in (flood, stopping) if task is not None and not task.done()}
                await asyncio.wait(ahead, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                cancelled += 1
                _say(control, b"stop" if cancelled == 1 else b"kill")
                continue
            if flood.done():
                _say(control, b"output")
            if stopping is not None and stopping.done():
                _say(control, b"stop")
                stopping = None
    finally:
        flood.cancel()
        if stopping is not None:
            stopping.cancel()
    if cancelled:
        raise asyncio.CancelledError
    return told.result(), group


def _say(control: socket.socket, word: bytes) -> None:
    # It may have ended meanwhile.
    with contextlib.suppress(OSError):
        control.send(word)


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
