"""Which jobs are meant, as programs say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from rota.model.job import State
from rota.sdk.values import as_time


class Common(TypedDict, total=False):
    """What every filter may hold; all given ones must hold.

    Of several queues or types a job has one, of several tags or payload terms all. ``id``: the beginning of
    one. ``error``: a text in type or message of the last error, letter case ignored. ``payload``:
    ``PATH:VALUE``, as ``user.id:42``; docs/api.md has the rules.
    """

    state: str | State | Sequence[str | State]
    queue: str | Sequence[str]
    type: str | Sequence[str]
    tag: str | Sequence[str]
    worker: str
    since: datetime | str
    until: datetime | str
    q: str
    fingerprint: str
    id: str
    error: str
    payload: str | Sequence[str]


class Filters(Common, total=False):
    """Which jobs to list."""

    cursor: str
    limit: int


class Which(Common, total=False):
    """Which jobs to act on."""

    ids: Sequence[str]


def as_asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as the server reads it."""
    filters = dict(given)
    state = filters.get("state")
    if state is not None and not isinstance(state, str):
        filters["state"] = ",".join(str(one) for one in state)
    for name in ("since", "until"):
        if filters.get(name) is not None:
            filters[name] = as_time(name, filters[name])
    return filters
