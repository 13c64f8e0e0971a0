"""Configuration: who wins, what is refused and how it is said, and that secrets stay secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.config import Secret, Settings, describe, load
from rota.config.settings import all_keys
from rota.model.errors import BadConfig

LONG = "0123456789abcdef"


class Sources:
    """A YAML file in a folder of its own, and complaints about what it and the others say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "rota.yaml"

    def settings(
        self, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> Settings:
        self.file.write_text(text)
        return load(self.file, env or {}, flags)

    def complaints(
        self, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> list[str]:
        with pytest.raises(BadConfig) as caught:
            self.settings(text, env, flags)
        return [line.replace(f"{self.file}", "rota.yaml") for line in caught.value.complaints]

    def complaint(
        self, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> str:
        (one,) = self.complaints(text, env, flags)
        return one

    def secret(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


# --- who wins ---


def test_without_anything_the_defaults_hold() -> None:
    settings = load(None, {}, {})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.store) == ("127.0.0.1", 8080, "sqlite:///rota.db")
    assert (settings.lease, settings.beat, settings.socket_grace, settings.grace) == (15, 5, 3, 30)
    assert (settings.body_limit, settings.payload_limit, settings.result_limit) == (2**24, 2**20, 2**20)
    assert settings.token is None
    assert settings.work == ()
    assert {shown.origin for shown in describe(settings)} == {"default"}


def test_a_later_source_wins_and_origins_tell(sources: Sources) -> None:
    text = "listen: 127.0.0.1:1\nslots: 1\ngrace: 1\nlease: 20\n"
    env = {"ROTA_SLOTS": "2", "ROTA_GRACE": "2", "HOME": "/", "rota_lease": "1"}
    settings = sources.settings(text, env, {"grace": "3s", "lease": None, "work": []})
    assert (settings.listen, settings.slots, settings.grace, settings.lease) == ("127.0.0.1:1", 2, 3, 20)
    origins = {shown.key: shown.origin for shown in describe(settings)}
    assert origins["listen"] == f"{sources.file}:1"
    assert origins["slots"] == "ROTA_SLOTS"
    assert origins["grace"] == "--grace"
    assert origins["lease"] == f"{sources.file}:4"
    assert origins["beat"] == "default"


def test_the_environment_can_name_the_file_and_the_flag_is_stronger(sources: Sources, tmp_path: Path) -> None:
    sources.file.write_text("slots: 3")
    assert load(None, {"ROTA_CONFIG": str(sources.file)}).slots == 3
    other = tmp_path / "other.yaml"
    other.write_text("slots: 4")
    assert load(other, {"ROTA_CONFIG": str(sources.file)}).slots == 4
    with pytest.raises(BadConfig, match=r"config \(ROTA_CONFIG\): cannot read .*gone.yaml: No such file"):
        load(None, {"ROTA_CONFIG": str(tmp_path / "gone.yaml")})


def test_the_process_environment_is_used_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_LOG_LEVEL", "DEBUG")
    assert load().log_level == "debug"


def test_nesting_in_the_file_and_in_the_environment(sources: Sources) -> None:
    text = "handlers:\n  email:\n    host: a.example\n    sender: a@example.com\n  queues: {mail: 2}\n"
    settings = sources.settings(text, {"ROTA_HANDLERS__EMAIL__HOST": "b.example"})
    assert settings.handlers.email.host == "b.example"
    assert settings.handlers.email.sender == "a@example.com"
    assert settings.handlers.queues == {"mail": 2}


def test_null_switches_off_what_is_off_by_default(sources: Sources) -> None:
    text = "handlers: {email: {host: a.example}}"
    settings = sources.settings(text, {"ROTA_HANDLERS__EMAIL__HOST": "null"})
    assert settings.handlers.email.host is None
    assert sources.complaint("slots: null").startswith("slots (rota.yaml:1): must be a whole number")


def test_empty_sections_variables_and_files_say_nothing(sources: Sources) -> None:
    assert sources.settings("", {"ROTA_TOKEN": "", "ROTA_LISTEN": ""}) == Settings()
    assert sources.settings("handlers:\n  email:\n") == Settings()
    assert sources.settings("# only a remark\n") == Settings()


def test_anchors_and_merges_work(sources: Sources) -> None:
    text = (
        "handlers:\n  email: &mail {timeout: 5s}\n  webhook:\n    <<: *mail\n    max_response_bytes: 1 KiB\n"
    )
    handlers = sources.settings(text).handlers
    assert (handlers.email.timeout, handlers.webhook.timeout) == (5, 5)


# --- what a value may be ---


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("listen", "[::1]:0", "[::1]:0"),
        ("listen", "localhost:65535", "localhost:65535"),
        ("store", "sqlite:////var/lib/rota.db", "sqlite:////var/lib/rota.db"),
        ("store", "sqlite:///a.db?vfs=unix-excl", "sqlite:///a.db?vfs=unix-excl"),
        ("allowed_hosts", "Rota.local, ::1", ("rota.local", "::1")),
        ("work", "a.b:app, c:d.e", ("a.b:app", "c:d.e")),
        ("insecure", "yes", True),
        ("insecure", "0", False),
        ("grace", "0", 0.0),
        ("grace", "1.5", 1.5),
        ("grace", "90s", 90.0),
        ("grace", "1h30m", 5400.0),
        ("grace", "500 ms", 0.5),
        ("retention", "7d", 604800.0),
        ("retention", "2w", 1209600.0),
        ("payload_limit", "1000", 1000),
        ("payload_limit", "2 MiB", 2 * 1024**2),
        ("payload_limit", "2mb", 2_000_000),
        ("payload_limit", "1.5 KiB", 1536),
        ("log_level", "WARNING", "warning"),
        ("handlers.enabled", "false", ()),
        ("handlers.enabled", "webhook,sleep", ("sleep", "webhook")),
        ("handlers.queues", "default=3, mail=1", {"default": 3, "mail": 1}),
        ("handlers.webhook.allow_networks", "10.0.0.0/8 ::1", ("10.0.0.0/8", "::1/128")),
        ("handlers.email.sender", "rota@mail.example.com", "rota@mail.example.com"),
    ],
)
def test_texts_of_the_environment_are_understood(key: str, text: str, value: object) -> None:
    settings = load(None, {"ROTA_" + key.upper().replace(".", "__"): text})
    shown = {shown.key: shown.value for shown in describe(settings)}[key]
    assert shown == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.bad(115)
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("listen", "8080"),
        ("listen", ":8080"),
        ("listen", "127.0.0.1"),
        ("listen", "127.0.0.1:65536"),
        ("listen", "127.0.0.300:80"),
        ("listen", "::1:80"),
        ("listen", "[127.0.0.1]:80"),
        ("listen", "a b:80"),
        ("store", "rota.db"),
        ("store", "sqlite://rota.db"),
        ("store", "sqlite:///"),
        ("store", "sqlite:///folder/"),
        ("store", "sqlite:///:memory:"),
        ("store", "sqlite:///a.db?mode=ro"),
        ("store", "mysql://h/db"),
        ("allowed_hosts", "rota.local:8080"),
        ("work", "shop.jobs"),
        ("work", "shop jobs:app"),
        ("work", "os.system('x'):a"),
        ("insecure", "maybe"),
        ("processes", "0"),
        ("processes", "1.0"),
        ("processes", "1_0"),
        ("grace", "-1s"),
        ("grace", "5 parsecs"),
        ("grace", "nan"),
        ("grace", "inf"),
        ("grace", "30s later"),
        ("grace", "2d"),
        ("payload_limit", "1.3 B"),
        ("payload_limit", "1 XB"),
        ("payload_limit", "0"),
        ("payload_limit", "9" * 39),
        ("log_level", "loud"),
        ("token", "has space"),
        ("token", "umläut"),
        ("handlers.enabled", "sleep, mail"),
        ("handlers.queues", "default"),
        ("handlers.queues", "default=0"),
        ("handlers.queues", "a=1,a=2"),
        ("handlers.queues", "a b=1"),
        ("handlers.email.host", "mail.example.com:25"),
        ("handlers.email.port", "65536"),
        ("handlers.email.tls", "ssl"),
        ("handlers.email.sender", "nobody"),
        ("handlers.email.sender", "a@b@c"),
        ("handlers.email.sender", "a@b\nBcc: x@y"),
        ("handlers.webhook.allow_networks", "10.0.0.1/8"),
        ("handlers.webhook.allow_networks", "everything"),
        ("handlers.files.folder", "/no/such/folder"),
    ],
)
def test_what_is_not_allowed_is_refused_by_key_and_place(key: str, text: str) -> None:
    variable = "ROTA_" + key.upper().replace(".", "__")
    with pytest.raises(BadConfig) as caught:
        load(None, {variable: text})
    (complaint,) = caught.value.complaints
    assert complaint.startswith(f"{key} ({variable}): ")
    assert complaint.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        *("grace: true", "grace: [1]", "grace: .nan", "payload_limit: 1.5", "slots: 1.0", "slots: true"),
        *("token: 12345678", "listen: 8080", "work: {a: b}", "work: [1]", "store: 2026-01-01"),
        *("handlers: {queues: [a]}", "handlers: {queues: {1: 1}}", "handlers: {email: {tls: off}}"),
    ],
)
def test_a_yaml_value_of_the_wrong_kind_is_refused(sources: Sources, text: str) -> None:
    assert " (rota.yaml:1): " in sources.complaint(text)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://rota:hunter2@db/rota", "without the name of a driver"),
        ("postgresql://rota:hunter2@db", "names no database"),
        ("postgresql://rota:hunter2@db/", "names no database"),
        ("postgresql://rota:hunter2@db/rota?sslmode=maybe", "sslmode must be one of disable, allow"),
        ("postgresql://rota:hunter2@db/rota?pooler=2", "pooler must be auto, yes or no"),
        ("postgresql://rota:hunter2@db/rota?listen=there", "listen must be HOST:PORT"),
        ("postgresql://rota:hunter2@db/rota?search_path=x", "knows no ?search_path="),
        ("postgresql://rota:hunter2@db:x/rota", "names no host: 'db:x'"),
        ("postgresql://rota:hunter2#x@db/rota", "holds a '#': write it as %23"),
    ],
)
def test_a_postgresql_store_with_faults_is_refused(sources: Sources, url: str, words: str) -> None:
    complaint = sources.complaint(f"store: '{url}'")
    assert words in complaint
    assert "hunter2" not in complaint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://rota:hunter2@db/rota", "postgresql://rota:***@db/rota"),
        (
            "postgres://rota:hunter2@a:5432,[::1]:5433/rota?sslmode=require",
            "postgres://rota:***@a:5432,[::1]:5433/rota?sslmode=require",
        ),
        ("postgresql:///rota?host=/run/db&password=hunter2", "postgresql:///rota?host=/run/db&password=***"),
        (
            "postgresql://rota@db/rota?listen=db:5432&pooler=yes",
            "postgresql://rota@db/rota?listen=db:5432&pooler=yes",
        ),
    ],
)
def test_a_postgresql_store_is_shown_without_its_password(sources: Sources, url: str, shown: str) -> None:
    settings = sources.settings(f"store: {url}")
    assert settings.store == url
    [one] = [one for one in describe(settings) if one.key == "store"]
    assert (one.text, one.value) == (shown, shown)


