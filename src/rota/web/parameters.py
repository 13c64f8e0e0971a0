"""What may stand in a query: declared once, read here, and described from here in /openapi.json. Knows no
framework; :mod:`rota.web.takes` gives a handler its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from rota.model.errors import BadInput
from rota.model.schema import NAME_PATTERN
from rota.model.spec import NAME_RULE, is_name, parse_time

Asked = Mapping[str, Any]
"""The parameters of a request by name: read, and with their defaults."""

MAX_WAIT = 600
"""Seconds for which an answer may be held."""


class Kind(Protocol):
    """What the values of a parameter are."""

    def read(self, name: str, text: str) -> Any:
        """The value; BadInput names the parameter and what is allowed."""

    def schema(self) -> dict[str, Any]:
        """The same in JSON Schema."""

    def code(self, name: str) -> str | None:
        """The code of a refusal."""


class Parameter(NamedTuple):
    """One name in a query."""

    name: str
    kind: Kind
    told: str
    default: Any = None
    repeated: bool = False
    """It may be given many times; the value is a list."""
    example: str | None = None
    required: bool = False


class Text(NamedTuple):
    """Any text; ``empty`` False: nothing counts as not given."""

    empty: bool = True

    def read(self, name: str, text: str) -> str | None:
        return text if text or self.empty else None

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def code(self, name: str) -> None:
        return None


class Whole(NamedTuple):
    """A whole number."""

    low: int
    high: int = 10**15 - 1

    def read(self, name: str, text: str) -> int:
        good = text.isascii() and text.isdigit() and len(text) <= 15
        value = int(text) if good else -1
        if not good or not self.low <= value <= self.high:
            raise BadInput(
                f"{name} must be a whole number from {self.low} to {self.high}.",
                code=self.code(name),
                field=name,
            )
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def code(self, name: str) -> str:
        return f"invalid_{name}"


class Seconds(NamedTuple):
    """A length of time."""

    most: int

    def read(self, name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= self.most:
            raise BadInput(f"{name} must be 0 to {self.most} seconds.", code=self.code(name), field=name)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": self.most}

    def code(self, name: str) -> str:
        return f"invalid_{name}"


class Time(NamedTuple):
    """A moment; its value is microseconds."""

    def read(self, name: str, text: str) -> int:
        return parse_time(name, text)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}

    def code(self, name: str) -> str:
        return "invalid_time"


class Word(NamedTuple):
    """One of these words."""

    words: tuple[str, ...]

    def read(self, name: str, text: str) -> str:
        if text not in self.words:
            allowed = "; ".join(self.words)
            raise BadInput(
                f"{name} must be one of {allowed}, not {text[:100]!r}.", code=self.code(name), field=name
            )
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}

    def code(self, name: str) -> str:
        return f"invalid_{name}"


class Name(NamedTuple):
    """The name of a queue or a type."""

    def read(self, name: str, text: str) -> str:
        if not is_name(text):
            raise BadInput(
                f"{name} must be {NAME_RULE}, not {text[:100]!r}.", code=self.code(name), field=name
            )
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{NAME_PATTERN}$"}

    def code(self, name: str) -> str:
        return f"invalid_{name}"


class Choices(NamedTuple):
    """One or more of these words, parted by commas."""

    words: tuple[str, ...]

    def read(self, name: str, text: str) -> tuple[str, ...]:
        return self.check(name, text.split(","))

    def check(self, name: str, given: Sequence[str]) -> tuple[str, ...]:
        """Words that are parted already."""
        for word in given or [""]:
            if word not in self.words:
                raise BadInput(
                    f"{name} must be one or more (comma) of {', '.join(self.words)}, not {word[:100]!r}.",
                    code=self.code(name),
                    field=name,
                )
        return tuple(dict.fromkeys(given))

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(self.words)}}

    def code(self, name: str) -> str:
        return "invalid_filter"


class Query:
    """The parameters that a request may have; any other is refused by name."""

    def __init__(self, *parameters: Parameter) -> None:
        self.parameters = parameters
        self._known = {one.name: one for one in parameters}
        self._required = [one for one in parameters if one.required]
        self._defaults = {one.name: [] if one.repeated else one.default for one in parameters}

    def read(self, query: bytes) -> Asked:
        """A raw query string; BadInput for the first fault."""
        asked = dict(self._defaults)
        seen = set()
        for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            known = self._known.get(name)
            if known is None:
                names = ", ".join(sorted(self._known))
                told = f"Known are: {names}." if names else "There are none here."
                raise BadInput(
                    f"Unknown parameter {name[:100]!r}. {told}", code="unknown_parameter", field=name[:100]
                )
            if known.repeated:
                if name not in seen:
                    seen.add(name)
                    asked[name] = []
                asked[name].append(known.kind.read(name, text))
                continue
            if name in seen:
                raise BadInput(f"{name} is given twice.", code="duplicate_parameter", field=name)
            seen.add(name)
            asked[name] = known.kind.read(name, text)
        for one in self._required:
            if one.name not in seen:
                raise BadInput(
                    f"The parameter {one.name} is missing: {one.told}.",
                    code="missing_parameter",
                    field=one.name,
                )
        return asked


NOTHING = Query()


WAIT = Parameter(
    "wait", Seconds(MAX_WAIT), "hold the answer until the job has ended, at most so many seconds"
)
