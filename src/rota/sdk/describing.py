"""What a worker tells people of its tasks: a sentence, and the JSON Schema of the payload."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from rota.model.protocol import MAX_ABOUT, MAX_DESCRIPTION, MAX_SCHEMA, About
from rota.sdk.signature import Signature
from rota.sdk.tasks import Task
from rota.sdk.values import clean, encode


def describe(tasks: Iterable[Task[Any, Any]]) -> dict[str, About]:
    """By type; a task of which there is nothing to tell is left out."""
    told: dict[str, About] = {}
    for task in tasks:
        # It is for people: whatever is odd about an annotation must not keep a worker from its work.
        with suppress(Exception):
            one = _about(task)
            if one != About():
                told[task.name] = one
        if len(told) == MAX_ABOUT:
            break
    return told


def json_schema(kind: Any) -> dict[str, Any]:
    """JSON Schema of a type, with what is at its root not behind a reference. TypeError for one that has
    none.
    """
    shape = msgspec.json.schema(kind, schema_hook=_model)
    inner: dict[str, Any] = shape.get("$defs", {})
    name = shape.get("$ref", "").removeprefix("#/$defs/")
    if name in inner and f'"#/$defs/{name}"' not in msgspec.json.encode(inner).decode():
        shape = {**inner.pop(name), **({"$defs": inner} if inner else {})}
    if shape.get("title") in ("Arguments", name):
        del shape["title"]
    return shape


def _about(task: Task[Any, Any]) -> About:
    signature = task.signature
    text = inspect.cleandoc(task.function.__doc__ or "").partition("\n\n")[0]
    description = clean(" ".join(text.split()), MAX_DESCRIPTION) or None
    if signature.payload is bytes:
        return About(description, accepts=("bytes",))
    if signature.payload is Any:
        return About(description, accepts=("json", "zip", "bytes"))
    schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    shape: dict[str, Any] = {}
    with suppress(Exception):
        shape = _with_defaults(json_schema(signature.shape), signature)
        raw = encode(shape)
        if len(raw) <= MAX_SCHEMA:
            schema = msgspec.Raw(raw)
    # What came as an archive has this member.
    zips = "upload" in shape.get("properties", {})
    return About(description, schema, ("json", "zip") if zips else ("json",))


def _with_defaults(shape: dict[str, Any], signature: Signature) -> dict[str, Any]:
    for parameter in () if signature.whole else signature.parameters:
        field = shape.get("properties", {}).get(parameter.name)
        if field is not None and parameter.default is not parameter.empty:
            with suppress(Exception):
                field["default"] = msgspec.json.decode(encode(parameter.default))
    return shape


def _model(kind: type) -> dict[str, Any]:
    """Of a model of Pydantic, without importing it."""
    if hasattr(kind, "model_json_schema"):
        found: dict[str, Any] = kind.model_json_schema()
        if "$defs" not in found:
            return found
    raise NotImplementedError