@given(seconds=st.integers(0, 86400))
def test_every_duration_reads_back_as_it_is_shown(seconds: int) -> None:
    settings = load(None, {}, {"grace": seconds})
    shown = {shown.key: shown.text for shown in describe(settings)}["grace"]
    assert load(None, {"ROTA_GRACE": shown}).grace == seconds


@given(size=st.integers(1024, 2**24))
def test_every_size_reads_back_as_it_is_shown(size: int) -> None:
    settings = load(None, {}, {"payload_limit": size})
    shown = {shown.key: shown.text for shown in describe(settings)}["payload_limit"]
    assert load(None, {"ROTA_PAYLOAD_LIMIT": shown}).payload_limit == size


@given(raw=st.binary(max_size=200))
def test_no_file_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(raw)
    try:
        load(file, {})
    except BadConfig as error:
        assert error.complaints  # noqa: PT017 (either a Settings or complaints, and nothing else)


# --- all complaints at once ---


@pytest.mark.bad(115)
def test_all_complaints_come_at_once_each_with_key_and_place(sources: Sources) -> None:
    text = "listen: nowhere\nhandlers:\n  email:\n    port: 0\n    hots: x\nlease: 20\nlease: 30\n"
    env = {"ROTA_PROCESSES": "0", "ROTA_LOG_LEVL": "info", "ROTA_HANDLERS_EMAIL_HOST": "x"}
    complaints = sources.complaints(text, env, {"slots": 0})
    starts = [complaint.partition(": ")[0] for complaint in complaints]
    assert sorted(starts) == sorted(
        [
            "listen (rota.yaml:1)",
            "handlers.email.port (rota.yaml:4)",
            "handlers.email.hots (rota.yaml:5)",
            "lease (rota.yaml:7)",
            "processes (ROTA_PROCESSES)",
            "ROTA_LOG_LEVL",
            "ROTA_HANDLERS_EMAIL_HOST",
            "slots (--slots)",
        ]
    )
    told = "\n".join(complaints)
    assert "did you mean handlers.email.host?" in told
    assert "did you mean ROTA_LOG_LEVEL?" in told
    assert "did you mean ROTA_HANDLERS__EMAIL__HOST?" in told
    assert "is there twice; the first is in rota.yaml:6" in told
    assert "must be a whole number from 1 to 256, not '0'" in told


