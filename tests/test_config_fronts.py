"""The settings of the older interfaces: where they listen, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.config import Settings, describe, load
from rota.config.fronts import NAMES
from rota.model.errors import BadConfig

LONG = "0123456789abcdef"
TWO = (("127.0.0.1:3000", ("poll",)), ("[::1]:3001", ("jqgo", "jobq")))


def complaints(env: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(BadConfig) as caught:
        load(None, env)
    return tuple(caught.value.complaints)


def test_listeners_by_file_and_by_environment(tmp_path: Path) -> None:
    file = tmp_path / "rota.yaml"
    file.write_text(
        "listeners:\n"
        "- {listen: '127.0.0.1:3000', fronts: [poll]}\n"
        "- {listen: '[::1]:3001', fronts: [jqgo, jobq]}\n"
    )
    assert load(file, {}).listeners == TWO
    for text in ("127.0.0.1:3000=poll,[::1]:3001=jqgo+jobq", "127.0.0.1:3000=poll [::1]:3001=jqgo+jobq"):
        assert load(None, {"ROTA_LISTENERS": text}).listeners == TWO


def test_listeners_are_shown_as_they_are_written() -> None:
    [shown] = [one for one in describe(Settings(listeners=TWO)) if one.key == "listeners"]
    assert shown.text == "127.0.0.1:3000=poll, [::1]:3001=jqgo+jobq"
    assert load(None, {"ROTA_LISTENERS": shown.text}).listeners == TWO
    assert shown.value == [
        {"listen": "127.0.0.1:3000", "fronts": ["poll"]},
        {"listen": "[::1]:3001", "fronts": ["jqgo", "jobq"]},
    ]
    [shown] = [one for one in describe(Settings()) if one.key == "listeners"]
    assert (shown.text, shown.value) == ("none", [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("127.0.0.1:3000", "must be a list such as"),
        ("127.0.0.1:3000=", "must be a list such as"),
        ("=poll", "has the address '', which must be HOST:PORT"),
        ("3000=poll", "has the address '3000', which must be HOST:PORT"),
        ("127.0.0.1:99999=poll", "has the address '127.0.0.1:99999', which must have a port from 0 to 65535"),
        ("127.0.0.1:3000=celery", "has 'celery', which is no front"),
        ("127.0.0.1:3000=poll+", "has '', which is no front"),
        ("127.0.0.1:3000=poll+poll", "has the front poll twice"),
        ("127.0.0.1:3000=poll,127.0.0.1:3001=poll", "has the front poll twice"),
    ],
)
def test_listeners_that_are_none_are_refused(text: str, told: str) -> None:
    [complaint] = complaints({"ROTA_LISTENERS": text})
    assert complaint.startswith(f"listeners (ROTA_LISTENERS): {told}"), complaint


@pytest.mark.parametrize(
    "value",
    [
        "poll",
        "[poll]",
        "[{listen: '127.0.0.1:3000'}]",
        "[{listen: '127.0.0.1:3000', fronts: poll}]",
        "[{listen: '127.0.0.1:3000', fronts: []}]",
        "[{listen: '127.0.0.1:3000', fronts: [[poll]]}]",
        "[{listen: '127.0.0.1:3000', fronts: [poll], token: x}]",
        "[{listen: 3000, fronts: [poll]}]",
        "{listen: '127.0.0.1:3000', fronts: [poll]}",
        "null",
        "7",
    ],
)
def test_a_file_with_other_shapes_is_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "rota.yaml"
    file.write_text(f"listeners: {value}\n")
    with pytest.raises(BadConfig) as caught:
        load(file, {})
    [complaint] = caught.value.complaints
    assert complaint.startswith(f"listeners ({file}:1): "), complaint


@pytest.mark.bad(119)
@pytest.mark.parametrize("place", ["0.0.0.0:3000", "[::]:3000", "192.168.1.5:3000", "rota.example.com:3000"])
def test_a_listener_beyond_this_machine_needs_a_token_or_a_word(place: str) -> None:
    env = {"ROTA_LISTENERS": f"127.0.0.1:3001=jobq,{place}=poll"}
    [complaint] = complaints(env)
    assert complaint.startswith(
        f"listeners (ROTA_LISTENERS): {place} is open to other machines, but it has no token"
    )
    [complaint] = complaints({**env, "ROTA_TOKEN": LONG[:-1]})
    assert "its token has only 15 characters" in complaint
    for more in ({"ROTA_TOKEN": LONG}, {"ROTA_INSECURE": "yes"}):
        assert load(None, {**env, **more}).listeners[1] == (place, ("poll",))
    [complaint] = complaints({**env, "ROTA_DEV": "1", "ROTA_TOKEN": LONG})
    assert complaint == (
        f"listeners (ROTA_LISTENERS): {place} is open to other machines; dev is for this machine only."
    )


def test_each_wide_address_is_told() -> None:
    told = complaints({"ROTA_LISTEN": "0.0.0.0:1", "ROTA_LISTENERS": "0.0.0.0:2=poll,[::]:3=jobq"})
    places = [one.split(" is open")[0].rpartition(" ")[2] for one in told]
    assert places == ["0.0.0.0:1", "0.0.0.0:2", "[::]:3"]


def test_an_address_twice_is_refused() -> None:
    for text in ("127.0.0.1:8080=poll", "localhost:3000=poll,LOCALHOST:3000=jobq"):
        [complaint] = complaints({"ROTA_LISTENERS": text})
        assert complaint.startswith("listeners (ROTA_LISTENERS): ")
        assert complaint.endswith(" is there twice; listen and listeners must all differ.")
    both = load(None, {"ROTA_LISTEN": "127.0.0.1:0", "ROTA_LISTENERS": "127.0.0.1:0=poll"})
    assert both.listeners == (("127.0.0.1:0", ("poll",)),), "any free port is another one each time"


@pytest.mark.parametrize("name", NAMES)
def test_a_front_that_is_switched_off_has_no_listener(name: str) -> None:
    env = {"ROTA_LISTENERS": f"127.0.0.1:3000={name}", f"ROTA_FRONTS__{name.upper()}__ENABLED": "no"}
    assert complaints(env) == (
        f"listeners (ROTA_LISTENERS): serves the front {name}, which fronts.{name}.enabled switches off.",
    )
    del env["ROTA_LISTENERS"]
    assert not getattr(load(None, env).fronts, name).enabled


def test_a_faulty_value_does_not_draw_a_second_complaint() -> None:
    assert len(complaints({"ROTA_LISTENERS": "0.0.0.0:3000=poll", "ROTA_TOKEN": "a b"})) == 1
    assert len(complaints({"ROTA_LISTENERS": "127.0.0.1:3000=poll", "ROTA_FRONTS__POLL__ENABLED": "x"})) == 1
    assert len(complaints({"ROTA_LISTENERS": "127.0.0.1:3000=what", "ROTA_LISTEN": "127.0.0.1:3000"})) == 1
