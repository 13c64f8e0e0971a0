"""From a log record to its fields: plain JSON of bounded size, without secrets."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Mapping
from typing import Any

from rota.model.clock import to_text

MAX_TEXT = 8_192
MASK = "***"
_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
BASE = ("ts", "level", "logger", "event")
# What moves a cursor, breaks a line or turns the writing direction; half characters, too.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SECRET_NAME = re.compile(r"(?i)(^|_)(token|password|passwd|secret|authorization|cookie|credentials?)$")
_SECRET_TEXT = re.compile(
    r"(?i)(\bbearer\s+|\bbasic\s+|[?&](?:(?:access_)?token|ticket)=|://[^\s:/@]{0,200}:(?=[^\s/@]{1,200}@))[^\s\"'&,;@\\]+"
)
_PLAIN = re.compile(r"[\w.:/@+*-]+")


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
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
            "traceback": hide("".join(traceback.format_exception(kind, error, place))[-4 * MAX_TEXT :]),
        }
    return fields


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
        return {cut(_string(key)): _clean(value[key], _string(key), depth + 1) for key in list(value)[:100]}
    if depth < 5 and isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, "", depth + 1) for item in list(value)[:100]]
    return cut(hide(value if isinstance(value, str) else _string(value)))


def _string(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"


def cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def hide(text: str) -> str:
    return _SECRET_TEXT.sub(rf"\1{MASK}", text)


def escape(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_json(value: object) -> str:
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_string))


def as_value(value: object) -> str:
    """A field on a terminal: bare where that is clear, JSON elsewhere."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else as_json(value)
