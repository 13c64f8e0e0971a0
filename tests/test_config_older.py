"""The parallel queue's own YAML file: taken as it stands, beside Rota's keys, and what is wrong in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rota.config import Settings, describe, load, older
from rota.config.settings import all_keys
from rota.model.errors import BadConfig
from tests.server import environment

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "deploy" / "image" / "app.yaml"


class File:
    """A file in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "local.yaml"

    def settings(
        self, text: str, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> Settings:
        self.path.write_text(text)
        return load(self.path, env or {}, flags)

    def complaints(
        self, text: str, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> list[str]:
        with pytest.raises(BadConfig) as caught:
            self.settings(text, env, flags)
        return [line.replace(str(self.path), "local.yaml") for line in caught.value.complaints]

    def origins(self, settings: Settings) -> dict[str, str]:
        return {
            shown.key: shown.origin.replace(str(self.path), "local.yaml")
            for shown in describe(settings)
            if shown.origin != "default"
        }


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


# --- as it stands ---


def test_the_shipped_file_is_taken_as_it_stands(file: File) -> None:
    settings = file.settings(SHIPPED.read_text())
    assert (settings.listen, settings.grace, settings.fronts.pqexec.workers_limit) == ("0.0.0.0:8080", 5, 10)
    assert settings.local_only
    assert file.origins(settings) == {
        "listen": "local.yaml:3, app.host and app.port",
        "grace": "local.yaml:10, app.executor_shutdown_timeout_ms",
        "fronts.pqexec.workers_limit": "local.yaml:12, executor_service.workers_limit",
        "app.static_endpoint": "local.yaml:5, no effect",
        "app.public_folder": "local.yaml:6, no effect",
        "app.views_folder": "local.yaml:7, no effect",
        "app.templates_ext": "local.yaml:8, no effect",
        "app.fiber_shutdown_timeout_ms": "local.yaml:9, no effect",
    }


def test_host_and_port_alone_leave_five_tasks_at_a_time(file: File) -> None:
    settings = file.settings("app:\n  host: 127.0.0.1\n  port: 9000\n")
    assert (settings.listen, settings.fronts.pqexec.workers_limit) == ("127.0.0.1:9000", 5)
    assert settings.grace == Settings().grace
    assert not settings.local_only
    origin = file.origins(settings)["fronts.pqexec.workers_limit"]
    assert origin == "local.yaml, without executor_service.workers_limit"


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("executor_service: {workers_limit: 0}", 5),
        ("app: {port: 1}\nexecutor_service: {workers_limit: 0}", 5),
        ("app: {port: 1}\nexecutor_service: {workers_limit:}", 5),
        ("app: {port: 1}\nexecutor_service:", 5),
        ("app: {port: 1}\nexecutor_service: {workers_limit: '7'}", 7),
        ("app: {templates_ext: .html}", 5),
        ("executor_service: {workers_limit: 3}", 3),
        ("app:\nexecutor_service:", 10),
        ("listen: 127.0.0.1:1", 10),
        ("app: {port: 1}\nfronts: {pqexec: {workers_limit: 0}}", 0),
    ],
)
def test_how_many_tasks_at_a_time(file: File, text: str, limit: int) -> None:
    assert file.settings(text).fronts.pqexec.workers_limit == limit


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("app: {port: 9000}", "127.0.0.1:9000"),
        ("app: {host: 0.0.0.0}", "0.0.0.0:8080"),
        ("app: {host: '', port: 9000}", "0.0.0.0:9000"),
        ("app: {host: '::', port: 9000}", "[::]:9000"),
        ("app: {host: jobs.example, port: 0}", "jobs.example:0"),
        ("app: {host:, port:}", "127.0.0.1:8080"),
        ("app: {public_folder: ''}", "127.0.0.1:8080"),
    ],
)
def test_where_it_listens(file: File, text: str, listen: str) -> None:
    assert file.settings(text).listen == listen


