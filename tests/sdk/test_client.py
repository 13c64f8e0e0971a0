"""Both clients: what they send, how they read answers and failures, when they try again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

import rota
from rota import AsyncClient, Client
from rota.model import errors
from rota.model.spec import MAX_JOBS
from rota.sdk import calls
from rota.sdk.transport import split
from tests.sdk.peer import Asked, Peer, Reply, peer, problem

JOB = {
    "id": "j1",
    "type": "t",
    "queue": "q",
    "state": "running",
    "priority": 5,
    "created_at": "2026-01-31T08:30:00.000000Z",
    "progress": {"value": 0.5, "message": "half"},
    "error": {"type": "E", "message": "m", "traceback": None},
    "attempts": [
        {"attempt": 1, "worker": "w", "started_at": None, "finished_at": None, "end": "failed", "error": None}
    ],
    "a_field_of_tomorrow": {"x": 1},
}
GROUP = {"fingerprint": "f", "type": "t", "error": "E", "frame": None, "jobs": 2, "hours": [0, 2]}
QUEUE = {"name": "q", "paused": True, "pending": 3, "oldest_age": 1.5, "types_without_worker": ["t"]}
WORKER = {"worker": "w", "transport": "socket", "queues": ["q"], "types": None, "slots": 4, "running": 1}


def created(asked: Asked) -> Reply:
    body = asked.json
    if "jobs" in body:
        return Reply(201, {"jobs": [{"id": f"id-{one['payload']}", "created": True} for one in body["jobs"]]})
    return Reply(
        201, {"id": "j1", "state": "pending", "queue": "default", "type": body["type"], "created": True}
    )


@pytest.fixture(params=["blocking", "asynchronous"])
def use(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``use(url, name, *args)`` calls one method of either client."""

    def blocking(url: str, name: str, *args: Any, **options: Any) -> Any:
        with Client(url, token="secret", retries=options.pop("retries", 4)) as client:
            answer = getattr(client, name)(*args, **options)
            return list(answer) if name == "all_jobs" else answer

    def asynchronous(url: str, name: str, *args: Any, **options: Any) -> Any:
        async def call() -> Any:
            async with AsyncClient(url, token="secret", retries=options.pop("retries", 4)) as client:
                answer = getattr(client, name)(*args, **options)
                return [one async for one in answer] if name == "all_jobs" else await answer

        return asyncio.run(call())

    return blocking if request.param == "blocking" else asynchronous


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], str, Any, Callable[[Any], object]]] = [
    (
        "job",
        ("a/b",),
        {},
        "GET /v1/jobs/a%2Fb",
        JOB,
        lambda job: job.progress.value == 0.5 and job.attempts[0].end,
    ),
    (
        "jobs",
        (),
        {
            "state": ["done", "failed"],
            "queue": "q",
            "tag": "ä",
            "since": datetime(2026, 1, 1, tzinfo=UTC),
            "limit": 5,
        },
        "GET /v1/jobs?state=done%2Cfailed&queue=q&tag=%C3%A4&since=2026-01-01T00%3A00%3A00%2B00%3A00&limit=5",
        {"jobs": [JOB], "cursor": "c"},
        lambda page: page.cursor == "c" and page.jobs[0].priority == 5,
    ),
    (
        "logs",
        ("j",),
        {"after": 3, "limit": 2},
        "GET /v1/jobs/j/logs?after=3&limit=2",
        {"lines": [{"n": 4, "at": "2026-01-01T00:00:00Z", "level": "info", "text": "x"}], "next": 4},
        lambda page: page.next == 4 and page.lines[0].text == "x",
    ),
    (
        "explain",
        ("j",),
        {},
        "GET /v1/jobs/j/explain",
        {"id": "j1", "state": "pending", "cause": "no_worker", "sentence": "s", "causes": [], "at": None},
        lambda told: (told.cause, told.at) == ("no_worker", None),
    ),
    ("cancel", ("j",), {}, "POST /v1/jobs/j/cancel", JOB, lambda job: job.id == "j1"),
    ("retry", ("j",), {}, "POST /v1/jobs/j/retry", JOB, lambda job: job.id == "j1"),
    ("run_now", ("j",), {}, "POST /v1/jobs/j/run-now", JOB, lambda job: job.id == "j1"),
    ("delete", ("j",), {}, "DELETE /v1/jobs/j", None, lambda answer: answer is None),
    (
        "failures",
        ("q",),
        {"limit": 3, "cursor": "c"},
        "GET /v1/failures?queue=q&limit=3&cursor=c",
        {"failures": [GROUP], "cursor": "d"},
        lambda page: (
            page.cursor == "d" and page.failures[0].hours == (0, 2) and page.failures[0].frame is None
        ),
    ),
    (
        "retry_all",
        (),
        {"state": ["failed"], "fingerprint": "f"},
        "POST /v1/jobs/retry",
        {"matched": 3, "changed": 2, "skipped": 1, "cursor": None},
        lambda done: (done.matched, done.changed, done.skipped) == (3, 2, 1),
    ),
    ("queues", (), {}, "GET /v1/queues", {"queues": [QUEUE]}, lambda queues: queues[0].pending == 3),
    ("pause", ("a:b/c",), {}, "POST /v1/queues/a%3Ab%2Fc/pause", QUEUE, lambda queue: queue.paused),
    ("resume", ("q",), {}, "POST /v1/queues/q/resume", QUEUE, lambda queue: queue.oldest_age == 1.5),
    ("clear", ("q",), {}, "DELETE /v1/queues/q/jobs", {"deleted": 7}, lambda deleted: deleted == 7),
    ("workers", (), {}, "GET /v1/workers", {"workers": [WORKER]}, lambda workers: workers[0].types is None),
    ("drain_worker", ("w",), {}, "POST /v1/workers/w/drain", WORKER, lambda worker: worker.slots == 4),
    ("stats", (), {}, "GET /v1/stats", {"uptime": 1.0}, lambda stats: stats["uptime"] == 1.0),
    ("health", (), {}, "GET /health", {"status": "ok"}, lambda health: health["status"] == "ok"),
]


