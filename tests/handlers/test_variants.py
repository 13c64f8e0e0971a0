"""Payloads of clients who never had to spell them in one way."""

from __future__ import annotations

from typing import Any

import pytest

from rota.handlers.variants import EMAIL, FILE, WEBHOOK, Kind, adapt, processed
from rota.sdk.context import Context
from rota.sdk.signature import BadPayload


@pytest.mark.parametrize(
    ("kind", "payload", "found", "unused"),
    [
        (EMAIL, {"to": "a", "text": "t"}, {"to": "a", "subject": "", "text": "t"}, set()),
        (EMAIL, {"to": "a"}, {"to": "a", "subject": "", "text": ""}, set()),
        (EMAIL, {"to": "a", "html": "<p>"}, {"to": "a", "subject": "", "html": "<p>"}, set()),
        (
            EMAIL,
            {"recipients": ["a"], "sender": "b", "message": "t", "subject": "s"},
            {"to": ["a"], "from": "b", "text": "t", "subject": "s"},
            set(),
        ),
        # The field's own name goes first, whatever the order; of two other names the first.
        (
            EMAIL,
            {"body": "b", "text": "t", "to": "a"},
            {"to": "a", "subject": "", "text": "t"},
            {"body"},
        ),
        (EMAIL, {"email": "a", "recipient": "b"}, {"to": "a", "subject": "", "text": ""}, {"recipient"}),
        (EMAIL, {"to": "a", "subject": None, "cc": None}, {"to": "a", "subject": "", "text": ""}, set()),
        (WEBHOOK, {"url": "u", "payload": {"n": None}}, {"url": "u", "body": {"n": None}}, set()),
        (WEBHOOK, {"url": "u", "event": 1}, {"url": "u"}, {"event"}),
        (FILE, {"filename": "f"}, {"operation": "checksum", "path": "f"}, set()),
        (FILE, {"file_path": "f", "operation": "count"}, {"operation": "count", "path": "f"}, set()),
        (FILE, b'{"file":"f"}', {"operation": "checksum", "path": "f"}, set()),
    ],
)
def test_what_is_meant(kind: Kind, payload: Any, found: dict[str, Any], unused: set[str]) -> None:
    assert adapt(kind, payload) == (found, unused)


@pytest.mark.parametrize("payload", [None, [], "a", 1, b"[", b"\xff", b"1", b"[" * 100_000])
def test_what_means_nothing(payload: Any) -> None:
    with pytest.raises(BadPayload, match=r"^webhook: payload "):
        adapt(WEBHOOK, payload)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (None, "Processed: report"),
        ({"front-type": '"\\u00fc \\u0000"'}, "Processed: ü \0"),
        ({"front-type": "no JSON"}, "Processed: report"),
        ({"front-type": "1"}, "Processed: report"),
    ],
)
def test_the_type_is_told_as_it_was_sent(headers: dict[str, str] | None, told: str) -> None:
    assert processed(Context("id", "report", headers=headers)) == told
