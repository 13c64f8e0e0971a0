"""The handlers as the tasks that a worker runs: from a payload in JSON to the ending that is reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.handlers import TYPES, HandlerSettings, build
from rota.handlers.settings import EmailSettings, FileSettings, WebhookSettings
from rota.model.protocol import Ending
from tests.handlers.http_sink import HttpSink, reply
from tests.handlers.one_job import work_off
from tests.handlers.record import JOB_ID


def result(ending: Ending) -> Any:
    assert ending.end == "done", ending.error
    assert isinstance(ending.result, msgspec.Raw)
    return msgspec.json.decode(ending.result)


def test_every_type_is_there_with_a_folder_and_all_but_one_without(tmp_path: Path) -> None:
    app = build(HandlerSettings(files=FileSettings(folder=str(tmp_path))))
    assert tuple(app.tasks) == TYPES
    assert {name: task.kind for name, task in app.tasks.items()} == {
        "sleep": "async",
        "send_email": "async",
        "webhook": "async",
        "process_file": "thread",
    }
    for task in app.tasks.values():
        task.signature.compile()
    assert tuple(build(HandlerSettings()).tasks) == TYPES[:-1]


def test_only_what_is_enabled_is_there() -> None:
    assert tuple(build(HandlerSettings(enabled=("webhook", "sleep"))).tasks) == ("sleep", "webhook")
    assert build(HandlerSettings(enabled=())).tasks == {}
    with pytest.raises(ValueError, match=r"enabled may hold sleep, send_email, .*, not 'x'"):
        build(HandlerSettings(enabled=("x",)))


def test_wrong_networks_show_when_the_app_is_built() -> None:
    with pytest.raises(ValueError, match="intranet"):
        build(HandlerSettings(webhook=WebhookSettings(allow_networks=("intranet",))))


async def test_results_as_they_are_kept(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a b\n")
    settings = HandlerSettings(
        email=EmailSettings(maildir=str(tmp_path / "mail")),
        webhook=WebhookSettings(allow_networks=("127.0.0.1/32",)),
        files=FileSettings(folder=str(tmp_path)),
    )
    assert result(await work_off(settings, "sleep", {"ms": 1})) == {"slept_ms": 1}
    count = {"operation": "count", "path": "f"}
    assert result(await work_off(settings, "process_file", count)) == count | {
        "bytes": 4,
        "lines": 1,
        "words": 2,
    }
    mail = {"to": "a@example.com", "from": "b@example.com", "subject": "s", "text": "t"}
    kept = result(await work_off(settings, "send_email", mail))
    path = Path(kept.pop("path"))
    assert kept == {
        "delivered": "maildir",
        "message_id": f"<rota.{JOB_ID}@example.com>",
        "accepted": ["a@example.com"],
    }
    assert path.read_bytes().startswith(b"From: b@example.com\n")
    async with HttpSink({"/": reply(200, b"ok")}).running() as sink:
        answer = result(await work_off(settings, "webhook", {"url": sink.url(), "body": {"n": 2**63}}))
        assert sink.requests[0].body == b'{"n":9223372036854775808}'
    assert answer.pop("elapsed_ms") >= 0
    assert answer == {
        "status": 200,
        "headers": {"content-length": "2"},
        "body": "ok",
        "encoding": "text",
        "truncated": False,
        "url": sink.url(),
    }


@pytest.mark.parametrize(
    ("type", "payload", "named"),
    [
        ("sleep", {}, "ms"),
        ("sleep", {"ms": "1"}, "ms"),
        ("sleep", {"ms": 1.5}, "ms"),
        ("sleep", {"ms": True}, "ms"),
        ("sleep", {"ms": -1}, "ms"),
        ("sleep", {"ms": 1, "s": 1}, "'s'"),
        ("send_email", {"to": "a@b.c", "text": "x"}, "subject"),
        ("send_email", {"to": "a@b.c", "subject": "x", "text": "x", "body": "x"}, "body"),
        ("send_email", {"to": 5, "subject": "x", "text": "x"}, "payload.to"),
        ("send_email", {"to": "a@b.c", "subject": "a\r\nB: c", "text": "x"}, "subject"),
        ("webhook", None, "payload"),
        ("webhook", {"url": "ftp://x/"}, "url"),
        ("webhook", {"url": "http://x/", "header": {}}, "header"),
        ("webhook", {"url": "http://x/", "headers": {"a": 1}}, "payload.headers"),
        ("process_file", {"operation": "erase", "path": "x"}, "payload.operation"),
        ("process_file", {"operation": "count", "path": "../x"}, "path"),
    ],
)
async def test_a_bad_payload_fails_at_once_and_is_named(
    type: str, payload: Any, named: str, tmp_path: Path
) -> None:
    settings = HandlerSettings(
        email=EmailSettings(maildir=str(tmp_path / "mail")), files=FileSettings(folder=str(tmp_path))
    )
    ending = await work_off(settings, type, payload)
    assert ending.error is not None
    assert (ending.end, ending.retry, ending.error.type) == ("failed", False, "BadPayload")
    assert named in ending.error.message
    assert list(tmp_path.iterdir()) == []


async def test_bytes_are_no_payload_for_any_of_them(tmp_path: Path) -> None:
    settings = HandlerSettings(files=FileSettings(folder=str(tmp_path)))
    for type in TYPES:
        ending = await work_off(settings, type, "AP8=", content_type="application/octet-stream")
        assert ending.error is not None
        assert (ending.retry, ending.error.type) == (False, "BadPayload")


async def test_a_refused_address_fails_for_good_and_a_busy_receiver_is_tried_again() -> None:
    ending = await work_off(HandlerSettings(), "webhook", {"url": "http://127.0.0.1/"})
    assert ending.error is not None
    assert (ending.end, ending.retry, ending.error.type) == ("failed", False, "rota.Fail")
    settings = HandlerSettings(webhook=WebhookSettings(allow_networks=("127.0.0.1",)))
    async with HttpSink({"/": reply(429, Retry_After="7")}).running() as sink:
        ending = await work_off(settings, "webhook", {"url": sink.url()})
    assert (ending.end, ending.retry, ending.delay) == ("failed", True, 7.0)


async def test_running_jobs_end_when_somebody_cancels_them(tmp_path: Path) -> None:
    settings = HandlerSettings(files=FileSettings(folder=str(tmp_path)))
    assert (await work_off(settings, "sleep", {"ms": 3_600_000}, cancel=True)).end == "cancelled"
    with (tmp_path / "big").open("wb") as file:
        file.truncate(1024**3)
    job = {"operation": "gzip", "path": "big"}
    assert (await work_off(settings, "process_file", job, cancel=True)).end == "cancelled"
    assert [path.name for path in tmp_path.iterdir()] == ["big"]


def test_settings_load_no_client_library() -> None:
    code = (
        "import sys, rota.handlers; rota.handlers.HandlerSettings();"
        "print([n for n in ('aiosmtplib', 'httpx2', 'httpcore2', 'ssl') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
