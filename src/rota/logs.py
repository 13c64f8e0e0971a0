"""Structured logs on the standard library: one JSON object a line, or readable lines on a terminal.

Every module logs as usual, ``logging.getLogger("rota.core").info("job finished", extra={"job": id})``: the
message is the event, ``extra`` are its fields; ``traceback`` goes below the line, and ``_plain``, two texts,
is what people read instead of event and fields. The caller only formats; a thread writes, so that a reader
that stands still never holds up the event loop. When the thread cannot keep up, lines are dropped and
counted. Nothing here raises.

Secrets do not come through: the values given to :func:`setup`, bearer tokens, passwords in URLs, and every
field whose name says that it holds one. Control characters are escaped, so no text can forge a line or move
the cursor.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import queue
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from rota.model.clock import to_text

MAX_WAITING = 10_000
"""Lines that wait for the writer; further ones are dropped."""
MAX_TEXT = 8_192
MAX_LINE = 65_536
MASK = "***"
PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})

_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BASE = ("ts", "level", "logger", "event")
# What moves a cursor, breaks a line or turns the writing direction; half characters, too.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SECRET_NAME = re.compile(r"(?i)(^|_)(token|password|passwd|secret|authorization|cookie|credentials?)$")
_SECRET_TEXT = re.compile(
    r"(?i)(\bbearer\s+|\bbasic\s+|[?&](?:access_)?token=|://[^\s:/@]{0,200}:(?=[^\s/@]{1,200}@))[^\s\"'&,;@\\]+"
)
_PLAIN = re.compile(r"[\w.:/@+*-]+")
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
# They log every request with its headers, or every event of a file.
_NOISY = ("aiosmtplib", "httpcore2", "httpx2", "watchfiles", "websockets")

_handler: _Handler | None = None


def setup(
    level: str = "info",
    format: str = "auto",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    file: str | None = None,
) -> None:
    """Send every log of this process, uvicorn's too, to ``stream`` (default: standard error) or to ``file``.

    A file that is moved away or removed is followed by a new one of its name. Raises OSError when it cannot
    be opened.

    ``level``: debug, info, warning or error. ``format``: json, text, or auto, which is text on a terminal.
    ``secrets``: texts that are shown as ``***`` wherever they turn up (those of 6 or more characters). A
    second call replaces the first. uvicorn's own remarks and its requests (probes excepted) appear at debug
    only; start it with ``log_config=None``.
    """
    global _handler
    target = (sys.stderr if stream is None else stream) if file is None else _File(file)
    shutdown()
    terminal = not isinstance(target, _File) and _is_terminal(target)
    number = logging.getLevelNamesMapping()[level.upper()]
    as_text = format == "text" or (format == "auto" and terminal)
    colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    _handler = _Handler(_Writer(target), as_text, colours, secrets)
    root = logging.getLogger()
    root.addHandler(_handler)
    root.setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(number if number <= logging.DEBUG else max(number, logging.WARNING))
    logging.captureWarnings(True)


def flush(timeout: float = 1.0) -> bool:
    """Wait until all that was logged is written; False when ``timeout`` seconds were not enough."""
    return True if _handler is None else _handler.writer.flush(timeout)


def reopen() -> None:
    """Make sure that the log file is the one of its name, and that it is there. Safe in a signal handler."""
    if _handler is not None:
        _handler.writer.lines.put(threading.Event())


def shutdown(timeout: float = 1.0) -> None:
    """Write what waits and let go of the stream. Logging goes on as if :func:`setup` had not been called."""
    global _handler
    if _handler is not None:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(_handler)
        _handler.writer.close(timeout)
        _handler = None


class _Handler(logging.Handler):
    """Turns records into lines and hands them to the writer."""

    def __init__(self, writer: _Writer, as_text: bool, colours: bool, secrets: Iterable[str]) -> None:
        super().__init__()
        self.writer = writer
        self.as_text = as_text
        self.colours = colours
        long = {secret for secret in secrets if len(secret) >= 6}
        forms = long | {json.dumps(secret)[1:-1] for secret in long}
        # Longer ones first: one secret may be the beginning of another.
        self.secrets = sorted(forms, key=len, reverse=True)
        writer.on_dropped = lambda count: self.line(
            logging.makeLogRecord(
                {"name": "rota.logs", "levelno": logging.WARNING, "msg": "log lines dropped", "count": count}
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.line(record)
        except Exception as error:
            line = json.dumps(
                {"level": "error", "event": "unprintable log record", "why": type(error).__name__}
            )
            line += "\n"
        if line:
            self.writer.put(line)

    def line(self, record: logging.LogRecord) -> str:
        """The finished line with its end; empty for a record that is not to be shown."""
        fields = _request(record) if record.name == "uvicorn.access" else _fields(record)
        if fields is None:
            return ""
        text = self._text(record, fields) if self.as_text else _json(fields)
        if len(text) > MAX_LINE:
            fields = {name: fields[name] for name in _BASE} | {"cut": len(text)}
            text = self._text(record, fields) if self.as_text else _json(fields)
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return text + "\n"

    def _text(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        level = fields["level"]
        event = _escape(fields["event"])
        error = fields.get("error") if record.exc_info else None
        below = error["traceback"] if error is not None else fields.get("traceback")
        extras = [
            (_escape(name), _value(value))
            for name, value in fields.items()
            if name not in _BASE
            and (error is None or value is not error)
            and (below is None or value is not below)
        ]
        plain = getattr(record, "_plain", None)
        if plain is not None:
            event, tail = (_escape(_cut(_hide(text))) for text in plain)
            tail = f"  {_DIM}{tail}{_RESET}" if self.colours else f"  {tail}"
        elif self.colours:
            tail = "".join(f"  {_DIM}{name}={_RESET}{value}" for name, value in extras)
        else:
            tail = "".join(f"  {name}={value}" for name, value in extras)
        head = f"{moment} {level:<7} {event}"
        if self.colours:
            head = (
                f"{_DIM}{moment}{_RESET} {_COLOURS.get(level, '')}{level:<7}{_RESET} {_BOLD}{event}{_RESET}"
            )
        lines = [head + tail]
        if isinstance(below, str):
            # The bar in front keeps a line break in a message from looking like a line of its own.
            lines += [f"    | {_escape(part)}" for part in below.splitlines()]
        return "\n".join(lines)


class _File:
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


class _Writer:
    """A bounded line of texts and the thread that writes them."""

    def __init__(self, stream: TextIO | _File) -> None:
        self.stream = stream
        try:
            self.number: int | None = None if isinstance(stream, _File) else stream.fileno()
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
        if isinstance(self.stream, _File) and not self.thread.is_alive():
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
            if isinstance(self.stream, _File):
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


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """``ts``, ``level``, ``logger``, ``event``, then what the caller gave, then the error."""
    fields = _head(record, record.levelno, _message(record))
    for name, value in vars(record).items():
        if name not in _RECORD and not name.startswith("_"):
            fields[f"{name}_" if name in fields else name] = _clean(value, name)
    if record.exc_info and record.exc_info[1] is not None:
        kind, error, place = record.exc_info
        fields["error"] = {
            "type": kind.__name__ if kind else "",
            "message": _clean(_string(error)),
            "traceback": _hide("".join(traceback.format_exception(kind, error, place))[-4 * MAX_TEXT :]),
        }
    return fields


def _request(record: logging.LogRecord) -> dict[str, Any] | None:
    """uvicorn's access record as fields; None for a probe."""
    args = record.args
    if not isinstance(args, tuple) or len(args) != 5:
        return _fields(record)
    client, method, path, _, status = args
    if str(path).partition("?")[0] in PROBES:
        return None
    request = {"method": method, "path": path, "status": status, "client": client}
    return _head(record, logging.DEBUG, "request") | {name: _clean(item) for name, item in request.items()}