def test_an_overridden_value_is_checked_too(sources: Sources) -> None:
    assert sources.complaint("slots: none", {}, {"slots": 4}).startswith("slots (rota.yaml:1): must be")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("listen: [", "config (rota.yaml:1): this is not YAML: "),
        ("a: 1\n\tb: 2", "config (rota.yaml:2): this is not YAML: "),
        ("- listen", "rota.yaml: must be a mapping"),
        ("handlers: false", "handlers (rota.yaml:1): must be a section"),
        ("listen: !!python/object/apply:os.getcwd []", "listen (rota.yaml:1): cannot be read: "),
        ("? [a]\n: 1", "config (rota.yaml:1): a name must be text"),
        ("store: a\n---\nstore: b", "config (rota.yaml:2): this is not YAML: "),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(sources: Sources, text: str, start: str) -> None:
    assert sources.complaint(text).startswith(start)


def test_a_file_that_explodes_or_never_ends_is_refused(sources: Sources) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    complaints = sources.complaints(bomb + "listen: *i\n")
    assert len(complaints) == 10
    assert all(len(complaint) < 500 for complaint in complaints)
    assert "has more than 1048576 bytes" in sources.complaint("#" * 1024 * 1024 + "#")


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(BadConfig, match=r"--lisen: there is no such setting; did you mean --listen\?"):
        load(None, {}, {"lisen": "x"})


