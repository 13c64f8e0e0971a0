"""What may be looked for: the beginning of an id, a text in errors, a member of the payload."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from rota.model.errors import BadInput
from rota.model.search import ERROR_CHARACTERS, TERM_CHARACTERS, Member, member

_ID = "[0-9A-Fa-f][0-9A-Fa-f-]{0,35}"
_CODE = "invalid_filter"


class IdStart(NamedTuple):
    """The beginning of an id, of at least one digit; with its dashes, or without any."""

    def read(self, name: str, text: str) -> str:
        if re.fullmatch(_ID, text) is None:
            raise BadInput(
                f"{name} must be the beginning of an id, 1 to 36 hexadecimal digits and dashes, "
                f"not {text[:100]!r}.",
                code=_CODE,
                field=name,
            )
        if len(text) <= 8 or "-" in text:
            return text.lower()
        parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        return "-".join(part for part in parts if part).lower()

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_ID}$"}

    def code(self, name: str) -> str:
        return _CODE


class ErrorText(NamedTuple):
    """A text that is looked for in errors."""

    def read(self, name: str, text: str) -> str:
        if not 1 <= len(text) <= ERROR_CHARACTERS:
            raise BadInput(
                f"{name} must be a text of 1 to {ERROR_CHARACTERS} characters, not of {len(text)}.",
                code=_CODE,
                field=name,
            )
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": ERROR_CHARACTERS}

    def code(self, name: str) -> str:
        return _CODE


class Term(NamedTuple):
    """``PATH:VALUE``, a member of the payload."""

    def read(self, name: str, text: str) -> Member:
        return member(text, name)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[^:]+:", "maxLength": TERM_CHARACTERS}

    def code(self, name: str) -> str:
        return _CODE


class Flag(NamedTuple):
    """Yes or no."""

    def read(self, name: str, text: str) -> bool:
        if text not in ("true", "false"):
            raise BadInput(f"{name} must be true or false, not {text[:100]!r}.", code=_CODE, field=name)
        return text == "true"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def code(self, name: str) -> str:
        return _CODE
