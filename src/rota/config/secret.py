"""A value that cannot be printed by accident."""

from __future__ import annotations

import hmac

MASK = "***"


class Secret:
    """Prints, formats and shows in a repr as ``***``; :meth:`reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one place that needs it."""
        return self._text

    def matches(self, other: str) -> bool:
        """Compare in a time that tells nothing about the secret."""
        return hmac.compare_digest(self._text.encode("utf-8", "replace"), other.encode("utf-8", "replace"))

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash((Secret, self._text))