def test_variables_of_clients_and_of_kubernetes_are_left_alone() -> None:
    env = {
        "ROTA_URL": "http://127.0.0.1:8080",
        "ROTA_PORT": "tcp://10.0.0.1:8080",
        "ROTA_PORT_8080_TCP_ADDR": "10.0.0.1",
        "ROTA_SERVICE_HOST": "10.0.0.1",
        "ROTA_SERVICE_PORT_HTTP": "8080",
        "ROTA_WEB_SERVICE_PORT": "8080",
    }
    assert load(None, env) == Settings()


# --- secrets ---


def test_secrets_come_from_files_too(sources: Sources) -> None:
    name = sources.secret("token", b"from-the-file\r\n")
    by_variable = load(None, {"ROTA_TOKEN_FILE": name})
    by_key = sources.settings(f"token_file: {name}")
    by_flag = load(None, {"ROTA_TOKEN": "weaker"}, {"token_file": name})
    for settings in (by_variable, by_key, by_flag):
        assert settings.token == Secret("from-the-file")
    assert {shown.key: shown.origin for shown in describe(by_variable)}["token"] == "ROTA_TOKEN_FILE"
    password = sources.secret("password", " ä b ".encode())
    env = {"ROTA_HANDLERS__EMAIL__USERNAME": "u", "ROTA_HANDLERS__EMAIL__PASSWORD_FILE": password}
    assert load(None, env).handlers.email.password == Secret(" ä b ")


