"""Any body of a request as a payload or result, and back: JSON stays JSON, bytes stay bytes."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from rota.model.spec import is_content_type
from rota.web.front import is_json


def media_type(declared: str) -> str:
    """For bytes that are no JSON, whatever they say of themselves."""
    json = declared.partition(";")[0].strip().lower() == "application/json"
    return declared if is_content_type(declared) and not json else "application/octet-stream"


def result_of(body: bytes, declared: str) -> tuple[bytes | None, str | None]:
    """The result and its type: JSON as it stands, an empty object for nothing, text as a string in JSON, what
    is none of these in bytes.
    """
    if not body or is_json(body):
        return (None if body.strip() == b"null" else body or b"{}"), None
    with suppress(UnicodeDecodeError):
        if b"\0" not in body:
            return msgspec.json.encode(body.decode()), None
    return body, media_type(declared)


def shown(content: bytes | None, content_type: str | None, text: bool = False) -> msgspec.Raw | str:
    """As a value in an answer: JSON as it is (``text``: as a string, too), anything else as a string, with
    U+FFFD where it is no UTF-8.
    """
    if content is None:
        return msgspec.Raw(b"null")
    if content_type is None and not text:
        return msgspec.Raw(content.strip())
    return content.decode("utf-8", "replace")
