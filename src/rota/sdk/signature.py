"""A function's parameters on the wire: arguments to a payload, a payload to arguments, both checked."""

from __future__ import annotations

import base64
import binascii
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_type_hints

import msgspec

from rota.model.protocol import Work
from rota.sdk.context import Context
from rota.sdk.values import check_readable, clean, decode_hook, encode, why_not_json

OCTETS = "application/octet-stream"

_EMPTY = (None, b"null", b"{}")
_AT = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)
_FIELD = re.compile(r"^Object (?P<what>missing required|contains unknown) field `(?P<name>[^`]*)`$")


class BadPayload(Exception):
    """A payload that does not fit the handler's parameters. Trying again would not help."""


class Signature:
    """What a handler takes and gives. TypeError for parameters that cannot come from a JSON object by name.

    A single parameter named ``payload`` stands for the whole payload, whatever it is.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], local_names: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self._function = function
        parameters = list(inspect.signature(function).parameters.values())
        self._hints = self._resolve(local_names)
        first = parameters[0] if parameters else None
        self.takes_context = first is not None and self._is_context(first)
        self.parameters = parameters[1:] if self.takes_context else parameters
        for parameter in self.parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
                raise TypeError(
                    f"Task {name!r}: {star}{parameter.name} cannot be sent; arguments travel by name. "
                    "Take a list or a dict instead."
                )
        self.whole = len(self.parameters) == 1 and self.parameters[0].name == "payload"
        self._binder = inspect.Signature(self.parameters)
        self._leading = [p.name for p in self.parameters if _leads(p)]
        self._shapes: tuple[msgspec.json.Decoder[Any], Any] | None = None

    def compile(self) -> None:
        """Prepare the checks now; TypeError when an annotation is unknown or cannot come from JSON."""
        self._decoder  # noqa: B018

    @property
    def payload(self) -> Any:
        """What the whole payload is annotated with, Any when with nothing; None where arguments travel by
        name.
        """
        return self._kind(self.parameters[0]) if self.whole else None

    @property
    def shape(self) -> Any:
        """The type that a payload in JSON is read as."""
        self.compile()
        assert self._shapes is not None
        return self._shapes[1]

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes | msgspec.Raw:
        """Arguments as a JSON payload, or as they are when the whole payload is bytes.

        TypeError names the argument that is missing, unknown, of another type, or not to be written as JSON.
        """
        try:
            given = self._binder.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        value: Any = given["payload"] if self.whole else given
        if self.whole and isinstance(value, bytes | bytearray | memoryview):
            self._convert(bytes(value))
            return bytes(value)
        try:
            text = encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise TypeError(
                f"{self.name}: {why_not_json(value, 'payload' if self.whole else 'args')}"
            ) from None
        try:
            self._decoder.decode(text)
        except (msgspec.ValidationError, NotImplementedError) as error:
            raise TypeError(f"{self.name}: {self._explain(str(error))}") from None
        return msgspec.Raw(text)

    def decode(self, work: Work) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Arguments for the function, without the context. BadPayload names what does not fit."""
        raw = None if isinstance(work.payload, msgspec.UnsetType) else work.payload
        try:
            if self.whole:
                return (self._whole(work, raw),), {}
            if work.content_type is not None:
                raise BadPayload(f"{self.name} takes JSON arguments, not {work.content_type}.")
            if not self.parameters and (raw is None or bytes(raw) in _EMPTY):
                return (), {}
            text = b"{}" if raw is None or bytes(raw) == b"null" else raw
            values = msgspec.structs.astuple(self._decoder.decode(text))
        except (msgspec.DecodeError, NotImplementedError) as error:
            raise BadPayload(f"{self.name}: {self._explain(str(error))}") from None
        leading = len(self._leading)
        if leading == len(values):
            return values, {}
        named = {
            parameter.name: value
            for parameter, value in zip(self.parameters[leading:], values[leading:], strict=True)
            if value is not msgspec.UNSET
        }
        return values[:leading], named

    def decode_result(self, value: Any) -> Any:
        """A result as the function's return annotation says; unchanged when it has none."""
        kind = self._hints.get("return", Any) if self._hints is not None else Any
        if kind is None or kind is Any:
            return value
        return msgspec.convert(value, kind, dec_hook=decode_hook)

    def _whole(self, work: Work, raw: msgspec.Raw | None) -> Any:
        if work.content_type is None:
            return self._decoder.decode(b"null" if raw is None else raw)
        try:
            return self._convert(base64.b64decode(work.payload_base64 or "", validate=True))
        except (msgspec.ValidationError, TypeError):
            raise BadPayload(f"{self.name} takes JSON, not {work.content_type}.") from None
        except binascii.Error:
            raise BadPayload(f"{self.name}: payload_base64 is not base64.") from None

    def _convert(self, value: bytes) -> bytes:
        kind = self._kind(self.parameters[0])
        if kind is not Any and not isinstance(msgspec.convert(value, kind, dec_hook=decode_hook), bytes):
            raise TypeError(f"{self.name}: payload is bytes.")
        return value

    @property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        if self._shapes is None:
            if self._hints is None:
                self._hints = get_type_hints(self._function, include_extras=True)
            try:
                shape = self._kind(self.parameters[0]) if self.whole else self._struct()
                check_readable(shape)
                self._shapes = (msgspec.json.Decoder(shape, dec_hook=decode_hook), shape)
            except TypeError as error:
                raise TypeError(f"Task {self.name!r}: {error}") from None
        return self._shapes[0]

    def _struct(self) -> type[msgspec.Struct]:
        fields: list[Any] = []
        for parameter in self.parameters:
            kind = self._kind(parameter)
            if parameter.default is parameter.empty:
                fields.append((parameter.name, kind))
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                factory = partial(_same, parameter.default)
                fields.append((parameter.name, kind, msgspec.field(default_factory=factory)))
            else:
                # A default that was left out is left to Python, so that it is made as the function wants it.
                fields.append((parameter.name, kind | msgspec.UnsetType, msgspec.UNSET))
        return msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)

    def _kind(self, parameter: inspect.Parameter) -> Any:
        return (self._hints or {}).get(parameter.name, Any)

    def _resolve(self, local_names: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Annotations as types; None when a name is not there yet (tried again at first use)."""
        try:
            return get_type_hints(self._function, localns=dict(local_names or {}), include_extras=True)
        except (NameError, AttributeError):
            return None

    def _is_context(self, parameter: inspect.Parameter) -> bool:
        if self._hints is not None:
            return self._hints.get(parameter.name) is Context
        # Some other annotation is not known yet; this one is told by its name.
        text = parameter.annotation
        return text is Context or (isinstance(text, str) and text.rpartition(".")[2] == "Context")

    def _explain(self, message: str) -> str:
        """msgspec's complaint in the words of the function's parameters."""
        at = _AT.match(message)
        what, path = (at["what"], at["path"]) if at else (message, "")
        if not path and not self.whole and (field := _FIELD.match(what)):
            if field["what"] == "missing required":
                return f"argument {field['name']!r} is missing."
            names = ", ".join(parameter.name for parameter in self.parameters) or "no arguments"
            return f"there is no argument {field['name']!r}; it takes {names}."
        if self.whole:
            path = "payload" + ("." + path if path and path[0] != "[" else path)
        label = f"argument {path!r}" if path else "payload"
        return clean(f"{label}: {what.replace('`', '')}.", 2_000)


def _same(value: Any) -> Any:
    return value


def _leads(parameter: inspect.Parameter) -> bool:
    """Whether an argument is always passed by position."""
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return True
    return parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