def test_a_weaker_file_loses_against_a_stronger_token(sources: Sources) -> None:
    name = sources.secret("token", b"from-the-file")
    assert sources.settings(f"token_file: {name}", {"ROTA_TOKEN": "stronger"}).token == Secret("stronger")


def test_a_secret_twice_in_one_source_is_refused(sources: Sources) -> None:
    name = sources.secret("token", b"12345678")
    assert "not both (see ROTA_TOKEN)" in sources.complaint("", {"ROTA_TOKEN": "x", "ROTA_TOKEN_FILE": name})


def test_secret_files_that_cannot_be_used_are_refused(sources: Sources) -> None:
    assert "No such file" in sources.complaint("token_file: /no/such/file")
    assert "is empty" in sources.complaint(f"token_file: {sources.secret('empty', b'')}")
    assert "not text in UTF-8" in sources.complaint(
        f"token_file: {sources.secret('binary', bytes([255, 254]))}"
    )
    two_lines = sources.complaint(
        f"token_file: {sources.secret('lines', b'sesame-one' + bytes([10]) + b'two')}"
    )
    assert "token (rota.yaml:1): must be" in two_lines
    assert "sesame" not in two_lines


def test_secrets_show_nowhere(sources: Sources) -> None:
    settings = sources.settings("token: hunter2-hunter2\nhandlers: {email: {username: u, password: hunter2}}")
    assert settings.token is not None
    assert settings.token.reveal() == "hunter2-hunter2"
    assert settings.token.matches("hunter2-hunter2")
    assert not settings.token.matches("hunter2-hunter3")
    for text in (
        repr(settings),
        str(settings.token),
        f"{settings.token}",
        f"{settings.token!r}",
        str(describe(settings)),
    ):
        assert "hunter2" not in text
    values = {shown.key: (shown.value, shown.text) for shown in describe(settings)}
    assert values["token"] == values["handlers.email.password"] == ("***", "***")
    assert "hunter2" not in sources.complaint("token: hunter2 hunter2")


# --- what no single value shows ---


@pytest.mark.bad(119)
@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:80", "rota.example.com:80", "[fe80::1]:1"]
)
def test_listening_beyond_this_machine_needs_a_token_or_a_word(listen: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load(None, {"ROTA_LISTEN": listen})
    (complaint,) = caught.value.complaints
    assert complaint.startswith(
        f"listen (ROTA_LISTEN): {listen} is open to other machines, but it has no token"
    )
    with pytest.raises(BadConfig, match="its token has only 15 characters"):
        load(None, {"ROTA_LISTEN": listen, "ROTA_TOKEN": LONG[:-1]})
    assert load(None, {"ROTA_LISTEN": listen, "ROTA_TOKEN": LONG}).listen == listen
    assert load(None, {"ROTA_LISTEN": listen}, {"insecure": True}).listen == listen


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "127.8.9.1:80", "[::1]:80", "localhost:80", "LOCALHOST:80"]
)
def test_listening_on_this_machine_needs_none(listen: str) -> None:
    assert load(None, {"ROTA_LISTEN": listen}).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "rota.example.com:80"])
