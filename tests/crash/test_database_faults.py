"""PostgreSQL restarts, cuts everybody off, fails over, is out of reach, while servers and workers are killed:
nothing acknowledged is lost, nothing stale is accepted, and work goes on by itself.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.crash.fleet import Fleet, sound
from tests.crash.kit import Scene, until
from tests.postgres import Cluster
from tests.proxy import Proxy
from tests.standby import Pair, restart, terminate

pytestmark = pytest.mark.timeout(300)

BOUND = 40.0
"""Seconds until work goes on, on a machine that does a lot besides."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One that keeps what it acknowledges, whatever is done to it."""
    with Cluster(durable=True) as cluster:
        yield cluster


@pytest.fixture
def store(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    return cluster.database(f"faults_{abs(hash(request.node.name))}")


def settle(fleet: Fleet) -> None:
    """All that was promised was kept, and whatever was broken was soon mended."""
    verdict = fleet.verdict(gap=BOUND, back=BOUND)
    print(verdict)
    assert not verdict.broken, "\n".join(verdict.broken)


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_restarts(tmp_path: Path, cluster: Cluster, store: str, how: str) -> None:
    number = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT}[how]
    with Fleet(tmp_path, store) as fleet:
        with fleet.under_fire():
            for _ in range(2):
                fleet.fault("PostgreSQL stops")
                restart(cluster, number)
                fleet.fault("PostgreSQL is back")
                fleet.more(20)
        settle(fleet)
    sound(store)


def test_a_storm_of_terminated_connections(tmp_path: Path, store: str) -> None:
    """Five times a second, all of them."""
    with Fleet(tmp_path, store) as fleet:
        with fleet.under_fire():
            fleet.fault("a storm begins")
            for _ in range(20):
                ended = time.monotonic()
                terminate(store)
                until(lambda ended=ended: time.monotonic() > ended + 0.2, "the next one")  # type: ignore[misc]
            fleet.fault("a storm ends")
            fleet.more(20)
        settle(fleet)
    sound(store)


def test_failover_to_a_synchronous_standby(tmp_path: Path) -> None:
    with Pair() as pair:
        store = pair.database("faults")
        with Fleet(tmp_path, store) as fleet:
            with fleet.under_fire():
                fleet.more(20)
                fleet.fault("the primary is gone")
                pair.fail_over()
                fleet.fault("the standby was promoted")
                fleet.more(40)
            settle(fleet)
        sound(store)


def silent(wire: Proxy) -> AbstractContextManager[None]:
    return wire.silent()


def deaf(wire: Proxy) -> AbstractContextManager[None]:
    """Statements arrive, answers do not: whatever was committed, nobody heard of it."""
    return wire.silent("out")


def refusing(wire: Proxy) -> AbstractContextManager[None]:
    return wire.refusing()


@pytest.mark.parametrize("cut", [silent, deaf, refusing])
def test_a_cut_between_server_and_database(
    tmp_path: Path, cluster: Cluster, store: str, cut: Callable[[Proxy], AbstractContextManager[None]]
) -> None:
    with Proxy(cluster.port) as wire, Fleet(tmp_path, wire.through(store)) as fleet:
        fleet.more(10)
        with cut(wire):
            fleet.fault(f"{cut.__name__} begins")
            doubts = len(fleet.history.events("doubt"))
            until(lambda: len(fleet.history.events("doubt")) > doubts + 4, "unanswered requests", BOUND)
            fleet.workers[0].kill()
        fleet.fault(f"{cut.__name__} ends")
        fleet.more(10)
        # Connections that break at once, again and again.
        fleet.fault("resets")
        for _ in range(10):
            wire.reset()
            fleet.more(1)
        settle(fleet)
    sound(store)


@pytest.mark.parametrize("transport", ["socket", "poll"])
def test_a_result_waits_for_the_database(
    scene: Callable[..., Scene], cluster: Cluster, store: str, transport: str
) -> None:
    """Its worker keeps it for as long as it takes, and the job has run just once."""
    here = scene(url=store)
    poll = ["--poll"] if transport == "poll" else []
    with here.server(), here.worker("w1", *poll) as worker:
        [id] = here.send("hold", payload={"gate": "go"})
        here.began(id)
        cluster.stop()
        try:
            here.open("go")
            until(lambda: here.history.events("ended", id=id), "the end of the handler")
            until(lambda: "no connection" in worker.text, "that the worker has noticed")
        finally:
            cluster.start()
        here.ended(id)
        here.check(once=True)
