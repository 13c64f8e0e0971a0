"""From the sources to :class:`Settings`, or to all complaints at once; and back to a list for people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rota.config import kafka, older
from rota.config.kinds import Refused, is_everywhere, is_loopback, split_address
from rota.config.secret import MASK
from rota.config.settings import FOR_DEV, PORTS, Key, Settings, all_keys, build
from rota.config.sources import (
    CONFIG_VARIABLE,
    FILE_SUFFIX,
    Given,
    Names,
    from_environment,
    from_file,
    from_flags,
    show,
)
from rota.model.errors import BadConfig

MAX_SECRET = 64 * 1024
SHORTEST_TOKEN = 16
"""Characters of a token that guards more than this machine: 16 letters and digits are beyond guessing."""


class Shown(NamedTuple):
    """One setting in force: its value for programs (secrets as ``***``), for people, and who said so."""

    key: str
    value: Any
    text: str
    origin: str


def load(
    file: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Read, check and merge.

    ``file`` is the ``--config`` flag; without it ``ROTA_CONFIG``, and then ``APP_CONFIG_PATH``, may name the
    file. ``env`` is the environment (default: that of this process). ``flags`` are values by path, such as
    ``{"listen": "[::1]:80"}``; None counts as not given. Every value is checked, also one that a stronger
    source overrides. Raises BadConfig with all complaints.
    """
    return _Loading().run(file, os.environ if env is None else env, flags or {})


def describe(settings: Settings) -> list[Shown]:
    """Every setting in force, in the order of the documentation."""
    shown = []
    for key in all_keys():
        value: Any = settings
        for name in key.path.split("."):
            value = getattr(value, f"{name}_" if iskeyword(name) else name)
        origin = settings.origins.get(key.path, "default")
        if value is None:
            shown.append(Shown(key.path, None, "null", origin))
        elif key.kind.secret:
            shown.append(Shown(key.path, MASK, MASK, origin))
        else:
            shown.append(Shown(key.path, key.kind.plain(value), key.kind.show(value), origin))
    shown += [Shown(key, text, text, f"{at}, no effect") for key, (text, at) in settings.idle.items()]
    return shown


