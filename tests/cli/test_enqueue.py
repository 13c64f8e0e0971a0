"""One job from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.kit import Cli


def test_the_id_is_what_is_printed(rota: Cli) -> None:
    ran = rota("enqueue", "sleep", '{"ms": 1}')
    assert (ran.status, ran.err) == (0, "")
    job = rota.job(ran.out.strip())
    assert (job["type"], job["payload"], job["queue"]) == ("sleep", {"ms": 1}, "default")


def test_every_flag_reaches_the_job(rota: Cli) -> None:
    id = rota.id(
        "nobody", '[1, 2.50, "ü"]', "--queue", "later", "--priority", "7", "--run-at", "2100-01-01T00:00:00Z",
        "--expires-at", "2100-01-02T00:00:00Z", "--timeout", "1m30s", "--max-attempts", "3",
        "--retry", '{"kind": "list", "delays": [1, 5]}', "--tag", "a", "--tag", "b",
        "--unique-key", "one of it", "--header", "x=y=z", "--header", "trace=", "--retention", "2h",
    )  # fmt: skip
    job = rota.job(id)
    assert job["payload"] == [1, 2.5, "ü"]
    assert job["headers"] == {"x": "y=z", "trace": ""}
    assert (job["queue"], job["priority"], job["timeout"], job["max_attempts"]) == ("later", 7, 90.0, 3)
    assert (job["tags"], job["unique_key"]) == (["a", "b"], "one of it")
    assert job["retry"] == {"kind": "list", "delays": [1.0, 5.0]}
    assert (job["run_at"], job["expires_at"]) == (
        "2100-01-01T00:00:00.000000Z",
        "2100-01-02T00:00:00.000000Z",
    )
    assert (job["state"], job["retention"]) == ("scheduled", 7200.0)


def test_delay_is_told_as_people_say_it(rota: Cli) -> None:
    assert rota.job(rota.id("sleep", '{"ms": 1}', "--delay", "2h"))["state"] == "scheduled"


def test_json_is_the_answer_of_the_api(rota: Cli) -> None:
    answer = rota("enqueue", "sleep", '{"ms": 1}', "--json").json
    assert answer == {
        "id": answer["id"],
        "type": "sleep",
        "queue": "default",
        "state": "pending",
        "created": True,
    }


def test_the_same_key_gives_the_same_job(rota: Cli) -> None:
    first = rota("enqueue", "sleep", '{"ms": 1}', "--idempotency-key", "k1")
    second = rota("enqueue", "sleep", '{"ms": 1}', "--idempotency-key", "k1")
    other = rota("enqueue", "sleep", '{"ms": 2}', "--idempotency-key", "k1")
    assert (first.out, first.status) == (second.out, second.status)
    assert "same idempotency key" in second.err
    assert (other.status, other.out) == (1, "")
    assert "idempotency key" in other.err


def test_bytes_from_a_file_with_their_type(rota: Cli, folder: Path) -> None:
    (folder / "picture.png").write_bytes(b"\x89PNG\x00\xff")
    job = rota.job(
        rota.id("nobody", "--payload-file", "picture.png", "--content-type", "image/png", "--queue", "later")
    )
    assert (job["payload_base64"], job["content_type"]) == ("iVBORwD/", "image/png")


def test_payload_from_standard_input(rota: Cli) -> None:
    ran = rota("enqueue", "add", "--payload-file", "-", "--wait", "10", stdin='{"a": 1,\n "b": 2}')
    assert (ran.status, ran.out) == (0, "3\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sleep", "{ms: 5}"], "PAYLOAD is not JSON"),
        (["sleep", "hello"], """'"hello"'"""),
        (["sleep", '{"ms": 5} x'], "PAYLOAD is not JSON"),
        (["sleep", b'"\xff"'], "not text in UTF-8"),
        (["sleep", b'{"\xff": 1}'], "not text in UTF-8"),
        ([b"sl\xffeep"], "An argument is not text in UTF-8"),
        (["sleep", "[" * 100_000], "nested too deeply"),
        (["sleep", "1", "--payload-file", "x"], "not both"),
        (["sleep", "--payload-file", "nowhere.json"], "'nowhere.json' cannot be read: No such file"),
        (["sleep", "--content-type", "image/png"], "needs PAYLOAD"),
        (["sleep", "--retry", "never"], "--retry"),
        (["sleep", "--retry", '{"kind": "sometimes"}'], "sometimes"),
        (["sleep", "--header", "x"], "NAME=VALUE"),
        (["--file", "x", "--wait", "3"], "--wait is for one job"),
        (["--file", "nowhere.ndjson"], "'nowhere.ndjson' cannot be read: No such file"),
        (["--file", "."], "is a folder"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_meant_is_told_before_anything_is_sent(
    alone: Cli, arguments: list[str | bytes], words: str
) -> None:
    ran = alone("enqueue", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a b"], "type must be"),
        (["sleep", "--queue", "../x"], "queue must be"),
        (["sleep", "--run-at", "tomorrow"], "run_at must be RFC 3339"),
        (["sleep", "--run-at", "2100-01-01T00:00:00Z", "--delay", "5"], "not both"),
        (["sleep", "--expires-at", "2001-01-01T00:00:00Z"], "expires_at"),
    ],
    ids=str,
)
def test_what_the_server_refuses_is_one_sentence(rota: Cli, arguments: list[str], words: str) -> None:
    ran = rota("enqueue", *arguments)
    assert (ran.status, ran.out) == (1, "")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_wait_prints_the_result(rota: Cli) -> None:
    ran = rota("enqueue", "nap", '{"seconds": 0.1}', "--wait", "10")
    assert (ran.status, ran.out, ran.err) == (0, '"rested"\n', "")


def test_wait_gives_bytes_as_they_are(rota: Cli) -> None:
    assert len(rota("enqueue", "picture", "--wait", "10").out) == 256


def test_wait_tells_a_failure(rota: Cli) -> None:
    ran = rota("enqueue", "fails", '{"text": "no paper \\u001b[31mleft"}', "--wait", "10")
    assert (ran.status, ran.out) == (1, "")
    assert "failed: rota.Fail: no paper \\u001b[31mleft" in ran.err
    assert "\x1b" not in ran.err


def test_wait_ends_before_the_job(rota: Cli) -> None:
    ran = rota("enqueue", "nobody", "--queue", "later", "--wait", "0.2")
    assert (ran.status, ran.out) == (3, "")
    assert "is pending" in ran.err
    assert "later" in ran.err


def test_wait_with_json_gives_the_job(rota: Cli) -> None:
    job = rota("enqueue", "add", '{"a": 1, "b": 1}', "--wait", "10", "--json").json
    assert (job["state"], job["result"]) == ("done", 2)


def test_wait_for_a_job_of_then_that_is_gone(rota: Cli) -> None:
    arguments = ("add", '{"a": 1, "b": 1}', "--idempotency-key", "gone")
    id = rota("enqueue", *arguments, "--wait", "10", "--json").json["id"]
    assert rota("jobs", "delete", id).status == 0
    ran = rota("enqueue", *arguments, "--wait", "1")
    assert (ran.status, ran.out) == (1, "")
    assert f"The job {id}" in ran.err


def test_no_server(alone: Cli) -> None:
    ran = alone("enqueue", "sleep", '{"ms": 1}')
    assert (ran.status, ran.out) == (1, "")
    assert "http://127.0.0.1:9" in ran.err
    assert "rota serve" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_something_else_than_a_server(alone: Cli) -> None:
    ran = alone("jobs", "list", "--url", "ftp://example.com")
    assert ran.status == 2
    assert "http://HOST:PORT" in ran.err


def test_url_and_json_may_stand_before_the_command(rota: Cli) -> None:
    ran = rota("--url", rota.url, "queues", "--json", "list", env={"ROTA_URL": "http://127.0.0.1:9"})
    assert ran.status == 0
    assert "queues" in json.loads(ran.out)