@pytest.mark.parametrize(
    ("name", "args", "options", "line", "body", "check"), CALLS, ids=[one[0] for one in CALLS]
)
def test_every_call(
    use: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    options: dict[str, Any],
    line: str,
    body: Any,
    check: Callable[[Any], object],
) -> None:
    with peer(lambda asked: Reply(200, body)) as server:
        assert check(use(server.url, name, *args, **options))
    (asked,) = server.asked
    assert f"{asked.method} {asked.path}" == line
    assert asked.headers["authorization"] == "Bearer secret"


def test_an_enqueue_sends_the_job_and_a_key(use: Callable[..., Any]) -> None:
    with peer(created) as server:
        kept = use(server.url, "enqueue", rota.job("t", {"a": 1}, priority=2))
        use(server.url, "enqueue", rota.job("t", {"a": 1}, priority=2))
        use(server.url, "enqueue", rota.job("t", 0), idempotency_key="mine")
        use(server.url, "enqueue", rota.job("t", 0, idempotency_key="in the job"))
        with pytest.raises(errors.BadInput, match="must be printable ASCII"):
            use(server.url, "enqueue", rota.job("t", 0), idempotency_key="schlüssel")
    assert (kept.id, kept.state, kept.created) == ("j1", "pending", True)
    first, second, mine, inside = server.asked
    assert first.json == {"type": "t", "payload": {"a": 1}, "priority": 2}
    assert first.headers["content-type"] == "application/json"
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert mine.headers["idempotency-key"] == "mine"
    assert "idempotency-key" not in inside.headers


def test_many_jobs_are_split_into_requests_that_a_server_takes(use: Callable[..., Any]) -> None:
    with peer(created) as server:
        kept = use(server.url, "enqueue_many", (rota.job("t", n) for n in range(2 * MAX_JOBS + 1)))
        assert [one.id for one in kept] == [f"id-{n}" for n in range(2 * MAX_JOBS + 1)]
        assert use(server.url, "enqueue_many", []) == []
    assert [len(asked.json["jobs"]) for asked in server.asked] == [MAX_JOBS, MAX_JOBS, 1]
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 3


def test_splitting_minds_bytes_and_keys() -> None:
    large = rota.job("t", "x" * 9_000_000)
    parts = list(split([large, large, rota.job("t")], "key"))
    assert [len(cast(bytes, part.body)) > 9_000_000 for part in parts] == [True, True]
    assert [part.headers["Idempotency-Key"] for part in parts] == ["key", "key/1"]
    (part,) = split([rota.job("t", 1, idempotency_key="a"), rota.job("t", 2)], None)
    assert not part.headers
    assert part.body is not None
    assert part.body.count(b'"idempotency_key"') == 2
    with pytest.raises(ValueError, match="not both"):
        list(split([rota.job("t", 1, idempotency_key="a")], "b"))


