"""The settings of Kafka, in and out; ``docs/configuration.md`` has a line for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from rota.config import kinds
from rota.config.secret import MASK, Secret
from rota.model.event import KINDS, EventKind
from rota.model.policy import DEFAULT_QUEUE
from rota.model.size import size_text
from rota.model.spec import HIGH, LOW, MAX_ATTEMPTS, MAX_TIMEOUT, is_name

MiB = 1024**2
DEAD = ".dead"
"""What a topic's dead letters go to, where nothing else is said: the topic of its name and this."""
TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_SECRET = re.compile(r"pass(word|phrase)|secret|\.pem$|oauthbearer\.config|token")

# What Rota answers for itself, and what would load code or run commands.
FORBIDDEN = {
    "bootstrap.servers": "say kafka.brokers",
    "metadata.broker.list": "say kafka.brokers",
    "group.id": "say group with the topic in kafka.in",
    "group.instance.id": "several servers share these settings",
    "group.protocol": "Rota shares partitions by the classic protocol",
    "partition.assignment.strategy": "Rota shares partitions cooperatively",
    "enable.auto.commit": "Rota commits what has become jobs",
    "enable.auto.offset.store": "Rota commits what has become jobs",
    "auto.offset.reset": "say start with the topic in kafka.in",
    "isolation.level": "Rota reads what was committed",
    "enable.idempotence": "Rota needs it",
    "transactional.id": "several servers share these settings",
    "acks": "Rota waits for all replicas",
    "request.required.acks": "Rota waits for all replicas",
    "allow.auto.create.topics": "topics are made by whoever runs Kafka",
    "enable.partition.eof": "Rota has no use for it",
    "statistics.interval.ms": "Rota has no use for it",
    "plugin.library.paths": "it loads code",
    "ssl.engine.location": "it loads code",
    "ssl.providers": "it loads code",
    "sasl.kerberos.kinit.cmd": "it runs a command",
    "enable.sasl.oauthbearer.unsecure.jwt": "anybody could write such a token",
}


