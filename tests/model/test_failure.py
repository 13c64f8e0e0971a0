"""Fingerprints: the same failure has the same one every time, another failure another one."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import msgspec
import pytest

from rota.model.failure import Cause, cause, fingerprint, top_frame
from rota.model.protocol import Error

TRACE = """Traceback (most recent call last):
  File "/app/shop/jobs.py", line 10, in charge
    return card.pay(amount)
           ^^^^^^^^^^^^^^^^
  File "/app/shop/card.py", line 99, in pay
    raise Declined(code)
shop.card.Declined: no money
"""
IN_LIBRARY = """Traceback (most recent call last):
  File "/app/shop/jobs.py", line 10, in fetch
    return http.get(url)
  File "/venv/lib/python3.12/site-packages/http/client.py", line 5, in get
    self.connect()
  File "/usr/lib/python3.12/socket.py", line 850, in create_connection
    raise exceptions[0]
ConnectionRefusedError: [Errno 111] Connection refused
"""
CHAINED = """Traceback (most recent call last):
  File "/app/first.py", line 1, in inner
    boom()
ValueError: first

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/second.py", line 2, in outer
    raise RuntimeError from error
RuntimeError: second
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/app/many.py", line 3, in run_all
  |     raise ExceptionGroup("many", errors)
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/one.py", line 4, in run_one
    |     raise ValueError
    | ValueError
    +------------------------------------
"""
NODE = """TypeError: Cannot read properties of undefined (reading 'id')
    at Object.get (/srv/app/node_modules/orm/index.js:10:5)
    at async charge (file:///srv/app/jobs/charge.mjs:21:9)
    at async run (node:internal/process/task_queues:95:5)
"""
TAIL = """... line 3, in cut
    x()
  File "/app/deep.py", line 7, in recurse
    recurse()
RecursionError: maximum recursion depth exceeded
"""


def document(**fields: Any) -> bytes:
    return msgspec.json.encode(Error(**{"type": "ValueError", "message": "bad", **fields}))


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (TRACE, "card.py:pay"),
        (IN_LIBRARY, "jobs.py:fetch"),
        (CHAINED, "second.py:outer"),
        (GROUP, "many.py:run_all"),
        (
            f"{CHAINED}\nDuring handling of the above exception, another one occurred:\n\n{GROUP}",
            "many.py:run_all",
        ),
        (NODE, "charge.mjs:charge"),
        (TAIL, "deep.py:recurse"),
        (TRACE.replace("/app/shop/", "C:\\app\\"), "card.py:pay"),
        (TRACE.replace("/app/", "/usr/lib/python3.12/").replace("jobs.py", "x.py"), "card.py:pay"),
        (None, None),
        ("", None),
        ("panic: runtime error\ngoroutine 1 [running]:", None),
        ("Traceback (most recent call last):\nValueError: of nowhere", None),
    ],
)
def test_the_top_frame_is_the_innermost_of_the_users_own_code(text: str | None, frame: str | None) -> None:
    assert top_frame(text) == frame


def test_a_real_traceback_is_read() -> None:
    def inner() -> None:
        raise ValueError("x")

    try:
        inner()
    except ValueError:
        assert top_frame(traceback.format_exc()) == "test_failure.py:inner"
    try:
        msgspec.json.decode(b"{")
        int("x")
    except ValueError:
        # What C raises has no frame of its own.
        assert top_frame(traceback.format_exc()) == f"test_failure.py:{sys._getframe().f_code.co_name}"


def test_a_syntax_error_names_no_function_but_does_not_confuse() -> None:
    try:
        compile("x = = 1", "<given>", "exec")
    except SyntaxError:
        assert top_frame(traceback.format_exc()) == f"test_failure.py:{sys._getframe().f_code.co_name}"


def test_edits_messages_and_places_of_installation_do_not_change_it() -> None:
    first = cause("charge", document(traceback=TRACE), "attempts_used_up")
    moved = (
        TRACE.replace("99", "120").replace("/app/shop/", "/srv/release-7/shop/").replace("charge", "other")
    )
    again = cause("charge", document(traceback=moved, message="another card"), "not_retryable")
    assert (first.error, first.frame, first.message) == ("ValueError", "card.py:pay", "bad")
    assert (again.fingerprint, again.message) == (first.fingerprint, "another card")


def test_type_class_and_frame_each_change_it() -> None:
    base = cause("charge", document(traceback=TRACE), None)
    others = [
        cause("refund", document(traceback=TRACE), None),
        cause("charge", document(traceback=TRACE, type="KeyError"), None),
        cause("charge", document(traceback=TRACE.replace("in pay", "in check")), None),
        cause("charge", document(traceback=TRACE.replace("card.py", "cash.py")), None),
        cause("charge", document(), None),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 6
    # No pair of texts runs into another.
    assert fingerprint("ab", "c", None) != fingerprint("a", "bc", None)


@pytest.mark.parametrize("reason", ["timeout", "worker_lost"])
def test_what_the_server_says_goes_by_its_reason(reason: str) -> None:
    told = cause("charge", document(type="Timeout", message="too long", traceback=TRACE), reason)
    assert (told.error, told.frame, told.message) == (reason, None, "too long")
    assert told.fingerprint == cause("charge", None, reason).fingerprint


def test_it_is_the_same_in_every_release() -> None:
    assert cause("charge", document(traceback=TRACE), None) == Cause(
        FIXED, "ValueError", "card.py:pay", "bad"
    )


FIXED = "3ca98bd3440a"
"""Changing it would split every group at an upgrade."""


@pytest.mark.parametrize(
    "error",
    [None, b"", b"[]", b"{}", b"null", b'{"type": 5}', b"\xff", b'{"type": "E", "message": ["x"]}'],
)
def test_an_odd_document_is_an_error_like_any_other(error: bytes | None) -> None:
    assert cause("charge", error, None) == cause("charge", None, None)
    assert cause("charge", error, None).error == "Error"


def test_nothing_grows_without_bound() -> None:
    long = "x" * 100_000
    trace = f'Traceback (most recent call last):\n  File "/{long}", line 1, in {long}\nE'
    told = cause("charge", document(type=long, message=long, traceback=trace), None)
    assert max(len(told.error), len(told.frame or "")) == 200
    assert len(told.message) == 1000
    assert len(told.fingerprint) == 12