def test_run_waits_for_the_end(use: Callable[..., Any]) -> None:
    with peer(lambda asked: Reply(200, {**JOB, "state": "done", "result": [1]})) as server:
        job = use(server.url, "run", rota.job("t"), 2.5)
    assert (job.state, job.value, job.ended) == ("done", [1], True)
    assert server.asked[0].path == "/v1/jobs?wait=2.5"


@pytest.mark.parametrize("act", ["cancel", "retry", "delete"])
def test_bulk_work_goes_on_until_it_is_done(use: Callable[..., Any], act: str) -> None:
    def answer(asked: Asked) -> Reply:
        more = None if asked.json.get("cursor") == "two" else "two"
        return Reply(200, {"matched": 3, "changed": 2, "skipped": 1, "cursor": more})

    with peer(answer) as server:
        done = use(server.url, f"{act}_all", queue="q", ids=["a"], since=datetime(2026, 1, 1, tzinfo=UTC))
        use(server.url, f"{act}_all", all=True, limit=3)
        use(server.url, f"{act}_all", all=True, dry_run=True, limit=4)
    assert (done.matched, done.changed, done.skipped, done.cursor) == (6, 4, 2, None)
    which = {"queue": "q", "ids": ["a"], "since": "2026-01-01T00:00:00+00:00"}
    everything: dict[str, Any] = {"filter": {}, "all": True}
    assert [asked.json for asked in server.asked] == [
        {"filter": which},
        {"filter": which, "cursor": "two"},
        {**everything, "limit": 3},
        {**everything, "dry_run": True, "limit": 4},
        {**everything, "dry_run": True, "limit": 1, "cursor": "two"},
    ]


def test_all_jobs_follows_the_cursor(use: Callable[..., Any]) -> None:
    def answer(asked: Asked) -> Reply:
        cursor = None if "cursor=two" in asked.path else "two"
        return Reply(200, {"jobs": [{**JOB, "id": cursor or "last"}], "cursor": cursor})

    with peer(answer) as server:
        assert [job.id for job in use(server.url, "all_jobs", queue="q")] == ["two", "last"]
    assert [asked.path for asked in server.asked] == ["/v1/jobs?queue=q", "/v1/jobs?queue=q&cursor=two"]


def test_raw_results(use: Callable[..., Any]) -> None:
    replies = [
        Reply(202, {"id": "j", "state": "running"}),
        Reply(200, b"\x00\x01", "image/png"),
    ]
    with peer(lambda asked: replies.pop(0)) as server:
        assert use(server.url, "result", "j", 1.5).state == "running"
        blob = use(server.url, "result", "j")
    assert (blob.data, blob.content_type, blob.state) == (b"\x00\x01", "image/png", None)
    assert [asked.path for asked in server.asked] == ["/v1/jobs/j/result?wait=1.5", "/v1/jobs/j/result"]


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (problem(401, "missing_credentials", "No token."), errors.Unauthorized, "missing_credentials"),
        (problem(403, "forbidden", "No."), errors.Forbidden, "forbidden"),
        (problem(404, "job_not_found", "No job."), errors.NotFound, "job_not_found"),
        (problem(409, "job_running", "It runs."), errors.Conflict, "job_running"),
        (problem(409, "stale_lease", "Old."), errors.StaleLease, "stale_lease"),
        (problem(422, "invalid_priority", "Bad.", field="priority"), errors.BadInput, "invalid_priority"),
        (problem(413, "payload_too_large", "Big."), errors.BadInput, "payload_too_large"),
        (problem(503, "draining", "Later."), errors.Unavailable, "draining"),
        (problem(503, "store_unavailable", "Disk."), errors.StoreError, "store_unavailable"),
        (problem(500, "internal", "Oops."), errors.RotaError, "internal"),
        (Reply(502, b"<html>Bad gateway", "text/html"), errors.Unavailable, "unavailable"),
    ],
)
def test_problems_become_the_errors_they_stand_for(
    use: Callable[..., Any], reply: Reply, kind: type[errors.RotaError], code: str
) -> None:
    with peer(lambda asked: reply) as server, pytest.raises(errors.RotaError) as caught:
        use(server.url, "job", "j", retries=0)
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status) == (code, reply.status)
    if isinstance(reply.body, dict):
        assert error.detail == reply.body["detail"]
        assert error.field == reply.body.get("field")
    else:
        assert "502" in error.detail


def test_further_members_of_a_problem_are_kept(use: Callable[..., Any]) -> None:
    with peer(lambda asked: problem(409, "job_failed", "It failed.", reason="timeout")) as server:
        with pytest.raises(errors.Conflict) as caught:
            use(server.url, "result", "j")
    assert caught.value.extra == {"reason": "timeout"}


