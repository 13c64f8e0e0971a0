"""Events of several servers in one order."""

from __future__ import annotations

from rota.core.events import Event
from rota.core.merging import CLOSE, HOLD, Merge
from rota.model.clock import SECOND

NOW = 1_800_000_000 * SECOND
MS = SECOND // 1000


def told(event: str, at: int, id: str | None = "j", lease: int = 0, **detail: str) -> Event:
    """An event at so many milliseconds from now."""
    return Event(event=event, at=NOW + at * MS, id=id, lease=lease, detail=detail or None)


def words(events: list[Event]) -> list[str]:
    return [event.event for event in events]


def merged(**servers: list[Event]) -> list[str]:
    merge = Merge()
    for name, events in servers.items():
        merge.put(name, events, NOW + SECOND)
    return words(merge.rest())


def test_an_event_waits_for_those_of_others() -> None:
    merge = Merge()
    merge.put("a", [told("started", 0)], NOW)
    assert merge.ready(NOW + HOLD - 1) == []
    merge.put("b", [told("enqueued", -1, "k")], NOW + HOLD - 1)
    assert words(merge.ready(NOW + HOLD)) == ["enqueued", "started"]
    assert not merge
    assert merge.ready(NOW + SECOND) == []


def test_what_comes_late_waits_no_longer() -> None:
    merge = Merge()
    merge.put("b", [told("enqueued", -500)], NOW)
    assert words(merge.ready(NOW)) == ["enqueued"]


def test_jobs_go_by_time() -> None:
    assert merged(
        a=[told("enqueued", 0, "j"), told("finished", 30, "k", 1)],
        b=[told("started", 10, "k", 1), told("started", 20, "l", 1)],
    ) == ["enqueued", "started", "started", "finished"]


def test_a_job_goes_by_its_life_where_times_are_close() -> None:
    """Started, by a clock that is a little behind, before it was stored."""
    assert merged(
        a=[told("enqueued", 5)],
        b=[told("started", 0, lease=1), told("log", 1, lease=1), told("finished", 3, lease=1)],
    ) == ["enqueued", "started", "log", "finished"]
    assert merged(a=[told("stopping", 0, lease=1)], b=[told("started", 5, lease=1)]) == [
        "started",
        "stopping",
    ]


def test_a_later_lease_is_always_later() -> None:
    far = 2 * CLOSE // MS
    assert merged(
        a=[told("started", 0, lease=2)],
        b=[told("started", far, lease=1), told("requeued", far, lease=1, end="lost")],
    ) == ["started", "requeued", "started"]


def test_a_retry_comes_after_the_end_and_before_the_next_start() -> None:
    assert merged(
        a=[told("requeued", 0, lease=1, reason="retry")],
        b=[told("finished", 5, lease=1, end="failed")],
        c=[told("started", -5, lease=2), told("deleted", 1, lease=2)],
    ) == ["finished", "requeued", "started", "deleted"]


def test_what_one_server_tells_keeps_its_order() -> None:
    """A line that a worker wrote down earlier, by its own clock, does not come before the start."""
    lines = [told("started", 0, lease=1), told("log", -10_000, lease=1), told("finished", 1, lease=1)]
    assert merged(a=lines) == ["started", "log", "finished"]
    assert merged(a=lines, b=[told("enqueued", -1)]) == ["enqueued", "started", "log", "finished"]


def test_a_clock_that_is_ahead_holds_nothing_up() -> None:
    merge = Merge()
    merge.put("a", [told("enqueued", 60_000)], NOW)
    assert words(merge.ready(NOW + HOLD)) == ["enqueued"]
    merge.put("a", [told("started", 0, lease=1)], NOW + SECOND)
    assert words(merge.ready(NOW + SECOND + HOLD)) == ["started"]


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    merge = Merge()
    merge.put("a", [told("enqueued", 0)], NOW)
    assert words(merge.ready(NOW - 3600 * SECOND)) == ["enqueued"]


def test_where_others_come_late_more_is_waited_for() -> None:
    merge = Merge()
    merge.late(3 * HOLD)
    merge.put("a", [told("finished", 0)], NOW)
    assert merge.ready(NOW + 3 * HOLD) == []
    merge.put("b", [told("enqueued", -1)], NOW + 3 * HOLD)
    assert words(merge.ready(NOW + 5 * HOLD)) == ["enqueued", "finished"]
    for _ in range(50):
        merge.late(0)
    merge.put("a", [told("finished", 0)], NOW)
    assert words(merge.ready(NOW + HOLD)) == ["finished"]
    merge.late(3600 * SECOND)
    merge.put("a", [told("finished", 0)], NOW)
    assert words(merge.ready(NOW + SECOND)) == ["finished"]