def _head(record: logging.LogRecord, level: int, event: str) -> dict[str, Any]:
    word = "error" if level >= 40 else "warning" if level >= 30 else "info" if level >= 20 else "debug"
    return {
        "ts": to_text(int(record.created * 1_000_000)),
        "level": word,
        "logger": record.name,
        "event": _clean(event),
    }


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        return f"{_string(record.msg)} {_string(record.args)}"


def _clean(value: object, name: str = "", depth: int = 0) -> Any:
    """Plain JSON, of bounded size, without secrets."""
    if name and _SECRET_NAME.search(name) and value is not None and not isinstance(value, bool):
        return MASK
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth < 5 and isinstance(value, Mapping):
        return {_cut(_string(key)): _clean(value[key], _string(key), depth + 1) for key in list(value)[:100]}
    if depth < 5 and isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, "", depth + 1) for item in list(value)[:100]]
    return _cut(_hide(value if isinstance(value, str) else _string(value)))


def _string(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def _hide(text: str) -> str:
    return _SECRET_TEXT.sub(rf"\1{MASK}", text)


def _escape(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _json(value: object) -> str:
    return _escape(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_string))


def _value(value: object) -> str:
    """A field on a terminal: bare where that is clear, JSON elsewhere."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else _json(value)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (ValueError, AttributeError):
        return False


def _after_fork() -> None:
    # The child of a fork has no writing thread, and what waits is its parent's to write.
    if _handler is not None:
        _handler.writer.start()


os.register_at_fork(after_in_child=_after_fork)
