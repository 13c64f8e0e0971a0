"""Which jobs are meant: in the query of a list, and in the body of a request that acts on many."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from rota.core import bulk
from rota.core.service import BATCH
from rota.model.errors import BadInput
from rota.model.job import Match, State
from rota.model.schema import Time as TimeText
from rota.model.schema import says
from rota.web import wire
from rota.web.parameters import Asked, Choices, Parameter, Text, Time, Whole

MAX_IDS = 10_000
STATES = tuple(state.value for state in State)

_STATE = Choices(STATES)
FILTERS = (
    Parameter("state", _STATE, "only jobs in one of these states", example="pending,running"),
    Parameter("queue", Text(), "only jobs of this queue", example="default"),
    Parameter("type", Text(), "only jobs of this type", example="sleep"),
    Parameter("tag", Text(), "only jobs with this tag"),
    Parameter("worker", Text(), "only jobs that this worker runs or ran last"),
    Parameter("since", Time(), "only jobs stored at this time or later", example="2026-01-31T08:30:00Z"),
    Parameter("until", Time(), "only jobs stored before this time"),
    Parameter(
        "q", Text(empty=False), "only jobs with this text in their type, a tag, or the beginning of their id"
    ),
    Parameter("fingerprint", Text(), "only failed jobs of this group (see /v1/failures)"),
)
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
    queue: str | None = None
    type: str | None = None
    tag: str | None = None
    worker: str | None = None
    since: TimeText | None = None
    until: TimeText | None = None
    q: str | None = None
    fingerprint: str | None = None
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
    return Match(
        states=None if states is None else tuple(State(name) for name in states),
        queue=asked["queue"],
        type=asked["type"],
        tag=asked["tag"],
        worker=asked["worker"],
        since=since,
        until=until,
        text=asked["q"],
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
    asked: dict[str, Any] = {}
    for one in FILTERS:
        value = getattr(given, one.name)
        asked[one.name] = (
            value if value is None or isinstance(value, list) else one.kind.read(one.name, value)
        )
    if isinstance(given.state, list):
        asked["state"] = _STATE.check("state", given.state)
    return msgspec.structs.replace(match_of(asked), ids=None if given.ids is None else tuple(given.ids))
