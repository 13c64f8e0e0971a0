"""What a setting may be: from a YAML value, or a text from the environment or a flag, to the value in use.

Every kind says in ``allowed`` what it takes. ``parse`` raises :class:`Refused`, with words of its own where
``allowed`` would not explain enough; ``show`` is how people read the value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rota.config.secret import MASK, Secret
from rota.model.size import parse_size, size_text
from rota.model.spec import NAME, NAME_RULE

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?"
)
_ADDRESS = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|m|h|d|w)")
_SPANS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TRUTH = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
_TARGET = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


class Refused(ValueError):
    """The value is none of what is allowed; the text, if any, says more than ``allowed``."""


class Kind:
    """The base: text in, text out."""

    allowed = "text"
    secret = False
    quiet = False
    """A value that is refused may hold secrets, and is not shown."""

    def parse(self, value: object) -> Any:
        raise NotImplementedError

    def show(self, value: Any) -> str:
        return str(value)

    def plain(self, value: Any) -> Any:
        """For JSON, in a form that ``parse`` takes."""
        return list(value) if isinstance(value, tuple) else value


class Text(Kind):
    """One line of text."""

    allowed = "1 to 1000 characters without control characters (in YAML in quotes if it looks like a number)"

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 1000 or _CONTROL.search(value):
            raise Refused
        return value


class Host(Text):
    allowed = "a host name or an IP address, without port"

    def parse(self, value: object) -> str:
        text = super().parse(value)
        if _HOST.fullmatch(text) is None and _ip(text) is None:
            raise Refused
        return text


class Hosts(Kind):
    """Host names or addresses."""

    allowed = "a list of host names or IP addresses, without ports"

    def parse(self, value: object) -> tuple[str, ...]:
        return tuple(dict.fromkeys(Host().parse(item).lower() for item in _list(value)))

    def show(self, value: Any) -> str:
        return ", ".join(value) or "none"


class MailAddress(Text):
    allowed = "a mail address such as rota@example.com"

    def parse(self, value: object) -> str:
        text = super().parse(value)
        local, at, domain = text.rpartition("@")
        if not at or not local or re.search(r"[\s<>,;:\"()\[\]@]", local) or _HOST.fullmatch(domain) is None:
            raise Refused
        return text


class Choice(Kind):
    def __init__(self, *words: str) -> None:
        self.words = words
        self.allowed = f"one of {', '.join(words)}"

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or value.lower() not in self.words:
            raise Refused
        return value.lower()


class Truth(Kind):
    allowed = "true or false"

    def parse(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _TRUTH:
            return _TRUTH[value.lower()]
        raise Refused

    def show(self, value: Any) -> str:
        return "true" if value else "false"


class Whole(Kind):
    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.allowed = f"a whole number from {low} to {high}"

    def parse(self, value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise Refused
        return value


class Duration(Kind):
    """Seconds as a float."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.allowed = (
            f"seconds or a text such as 500ms, 30s, 5m, 1h30m or 7d, from {_span(low)} to {_span(high)}"
        )

    def parse(self, value: object) -> float:
        if isinstance(value, str):
            text = value.strip().lower()
            if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
                value = float(text)
            elif len(text) < 50 and re.fullmatch(rf"(?:{_SPAN.pattern} *)+", text):
                value = sum(float(number) * _SPANS[unit] for number, unit in _SPAN.findall(text))
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not self.low <= value <= self.high
        ):
            raise Refused
        return float(value)

    def show(self, value: Any) -> str:
        return _span(value)


