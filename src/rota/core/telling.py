"""What workers may tell of their types."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rota.model.errors import BadInput
from rota.model.protocol import MAX_ABOUT, MAX_DESCRIPTION, MAX_SCHEMA, About
from rota.model.spec import NAME_RULE, is_name


def check_about(about: Mapping[str, About]) -> None:
    """BadInput unless what a worker tells of its types can be kept."""
    if len(about) > MAX_ABOUT:
        raise BadInput(f"about may tell of {MAX_ABOUT} types.", code="invalid_types", field="about")
    for type, one in about.items():
        if not is_name(type):
            raise BadInput(
                f"A type's name is {NAME_RULE}, not {type[:100]!r}.", code="invalid_types", field="about"
            )
        if len(one.description or "") > MAX_DESCRIPTION:
            raise BadInput(
                f"The description of {type} may have {MAX_DESCRIPTION} characters.",
                code="invalid_types",
                field="about",
            )
        if isinstance(one.schema, msgspec.Raw):
            raw = bytes(one.schema)
            if len(raw) > MAX_SCHEMA or raw[:1] != b"{":
                raise BadInput(
                    f"The schema of {type} must be a JSON Schema of at most {MAX_SCHEMA} bytes.",
                    code="invalid_types",
                    field="about",
                )