def test_rotas_keys_beside_it_and_stronger_sources(file: File) -> None:
    text = SHIPPED.read_text() + "slots: 3\nfronts: {pqexec: {queue: parallel}}\n"
    env = {"ROTA_FRONTS__PQEXEC__WORKERS_LIMIT": "2"}
    settings = file.settings(text, env, {"listen": "127.0.0.1:1", "grace": "7s"})
    assert (settings.listen, settings.grace, settings.slots) == ("127.0.0.1:1", 7, 3)
    assert settings.fronts.pqexec == type(settings.fronts.pqexec)(queue="parallel", workers_limit=2)
    assert not settings.local_only


# --- what is wrong ---


def test_faults_name_key_line_and_what_is_allowed(file: File) -> None:
    text = (
        "app:\n  host: 'a b'\n  port: high\n  prot: 1\n  executor_shutdown_timeout_ms: -1\n"
        "  views_folder: [a]\n  fiber_shutdown_timeout_ms: 1s\nexecutor_service:\n  workers_limit: 1.5\n"
        "executor_servic: {}\n"
    )
    assert file.complaints(text) == [
        "app.prot (local.yaml:4): there is no such setting; did you mean app.port?",
        "executor_servic (local.yaml:10): there is no such setting; did you mean executor_service?",
        "app.host (local.yaml:2): must be a host name or an IP address, without port, not 'a b'.",
        "app.port (local.yaml:3): must be a whole number from 0 to 65535, not 'high'.",
        "app.executor_shutdown_timeout_ms (local.yaml:5): must be a whole number from 0 to 86400000, not -1.",
        "app.views_folder (local.yaml:6): must be a text without control characters, not ['a'].",
        "app.fiber_shutdown_timeout_ms (local.yaml:7): must be a whole number from 0 to 86400000, not '1s'.",
        "executor_service.workers_limit (local.yaml:9): must be a whole number from 0 to 10000, not 1.5.",
    ]


def test_two_names_for_one_setting_are_both_told(file: File) -> None:
    text = (
        "listen: 127.0.0.1:1\ngrace: 1s\nfronts: {pqexec: {workers_limit: 1}}\n"
        "app: {port: 1, executor_shutdown_timeout_ms: 1}\nexecutor_service: {workers_limit: 0}\n"
    )
    pairs = [
        ("app.port (local.yaml:4)", "listen (local.yaml:1)"),
        ("app.executor_shutdown_timeout_ms (local.yaml:4)", "grace (local.yaml:2)"),
        ("executor_service.workers_limit (local.yaml:5)", "fronts.pqexec.workers_limit (local.yaml:3)"),
    ]
    told = [f"{one}: means the same as {other}; keep one of them." for one, other in pairs]
    assert file.complaints(text) == told


def test_the_old_names_are_names_in_a_file_only(file: File) -> None:
    assert file.complaints("", {"ROTA_APP__HOST": "a"})[0].startswith("ROTA_APP__HOST: there is no such")
    assert file.complaints("", None, {"app.port": 1})[0].startswith("--app-port: there is no such")
    assert not {key.path for key in all_keys()} & set(older.KEYS)
    # They are offered to nobody who means Rota's.
    assert "handlers.email.port" in file.complaints("port: 1")[0]


# --- open to other machines ---


@pytest.mark.parametrize(
    ("more", "env", "flags"),
    [
        ("token: 0123456789abcdef\n", {}, {}),
        ("insecure: true\n", {}, {}),
        ("", {"ROTA_TOKEN": "0123456789abcdef"}, {}),
    ],
)
def test_with_a_token_or_insecure_it_is_open_as_any(
    file: File, more: str, env: dict[str, str], flags: dict[str, object]
) -> None:
    assert not file.settings(SHIPPED.read_text() + more, env, flags).local_only


