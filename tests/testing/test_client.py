"""Clients in a test reach the service of the test, with the answers a server would give; then no more."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_type_hints

import httpx2
import pytest

import rota
from rota.model.spec import JobSpec
from rota.sdk import calls
from rota.sdk.calls import Call
from rota.sdk.standin import stand_ins
from rota.testing import Harness, run
from tests.server import running_server
from tests.testing import shop

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "enqueue": (JobSpec(type="x"), "key"),
    "enqueue_and_wait": (JobSpec(type="x"), "key-2", 0.5),
    "enqueue_many": ([b'{"type": "x"}'], "key-3", [JobSpec(type="x")]),
    "job": ("ID",),
    "result": ("ID",),
    "logs": ("ID",),
    "cancel": ("ID",),
    "retry": ("ID",),
    "run_now": ("LATER",),
    "delete": ("ID",),
    "explain": ("ID",),
    "bulk": ("retry", {"state": "failed"}),
    "pause": ("q/1",),
    "resume": ("q/1",),
    "clear": ("q/1",),
    "drain_worker": ("nobody",),
}
NOT_CLIENTS = {"fetch", "finish", "beat", "upload_of", "keep_artifact"}
"""What workers ask; the worker of a test needs no words for it."""


def test_every_call_of_a_client_has_an_answer(t: Harness, tmp_path: Path) -> None:
    """Whatever it is; but none that rota.testing does not know."""
    archive = tmp_path / "upload.zip"
    with zipfile.ZipFile(archive, "w"):
        pass
    arguments = ARGUMENTS | {
        "upload": (JobSpec(type="x"), "key-4", archive),
        "artifact": ("ID", tmp_path / "artifact.zip"),
        "export": (tmp_path / "jobs.csv", "csv", ["id", "state"], False, 5, {"type": ["remind"]}),
    }
    done, later = shop.remind.enqueue(7), shop.remind.options(delay=60).enqueue(7)
    t.run_due()
    named = {"ID": done.id, "LATER": later.id}
    made = 0
    for name, function in inspect.getmembers(calls, inspect.isfunction):
        if name.startswith("_") or name in NOT_CLIENTS or function.__module__ != calls.__name__:
            continue
        returns = get_type_hints(function).get("return")
        if getattr(returns, "__origin__", None) is not Call:
            continue
        given = tuple(named.get(one, one) if isinstance(one, str) else one for one in arguments.get(name, ()))
        with suppress(rota.NotFound, rota.Conflict):
            shop.app.client.send(function(*given))
        made += 1
    assert made >= 25
    lines = (tmp_path / "jobs.csv").read_text().splitlines()
    assert lines[0] == "id,state"
    assert f"{later.id},scheduled" in lines


def test_answers_are_those_of_a_server(t: Harness) -> None:
    client = shop.app.client
    handle = shop.welcome.options(tags=["x"]).enqueue(7)
    t.run_due()
    assert client.job(handle.id).result == "welcome 7"
    assert [line.text for line in client.logs(handle.id).lines] == ["to user 7"]
    assert [job.id for job in client.jobs(state="done", tag="x").jobs] == [handle.id]
    assert client.jobs(since=t.now + timedelta(seconds=1)).jobs == ()
    assert {job.type for job in client.all_jobs(limit=1)} == {"welcome", "remind"}
    assert client.stats()["finished"] == {"done": 1, "failed": 0, "cancelled": 0}
    [worker] = client.workers()
    assert (worker.name, worker.transport) == ("rota.testing", "socket")
    assert client.pause("mail").paused
    [mail] = [queue for queue in client.queues() if queue.name == "mail"]
    assert (mail.paused, mail.scheduled, mail.done) == (True, 1, 1)
    assert client.clear("mail") == 1
    assert client.health() == {"status": "ok"}


def test_many_jobs_at_once(t: Harness) -> None:
    client = shop.app.client
    handles = [shop.remind.options(delay=60).enqueue(n) for n in range(3)]
    due = shop.welcome.enqueue(7)
    assert client.cancel_all(type="remind", dry_run=True).matched == 3
    done = client.cancel_all(type="remind", limit=2)
    assert (done.matched, done.changed, done.skipped) == (2, 2, 0)
    assert done.cursor is not None
    assert client.cancel_all(type="remind").changed == 1
    assert {client.job(one.id).state for one in handles} == {"cancelled"}
    assert client.retry_all(ids=[handles[0].id]).changed == 1
    assert client.delete_all(all=True).changed == 4
    with pytest.raises(rota.NotFound):
        client.job(due.id)


def test_failures_and_explanations(t: Harness) -> None:
    client = shop.app.client
    shop.broken += [ValueError("no card"), ValueError("no money")]
    ids = [shop.charge.options(retries=0).enqueue("a").id for _ in range(2)]
    later = shop.remind.options(delay=60).enqueue(7)
    t.run_due()
    [group] = client.failures(queue="default").failures
    assert (group.type, group.jobs, sum(group.hours)) == ("charge", 2, 2)
    assert {one.id for one in client.jobs(fingerprint=group.fingerprint).jobs} == set(ids)
    assert (group.error, group.frame, group.message) == ("ValueError", "shop.py:charge", "no money")
    assert client.failures(type="remind").failures == ()
    told = client.explain(later.id)
    assert (told.cause, told.certainty, told.at) == ("scheduled", "known", client.job(later.id).run_at)
    assert client.explain(ids[0]).cause == "attempts_used_up"


def test_figures_over_time_follow_the_clock(t: Harness) -> None:
    client = shop.app.client
    t.advance(-t.now.timestamp() % 5)
    start = t.now
    for _ in range(3):
        shop.remind.enqueue(7)
    t.run_due()
    t.advance(30)
    shop.remind.enqueue(7)
    t.run_due()
    t.advance(5)
    told = client.stats(resolution="5s", since=start, queue="mail")
    [line] = told["series"]
    assert (told["points"], line["done"]) == (7, [3, 0, 0, 0, 0, 0, 1])
    assert line["totals"]["enqueued"] == 4
    with pytest.raises(rota.BadInput, match="since must be before until"):
        client.stats(since=t.now + timedelta(hours=1))


def test_there_is_no_stream_of_events(t: Harness) -> None:
    """Rather than that of a real server, which may well be there."""
    with pytest.raises(NotImplementedError, match="no stream of events"):
        next(shop.app.client.events())


def test_refusals_are_those_of_a_server(t: Harness) -> None:
    client = shop.app.client
    deep: list[Any] = []
    for _ in range(70):
        deep = [deep]
    for call, kind, code in (
        (lambda: client.jobs(tag="a\0b"), rota.BadInput, "bad_character"),
        (lambda: client.jobs(limit=1000), rota.BadInput, "invalid_limit"),
        (lambda: client.enqueue(rota.job("x", payload=deep)), rota.BadInput, "too_deep"),
        (lambda: client.delete_all(state="running"), rota.BadInput, "invalid_filter"),
        (lambda: client.stats(group="worker"), rota.BadInput, "invalid_group"),
        (lambda: client.job("nothing"), rota.NotFound, "job_not_found"),
        (lambda: client.enqueue(rota.job("bad type")), rota.BadInput, "invalid_type"),
        (lambda: client.enqueue(rota.job("x", priority=1000)), rota.BadInput, "invalid_priority"),
        (lambda: client.jobs(state="finished"), rota.BadInput, "invalid_filter"),
        (lambda: client.retry(shop.remind.enqueue(7).id), rota.Conflict, "invalid_state"),
    ):
        with pytest.raises(kind) as refused:
            call()
        assert refused.value.code == code


def test_payloads_of_bytes_come_back_as_bytes() -> None:
    app = rota.App()

    @app.task
    def upper(payload: bytes) -> bytes:
        return payload.upper()

    with run(app) as t:
        handle = upper.enqueue(b"abc")
        t.run_due()
        assert handle.result() == b"ABC"
        assert t.assert_done(handle) == b"ABC"
        assert t.job(handle).value == b"ABC"


def test_clients_that_were_made_before_and_elsewhere_are_reached_too() -> None:
    app = rota.App()
    before = rota.Client()
    with run(app) as t:
        ids = [before.enqueue(rota.job("x")).id, rota.Client().enqueue(rota.job("x")).id]
        found = []
        thread = threading.Thread(target=lambda: found.append(app.enqueue(rota.job("x")).id))
        thread.start()
        thread.join()
        assert [job.id for job in t.enqueued("x")] == ids + found
        with pytest.raises(rota.Unavailable):
            rota.Client("http://127.0.0.1:9", retries=0).health()


def test_afterwards_everything_is_as_it_was(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = threading.active_count()
    with running_server(tmp_path) as server:
        monkeypatch.setenv("ROTA_URL", server.url)
        app = rota.App()
        with run(app) as t:
            inside = app.enqueue(rota.job("x"))
            t.run_due()
        assert stand_ins == {}
        with pytest.raises(rota.NotFound):
            inside.status()
        outside = app.enqueue(rota.job("x"))
        told = httpx2.get(f"{server.url}/v1/jobs").json()["jobs"]
        assert [job["id"] for job in told] == [outside.id]
        app.close()
    with pytest.raises(RuntimeError, match="closed"):
        t.run_due()
    with pytest.raises(RuntimeError, match="closed"):
        t.enqueued()
    assert threading.active_count() == threads


def test_an_error_in_the_block_is_the_one_that_is_seen() -> None:
    with pytest.raises(KeyError), run(shop.app):
        raise KeyError
    assert stand_ins == {}


def test_two_runs_for_one_server_are_refused_and_undone(t: Harness) -> None:
    with pytest.raises(RuntimeError, match=r"name all apps in one: run\(app, other\)"), run(rota.App()):
        raise AssertionError
    shop.sign_up(7)
    assert t.run_due() == {"done": 1}


def test_wrong_arguments_of_run_are_refused() -> None:
    with pytest.raises(TypeError, match=r"one or more rota\.App"):
        run()
    with pytest.raises(TypeError, match=r"one or more rota\.App"):
        run(shop)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="slots"):
        run(shop.app, slots=0)
    with pytest.raises(TypeError, match="list of names"):
        run(shop.app, queues="mail")
    other = rota.App("http://other.example")
    other.task(name="remind")(lambda: None)
    with pytest.raises(ValueError, match="Two of the apps have a task 'remind'"), run(shop.app, other):
        raise AssertionError
    app = rota.App()
    app.task(name="lock")(_takes_a_lock)
    with pytest.raises(TypeError, match="cannot be read from JSON"), run(app):
        raise AssertionError
    assert stand_ins == {}


def _takes_a_lock(lock: threading.Event) -> None: ...


def test_a_run_loads_the_service_and_no_server() -> None:
    program = """
import sys, rota, rota.testing
assert not [name for name in sys.modules if name.startswith(("rota.sdk", "rota.core", "apsw"))]
app = rota.App()
work = app.task(name="work")(lambda: 7)
with rota.testing.run(app) as t:
    assert work.enqueue().result() == 7
print(*sorted(sys.modules))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    loaded = set(out.split())
    assert {"rota.core.service", "rota.sdk.desk", "apsw"} <= loaded
    assert not loaded & {"starlette", "uvicorn", "uvloop", "httptools", "websockets", "yaml", "click"}
    ours = {name for name in loaded if name.startswith(("rota.web.", "rota.app", "rota.config"))}
    shapes = {"figures", "filters", "intake", "parameters", "rows", "strict", "target", "terms", "wire"}
    assert ours == {f"rota.web.{name}" for name in shapes}


def test_the_real_time_at_the_start_is_that_of_the_machine() -> None:
    with run(shop.app) as t:
        assert abs(t.now - datetime.now(UTC)) < timedelta(seconds=60)
