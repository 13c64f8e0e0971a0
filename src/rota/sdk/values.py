"""Small conversions that several parts of the SDK share."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import msgspec
import msgspec.inspect

Duration = float | timedelta
"""Seconds, or a timedelta."""


def as_seconds(field: str, value: object) -> float:
    """Seconds as a float; ValueError when negative or not finite, TypeError when it is no duration."""
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise TypeError(f"{field} must be seconds or a timedelta, not {type(value).__name__}.")
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{field} must be 0 or more seconds, not {value}.")
    return number


def as_time(field: str, value: datetime | str) -> str:
    """RFC 3339 text; ValueError for a datetime without a zone. Text goes to the server as it is."""
    if isinstance(value, str):
        return value
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"{field} must have a time zone, such as datetime.now(timezone.utc).")
    return value.isoformat()


def clean(text: str, most: int) -> str:
    """Text that every store takes (no lone surrogates, no NUL), cut to ``most`` bytes of UTF-8."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return text if text.isascii() else data.decode()
    return data[: most - 3].decode("utf-8", "ignore") + "..."


def encode_hook(value: Any) -> Any:
    """Pydantic models, without importing Pydantic; anything else is refused by name."""
    if hasattr(type(value), "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} cannot be written as JSON")


def decode_hook(kind: type, value: Any) -> Any:
    """The reverse of :func:`encode_hook`. Pydantic's own complaint is a ValueError, which msgspec gives a
    path.
    """
    if kind is object:
        return value
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    raise NotImplementedError(f"values of type {kind.__qualname__} cannot be read from JSON")


def check_readable(shape: Any) -> None:
    """TypeError for a type, or one inside it, of which no value can be read from JSON."""
    seen: list[Any] = []
    todo: list[Any] = [msgspec.inspect.type_info(shape)]
    while todo:
        one = todo.pop()
        if isinstance(one, list | tuple):
            todo += one
        elif isinstance(one, msgspec.inspect.CustomType):
            if one.cls is not object and not hasattr(one.cls, "model_validate"):
                raise TypeError(f"values of type {one.cls.__qualname__} cannot be read from JSON")
        elif isinstance(one, msgspec.inspect.Type | msgspec.inspect.Field) and not any(
            one is s for s in seen
        ):
            seen.append(one)
            todo += [getattr(one, name) for name in one.__struct_fields__]


def encode(value: Any) -> bytes:
    """JSON; TypeError or ValueError for what it has no words for. NaN must not become null by the way."""
    text = _encode(value)
    if b"null" in text and _endless(msgspec.to_builtins(value, enc_hook=encode_hook)):
        raise ValueError("NaN and infinity are no numbers in JSON")
    return text


def _endless(value: Any) -> bool:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, float):
            if not math.isfinite(one):
                return True
        elif isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            todo += one
    return False


_encode = msgspec.json.Encoder(enc_hook=encode_hook).encode


def why_not_json(value: Any, path: str) -> str:
    """Names the innermost part of ``value`` that cannot be JSON, e.g. ``args.items[3] is Lock: ...``."""
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, dict):
            parts = [(f"{path}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list | tuple | set | frozenset):
            parts = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        else:
            parts = []
        for name, part in parts:
            if _fault(part) is not None:
                path, value = name, part
                break
        else:
            break
    return f"{path} is {type(value).__name__}: {_fault(value)}"


def _fault(value: Any) -> str | None:
    try:
        encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return str(error)
    return None
