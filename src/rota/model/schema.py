"""What JSON Schema can say of a field beyond its type. Checks are made elsewhere, in words that help; a test
holds both to each other.
"""

from __future__ import annotations

from typing import Annotated

import msgspec


def says(**keywords: object) -> msgspec.Meta:
    """Keywords of JSON Schema for an ``Annotated`` type; the decoder takes no notice of them."""
    return msgspec.Meta(extra_json_schema=dict(keywords))


NAME_PATTERN = r"[A-Za-z0-9_](?:[A-Za-z0-9_:/-]|\.(?!\.)){0,199}"
MAX_SECONDS = 3650 * 24 * 3600

Name = Annotated[str, says(pattern=f"^{NAME_PATTERN}$", minLength=1, maxLength=200)]
"""Of a type or a queue."""
Key = Annotated[str, says(pattern=r"^[^\u0000-\u001f\u007f]+$", minLength=1, maxLength=200)]
"""A unique or idempotency key; its limit counts bytes."""
Time = Annotated[str, says(format="date-time")]
Uuid = Annotated[str, says(format="uuid")]
Base64 = Annotated[str, says(contentEncoding="base64")]
Duration = Annotated[float, says(minimum=0, maximum=MAX_SECONDS)]
"""Seconds."""
Backoff = Annotated[float, says(minimum=0, maximum=1e8)]
LeaseNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""These limits are the decoder's own: no store can hold a larger number."""
WorkerId = Annotated[str, says(minLength=1, maxLength=200)]
MediaType = Annotated[
    str,
    says(pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?: *;[ -~]*)?$", maxLength=200),
]