@pytest.mark.parametrize(
    ("more", "env", "flags", "told"),
    [
        ("token: short\n", {}, {}, "its token has only 5 characters"),
        ("fronts: {pqexec: {enabled: false}}\n", {}, {}, "it has no token"),
        ("listeners: [{listen: 127.0.0.1:3000, fronts: [pqexec]}]\n", {}, {}, "it has no token"),
        ("", {}, {"listen": "0.0.0.0:1"}, "it has no token"),
        ("", {"ROTA_LISTEN": "0.0.0.0:8080"}, {}, "it has no token"),
        ("dev: true\n", {}, {}, "dev is for this machine only"),
    ],
)
def test_otherwise_it_is_refused_as_ever(
    file: File, more: str, env: dict[str, str], flags: dict[str, object], told: str
) -> None:
    (complaint,) = file.complaints(SHIPPED.read_text() + more, env, flags)
    assert complaint.startswith("listen (")
    assert told in complaint


def test_an_address_in_rotas_words_gets_no_such_leave(file: File) -> None:
    text = "listen: 0.0.0.0:8080\nexecutor_service: {workers_limit: 1}\n"
    (complaint,) = file.complaints(text)
    assert "it has no token" in complaint


def test_its_own_workers_must_be_able_to_reach_it(file: File) -> None:
    assert file.settings("app: {host: 0.0.0.0}\nwork: [a:b]").local_only
    (complaint,) = file.complaints("app: {host: jobs.example}\nwork: [a:b]")
    assert complaint == (
        "work (local.yaml:2): its processes could not reach jobs.example:8080, which without a token does "
        "nothing but serve the parallel queue: set a token, or listen on 0.0.0.0."
    )


# --- where it is looked for ---


def check(folder: Path, *flags: str, **env: str) -> dict[str, tuple[object, str]]:
    """What ``rota check`` shows in this folder."""
    command = [sys.executable, "-m", "rota", "check", "--json", *flags]
    done = subprocess.run(
        command, cwd=folder, env=environment(env), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {one["key"]: (one["value"], one["origin"]) for one in json.loads(done.stdout)["settings"]}


def test_app_config_path_names_the_file_and_others_are_stronger(tmp_path: Path) -> None:
    for name, port in (("app", 1), ("ours", 2), ("flag", 3), ("rota", 4)):
        (tmp_path / f"{name}.yaml").write_text(f"app: {{port: {port}}}")
    app, ours = {"APP_CONFIG_PATH": "app.yaml"}, {"ROTA_CONFIG": "ours.yaml"}
    assert check(tmp_path, **app)["listen"] == ("127.0.0.1:1", "app.yaml:1, app.port")
    assert check(tmp_path, **app, **ours)["listen"][0] == "127.0.0.1:2"
    assert check(tmp_path, "--config", "flag.yaml", **app, **ours)["listen"][0] == "127.0.0.1:3"
    assert check(tmp_path, APP_CONFIG_PATH="")["listen"][0] == "127.0.0.1:4"
    with pytest.raises(BadConfig, match=r"config \(APP_CONFIG_PATH\): cannot read .*gone.yaml: No such file"):
        load(None, {"APP_CONFIG_PATH": str(tmp_path / "gone.yaml")})


def test_its_usual_place_counts_for_those_who_ask_for_a_surface(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "local.yaml").write_text(SHIPPED.read_text())
    rest = {"ROTA_FRONTS__PQEXEC__SURFACE": "rest"}
    assert check(tmp_path)["listen"] == ("127.0.0.1:8080", "default")
    asked = check(tmp_path, "--surface", "ws")
    assert asked["listen"] == ("0.0.0.0:8080", "config/local.yaml:3, app.host and app.port")
    assert asked["fronts.pqexec.surface"] == ("ws", "--surface")
    assert asked == check(tmp_path, **rest) | {"fronts.pqexec.surface": ("ws", "--surface")}
    (tmp_path / "app.yaml").write_text("app: {port: 1}")
    assert check(tmp_path, **rest, APP_CONFIG_PATH="app.yaml")["listen"][0] == "127.0.0.1:1"
    (tmp_path / "rota.yaml").write_text("slots: 1")
    assert check(tmp_path, "--surface", "ws")["listen"] == ("127.0.0.1:8080", "default")


def test_check_tells_of_the_open_address(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rota", "check", "--config", str(SHIPPED)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0
    assert "0.0.0.0:8080 is open to other machines without a token" in done.stderr
    assert "app.views_folder" in done.stdout