def test_an_answer_that_is_not_rotas_is_told(use: Callable[..., Any]) -> None:
    with peer(lambda asked: Reply(200, b"<html>hello", "text/html")) as server:
        with pytest.raises(errors.RotaError, match="is the URL right"):
            use(server.url, "queues")


def test_an_unavailable_server_is_asked_again_with_the_same_key(use: Callable[..., Any]) -> None:
    replies = [problem(503, "draining", "Later."), Reply(hang_up=True), problem(503, "draining", "Later.")]

    def answer(asked: Asked) -> Reply:
        return replies.pop(0) if replies else created(asked)

    with peer(answer) as server:
        assert use(server.url, "enqueue", rota.job("t", 1)).id == "j1"
    assert len(server.asked) == 4
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len({asked.body for asked in server.asked}) == 1


def test_what_must_not_be_done_twice_is_not_sent_twice(use: Callable[..., Any]) -> None:
    for name in ("retry", "run_now", "delete"):
        with peer(lambda asked: Reply(hang_up=True)) as server, pytest.raises(errors.Unavailable):
            use(server.url, name, "j")
        assert len(server.asked) == 1
    with peer(lambda asked: Reply(hang_up=True)) as server, pytest.raises(errors.Unavailable):
        use(server.url, "cancel", "j", retries=2)
    assert len(server.asked) == 3


def test_input_errors_are_not_tried_again(use: Callable[..., Any]) -> None:
    with peer(lambda asked: problem(422, "invalid_type", "Bad.")) as server, pytest.raises(errors.BadInput):
        use(server.url, "enqueue", rota.job("t"))
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_named(use: Callable[..., Any]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(errors.Unavailable, match=f"No Rota server answers at {url}") as caught:
            use(url, "enqueue", rota.job("t"), retries=2)
    assert caught.value.code == "unreachable"
    assert "rota serve" in str(caught.value)
    assert 0.1 < time.monotonic() - started < 5


def test_a_server_that_comes_up_in_time_is_found(use: Callable[..., Any]) -> None:
    import threading

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    done = threading.Event()
    up: list[Peer] = []

    def later() -> None:
        with peer(created, port) as server:
            up.append(server)
            done.wait(10)

    timer = threading.Timer(0.15, later)
    timer.start()
    try:
        assert use(f"http://127.0.0.1:{port}", "enqueue", rota.job("t"), retries=8).id == "j1"
    finally:
        done.set()
        timer.join()


def test_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with peer(created) as server, Client(server.url) as client:
        for _ in range(5):
            client.enqueue(rota.job("t"))
        assert len({asked.connection for asked in server.asked}) == 1
        assert "authorization" not in server.asked[0].headers


def test_where_the_server_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Client() as client:
        assert client.url == "http://127.0.0.1:8080"
    monkeypatch.setenv("ROTA_URL", "https://jobs.example/rota/")
    with Client() as client:
        assert client.url == "https://jobs.example/rota"
    with Client("http://[::1]:9") as client:
        assert client.url == "http://[::1]:9"
    for bad in ("jobs.example", "ftp://x", "http://", "http://x:99999", "http://x/?a=1"):
        with pytest.raises(errors.BadConfig, match="url"):
            Client(bad)
    with peer(lambda asked: Reply(200, {})) as server:
        file = tmp_path / "token"
        file.write_text("from-file\n")
        monkeypatch.setenv("ROTA_TOKEN_FILE", str(file))
        for token in ("from-file", "from-env", "given"):
            if token == "from-env":
                monkeypatch.setenv("ROTA_TOKEN", token)
            with Client(server.url, "given" if token == "given" else None) as client:
                client.health()
            assert server.asked[-1].headers["authorization"] == f"Bearer {token}"
    for bad in ("two words", "ü", "a\nb"):
        with pytest.raises(errors.BadConfig, match="token"):
            Client("http://x", bad)
    monkeypatch.delenv("ROTA_TOKEN")
    monkeypatch.setenv("ROTA_TOKEN_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(errors.BadConfig, match="ROTA_TOKEN_FILE"):
        Client("http://x")


def test_one_description_serves_both_clients() -> None:
    """Both have the same methods, and nothing but those."""
    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}
    described = {
        name
        for name, one in vars(calls).items()
        if callable(one)
        and getattr(one, "__module__", "") == calls.__name__
        and name.islower()
        and not name.startswith("_")
        and name
        not in (
            "error_of",
            "enqueue_and_wait",
            "bulk",
            "fetch",
            "finish",
            "beat",
            "upload_of",
            "keep_artifact",
        )
    }
    assert described <= names
