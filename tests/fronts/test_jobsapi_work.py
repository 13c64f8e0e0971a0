"""Who does the work of jobs that clients of Job Queue + Worker API post, and what these see of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import mailbox
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.fronts.jobsapi_client import Old, Shown
from tests.handlers.http_sink import HttpSink, reply
from tests.handlers.smtp_sink import SmtpSink
from tests.server import running, running_server

SOON = {"ROTA_FRONTS__JOBSAPI__WORK": "20ms"}


def result_of(job: Shown) -> str:
    return base64.b64decode(job["result"]).decode()


def inside(old: Old, id: str) -> Any:
    """The job as Rota itself shows it."""
    return old.ask("GET", f"/v1/jobs/{id}").json()


def logged(old: Old, id: str) -> list[str]:
    """The lines in the job's log; the last ones may come a moment after its end."""

    def lines() -> list[str]:
        return [line["text"] for line in old.ask("GET", f"/v1/jobs/{id}/logs").json()["lines"]]

    old.wait(lines)
    return lines()


def connected(old: Old) -> bool:
    """Whether a worker has come from outside."""
    workers = old.ask("GET", "/v1/workers").json()["workers"]
    return any(worker["transport"] == "socket" for worker in workers)


def failure_of(old: Old, made: Shown) -> str:
    """Why the job failed; its clients see only that it did."""
    failed = old.until(made["id"], "failed")
    assert list(failed) == list(made)
    return str(inside(old, made["id"])["error"]["message"])


async def test_mail_is_really_sent(tmp_path: Path) -> None:
    async with SmtpSink().running() as sink:
        email = {"HOST": "127.0.0.1", "PORT": str(sink.port), "TLS": "none", "SENDER": "shop@example.com"}
        with running_server(
            tmp_path, env={f"ROTA_HANDLERS__EMAIL__{k}": v for k, v in email.items()}
        ) as server:
            old = Old(server.url)
            letter = {"to": "jo@example.com", "subject": "Grüße", "body": "Hello\nJo", "template": 7}
            made = old.post("send_email", letter)
            done = await asyncio.to_thread(old.until, made["id"], "done")
            lines = await asyncio.to_thread(logged, old, made["id"])
    assert result_of(done) == "Processed: send_email"
    [mail] = sink.mails
    assert (mail.sender, mail.recipients) == ("shop@example.com", ["jo@example.com"])
    message = message_from_bytes(mail.data, policy=policy.default)
    assert message["subject"] == "Grüße"
    assert message.get_content().splitlines() == ["Hello", "Jo"]
    # What the handler found out is with the job, and so is what it had no use for.
    assert lines[0] == "Not used: template."
    assert json.loads(lines[1]) == {
        "delivered": "smtp",
        "message_id": message["message-id"],
        "accepted": ["jo@example.com"],
        "server": f"127.0.0.1:{sink.port}",
        "answer": "250 2.0.0 queued as 42",
    }


