"""What could be looked for, while somebody types it."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rota.core.service import Service
from rota.core.suggest import FIELDS, Suggestion, Wish, suggest
from rota.web.answers import Json
from rota.web.parameters import Asked, Name, Parameter, Text, Whole, Word
from rota.web.takes import takes


class Suggestions(msgspec.Struct, frozen=True):
    """What could be looked for."""

    field: str
    values: list[Suggestion]


@takes(
    Parameter("field", Word(FIELDS), "what is looked for", required=True, example="queue"),
    Parameter("prefix", Text(), "what was typed so far", default=""),
    Parameter("limit", Whole(1, 100), "values in the answer", default=20),
    Parameter("queue", Name(), "only of jobs of this queue", example="default"),
    Parameter("type", Name(), "only of jobs of this type", example="sleep"),
)
async def get_suggestions(service: Service, request: Request, asked: Asked) -> Response:
    """Values that there are and that begin as it was typed, letter case ignored (but for tags), the most used
    ones first. `jobs` is null where they were not counted. Of `payload`, `error`, and `worker` they come from
    the newest jobs and failures; of `payload` they are paths, and behind `PATH:` values with it.
    """
    wish = Wish(asked["prefix"], asked["limit"], asked["queue"], asked["type"])
    return Json(Suggestions(asked["field"], await suggest(service, asked["field"], wish)))
