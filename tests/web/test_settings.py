"""/v1/settings: what is in force and who said so, and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.config import Settings, describe, load
from rota.config.settings import all_keys
from rota.config.table import table
from rota.engines import places
from rota.model.clock import to_text
from tests.web.kit import Site, serving

MARK = "SesameOpenDoor-4711"
KAFKA = {"kafka.brokers": "kafka.example:9092", "handlers.email.username": "me"}


async def test_it_tells_what_is_in_force_and_who_said_so(store: str, tmp_path: Path) -> None:
    file = tmp_path / "rota.yaml"
    file.write_text("lease: 30\nlog_level: debug\nbeat: 4\n")
    env = {"ROTA_BEAT": "3", "ROTA_TOKEN": MARK}
    settings = load(file, env, {"slots": 7})
    async with serving(store, settings) as site:
        told = await site.get("/v1/settings")
        assert told["server"] == site.service.id
        assert told["started_at"] == to_text(site.service.started_at)
        assert told["token"] is True
        engine, version = site.service.engine.product
        assert told["store"] == {"engine": engine, "version": version, "url": "sqlite:///rota.db"}
        assert (engine, version[0].isdigit()) == (store.partition(":")[0], True)
    rows = {row.pop("key"): row for row in told["settings"]}
    assert list(rows) == [shown.key for shown in describe(settings)]
    assert rows["lease"] == row(30.0, 15.0, "file", f"{file}:1")
    assert rows["beat"] == row(3.0, 5.0, "environment", "ROTA_BEAT")
    assert rows["slots"] == row(7, 10, "flag", "--slots")
    assert rows["grace"] == row(30.0, 30.0, "default", None)
    assert rows["token"] == {**row("***", None, "environment", "ROTA_TOKEN"), "secret": True}
    assert rows["kafka.password"] == {**row(None, None, "default", None), "secret": True}


def row(value: Any, default: Any, origin: str, said: str | None) -> dict[str, Any]:
    return {"value": value, "default": default, "origin": origin, "said": said, "secret": False}


async def test_without_a_token_it_says_so(site: Site) -> None:
    assert (await site.get("/v1/settings"))["token"] is False


async def test_no_secret_is_in_the_answer(store: str) -> None:
    flags: dict[str, Any] = {key.path: MARK for key in all_keys() if key.kind.secret}
    assert len(flags) >= 3
    flags |= KAFKA
    flags["store"] = f"postgresql://rota:{MARK}@one:5432,two:5432/rota?sslpassword={MARK}"
    flags["kafka.options"] = {
        "ssl.key.pem": MARK,
        "sasl.oauthbearer.client.secret": MARK,
        "sasl.oauthbearer.assertion.private.key.passphrase": MARK,
        "ssl.ca.location": f"https://me:{MARK}@ca.example/",
        "debug": "cgrp",
    }
    settings = load(None, {}, flags)
    # The store is another one: only what is told of it counts here.
    async with serving(store, settings) as site:
        answer = await site.http.get("/v1/settings")
    assert answer.status_code == 200
    assert MARK not in answer.text
    rows = {row["key"]: row["value"] for row in answer.json()["settings"]}
    assert rows["store"] == answer.json()["store"]["url"]
    assert rows["store"] == "postgresql://rota:***@one:5432,two:5432/rota?sslpassword=***"
    assert rows["kafka.options"]["debug"] == "cgrp"
    assert {row["value"] for row in answer.json()["settings"] if row["secret"]} == {"***"}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{MARK}@h/db",
        f"postgresql://u:{MARK}@h1:1,h2:2/db",
        f"postgresql://u:{MARK}@h1,v:{MARK}@h2/db",
        f"postgresql://u:a/{MARK}@h/db",
        f"postgresql://u:a?{MARK}@h/db?sslmode=require",
        f"postgresql://u:a@{MARK}@h/db",
        f"postgresql://h/db?user=u&password={MARK}",
        f"postgresql://h/db?pass%77ord={MARK}",
        f"postgresql://h/db?sslmode=require&SSLPassword={MARK}#x",
        f"postgres://:{MARK}@/db",
    ],
)
def test_no_url_shows_a_password(url: str) -> None:
    assert MARK in url
    assert MARK not in places.shown(url)
    assert MARK not in repr(table(msgspec.structs.replace(Settings(), store=url)))


def test_what_is_no_password_stays() -> None:
    for url in (
        "sqlite:////var/lib/rota.db?vfs=unix",
        "postgresql://me@h:5432/db?sslmode=require&application_name=a",
        "postgresql://h:5432/db?user=me@server",
        "postgresql:///db",
    ):
        assert places.shown(url) == url
