"""What a worker tells people of its tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jsonschema
import msgspec
from pydantic import BaseModel

import rota
from rota.model.protocol import MAX_SCHEMA, About
from rota.sdk.describing import describe, json_schema


class Size(msgspec.Struct):
    """How large."""

    width: Annotated[int, msgspec.Meta(ge=1)]
    height: int = 10


class Person(BaseModel):
    name: str


class Node(msgspec.Struct):
    children: list[Node] = []


Many: Any = Literal[tuple(f"{n:0>100}" for n in range(MAX_SCHEMA // 100))]


def told(function: Any) -> tuple[About, Any]:
    app = rota.App()
    task = app.task(name="t")(function)
    about = describe([task])["t"]
    schema = None if about.schema is msgspec.UNSET else msgspec.json.decode(about.schema)
    if schema is not None:
        jsonschema.Draft202012Validator.check_schema(schema)
    return about, schema


def test_arguments_by_name_with_their_defaults() -> None:
    def resize(ctx: rota.Context, path: str, size: Size, /, colour: Literal["red", "blue"] = "red") -> None:
        """Make a picture
        smaller.

        And more.
        """

    about, schema = told(resize)
    assert about.description == "Make a picture smaller."
    assert about.accepts == ("json",)
    assert schema["required"] == ["path", "size"]
    assert schema["properties"]["colour"] == {"enum": ["blue", "red"], "default": "red"}
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid({"path": "a", "size": {"width": 1}})
    assert not check.is_valid({"path": "a", "size": {"width": 0}})
    assert not check.is_valid({"path": "a", "size": {"width": 1}, "more": 1})


def test_a_whole_payload() -> None:
    def size(payload: Size) -> None: ...
    def raw(payload: bytes) -> None:
        """Bytes."""

    def anything(payload: Any) -> None: ...
    def person(who: Person) -> None: ...

    about, schema = told(size)
    assert (about.description, schema["required"]) == (None, ["width"])
    assert told(raw) == (About("Bytes.", accepts=("bytes",)), None)
    assert told(anything)[0] == About(accepts=("json", "zip", "bytes"))
    assert told(person)[1]["properties"]["who"]["properties"]["name"]["type"] == "string"


def test_an_upload_is_an_archive() -> None:
    def unpack(upload: dict[str, Any]) -> None: ...

    assert told(unpack)[0].accepts == ("json", "zip")


def test_what_is_odd_is_left_out_and_hinders_nobody() -> None:
    def large(a) -> None:  # type: ignore[no-untyped-def]
        """Too much."""

    large.__annotations__["a"] = Many

    def plain() -> None: ...
    def tree(root: Node) -> None: ...

    app = rota.App()
    tasks = [app.task(large), app.task(plain)]
    found = describe(tasks)
    assert found["large"] == About("Too much.")
    assert bytes(found["plain"].schema)  # type: ignore[arg-type]
    assert told(tree)[1]["$defs"]["Node"]
    assert "$ref" in json_schema(Node)
