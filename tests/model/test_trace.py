"""Which trace contexts are handed on, and how."""

from __future__ import annotations

import pytest

from rota.model import trace

GOOD = "00-" + "0af7651916cd43dd8448eb211c80319c" + "-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "hello",
        GOOD.upper(),
        GOOD + "-",
        GOOD + "-extra",
        GOOD[:-1],
        "ff" + GOOD[2:],
        "0" + GOOD,
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        GOOD.replace("-", "_"),
        GOOD + "\n" + GOOD,
        GOOD.replace("a", "\u0661"),
        "cc" + GOOD[2:] + "x",
    ],
)
def test_a_malformed_parent_is_none(parent: str | None) -> None:
    assert trace.context(parent, "a=1") == {}


def test_a_good_parent_goes_on_and_a_later_version_as_far_as_it_is_known() -> None:
    assert trace.context(GOOD, None) == {"traceparent": GOOD}
    assert trace.context(f" {GOOD} ", "") == {"traceparent": GOOD}
    assert trace.context("cc" + GOOD[2:] + "-what-comes-then", None) == {"traceparent": GOOD}
    assert trace.context("01" + GOOD[2:], None) == {"traceparent": GOOD}


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1", "a=1"),
        ("a=1 , b@c=x y,,t*/_-9=~!", "a=1,b@c=x y,t*/_-9=~!"),
        ("0=1", "0=1"),
        ("A=1", None),
        ("a=1,b", None),
        ("a=", None),
        ("a=1,a=2", None),
        ("a=b=c", None),
        ("a=\u00fc", None),
        ("a=1\tb", None),
        (",".join(f"k{n}={n}" for n in range(32)), ",".join(f"k{n}={n}" for n in range(32))),
        (",".join(f"k{n}={n}" for n in range(33)), None),
        ("a=" + "x" * 256, "a=" + "x" * 256),
        ("a=" + "x" * 257, None),
        (",".join(f"k{n}=" + "x" * 250 for n in range(3)), None),
    ],
)
def test_a_state_is_kept_whole_or_left_out(state: str, kept: str | None) -> None:
    assert trace.context(GOOD, state).get("tracestate") == kept


def test_jobs_of_one_request_say_so_within_the_limits() -> None:
    alone = trace.context(GOOD, "a=1,rota=x,b=2")
    many = trace.as_many(alone)
    assert many == {"traceparent": GOOD, "tracestate": "rota=many,a=1,b=2"}
    assert trace.is_many(many)
    assert not trace.is_many(alone)
    assert trace.is_many(trace.of({**many, "x": "y"}))
    assert trace.as_many({"traceparent": GOOD})["tracestate"] == "rota=many"
    assert trace.of(trace.as_many(many)) == many
    full = trace.as_many(trace.context(GOOD, ",".join(f"k{n}={n}" for n in range(32))))
    assert trace.of(full) == full
    assert full["tracestate"].count(",") == 31
    long = trace.as_many(trace.context(GOOD, "a=" + "x" * 250 + ",b=" + "x" * 250))
    assert long["tracestate"] == "rota=many,a=" + "x" * 250


def test_headers_without_a_good_parent_hold_no_context() -> None:
    assert trace.of(None) == {}
    assert trace.of({"tracestate": "a=1"}) == {}
    assert trace.of({"traceparent": "none"}) == {}
