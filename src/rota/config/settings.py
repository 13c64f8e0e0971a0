"""Every setting, its default and what it may be; ``docs/configuration.md`` has a line for each.

Durations are seconds, sizes bytes. A field whose default is None may be None.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec

from rota.config import kinds
from rota.config.fronts import Fronts, Listeners
from rota.config.kafka import Kafka
from rota.config.programs import Programs
from rota.config.secret import Secret
from rota.config.store import Store
from rota.model.clock import SECOND
from rota.model.policy import DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE, DEFAULT_RETENTION

KiB, MiB, GiB = 1024, 1024**2, 1024**3
HOUR, DAY = 3600, 86400
HANDLERS = ("sleep", "send_email", "webhook", "process_file")
FOR_DEV = {"log_format": "text", "grace": 2.0, "handlers.webhook.allow_private": True}
"""Defaults of some settings when ``dev`` is set."""
PORTS = {"none": 25, "starttls": 587, "tls": 465}


class Sleep(msgspec.Struct, frozen=True, kw_only=True):
    """The longest sleep, in milliseconds."""

    max_ms: Annotated[int, kinds.Whole(0, 30 * DAY * 1000)] = DAY * 1000


class Email(msgspec.Struct, frozen=True, kw_only=True):
    """How ``send_email`` delivers: by SMTP when ``host`` is set, into the Maildir folder otherwise."""

    host: Annotated[str | None, kinds.Host()] = None
    port: Annotated[int, kinds.Whole(1, 65535)] = PORTS["starttls"]
    tls: Annotated[str, kinds.Choice(*PORTS)] = "starttls"
    username: Annotated[str | None, kinds.Text()] = None
    password: Annotated[Secret | None, kinds.Hidden()] = None
    sender: Annotated[str, kinds.MailAddress()] = "rota@localhost"
    maildir: Annotated[str, kinds.Text()] = "maildir"
    timeout: Annotated[float, kinds.Duration(1, HOUR)] = 30.0


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """What ``webhook`` may reach and how much of an answer it keeps."""

    allow_private: Annotated[bool, kinds.Truth()] = False
    allow_networks: Annotated[tuple[str, ...], kinds.Networks()] = ()
    max_response_bytes: Annotated[int, kinds.Size(0, 64 * MiB)] = 64 * KiB
    timeout: Annotated[float, kinds.Duration(0.1, HOUR)] = 30.0


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The folder ``process_file`` may touch (None: the handler is off) and how large a file may be."""

    folder: Annotated[str | None, kinds.Folder()] = None
    max_bytes: Annotated[int, kinds.Size(1, 1024 * GiB)] = 1 * GiB


