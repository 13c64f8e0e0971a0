"""Loaded by Schemathesis: what an archive is, and that no answer may be held for longer than a moment."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies

from tests.web.zips import zipped

LONGEST = 0.02

schemathesis.openapi.media_type(
    "application/zip", strategies.sampled_from([zipped(), zipped(300_000), b"PK\5\6" + bytes(18)])
)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten valid waits; faulty ones stay as they are."""
    for place in (case.query, case.body):
        if isinstance(place, dict) and "wait" in place:
            place["wait"] = shortened(place["wait"])
    if case.path == "/v1/fetch" and isinstance(case.body, dict):
        case.body.setdefault("wait", LONGEST)


def shortened(wait: Any) -> Any:
    """The same for a server's checks: numbers within the limits become small ones."""
    try:
        return LONGEST if not isinstance(wait, bool | list) and LONGEST < float(wait) <= 600 else wait
    except (TypeError, ValueError, OverflowError):
        return wait
