"""The thread that writes log lines, and the file that may be moved away while it does."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import select
import threading
from pathlib import Path
from typing import Any, TextIO

MAX_WAITING = 10_000
"""Lines that wait for the writer; further ones are dropped."""


class File:
    """A file that somebody may move away: what comes after goes into a new one."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100 - resolving links would follow them once for all
        self._number = self._open()

    def number(self) -> int:
        """Of the file that has the name now; of the last one where that cannot be opened."""
        try:
            ours, there = os.fstat(self._number), Path(self._path).stat()
            same = (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
        except OSError:
            same = False
        if not same:
            with contextlib.suppress(OSError):
                before, self._number = self._number, self._open()
                os.close(before)
        return self._number

    def close(self) -> None:
        os.close(self._number)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


class Writer:
    """A bounded line of texts and the thread that writes them."""

    def __init__(self, stream: TextIO | File) -> None:
        self.stream = stream
        try:
            self.number: int | None = None if isinstance(stream, File) else stream.fileno()
        except (OSError, ValueError, AttributeError):
            self.number = None
        self.dropped = 0
        self.on_dropped: Any = None
        self.start()
        atexit.register(self.flush)

    def put(self, line: str) -> None:
        if self.lines.qsize() >= MAX_WAITING:
            self.dropped += 1
        else:
            self.lines.put(line)

    def flush(self, timeout: float = 1.0) -> bool:
        if not self.thread.is_alive():
            return True
        written = threading.Event()
        self.lines.put(written)
        return written.wait(timeout)

    def close(self, timeout: float) -> None:
        self.flush(timeout)
        self.closed = True
        self.lines.put(threading.Event())
        self.thread.join(timeout)
        if isinstance(self.stream, File) and not self.thread.is_alive():
            self.stream.close()
        atexit.unregister(self.flush)

    def start(self) -> None:
        self.closed = False
        self.lines: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="rota-logs", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.closed:
            batch = [self.lines.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < 1000:
                    batch.append(self.lines.get_nowait())
            self._write("".join(item for item in batch if isinstance(item, str)))
            if self.dropped:
                count, self.dropped = self.dropped, 0
                self._write(self.on_dropped(count))
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()

    def _write(self, text: str) -> None:
        # A log that cannot be written (closed, full, gone) has nowhere to complain to.
        with contextlib.suppress(Exception):
            number = self.number
            if isinstance(self.stream, File):
                number = self.stream.number()
            elif number is None:
                self.stream.write(text)
                self.stream.flush()
                return
            assert number is not None
            # Not through the stream, which loses lines when standard error is set not to block, as it may be
            # by whoever shares the terminal or the pipe.
            rest = memoryview(text.encode("utf-8", "backslashreplace"))
            while rest:
                try:
                    rest = rest[os.write(number, rest) :]
                except BlockingIOError:
                    poll = select.poll()
                    poll.register(number, select.POLLOUT)
                    poll.poll(1000)
