"""What a test expects of jobs, and the words it gets when they are others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from unittest.mock import ANY

import pytest

import rota
from rota.testing import Harness, run
from tests.testing import shop


def test_enqueued_finds_by_everything(t: Harness) -> None:
    shop.welcome.options(priority=5, tags=["mail", "vip"], delay=60, unique_key="w7").enqueue(7)
    shop.welcome.enqueue(8)
    shop.charge.enqueue("A-1", cents=5)
    assert [job.args["user"] for job in t.enqueued(shop.welcome)] == [7, 8]
    assert len(t.enqueued()) == 3
    assert len(t.enqueued("charge")) == 1
    for narrow in (
        {"args": {"user": 7}},
        {"delay": "1m"},
        {"delay": timedelta(minutes=1)},
        {"delay": 60.4},
        {"state": "scheduled"},
        {"state": rota.State.SCHEDULED},
        {"priority": 5},
        {"tags": ["vip"]},
        {"unique_key": "w7"},
        {"where": lambda job: job.unique_key is not None},
        {"args": lambda args: args["user"] < 8},
    ):
        assert [job.args["user"] for job in t.enqueued(shop.welcome, **narrow)] == [7], narrow
    assert t.enqueued(shop.welcome, queue="default") == []
    assert t.enqueued(shop.charge, args={"order": ANY, "cents": 5}) != []
    assert t.enqueued(shop.charge, args={"cents": 5, "more": 1}) == []


def test_jobs_are_found_whatever_has_become_of_them(t: Harness) -> None:
    shop.sign_up(7)
    t.run_due()
    t.assert_enqueued(shop.welcome, state="done", count=1)
    t.assert_enqueued(shop.welcome, count=1)
    t.refute_enqueued(shop.welcome, state="pending")
    shop.broken.append(ValueError())
    shop.charge.enqueue("A-1")
    t.run_due()
    t.assert_enqueued(shop.charge, delay=0, state="scheduled"), "the delay of the enqueue, not of a retry"


def test_arguments_are_compared_as_json_writes_them() -> None:
    app = rota.App()

    @dataclass
    class Place:
        x: int
        y: int

    @app.task
    def go(day: date, to: Place, via: list[Place]) -> None: ...

    with run(app) as t:
        go.enqueue(date(2026, 1, 31), Place(1, 2), [Place(3, 4)])
        t.assert_enqueued(go, args={"day": date(2026, 1, 31), "to": Place(1, 2), "via": [Place(3, 4)]})
        t.assert_enqueued(go, args={"to": {"y": 2}})
        t.refute_enqueued(go, args={"to": Place(1, 3)})


def test_payloads_that_are_no_arguments(t: Harness) -> None:
    shop.app.enqueue(rota.job("raw", [1, 2]))
    shop.app.enqueue(rota.job("bytes", b"\x00\x01", content_type="image/png"))
    t.assert_enqueued("raw", args=[1, 2])
    t.refute_enqueued("raw", args=[1])
    with pytest.raises(AssertionError, match="bytes pending queue=default args=image/png"):
        t.assert_enqueued("other")


def test_a_missing_job_is_told_with_what_there_was_instead(t: Harness) -> None:
    shop.welcome.options(delay=3600).enqueue(8)
    shop.charge.enqueue("A-1")
    with pytest.raises(AssertionError) as failed:
        t.assert_enqueued(shop.welcome, args={"user": 7, "x": 1}, queue="post", delay="1h30m", tags=["vip"])
    assert str(failed.value) == (
        "No job was enqueued with\n"
        "    type: welcome\n"
        "    queue: 'post'\n"
        "    tags: ('vip',)\n"
        "    delay: 1h 30m\n"
        "    args: {'user': 7, 'x': 1}\n"
        "2 jobs were enqueued:\n"
        "  1. welcome scheduled queue=mail delay=1h args={'user': 8}\n"
        "       queue: expected 'post', was 'mail'\n"
        "       tags: expected ('vip',), was ('mail',)\n"
        "       delay: expected 1h 30m, was 1h\n"
        "       args.user: expected 7, was 8\n"
        "       args.x: expected 1, was not there\n"
        "  2. charge pending queue=default args={'order': 'A-1'}"
    )


def test_nothing_at_all_is_said_to_be_so(t: Harness) -> None:
    with pytest.raises(AssertionError) as failed:
        t.assert_enqueued()
    assert str(failed.value) == "No job was enqueued with\n    (anything)\nNothing was enqueued."


def test_a_wrong_count_and_a_job_too_many_are_told(t: Harness) -> None:
    for user in 1, 2:
        shop.welcome.enqueue(user)
    with pytest.raises(
        AssertionError, match=r"^2 jobs were enqueued, not 3, with\n    type: welcome\n2 jobs"
    ):
        t.assert_enqueued(shop.welcome, count=3)
    with pytest.raises(AssertionError, match=r"^2 jobs were enqueued, not 0, with"):
        t.assert_enqueued(shop.welcome, count=0)
    with pytest.raises(AssertionError, match=r"^1 job was enqueued that should not be:"):
        t.refute_enqueued(shop.welcome, args={"user": 2})
    t.assert_enqueued(shop.charge, count=0)


def test_long_lists_and_values_are_cut(t: Harness) -> None:
    shop.charge.enqueue("A" * 1000)
    shop.welcome.enqueue_many([(n,) for n in range(30)])
    with pytest.raises(AssertionError) as failed:
        t.assert_enqueued("other")
    message = str(failed.value)
    assert "and 11 more" in message
    assert max(map(len, message.splitlines())) < 200


def test_a_job_in_another_state_tells_its_story(t: Harness) -> None:
    shop.broken += [ValueError("bad card"), rota.Fail("stolen card")]
    handle = shop.charge.enqueue("A-1")
    with pytest.raises(AssertionError, match=r"is pending, not done\.\n    waits: All slots are taken"):
        t.assert_done(handle)
    t.run_due()
    with pytest.raises(AssertionError, match=r"is scheduled, not failed\.\n    runs at: 2026-01-31T09:30:00"):
        t.assert_state(handle, "failed")
    t.run_until_idle()
    with pytest.raises(AssertionError) as failed:
        t.assert_done(handle)
    told = str(failed.value)
    assert f"Job {handle.id} (charge) is failed, not done.\n    reason: not_retryable\n" in told
    assert (
        "    attempt 1: failed: ValueError: bad card\n    attempt 2: failed: rota.Fail: stolen card" in told
    )


def test_a_job_that_never_was_and_names_that_mean_nothing(t: Harness) -> None:
    with pytest.raises(LookupError, match="no job 'nothing' here"):
        t.job("nothing")
    with pytest.raises(ValueError, match="finished"):
        t.enqueued(state="finished")
    with pytest.raises(TypeError):
        t.enqueued(stat="done")  # type: ignore[call-arg]
