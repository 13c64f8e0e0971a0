"""What may stand in a query: declared once, read here, and described from here in /openapi.json.

::

    @takes(LIMIT, Parameter("after", Whole(0), "only lines after this number"))
    async def get_logs(service: Service, request: Request, asked: Asked) -> Response:
        asked["after"]      # 0 when it was not given
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.model.errors import BadInput
from rota.model.spec import parse_time

Asked = Mapping[str, Any]
"""The parameters of a request by name: read, and with their defaults."""
Handler = Callable[[Service, Request], Awaitable[Response]]

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


class Choices(NamedTuple):
    """One or more of these words, parted by commas."""

    words: tuple[str, ...]

    def read(self, name: str, text: str) -> tuple[str, ...]:
        given = text.split(",")
        for word in given:
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
            if "\x00" in text:
                raise BadInput(
                    f"{name} holds the character NUL.", code="bad_character", status=400, field=name
                )
            if known.repeated:
                asked[name] = [*asked[name], known.kind.read(name, text)]
                continue
            if name in seen:
                raise BadInput(f"{name} is given twice.", code="duplicate_parameter", field=name)
            seen.add(name)
            asked[name] = known.kind.read(name, text)
        return asked


NOTHING = Query()


def takes(
    *parameters: Parameter,
) -> Callable[[Callable[[Service, Request, Asked], Awaitable[Response]]], Handler]:
    """The parameters of a request, read before its handler is called."""
    query = Query(*parameters) if parameters else NOTHING

    def wrap(handler: Callable[[Service, Request, Asked], Awaitable[Response]]) -> Handler:
        async def checked(service: Service, request: Request) -> Response:
            return await handler(service, request, query.read(request.scope["query_string"]))

        checked.__name__, checked.__doc__ = handler.__name__, handler.__doc__
        checked.query = query  # type: ignore[attr-defined]
        return checked

    return wrap


def query_of(handler: object) -> Query:
    """The parameters of a handler."""
    found = getattr(handler, "query", NOTHING)
    assert isinstance(found, Query)
    return found


WAIT = Parameter(
    "wait", Seconds(MAX_WAIT), "hold the answer until the job has ended, at most so many seconds"
)
