"""What is known of a store besides serving from it: copies and checks (see :mod:`rota.engines.open`)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One kind of fault in a store. ``examples``: ids or places, a few of ``count``."""

    code: str
    sentence: str
    count: int
    examples: tuple[str, ...] = ()
    repairable: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check saw, all at one moment. ``size`` in bytes; ``live``: a server has the store open.

    ``known``: the newest schema that this program knows; of an older one only the file itself is checked, for
    the next start brings it up to date. ``repaired``: counters that were set right.
    """

    path: str
    size: int
    schema: int
    known: int
    live: bool
    jobs: Mapping[str, int]
    findings: tuple[Finding, ...] = ()
    repaired: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class Copied(msgspec.Struct, frozen=True):
    """A copy of a store, on stable storage. ``size`` in bytes, ``verdict`` of the copy."""

    path: str
    size: int
    verdict: Verdict
