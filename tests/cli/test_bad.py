"""Faulty configuration, stores that cannot be used, and input that is none: a sentence and a status."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.kit import Cli

FILES = [
    ("liste: 1", "rota.yaml:1", "listen"),
    ("grace: soon", "rota.yaml:1", "grace"),
    ("\nbody_limit: 10 mb/s", "rota.yaml:2", "body_limit"),
    ("body_timeout: 0", "rota.yaml:1", "body_timeout"),
    ("connections: 5", "rota.yaml:1", "connections"),
    ("header_timeout: -1s", "rota.yaml:1", "header_timeout"),
    ("keep_alive: [1]", "rota.yaml:1", "keep_alive"),
    ("slots: 1\nslots: 2", "rota.yaml", "slots"),
    ("a: [", "rota.yaml", ""),
    ("- a\n- b", "rota.yaml", ""),
    ("!!python/object/apply:os.system ['true']", "rota.yaml", ""),
]


@pytest.mark.bad(115)
@pytest.mark.parametrize(("text", "place", "key"), FILES)
def test_faulty_files(alone: Cli, text: str, place: str, key: str) -> None:
    """Told before anything is opened: no store is made."""
    (alone.folder / "rota.yaml").write_text(text)
    for command in (("check",), ("serve", "--listen", "127.0.0.1:0")):
        ran = alone(*command)
        assert ran.status == 2, ran
        told = ran.out + ran.err
        assert place in told
        assert key in told
        assert "Traceback" not in told
    assert not list(alone.folder.glob("*.db*"))


def newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()


@pytest.mark.bad(116)
@pytest.mark.parametrize("kind", ["folder", "text", "another program's", "cut off", "no place"])
def test_stores_that_cannot_be_used_are_left_as_they_are(alone: Cli, kind: str) -> None:
    path = alone.folder / "some.db"
    match kind:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("no database at all\n" * 100)
        case "another program's":
            newer(path)
        case "cut off":
            newer(path)
            path.write_bytes(path.read_bytes()[:50] + b"x" * 50)
        case "no place":
            path = Path("/proc/nowhere/some.db")
    before = path.read_bytes() if path.is_file() else None
    ran = alone("serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:///{path}")
    assert ran.status == 1, ran
    assert "some.db" in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.bad(35, 37, 38, 43, 44)
@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'"\\ud800"',
        b'"\\u0000"',
        b"\xff",
        b'{"a": 1, "a": 2}',
        b"[1e999]",
        b"[" * 5000,
    ],
)
def test_payloads_on_the_command_line(rota: Cli, payload: bytes) -> None:
    """As an argument and in a file of jobs: refused, and nothing is stored."""
    before = rota.get("/v1/stats")["enqueued"]
    ran = rota("enqueue", "add", payload)
    assert ran.status != 0, ran
    assert "Traceback" not in ran.err
    lines = b'{"type": "add", "payload": ' + payload + b"}\n"
    (rota.folder / "jobs.jsonl").write_bytes(lines)
    ran = rota("enqueue", "--file", "jobs.jsonl")
    assert ran.status != 0, ran
    assert "Traceback" not in ran.err
    assert rota.get("/v1/stats")["enqueued"] == before