class Handlers(msgspec.Struct, frozen=True, kw_only=True):
    """The built-in worker: which handlers it has, and how many jobs of which queues it runs at once."""

    enabled: Annotated[tuple[str, ...], kinds.Some(HANDLERS)] = HANDLERS
    queues: Annotated[dict[str, int], kinds.Slots(10_000)] = msgspec.field(
        default_factory=lambda: {DEFAULT_QUEUE: 10}
    )
    sleep: Sleep = Sleep()
    email: Email = Email()
    webhook: Webhook = Webhook()
    files: Files = Files()

    @property
    def active(self) -> tuple[str, ...]:
        """Types that are really served: the enabled ones, but ``process_file`` only with a folder."""
        return tuple(name for name in self.enabled if name != "process_file" or self.files.folder is not None)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a server is told before it starts."""

    listen: Annotated[str, kinds.Address()] = "127.0.0.1:8080"
    store: Annotated[str, Store()] = "sqlite:///rota.db"
    migrate: Annotated[bool, kinds.Truth()] = True
    token: Annotated[Secret | None, kinds.Token()] = None
    insecure: Annotated[bool, kinds.Truth()] = False
    allowed_hosts: Annotated[tuple[str, ...], kinds.Hosts()] = ()
    work: Annotated[tuple[str, ...], kinds.Targets()] = ()
    processes: Annotated[int, kinds.Whole(1, 256)] = 1
    slots: Annotated[int, kinds.Whole(1, 10_000)] = 10
    grace: Annotated[float, kinds.Duration(0, DAY)] = 30.0
    lease: Annotated[float, kinds.Duration(0.5, HOUR)] = 15.0
    beat: Annotated[float, kinds.Duration(0.1, HOUR)] = 5.0
    socket_grace: Annotated[float, kinds.Duration(0, HOUR)] = 3.0
    body_limit: Annotated[int, kinds.Size(1 * KiB, 1 * GiB)] = 16 * MiB
    payload_limit: Annotated[int, kinds.Size(1, 256 * MiB)] = 1 * MiB
    result_limit: Annotated[int, kinds.Size(1, 256 * MiB)] = 1 * MiB
    upload_limit: Annotated[int, kinds.Size(1 * KiB, 16 * GiB)] = 64 * MiB
    artifact_limit: Annotated[int, kinds.Size(1 * KiB, 16 * GiB)] = 64 * MiB
    log_lines: Annotated[int, kinds.Whole(0, 1_000_000)] = 1000
    max_attempts: Annotated[int, kinds.Whole(1, 1000)] = DEFAULT_MAX_ATTEMPTS
    retention: Annotated[float, kinds.Duration(0, 3650 * DAY)] = DEFAULT_RETENTION / SECOND
    connections: Annotated[int, kinds.Whole(10, 1_000_000)] = 10_000
    header_timeout: Annotated[float, kinds.Duration(0.1, HOUR)] = 10.0
    body_timeout: Annotated[float, kinds.Duration(0.1, HOUR)] = 30.0
    keep_alive: Annotated[float, kinds.Duration(0.1, HOUR)] = 60.0
    log_level: Annotated[str, kinds.Choice("debug", "info", "warning", "error")] = "info"
    log_format: Annotated[str, kinds.Choice("auto", "json", "text")] = "auto"
    log_file: Annotated[str | None, kinds.Text()] = None
    dev: Annotated[bool, kinds.Truth()] = False
    handlers: Handlers = Handlers()
    programs: Programs = Programs()
    kafka: Kafka = Kafka()
    fronts: Fronts = Fronts()
    listeners: Annotated[tuple[tuple[str, tuple[str, ...]], ...], Listeners()] = ()
    origins: dict[str, str] = {}
    """Who said what: key to ``rota.yaml:3``, ``ROTA_LISTEN`` or ``--listen``; the rest is default."""
    idle: dict[str, tuple[str, str]] = {}
    """Keys of older programs that have no effect here: key to its text and who said it."""
    local_only: bool = False
    """Other machines reach the interface of the parallel queue and the probes, and nothing else."""

    @property
    def host(self) -> str:
        """The host part of ``listen``, an IPv6 address without its brackets."""
        return kinds.split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """The port part of ``listen``; 0 asks the system for a free one."""
        return kinds.split_address(self.listen)[1]


class Key(NamedTuple):
    """One setting: its path (``handlers.email.host``), what it may be, and its default."""

    path: str
    kind: kinds.Kind
    default: Any


def all_keys(section: type[msgspec.Struct] = Settings, prefix: str = "") -> Iterator[Key]:
    """Every setting, in the order of the classes above."""
    hints = get_type_hints(section, include_extras=True)
    empty = section()
    for name in section.__struct_fields__:
        hint, path = hints[name], prefix + spoken(name)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from all_keys(hint, f"{path}.")
        elif metadata := getattr(hint, "__metadata__", None):
            yield Key(path, metadata[0], getattr(empty, name))


def spoken(name: str) -> str:
    """A field's name in paths: one that is a word of Python's has an underscore in the class only."""
    return name.removesuffix("_")


def build(values: dict[str, Any], section: type[msgspec.Struct] = Settings, prefix: str = "") -> Any:
    """A ``section`` from values by path; what is not named has its default."""
    given: dict[str, Any] = {}
    hints = get_type_hints(section)
    for name in section.__struct_fields__:
        hint, path = hints[name], prefix + spoken(name)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            given[name] = build(values, hint, f"{path}.")
        elif path in values:
            given[name] = values[path]
    return section(**given)