class Size(Kind):
    """Bytes as an int."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.allowed = f"bytes or a text such as 500 kB or 16 MiB, from {size_text(low)} to {size_text(high)}"

    def parse(self, value: object) -> int:
        if isinstance(value, str):
            value = parse_size(value)
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise Refused
        return value

    def show(self, value: Any) -> str:
        return size_text(value)


class Address(Kind):
    allowed = "HOST:PORT such as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:80 (port 0: any free one)"

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or (match := _ADDRESS.fullmatch(value)) is None:
            raise Refused
        if int(match["port"]) > 65535:
            raise Refused("must have a port from 0 to 65535")
        if match["six"] is not None:
            if not isinstance(_ip(match["six"]), ipaddress.IPv6Address):
                raise Refused
        elif _HOST.fullmatch(match["host"]) is None or (
            re.fullmatch(r"[0-9.]+", match["host"]) and _ip(match["host"]) is None
        ):
            raise Refused
        return value


class Targets(Kind):
    """Texts ``MODULE:APP``."""

    allowed = "a list of MODULE:APP, such as shop.jobs:app"

    def parse(self, value: object) -> tuple[str, ...]:
        items = _list(value)
        if not all(isinstance(item, str) and _TARGET.fullmatch(item) for item in items):
            raise Refused
        return tuple(dict.fromkeys(str(item) for item in items))

    def show(self, value: Any) -> str:
        return ", ".join(value) or "none"


class Hidden(Text):
    """A secret that may be any line of text."""

    secret = True

    def parse(self, value: object) -> Any:
        return Secret(super().parse(value))

    def show(self, value: Any) -> str:
        return MASK


class Token(Hidden):
    """A secret that travels in an HTTP header."""

    allowed = "1 to 512 printable ASCII characters without spaces"

    def parse(self, value: object) -> Any:
        if not isinstance(value, str) or re.fullmatch(r"[!-~]{1,512}", value) is None:
            raise Refused
        return Secret(value)


class Folder(Text):
    """A folder that exists."""

    allowed = "the path of a folder that exists, or null"

    def parse(self, value: object) -> str:
        text = super().parse(value)
        if not Path(text).is_dir():
            raise Refused
        return text


class Some(Kind):
    """Some of a few names: a list, ``true`` for all, ``false`` for none."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.allowed = f"true, false or a list out of {', '.join(names)}"

    def parse(self, value: object) -> tuple[str, ...]:
        if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TRUTH):
            return self.names if Truth().parse(value) else ()
        items = _list(value)
        if not all(item in self.names for item in items):
            raise Refused
        return tuple(name for name in self.names if name in items)

    def show(self, value: Any) -> str:
        return ", ".join(value) or "none"


class Slots(Kind):
    """Queues with a number of slots each: a mapping, or a text ``mail=2,default=10``."""

    def __init__(self, most: int) -> None:
        self.number = Whole(1, most)
        each = self.number.allowed
        self.allowed = f"queues with {each} each: in YAML {{default: 10, mail: 2}}, as text default=10,mail=2"

    def parse(self, value: object) -> dict[str, int]:
        pairs: list[tuple[object, object]]
        if isinstance(value, Mapping):
            pairs = list(value.items())
        elif isinstance(value, str):
            texts = [text.partition("=") for text in _list(value) if isinstance(text, str)]
            pairs = [(name, number) for name, _, number in texts]
        else:
            raise Refused
        slots: dict[str, int] = {}
        for name, number in pairs:
            if not isinstance(name, str) or NAME.fullmatch(name) is None:
                raise Refused(f"has a queue that is no name ({NAME_RULE})")
            if name in slots:
                raise Refused(f"has the queue {name} twice")
            slots[name] = self.number.parse(number)
        return slots

    def show(self, value: Any) -> str:
        return ", ".join(f"{name}={slots}" for name, slots in value.items()) or "none"


class Queue(Text):
    """The name of a queue."""

    allowed = f"the name of a queue: {NAME_RULE}"

    def parse(self, value: object) -> str:
        text = super().parse(value)
        if NAME.fullmatch(text) is None:
            raise Refused
        return text


class Networks(Kind):
    """Networks as texts, host bits refused."""

    allowed = "a list of networks or addresses such as 10.0.0.0/8, fd00::/8 or 127.0.0.1"

    def parse(self, value: object) -> tuple[str, ...]:
        networks = []
        for item in _list(value):
            try:
                networks.append(str(ipaddress.ip_network(item if isinstance(item, str) else "")))
            except ValueError:
                raise Refused from None
        return tuple(dict.fromkeys(networks))

    def show(self, value: Any) -> str:
        return ", ".join(value) or "none"


def split_address(listen: str) -> tuple[str, int]:
    """``HOST:PORT`` in two, an IPv6 address without its brackets."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    address = _ip(host)
    return host.lower().rstrip(".") == "localhost" if address is None else address.is_loopback


def is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses of the machine, that of loopback included."""
    address = _ip(host)
    return address is not None and address.is_unspecified


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _list(value: object) -> list[object]:
    """A list as it is; a text split at commas and blanks."""
    if isinstance(value, str):
        return [item for item in re.split(r"[,\s]+", value) if item]
    if isinstance(value, list | tuple):
        return list(value)
    raise Refused


def _span(seconds: float) -> str:
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SPANS[unit] and seconds % _SPANS[unit] == 0:
            return f"{seconds / _SPANS[unit]:.0f}{unit}"
    return f"{seconds:g}s"
