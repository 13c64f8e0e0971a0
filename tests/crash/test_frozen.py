"""SIGSTOP of a worker past its lease: whatever it says when it wakes up changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.crash.kit import Scene, frozen, until

SHORT = {"lease": "1s", "beat": "300ms", "socket_grace": "300ms"}


@pytest.mark.parametrize("transport", ["socket", "poll"])
def test_a_worker_that_wakes_up_too_late(scene: Callable[..., Scene], transport: str) -> None:
    here = scene(**SHORT)
    flags = ["--poll"] if transport == "poll" else []
    with here.server(), here.worker("frozen", "--slots", "1", *flags) as worker:
        [id] = here.send("hold", payload={"gate": "go"})
        first = here.began(id)
        with frozen(worker.pid), here.worker("other", *flags):
            assert here.began(id, 2)["attempt"] == 2
            here.open("go")
            [done] = here.ended(id)
        until(lambda: here.history.events("ended", id=id, who=first["who"]), "the late end")
        # Its next jobs show that whatever it had to say of the first has arrived.
        here.ended(*here.send("quick", 5))
        assert {event["who"] for event in here.history.events("began", attempt=1)} == {first["who"]}
        assert here.job(id) == done
        assert [one["end"] for one in done["attempts"]] == ["lost", "done"]
        here.check()


def test_a_late_report_is_refused(scene: Callable[..., Scene]) -> None:
    """A worker of the simplest kind, which hears nothing until it reports."""
    here = scene(**SHORT)
    with here.server(), here.bare_worker() as bare:
        [id] = here.send("hold", payload={"gate": "go"})
        here.began(id)
        with frozen(bare.pid), here.worker("other"):
            here.began(id, 2)
            here.open("go")
            [done] = here.ended(id)
        [answer] = until(lambda: here.history.events("answered"), "the answer")
        assert (answer["status"], answer["answer"]["code"]) == (409, "stale_lease")
        assert [one["applied"] for one in answer["answer"]["answers"]] == [False]
        assert here.job(id) == done
        here.check()


def test_a_late_report_while_somebody_else_still_runs_it(scene: Callable[..., Scene]) -> None:
    here = scene(**SHORT)
    with here.server(), here.bare_worker() as bare, ExitStack() as stack:
        [id] = here.send("hold", payload={"gate": "go"})
        here.began(id)
        with frozen(bare.pid):
            other = stack.enter_context(here.worker("other"))
            here.began(id, 2)
            thaw = stack.enter_context(ExitStack())
            thaw.enter_context(frozen(other.pid))
            here.open("go")
        [answer] = until(lambda: here.history.events("answered"), "the answer")
        job = here.job(id)
        assert (answer["status"], answer["answer"]["code"]) == (409, "stale_lease")
        assert (job["attempt"], job["result"]) == (2, None)
        thaw.close()
        here.ended(id)
        here.check()
