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

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, TextIO

from rota.logs.fields import BASE, MASK, as_json, as_value, cut, escape, fields_of, hide
from rota.logs.writer import MAX_WAITING, File, Writer

__all__ = ["MAX_LINE", "MAX_WAITING", "flush", "reopen", "setup", "shutdown"]

MAX_LINE = 65_536

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
    target = (sys.stderr if stream is None else stream) if file is None else File(file)
    shutdown()
    terminal = not isinstance(target, File) and _is_terminal(target)
    number = logging.getLevelNamesMapping()[level.upper()]
    as_text = format == "text" or (format == "auto" and terminal)
    colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    _handler = _Handler(Writer(target), as_text, colours, secrets)
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

    def __init__(self, writer: Writer, as_text: bool, colours: bool, secrets: Iterable[str]) -> None:
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
        self.writer.put(line)

    def line(self, record: logging.LogRecord) -> str:
        """The finished line with its end."""
        fields = fields_of(record)
        text = self._text(record, fields) if self.as_text else as_json(fields)
        if len(text) > MAX_LINE:
            fields = {name: fields[name] for name in BASE} | {"cut": len(text)}
            text = self._text(record, fields) if self.as_text else as_json(fields)
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return text + "\n"

    def _text(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        level = fields["level"]
        event = escape(fields["event"])
        error = fields.get("error") if record.exc_info else None
        below = error["traceback"] if error is not None else fields.get("traceback")
        extras = [
            (escape(name), as_value(value))
            for name, value in fields.items()
            if name not in BASE
            and (error is None or value is not error)
            and (below is None or value is not below)
        ]
        plain = getattr(record, "_plain", None)
        if plain is not None:
            event, tail = (escape(cut(hide(text))) for text in plain)
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
            lines += [f"    | {escape(part)}" for part in below.splitlines()]
        return "\n".join(lines)


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