class Brokers(kinds.Kind):
    """Where a cluster is found."""

    allowed = "a list of HOST:PORT such as kafka-1.example.com:9092; none switches Kafka off"
    _address = kinds.Address()

    def parse(self, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        items = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise kinds.Refused
        found = tuple(dict.fromkeys(self._address.parse(item) for item in items if item != ""))
        if any(kinds.split_address(one)[1] == 0 for one in found):
            raise kinds.Refused
        return found

    def show(self, value: Any) -> str:
        return ", ".join(value) or "none"


class Options(kinds.Kind):
    """What librdkafka is told besides: options by their names, values as texts."""

    allowed = "options of librdkafka by name: in YAML {debug: cgrp}, as text debug=cgrp,..."
    quiet = True

    def parse(self, value: object) -> dict[str, str]:
        pairs: list[tuple[object, object]]
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = _json(value)
        if isinstance(value, Mapping):
            pairs = list(value.items())
        elif isinstance(value, str):
            pairs = []
            for text in (text for text in value.split(",") if text.strip()):
                name, equals, given = text.strip().partition("=")
                pairs.append((name.strip(), given.strip() if equals else None))
        else:
            raise kinds.Refused
        return dict(self._option(name, given) for name, given in pairs)

    def _option(self, name: object, given: object) -> tuple[str, str]:
        if not isinstance(name, str) or re.fullmatch(r"[a-z][a-z0-9._]{0,99}", name) is None:
            raise kinds.Refused(f"has {str(name)[:50]!r}, which is no name of an option")
        if name in FORBIDDEN or name.startswith("test.mock."):
            why = FORBIDDEN.get(name, "it is for tests of librdkafka")
            raise kinds.Refused(f"must not have {name}: {why}")
        text = str(given).lower() if isinstance(given, bool) else str(given)
        if not isinstance(given, str | int | float) or not 1 <= len(text) <= 65536:
            raise kinds.Refused(f"needs a text or a number for {name}")
        return name, text

    def show(self, value: Any) -> str:
        return ", ".join(f"{name}={text}" for name, text in self.plain(value).items()) or "none"

    def plain(self, value: Any) -> Any:
        return {name: MASK if is_secret(name) else text for name, text in value.items()}


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A topic whose records become jobs. Just one of ``type`` and ``type_from``; the latter is ``key``,
    ``header:NAME`` or ``field:NAME`` (of the payload). ``timeout`` in seconds.
    """

    topic: str
    group: str = "rota"
    type: str | None = None
    type_from: str | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    priority_header: str = "priority"
    delay_header: str = "delay"
    timeout: float | None = None
    max_attempts: int | None = None
    max_payload: int | None = None
    payload: str = "auto"
    dead_letter: str = ""
    start: str = "earliest"


class Inputs(kinds.Kind):
    """Topics in, each with what becomes of its records."""

    allowed = (
        "a list such as [{topic: orders, type: order.placed, queue: orders}] (in the environment as JSON), "
        "or a text orders=order.placed,b=mail"
    )
    quiet = True
    _kinds: Mapping[str, kinds.Kind] = {
        "group": kinds.Text(),
        "queue": kinds.Queue(),
        "priority": kinds.Whole(LOW, HIGH),
        "priority_header": kinds.Text(),
        "delay_header": kinds.Text(),
        "timeout": kinds.Duration(0.001, MAX_TIMEOUT // 1_000_000),
        "max_attempts": kinds.Whole(1, MAX_ATTEMPTS),
        "max_payload": kinds.Size(1, 256 * MiB),
        "payload": kinds.Choice("auto", "json", "bytes"),
        "start": kinds.Choice("earliest", "latest"),
    }

    def parse(self, value: object) -> tuple[Input, ...]:
        if isinstance(value, str):
            value = _json(value) if value.lstrip().startswith(("[", "{")) else _pairs(value)
        if isinstance(value, Mapping):
            value = [value]
        if not isinstance(value, list | tuple):
            raise kinds.Refused
        found = tuple(self._input(one) for one in value)
        seen: set[tuple[str, str]] = set()
        for one in found:
            if (one.group, one.topic) in seen:
                raise kinds.Refused(f"has the topic {one.topic} twice in the group {one.group}")
            seen.add((one.group, one.topic))
        return found

    def show(self, value: Any) -> str:
        return "; ".join(_shown(one) for one in value) or "none"

    def plain(self, value: Any) -> Any:
        return [
            {name: given for name, given in msgspec.structs.asdict(one).items() if given is not None}
            for one in value
        ]

    def _input(self, given: object) -> Input:
        if not isinstance(given, Mapping):
            raise kinds.Refused
        topic = given.get("topic")
        if not isinstance(topic, str) or TOPIC.fullmatch(topic) is None:
            raise kinds.Refused(f"has the topic {str(topic)[:50]!r}; {TOPIC_RULE}")
        where = f"has for {topic}"
        known = set(Input.__struct_fields__)
        if strange := [str(name) for name in given if name not in known]:
            raise kinds.Refused(
                f"{where} {strange[0][:50]!r}, which is none of {', '.join(Input.__struct_fields__)}"
            )
        values: dict[str, Any] = {"topic": topic}
        for name, kind in self._kinds.items():
            if given.get(name) is not None:
                try:
                    values[name] = kind.parse(given[name])
                except kinds.Refused as refused:
                    told = str(refused) or f"must be {kind.allowed}"
                    raise kinds.Refused(f"{where} {name} {str(given[name])[:50]!r}, which {told}") from None
        type, source = given.get("type"), given.get("type_from")
        if (type is None) == (source is None):
            raise kinds.Refused(f"needs type or type_from for {topic}, just one of them")
        if type is not None and not (isinstance(type, str) and is_name(type)):
            raise kinds.Refused(f"{where} the type {str(type)[:50]!r}, which is no name")
        if source is not None and (
            not isinstance(source, str) or re.fullmatch(r"key|(header|field):.{1,200}", source) is None
        ):
            raise kinds.Refused(
                f"{where} type_from {str(source)[:50]!r}; it is key, header:NAME or field:NAME"
            )
        dead = given.get("dead_letter", topic + DEAD)
        if not isinstance(dead, str) or TOPIC.fullmatch(dead) is None:
            raise kinds.Refused(f"{where} dead_letter {str(dead)[:50]!r}; {TOPIC_RULE}")
        if dead == topic:
            raise kinds.Refused(f"{where} itself as dead_letter")
        return Input(**values, type=type, type_from=source, dead_letter=dead)


TOPIC_RULE = "a topic has 1 to 249 of A-Z a-z 0-9 . _ -"


class Topic(kinds.Kind):
    """A topic to write to."""

    allowed = f"a topic, or null: {TOPIC_RULE}"

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or TOPIC.fullmatch(value) is None:
            raise kinds.Refused
        return value


class Out(msgspec.Struct, frozen=True, kw_only=True):
    """Events of jobs, to a topic. ``backlog``: how many may wait for a broker that is away."""

    topic: Annotated[str | None, Topic()] = None
    events: Annotated[tuple[EventKind, ...], kinds.Some(KINDS)] = ("enqueued", "started", "finished")
    backlog: Annotated[int, kinds.Whole(1000, 1_000_000_000)] = 1_000_000


class Kafka(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster, what comes in from it and what goes out. ``password`` is ``sasl.password``."""

    brokers: Annotated[tuple[str, ...], Brokers()] = ()
    password: Annotated[Secret | None, kinds.Hidden()] = None
    options: Annotated[dict[str, str], Options()] = {}
    in_: Annotated[tuple[Input, ...], Inputs()] = ()
    out: Out = Out()

    @property
    def wanted(self) -> bool:
        """Whether anything comes in or goes out."""
        return bool(self.brokers) and (bool(self.in_) or self.out.topic is not None)

    @property
    def secrets(self) -> list[str]:
        """What must not be in a log."""
        hidden = [text for name, text in self.options.items() if is_secret(name)]
        return hidden if self.password is None else [*hidden, self.password.reveal()]


def is_secret(option: str) -> bool:
    """Whether an option of this name holds a secret."""
    return _SECRET.search(option) is not None


def complaints(kafka: Kafka) -> list[tuple[str, str]]:
    """What no single setting shows: keys and what is wrong."""
    found: list[tuple[str, str]] = []
    if not kafka.brokers:
        for key, given in (("kafka.in", kafka.in_), ("kafka.out.topic", kafka.out.topic)):
            if given:
                found.append((key, "needs kafka.brokers, to know where Kafka is."))
    if kafka.password is not None and "sasl.password" in kafka.options:
        found.append(("kafka.password", "is in kafka.options, too, as sasl.password; say it once."))
    if kafka.out.topic in {one.topic for one in kafka.in_}:
        found.append(
            ("kafka.out.topic", f"{kafka.out.topic} comes in by kafka.in, and would go round in a ring.")
        )
    return found


def _shown(one: Input) -> str:
    default = Input(topic=one.topic, dead_letter=one.topic + DEAD)
    told = [f"{one.topic}={one.type if one.type is not None else '(' + str(one.type_from) + ')'}"]
    for name in Input.__struct_fields__:
        given = getattr(one, name)
        if name not in ("topic", "type", "type_from") and given != getattr(default, name):
            told.append(f"{name} {size_text(given) if name == 'max_payload' else given}")
    return ", ".join(told)


def _pairs(text: str) -> list[dict[str, str]]:
    pairs = [item.partition("=") for item in re.split(r"[,\s]+", text) if item]
    if not all(type for _, _, type in pairs):
        raise kinds.Refused
    return [{"topic": topic, "type": type} for topic, _, type in pairs]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise kinds.Refused("is not JSON") from None