def test_mail_goes_into_a_folder_without_a_server(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        old = Old(server.url)
        made = old.post("send_email", {"to": "jo@example.com"})
        assert result_of(old.until(made["id"], "done")) == "Processed: send_email"
        told = json.loads(logged(old, made["id"])[0])
    assert told["delivered"] == "maildir"
    [message] = mailbox.Maildir(tmp_path / "maildir", create=False)
    assert (message["to"], message["subject"]) == ("jo@example.com", "")


async def test_a_webhook_is_really_called(tmp_path: Path) -> None:
    sink = HttpSink({"/hook": reply(201, b"thank you")})
    async with sink.running():
        with running_server(tmp_path, env={"ROTA_HANDLERS__WEBHOOK__ALLOW_PRIVATE": "true"}) as server:
            old = Old(server.url)
            made = old.post("webhook", {"url": sink.url("/hook"), "data": {"order": 7}})
            done = await asyncio.to_thread(old.until, made["id"], "done")
            facts, body = await asyncio.to_thread(logged, old, made["id"])
    assert result_of(done) == "Processed: webhook"
    [request] = sink.requests
    assert (request.method, request.target, request.body) == ("POST", "/hook", b'{"order":7}')
    assert request.headers["webhook-id"] == made["id"]
    assert json.loads(facts)["status"] == 201
    assert body == "thank you"


async def test_a_webhook_is_tried_again(tmp_path: Path) -> None:
    answers = {"/hook": reply(503, b"not now", Retry_After="3000")}
    async with HttpSink(answers).running() as sink:
        with running_server(tmp_path, env={"ROTA_HANDLERS__WEBHOOK__ALLOW_PRIVATE": "true"}) as server:
            old = Old(server.url)
            made = old.post("webhook", {"url": sink.url("/hook")})
            id = made["id"]
            await asyncio.to_thread(old.wait, lambda: inside(old, id)["state"] == "scheduled")
            waiting = old.get(id)
            assert waiting == {**made, "updated_at": waiting["updated_at"]}
            assert waiting["updated_at"] > made["updated_at"]
            answers["/hook"] = reply(200)
            assert old.ask("POST", f"/v1/jobs/{id}/run-now").status_code == 200
            done = await asyncio.to_thread(old.until, id, "done")
            assert len(inside(old, id)["attempts"]) == 2
    assert result_of(done) == "Processed: webhook"
    assert done["updated_at"] > waiting["updated_at"]
    assert len(sink.requests) == 2


async def test_a_webhook_that_is_refused_for_good_fails(tmp_path: Path) -> None:
    async with HttpSink().running() as sink:
        with running_server(tmp_path, env={"ROTA_HANDLERS__WEBHOOK__ALLOW_PRIVATE": "true"}) as server:
            old = Old(server.url)
            made = old.post("webhook", {"url": sink.url("/nowhere")})
            told = await asyncio.to_thread(failure_of, old, made)
    assert "404 Not Found: no such path" in told


async def test_nothing_in_private_networks_is_called(tmp_path: Path) -> None:
    async with HttpSink({"/hook": reply(200)}).running() as sink:
        with running_server(tmp_path) as server:
            old = Old(server.url)
            for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
                made = old.post("webhook", {"url": sink.url("/hook", host)})
                told = await asyncio.to_thread(failure_of, old, made)
                assert "127.0.0.1" in told or "::1" in told, told
    assert not sink.connections


@pytest.mark.parametrize("type", ["process_file", "file_processing", "file_process"])
def test_files_are_really_processed(tmp_path: Path, type: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_bytes(b"one two\n")
    (tmp_path / "secret").write_bytes(b"secret\n")
    with running_server(tmp_path, env={"ROTA_HANDLERS__FILES__FOLDER": str(tmp_path / "files")}) as server:
        old = Old(server.url)
        made = old.post(type, {"file": "a.txt"})
        assert result_of(old.until(made["id"], "done")) == f"Processed: {type}"
        assert json.loads(logged(old, made["id"])[0]) == {
            "operation": "checksum",
            "path": "a.txt",
            "bytes": 8,
            "algorithm": "sha256",
            "checksum": hashlib.sha256(b"one two\n").hexdigest(),
        }
        packed = old.post(type, {"operation": "gzip", "path": "a.txt"})
        old.until(packed["id"], "done")
        for path in ("../secret", str(tmp_path / "secret"), "nothing.txt"):
            assert "path" in failure_of(old, old.post(type, {"path": path}))
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["a.txt", "a.txt.gz"]


def test_what_cannot_be_done_here_fails_and_says_why(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_HANDLERS__ENABLED": "webhook"}) as server:
        old = Old(server.url)
        file = failure_of(old, old.post("file_processing", {"path": "a.txt"}))
        mail = failure_of(old, old.post("send_email", {"to": "jo@example.com"}))
        shapes: list[Any] = [None, [], "http://x.org"]
        [shape] = {failure_of(old, old.post("webhook", payload)) for payload in shapes}
        url = failure_of(old, old.post("webhook", {"body": 1}))
    off, settings = "is switched off on this server; see the settings", "handlers.enabled"
    assert file == f"process_file {off} {settings} and handlers.files.folder."
    assert mail == f"send_email {off} {settings}."
    assert shape == "webhook: payload must be an object."
    assert "url" in url


def test_a_payload_that_is_kept_as_bytes_is_read_all_the_same(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        old = Old(server.url)
        body = b'{"type":"send_email","payload":{"to":"a@x.org","to":"b@x.org","body":"\\u0000"}}'
        made = old.send(body).json()
        assert result_of(old.until(made["id"], "done")) == "Processed: send_email"
        half = old.send(b'{"type":"send_email","payload":{"to":"a@x.org","body":"\\ud800"}}').json()
        assert failure_of(old, half) == "send_email: payload cannot be read."
    [message] = mailbox.Maildir(tmp_path / "maildir", create=False)
    assert message["to"] == "b@x.org"


OTHER = """
import rota

app = rota.App(queue="emails")


@app.task
def text(payload):
    return "größer\\n"


@app.task
def shape(payload):
    return {"got": payload, "type": rota.current().type}


@app.task
def octets(payload):
    return b"\\x00\\xff"


@app.task
def nothing(payload):
    pass


@app.task
def send_email(payload):
    raise rota.Fail("no stamps")


@app.fallback
def other(payload):
    return rota.current().headers["front-type"]
"""


def test_any_worker_serves_it_by_configuration(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHER)
    env = {"ROTA_FRONTS__JOBSAPI__QUEUE": "emails"}
    with (
        running_server(tmp_path, env=env) as server,
        running(tmp_path, "work", "other:app", env={"ROTA_URL": server.url}),
    ):
        old = Old(server.url)
        old.wait(lambda: connected(old))

        def ended(type: str, payload: object = None) -> bytes:
            made = old.post(type, payload)
            job = old.until(made["id"], "done")
            assert inside(old, job["id"])["queue"] == "emails"
            return base64.b64decode(job["result"])

        assert ended("text") == "größer\n".encode()
        assert json.loads(ended("shape", {"a": [1]})) == {"got": {"a": [1]}, "type": "shape"}
        assert ended("octets") == b"\x00\xff"
        assert ended("nothing") == b"null"
        assert ended("a type\n of old") == b'"a type\\n of old"'
        assert failure_of(old, old.post("send_email")) == "no stamps"
    assert not (tmp_path / "maildir").exists()


def test_it_goes_back_to_the_server_when_the_worker_leaves(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHER)
    with running_server(tmp_path, env={**SOON, "ROTA_FRONTS__JOBSAPI__QUEUE": "emails"}) as server:
        old = Old(server.url)
        with running(tmp_path, "work", "other:app", env={"ROTA_URL": server.url}):
            old.wait(lambda: connected(old))
            assert result_of(old.until(old.post("text")["id"], "done")) == "größer\n"
        old.wait(lambda: not connected(old))
        assert result_of(old.until(old.post("text")["id"], "done")) == "Processed: text"


def test_without_slots_jobs_wait(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ROTA_FRONTS__JOBSAPI__SLOTS": "0"}) as server:
        old = Old(server.url)
        made = old.post("t")
        job = inside(old, made["id"])
        assert job["state"] == "pending"
        assert job["tags"] == ["front:jobsapi"]
        assert old.get(made["id"]) == made
        # Cancelled is as near to failed as its words come.
        old.ask("POST", f"/v1/jobs/{made['id']}/cancel")
        failed = old.get(made["id"])
        assert failed["status"] == "failed"
        old.ask("POST", f"/v1/jobs/{made['id']}/retry")
        again = old.get(made["id"])
        assert again["status"] == "pending"
        assert made["updated_at"] < failed["updated_at"] < again["updated_at"]
