"""Which jobs are meant: in the query of a list, and in the body of a request that acts on many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from rota.core import bulk
from rota.core.service import BATCH
from rota.model.errors import BadInput
from rota.model.job import Match, State
from rota.model.schema import Time as TimeText
from rota.model.schema import says
from rota.web import wire
from rota.web.parameters import Asked, Choices, Parameter, Text, Time, Whole
from rota.web.terms import ErrorText, IdStart, Term

T = TypeVar("T")

MAX_IDS = 10_000
STATES = tuple(state.value for state in State)

_STATE = Choices(STATES)
FILTERS = (
    Parameter("state", _STATE, "only jobs in one of these states", example="pending,running"),
    Parameter("queue", Text(), "only jobs of one of these queues", repeated=True, example="default"),
    Parameter("type", Text(), "only jobs of one of these types", repeated=True, example="sleep"),
    Parameter("tag", Text(), "only jobs with all of these tags", repeated=True),
    Parameter("worker", Text(), "only jobs that this worker runs or ran last"),
    Parameter("since", Time(), "only jobs stored at this time or later", example="2026-01-31T08:30:00Z"),
    Parameter("until", Time(), "only jobs stored before this time"),
    Parameter(
        "q", Text(empty=False), "only jobs with this text in their type, a tag, or the beginning of their id"
    ),
    Parameter("fingerprint", Text(), "only failed jobs of this group (see /v1/failures)"),
    Parameter("id", IdStart(), "only jobs whose id begins so"),
    Parameter(
        "error",
        ErrorText(),
        "only jobs with this text, letter case ignored, in type or message of their last error",
        example="timeout",
    ),
    Parameter(
        "payload",
        Term(),
        "only jobs with all of these members in their payload, each as PATH:VALUE",
        repeated=True,
        example="user.id:42",
    ),
)
MOST = {"queue": 100, "type": 100, "tag": 32, "payload": 16}
"""How often one of these may be given."""
LIST = (
    *FILTERS,
    Parameter("limit", Whole(1, BATCH), "jobs on a page", default=50, example="10"),
    Parameter("cursor", Text(), "the page after the one whose answer had this as `cursor`"),
)
"""Of a list of jobs."""

_States = Annotated[str, says(pattern=f"^(?:{'|'.join(STATES)})(?:,(?:{'|'.join(STATES)}))*$")]


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which jobs are meant: the parameters of the list of jobs, and `ids`. All given ones must hold."""

    state: _States | Annotated[list[Annotated[str, says(enum=STATES)]], says(minItems=1)] | None = None
    queue: str | Annotated[list[str], says(minItems=1, maxItems=MOST["queue"])] | None = None
    type: str | Annotated[list[str], says(minItems=1, maxItems=MOST["type"])] | None = None
    tag: str | Annotated[list[str], says(minItems=1, maxItems=MOST["tag"])] | None = None
    worker: str | None = None
    since: TimeText | None = None
    until: TimeText | None = None
    q: str | None = None
    fingerprint: str | None = None
    id: str | None = None
    error: str | None = None
    payload: str | Annotated[list[str], says(minItems=1, maxItems=MOST["payload"])] | None = None
    ids: Annotated[list[str], says(maxItems=MAX_IDS)] | None = None


class BulkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to act on. `filter` may be empty only with `all`."""

    filter: Filter = Filter()
    all: bool = False
    dry_run: bool = False
    limit: Annotated[int, says(minimum=1)] | None = None
    cursor: str | None = None


_bulk = msgspec.json.Decoder(BulkRequest)


def match_of(asked: Asked) -> Match:
    """The jobs that a request names with :data:`FILTERS`."""
    states, since, until = asked["state"], asked["since"], asked["until"]
    if since is not None and until is not None and since > until:
        raise BadInput("until must not be before since.", code="invalid_filter", field="until")
    for name, most in MOST.items():
        if len(asked[name]) > most:
            raise BadInput(
                f"{name} may be given at most {most} times, not {len(asked[name])}.",
                code="invalid_filter",
                field=name,
            )
    return Match(
        states=None if states is None else tuple(State(name) for name in states),
        queues=_all(asked["queue"]),
        types=_all(asked["type"]),
        tags=_all(asked["tag"]),
        worker=asked["worker"],
        since=since,
        until=until,
        text=asked["q"],
        begins=asked["id"],
        members=_all(asked["payload"]),
        error=asked["error"],
        fingerprint=asked["fingerprint"],
    )


def bulk_of(act: bulk.Act, body: bytes) -> tuple[BulkRequest, Match]:
    """A request to act on many jobs, and the jobs that it is for."""
    request = wire.decode(_bulk, body)
    try:
        match = _match(request.filter)
        bulk.check(act, match)
    except BadInput as error:
        error.field = f"filter.{error.field}"
        raise
    if (match == Match()) is not request.all:
        raise BadInput(
            'An empty filter means every job; say so with "all": true.'
            if not request.all
            else 'Give a filter or "all": true, not both.',
            code="conflicting_fields" if request.all else "empty_filter",
            field="filter",
        )
    if request.limit is not None and request.limit < 1:
        raise BadInput("limit must be 1 or more.", code="invalid_limit", field="limit")
    return request, match


def _match(given: Filter) -> Match:
    if given.ids is not None and len(given.ids) > MAX_IDS:
        raise BadInput(f"ids may name at most {MAX_IDS} jobs.", code="invalid_filter", field="ids")
    asked = {one.name: _read(one, getattr(given, one.name)) for one in FILTERS}
    return msgspec.structs.replace(match_of(asked), ids=None if given.ids is None else tuple(given.ids))


def _read(one: Parameter, value: Any) -> Any:
    """A member of a filter, as it would be read from a query."""
    if value is None:
        return [] if one.repeated else None
    if one.name == "state" and isinstance(value, list):
        return _STATE.check("state", value)
    if not one.repeated:
        return one.kind.read(one.name, value)
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= MOST[one.name]:
        raise BadInput(
            f"{one.name} must name 1 to {MOST[one.name]}, not {len(values)}.",
            code="invalid_filter",
            field=one.name,
        )
    return [one.kind.read(one.name, text) for text in values]


def _all(values: Sequence[T]) -> tuple[T, ...] | None:
    return tuple(dict.fromkeys(values)) or None