class _Loading:
    def __init__(self) -> None:
        self.keys = {key.path: key for key in all_keys()}
        self.complaints: list[str] = []
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.bad: set[str] = set()
        self.older = older.Read([], {}, None)

    def run(self, file: str | Path | None, env: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
        secrets = [path for path, key in self.keys.items() if key.kind.secret]
        names, origin = Names(self.keys, secrets), "--config"
        for variable in (CONFIG_VARIABLE, older.VARIABLE):
            if file is None and env.get(variable):
                file, origin = env[variable], variable
        if file is not None:
            every = Names(self.keys, secrets, older.KEYS)
            self.older = older.read(from_file(Path(file), origin, every, self.complaints), self._complain)
            self._take(self.older.given)
        self._take(from_environment(env, names, self.complaints))
        self._take(from_flags(flags, names, self.complaints))
        if "handlers.email.port" not in self.values:
            self.values["handlers.email.port"] = PORTS[self.values.get("handlers.email.tls", "starttls")]
        if self.values.get("dev"):
            for path in FOR_DEV.keys() - self.values.keys():
                self.values[path], self.origins[path] = FOR_DEV[path], self.origins["dev"]
        settings: Settings = build(self.values)
        settings = msgspec.structs.replace(
            settings, origins=self.origins, idle=self.older.idle, local_only=self._local_only(settings)
        )
        self._check_together(settings)
        if self.complaints:
            raise BadConfig(self.complaints)
        return settings

    def _take(self, source: list[Given]) -> None:
        """Values of one source; they override those of the sources before."""
        said: dict[str, Given] = {}
        for one in source:
            path, value, origin = one
            secret = path.removesuffix(FILE_SUFFIX)
            of_file = path not in self.keys
            key = self.keys[secret if of_file else path]
            if key.kind.secret and (other := said.setdefault(key.path, one)).path != path:
                self._complain(key.path, origin, f"give it or its file, not both (see {other.origin}).")
                continue
            if of_file:
                value = self._read_secret(key, value, origin)
                if value is None:
                    continue
            try:
                parsed = None if value is None and key.default is None else self._parse(key, value)
            except Refused as refused:
                told = str(refused) or f"must be {key.kind.allowed}"
                given = "" if key.kind.secret or key.kind.quiet else f", not {show(value)}"
                self._complain(key.path, origin, f"{told}{given}.")
                continue
            self.values[key.path] = parsed
            self.origins[key.path] = origin

    def _parse(self, key: Key, value: object) -> Any:
        if isinstance(value, str):
            if value == "null" and key.default is None:
                return None
            value = value.strip() if not key.kind.secret else value
        return key.kind.parse(value)

    def _read_secret(self, key: Key, name: object, origin: str) -> str | None:
        """The one line of a file, without its end."""
        if name is None:
            return None
        try:
            with Path(str(name)).open("rb") as stream:
                text = stream.read(MAX_SECRET).decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not text in UTF-8"
            self._complain(key.path, origin, f"cannot be read from {show(name)}: {why}.")
            return None
        if not text:
            self._complain(key.path, origin, f"{show(name)} is empty; it must hold {key.kind.allowed}.")
            return None
        return text

    def _local_only(self, settings: Settings) -> bool:
        """Whether the parallel queue's own file opens the server, and nothing in it protects the rest."""
        moved = {name for _, names in settings.listeners for name in names}
        return (
            self.older.listen is not None
            and self.origins.get("listen") == self.older.listen
            and not is_loopback(settings.host)
            and not (settings.insecure or settings.dev or settings.token is not None)
            and settings.fronts.pqexec.enabled
            and "pqexec" not in moved
        )

    def _complain(self, path: str, origin: str, text: str) -> None:
        self.bad.add(older.MEANS.get(path, path))
        self.complaints.append(f"{path} ({origin}): {text}")

    def _together(self, *paths: str) -> bool:
        """Whether all of these are sound, so that what they are to each other can be judged."""
        return self.bad.isdisjoint(paths)

    def _check_together(self, settings: Settings) -> None:
        """What no single value shows."""

        def complain(path: str, text: str) -> None:
            self._complain(path, self.origins.get(path, "default"), text)

        self._check_places(settings, complain)
        if settings.local_only and settings.work and not is_everywhere(settings.host):
            complain(
                "work",
                f"its processes could not reach {settings.listen}, which without a token does nothing "
                "but serve the parallel queue: set a token, or listen on 0.0.0.0.",
            )
        if self._together("lease", "beat") and settings.beat * 2 > settings.lease:
            complain(
                "beat",
                f"must be at most half of lease ({settings.lease:g}s), so that one lost beat does no harm.",
            )
        for path in ("payload_limit", "result_limit"):
            if self._together(path, "body_limit") and getattr(settings, path) > settings.body_limit:
                complain(path, f"must not be above body_limit ({settings.body_limit} bytes).")
        webhook = settings.handlers.webhook
        path = "handlers.webhook.max_response_bytes"
        if self._together(path, "result_limit") and webhook.max_response_bytes > settings.result_limit:
            complain(path, f"must not be above result_limit ({settings.result_limit} bytes).")
        programs = settings.programs
        if self._together("programs.timeout", "programs.max_timeout") and (
            programs.timeout > programs.max_timeout
        ):
            if "programs.timeout" in self.origins:
                told = f"must not be above programs.max_timeout ({programs.max_timeout:g}s)."
                complain("programs.timeout", told)
            else:
                told = f"must not be below programs.timeout ({programs.timeout:g}s)."
                complain("programs.max_timeout", told)
        self._check_email(settings, complain)
        for path, told in kafka.complaints(settings.kafka):
            if self._together(path, "kafka.brokers"):
                complain(path, told)

    def _check_places(self, settings: Settings, complain: Any) -> None:
        """Where it listens: who reaches that, and what is served there."""
        places = [("listen", settings.listen), *(("listeners", place) for place, _ in settings.listeners)]
        places = [(path, place) for path, place in places if self._together(path)]
        given = len(settings.token.reveal()) if settings.token else 0
        lack = f"its token has only {given} characters" if given else "it has no token"
        known = self._together("token", "insecure")
        for path, place in places:
            if is_loopback(split_address(place)[0]):
                continue
            if settings.dev:
                complain(path, f"{place} is open to other machines; dev is for this machine only.")
            elif path == "listen" and settings.local_only:
                continue
            elif known and not settings.insecure and given < SHORTEST_TOKEN:
                complain(
                    path,
                    f"{place} is open to other machines, but {lack}: set token, token_file, "
                    f"ROTA_TOKEN or ROTA_TOKEN_FILE with {SHORTEST_TOKEN} or more characters, "
                    "or say insecure (--insecure).",
                )
        fixed = [place.lower() for _, place in places if split_address(place)[1]]
        for place in sorted({place for place in fixed if fixed.count(place) > 1}):
            complain("listeners", f"{place} is there twice; listen and listeners must all differ.")
        for name in (name for _, names in settings.listeners for name in names):
            if not getattr(settings.fronts, name).enabled:
                told = f"serves the front {name}, which fronts.{name}.enabled switches off."
                complain("listeners", told)

    def _check_email(self, settings: Settings, complain: Any) -> None:
        email, section = settings.handlers.email, "handlers.email."
        if not self._together(*(section + name for name in ("host", "tls", "username", "password"))):
            return
        if (email.username is None) != (email.password is None):
            lacking, other = ("password", "username") if email.password is None else ("username", "password")
            complain(section + other, f"needs {section}{lacking} too.")
        elif (
            email.password is not None and email.tls == "none" and not is_loopback(email.host or "localhost")
        ):
            complain(
                section + "tls",
                f"none would send the password in the clear to {email.host}; it must be starttls or tls.",
            )