def test_development_is_for_this_machine_only(sources: Sources, listen: str) -> None:
    told = sources.complaint(f"dev: true\nlisten: '{listen}'\ninsecure: true\ntoken: {LONG}")
    assert told == f"listen (rota.yaml:2): {listen} is open to other machines; dev is for this machine only."


def test_development_has_defaults_of_its_own_that_give_way(sources: Sources) -> None:
    settings = sources.settings("grace: 7s\n", {"ROTA_DEV": "1"})
    assert (settings.grace, settings.log_format, settings.handlers.webhook.allow_private) == (
        7.0,
        "text",
        True,
    )
    assert settings.origins["grace"].endswith("rota.yaml:1")
    assert settings.origins["log_format"] == "ROTA_DEV"
    assert not sources.settings("dev: false").handlers.webhook.allow_private


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("lease: 8\nbeat: 4.1", "beat (rota.yaml:2): must be at most half of lease (8s)"),
        ("lease: 8", "beat (default): must be at most half"),
        (
            "body_limit: 1 MiB\nresult_limit: 2 MiB",
            "result_limit (rota.yaml:2): must not be above body_limit",
        ),
        (
            "payload_limit: 17 MiB",
            "payload_limit (rota.yaml:1): must not be above body_limit (16777216 bytes)",
        ),
        (
            "handlers: {webhook: {max_response_bytes: 2 MiB}}",
            "handlers.webhook.max_response_bytes (rota.yaml:1): must not be above result_limit",
        ),
        (
            "handlers: {email: {username: u}}",
            "handlers.email.username (rota.yaml:1): needs handlers.email.password",
        ),
        (
            "handlers: {email: {password: p}}",
            "handlers.email.password (rota.yaml:1): needs handlers.email.username",
        ),
        (
            "handlers: {email: {host: a.example, tls: none, username: u, password: p}}",
            "handlers.email.tls (rota.yaml:1): none would send the password in the clear to a.example",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sources: Sources, text: str, start: str) -> None:
    assert sources.complaint(text).startswith(start)


def test_a_faulty_value_does_not_draw_a_second_complaint(sources: Sources) -> None:
    assert len(sources.complaints("listen: 0.0.0.0:80\ntoken: a b")) == 1
    assert len(sources.complaints("lease: 1\nbeat: x")) == 1


def test_a_password_may_go_in_the_clear_to_this_machine(sources: Sources) -> None:
    email = sources.settings(
        "handlers: {email: {host: 127.0.0.1, tls: none, username: u, password: p}}"
    ).handlers.email
    assert email.port == 25


@pytest.mark.parametrize(("tls", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_the_mail_port_follows_tls_unless_said(sources: Sources, tls: str, port: int) -> None:
    assert sources.settings(f"handlers: {{email: {{tls: {tls}}}}}").handlers.email.port == port
    assert sources.settings(f"handlers: {{email: {{tls: {tls}, port: 2525}}}}").handlers.email.port == 2525


def test_files_are_served_only_with_a_folder(sources: Sources) -> None:
    assert Settings().handlers.active == ("sleep", "send_email", "webhook")
    text = f"handlers: {{enabled: [process_file, sleep], files: {{folder: {sources.folder}}}}}"
    assert sources.settings(text).handlers.active == ("sleep", "process_file")


# --- the list for people ---


def test_every_setting_is_described_once_and_reads_back() -> None:
    shown = describe(Settings())
    assert [one.key for one in shown] == [key.path for key in all_keys()]
    env = {"ROTA_" + one.key.upper().replace(".", "__"): one.text for one in shown if one.text != "none"}
    again = load(None, env)
    assert [one.value for one in describe(again)] == [one.value for one in shown]
    assert set(again.origins.values()) == set(env)
