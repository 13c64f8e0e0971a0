"""Arguments to payloads and back, checked against annotations on both ways."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rota.model.protocol import Work
from rota.sdk.context import Context
from rota.sdk.signature import BadPayload, Signature


class Colour(Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Address(TypedDict):
    street: str


class User(BaseModel):
    name: str
    age: int


def work(payload: Any = msgspec.UNSET, **fields: Any) -> Work:
    raw = msgspec.UNSET if payload is msgspec.UNSET else msgspec.Raw(msgspec.json.encode(payload))
    return Work("id", 1, "t", "default", 1, 3, raw, **fields)


def roundtrip(signature: Signature, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    payload = signature.encode(args, kwargs)
    assert isinstance(payload, msgspec.Raw)
    positional, named = signature.decode(Work("id", 1, "t", "default", 1, 3, payload))
    return list(positional), dict(named)


def rich(
    ctx: Context,
    when: datetime,
    colour: Colour,
    point: Point,
    user: User,
    address: Address,
    mode: Literal["a", "b"] = "a",
    *,
    limit: Annotated[int, msgspec.Meta(gt=0)] = 10,
    blob: bytes = b"",
) -> None: ...


def test_python_values_come_back_as_what_the_annotations_say() -> None:
    now = datetime.now(UTC)
    signature = Signature("rich", rich)
    assert signature.takes_context
    values = (now, Colour.RED, Point(1, 2), User(name="a", age=3), Address(street="s"))
    positional, named = roundtrip(signature, *values, blob=b"\x00\xff")
    assert positional == list(values)
    assert named == {"blob": b"\x00\xff"}


def test_defaults_that_are_left_out_stay_with_the_function() -> None:
    def f(a: int, b: list[int] = [], *, c: str = "c") -> None: ...  # noqa: B006

    signature = Signature("f", f)
    assert signature.encode((1,), {}) is not None
    assert roundtrip(signature, 1) == ([1], {})
    assert roundtrip(signature, 1, c="x") == ([1], {"c": "x"})

    def positional(a: int, b: int = 7, /) -> None: ...

    assert roundtrip(Signature("positional", positional), 1) == ([1, 7], {})


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({}, "argument 'count' is missing"),
        (None, "argument 'count' is missing"),
        ({"count": "many"}, "argument 'count': Expected int, got str"),
        ({"count": 1, "items": [1, "two"]}, "argument 'items[1]': Expected int, got str"),
        ({"count": 1, "itms": []}, "there is no argument 'itms'; it takes count, items"),
        ({"count": True}, "argument 'count': Expected int, got bool"),
        ([1], "payload: Expected object, got array"),
        ("x", "payload: Expected object, got str"),
    ],
)
def test_a_payload_that_does_not_fit_names_the_argument(payload: Any, told: str) -> None:
    def f(count: int, items: list[int] | None = None) -> None: ...

    with pytest.raises(BadPayload) as error:
        Signature("f", f).decode(work(payload))
    assert told in str(error.value)
    assert str(error.value).startswith("f: ")


def test_a_faulty_pydantic_model_names_its_place() -> None:
    def f(user: User) -> None: ...

    with pytest.raises(BadPayload, match=r"(?s)argument 'user'.*age"):
        Signature("f", f).decode(work({"user": {"name": "a", "age": "old"}}))


def test_a_task_without_parameters_takes_nothing() -> None:
    def f() -> None: ...

    signature = Signature("f", f)
    for nothing in (work(), work(None), work({})):
        assert signature.decode(nothing) == ((), {})
    with pytest.raises(BadPayload, match="there is no argument 'a'; it takes no arguments"):
        signature.decode(work({"a": 1}))


def test_a_single_parameter_called_payload_takes_all_of_it() -> None:
    def anything(payload: Any) -> None: ...
    def typed(ctx: Context, payload: dict[str, int]) -> None: ...
    def blob(payload: bytes) -> None: ...

    image = {"payload_base64": "aGk=", "content_type": "image/png"}
    assert Signature("f", anything).decode(work([1, {"a": None}])) == (([1, {"a": None}],), {})
    assert Signature("f", anything).decode(work()) == ((None,), {})
    assert Signature("f", anything).decode(work(**image)) == ((b"hi",), {})
    assert Signature("f", blob).decode(work(**image)) == ((b"hi",), {})
    assert Signature("f", typed).decode(work({"a": 1})) == (({"a": 1},), {})
    assert Signature("f", blob).encode((b"hi",), {}) == b"hi"
    with pytest.raises(BadPayload, match="f takes JSON, not image/png"):
        Signature("f", typed).decode(work(**image))
    with pytest.raises(BadPayload, match="payload"):
        Signature("f", typed).decode(work({"a": "b"}))
    with pytest.raises(TypeError, match="payload"):
        Signature("f", typed).encode(({"a": "b"},), {})
    with pytest.raises(BadPayload, match="not base64"):
        Signature("f", blob).decode(work(payload_base64="%", content_type="image/png"))


def test_bytes_for_a_task_with_arguments_are_refused() -> None:
    def f(a: int = 1) -> None: ...

    with pytest.raises(BadPayload, match="takes JSON arguments, not image/png"):
        Signature("f", f).decode(work(payload_base64="aGk=", content_type="image/png"))


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
        (("one",), {}, "argument 'a': Expected int, got str"),
        ((1, {"deep": [0, {"lock": threading.Lock()}]}), {}, "args.b.deep[1].lock is lock"),
        ((1, "\ud800"), {}, "args.b is str"),
    ],
)
def test_arguments_that_cannot_be_sent_are_refused_before_anything_is(
    args: tuple[Any, ...], kwargs: dict[str, Any], told: str
) -> None:
    def f(a: int, b: Any = None) -> None: ...

    with pytest.raises(TypeError) as error:
        Signature("f", f).encode(args, kwargs)
    assert told in str(error.value)


def test_a_value_that_holds_itself_is_refused() -> None:
    def f(a: Any) -> None: ...

    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="args"):
        Signature("f", f).encode((loop,), {})


def test_stars_are_refused_at_declaration() -> None:
    def args(*values: int) -> None: ...
    def kwargs(**values: int) -> None: ...

    with pytest.raises(TypeError, match=r"\*values cannot be sent"):
        Signature("f", args)
    with pytest.raises(TypeError, match=r"\*\*values cannot be sent"):
        Signature("f", kwargs)


def test_an_annotation_that_json_cannot_serve_is_refused_by_compile() -> None:
    class Thing: ...

    def unknown(a: Thingy) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def mixed(a: Thing | set[int]) -> None: ...

    with pytest.raises(NameError, match="Thingy"):
        Signature("f", unknown).compile()
    with pytest.raises(TypeError, match="Task 'f'"):
        Signature("f", mixed, {"Thing": Thing}).compile()


def test_local_names_in_annotations_are_found() -> None:
    class Local(msgspec.Struct):
        n: int

    def f(ctx: Context, a: Local) -> Local:
        return a

    signature = Signature("f", f, locals())
    assert roundtrip(signature, Local(3)) == ([Local(3)], {})
    assert signature.decode_result({"n": 4}) == Local(4)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_any_json_value_survives_the_way(a: Any, b: Any) -> None:
    def f(a: Any, *, b: Any = 0) -> None: ...

    assert roundtrip(Signature("f", f), a, b=b) == ([a], {"b": b})


class Odd:
    """Nothing that JSON could hold."""


def test_any_json_may_be_asked_for_as_object() -> None:
    def handler(payload: object) -> None: ...

    signature = Signature("t", handler)
    for text in b"1", b'"a"', b"[1, {}]", b"null":
        work = Work("i", 1, "t", "q", 1, 1, payload=msgspec.Raw(text))
        assert signature.decode(work) == ((msgspec.json.decode(text),), {})


@pytest.mark.parametrize("kind", [Odd, list[Odd], dict[str, Odd | None], tuple[int, Odd]])
def test_a_type_that_cannot_come_from_json_is_refused_before_the_first_job(kind: Any) -> None:
    def handler(x: Any) -> None: ...

    handler.__annotations__["x"] = kind
    with pytest.raises(TypeError, match="Odd cannot be read from JSON"):
        Signature("t", handler).compile()
