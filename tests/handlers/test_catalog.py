"""What people are told of the built-in types is what the handlers take."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from rota.handlers.catalog import _TYPES, PROGRAMS, catalog
from rota.handlers.settings import TYPES

TOLD = catalog((*TYPES, *PROGRAMS), 2000)


def test_there_is_every_built_in_type_and_no_other() -> None:
    assert list(TOLD) == [*TYPES, *PROGRAMS]
    assert list(catalog(("sleep", "nonsense"), 1)) == ["sleep"]


@pytest.mark.parametrize("type", TOLD)
def test_the_example_fits_the_schema_and_the_handler(type: str) -> None:
    told = TOLD[type]
    check = jsonschema.Draft202012Validator(told.schema)
    check.check_schema(told.schema)
    check.validate(told.example)
    decoder = msgspec.json.Decoder(_TYPES[type][0])
    decoder.decode(json.dumps(told.example))
    wrong: dict[str, Any] = {**told.example, "nonsense": 1}
    assert not check.is_valid(wrong)
    with pytest.raises(msgspec.ValidationError):
        decoder.decode(json.dumps(wrong))
    for name in told.schema.get("required", ()):
        short = {key: value for key, value in told.example.items() if key != name}
        assert not check.is_valid(short)
    assert all("description" in field for field in told.schema["properties"].values())


def test_limits_come_from_the_settings_and_not_everything_is_for_people() -> None:
    assert TOLD["sleep"].schema["properties"]["ms"]["maximum"] == 2000
    assert "upload" not in json.dumps(TOLD["program_zip"].schema)
    assert TOLD["program_zip"].accepts == ("json", "zip")
