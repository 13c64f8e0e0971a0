"""W3C Trace Context as it travels in a job's headers: ``traceparent`` and ``tracestate``.

A job that was stored together with others has the member ``rota=many`` first in its tracestate. Whoever runs
it begins a trace of its own with a link to the common one, which would else grow with every job of the batch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PARENT, STATE = "traceparent", "tracestate"
NAMES = (PARENT, STATE)
MANY = "rota=many"
MAX_MEMBERS = 32
MAX_STATE = 512

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


def context(parent: str | None, state: str | None) -> dict[str, str]:
    """What may be handed on of these two; empty when the parent is none. A state that is malformed or too
    long is left out, as the standard says; a parent of a later version is read as far as this one knows it.
    """
    found = None if parent is None else _PARENT.fullmatch(parent.strip())
    if found is None:
        return {}
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace.strip("0") or not span.strip("0"):
        return {}
    carried = {PARENT: f"00-{trace}-{span}-{flags}"}
    if state is not None and (members := _members(state)):
        carried[STATE] = ",".join(members)
    return carried


def of(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The context in a job's headers."""
    if not headers or PARENT not in headers:
        return {}
    return context(headers[PARENT], headers.get(STATE))


def as_many(carried: Mapping[str, str]) -> dict[str, str]:
    """The same context for jobs that are stored together."""
    members = [one for one in _members(carried.get(STATE, "")) if not one.startswith("rota=")]
    while members and len(",".join((MANY, *members))) > MAX_STATE:
        members.pop()
    return {PARENT: carried[PARENT], STATE: ",".join((MANY, *members[: MAX_MEMBERS - 1]))}


def is_many(carried: Mapping[str, str]) -> bool:
    """Whether the job was one of several in a request."""
    return MANY in carried.get(STATE, "").split(",")


def _members(state: str) -> list[str]:
    """None of them when one is malformed, or there are too many."""
    if len(state) > MAX_STATE:
        return []
    members = [one for one in (part.strip(" \t") for part in state.split(",")) if one]
    keys = {one.partition("=")[0] for one in members}
    good = len(keys) == len(members) <= MAX_MEMBERS and all(_MEMBER.fullmatch(one) for one in members)
    return members if good else []
