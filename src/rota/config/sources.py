"""Where settings come from: a YAML file, the environment, flags. Each gives values by path with origin."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PREFIX = "ROTA_"
CONFIG_VARIABLE = "ROTA_CONFIG"
FILE_SUFFIX = "_file"
MAX_FILE = 1024 * 1024

# Variables of the same family that are no settings of the server: the clients' and the workers' own.
_OTHERS = frozenset({CONFIG_VARIABLE, "ROTA_URL", "ROTA_WORK_STORE", "ROTA_QUEUES", "ROTA_NAME"})
# What Kubernetes puts into every container of a namespace that has a service named "rota" or "rota-...".
_SERVICE_LINK = re.compile(
    r"ROTA_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)"
)

# Flags whose names say less than the setting's path.
_SHORT = {"surface": "fronts.pqexec.surface", "unsafe_programs": "programs.unsafe"}

_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 80
_shorten.maxlevel = 2


class Given(NamedTuple):
    """A value as it was written, and where (``rota.yaml:3``, ``ROTA_LISTEN``, ``--listen``)."""

    path: str
    value: object
    origin: str


class Names:
    """The known paths, to tell what somebody may have meant; ``secrets`` also come as ``..._file``, and
    ``older`` ones in a file only.
    """

    def __init__(self, keys: Iterable[str], secrets: Iterable[str], older: Collection[str] = ()) -> None:
        self.secrets = frozenset(secrets)
        self.keys = frozenset(keys) | {key + FILE_SUFFIX for key in self.secrets} | frozenset(older)
        self._older = {key.partition(".")[0] for key in older}
        self.sections = {key.rpartition(".")[0] for key in self.keys}

    def nearest(self, path: str) -> str | None:
        """The known key or section most like ``path``, looking at whole paths first, then at last names."""
        known = sorted(self.keys | (self.sections - {""}))
        if close := difflib.get_close_matches(path, known, 1, 0.75):
            return close[0]
        last = path.rpartition(".")[2]
        ours = [name for name in known if name.partition(".")[0] not in self._older]
        ends = {name.rpartition(".")[2]: name for name in reversed(ours)}
        close = difflib.get_close_matches(last, sorted(ends), 1, 0.75)
        return ends[close[0]] if close else None


def show(value: object) -> str:
    """A value for a complaint: short, and without the password of a store's URL."""
    text = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", _shorten.repr(value))
    return text if len(text) <= 200 else f"{text[:200]}..."


def from_file(file: Path, origin: str, names: Names, complaints: list[str]) -> list[Given]:
    """The values of a YAML file; ``origin`` says who named the file."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except OSError as error:
        complaints.append(f"config ({origin}): cannot read {file}: {error.strerror or error}.")
        return []
    if len(raw) > MAX_FILE:
        complaints.append(f"config ({origin}): {file} has more than {MAX_FILE} bytes.")
        return []
    return _Yaml(str(file), names, complaints).read(raw)


def from_environment(env: Mapping[str, str], names: Names, complaints: list[str]) -> list[Given]:
    """``ROTA_HANDLERS__EMAIL__HOST`` is ``handlers.email.host``; an empty variable counts as not set."""
    given = []
    for name in sorted(env):
        if not name.startswith(PREFIX) or name in _OTHERS:
            continue
        path = name.removeprefix(PREFIX).lower().replace("__", ".")
        if path in names.keys and name == variable(path):
            if env[name]:
                given.append(Given(path, env[name], name))
        elif _SERVICE_LINK.fullmatch(name) is None:
            # One underscore where two belong is the usual slip.
            near = next((key for key in sorted(names.keys) if _flat(key) == _flat(path)), None)
            near = near or names.nearest(path)
            hint = f"; did you mean {variable(near)}?" if near in names.keys and near else "."
            complaints.append(f"{name}: there is no such setting{hint}")
    return given


def from_flags(flags: Mapping[str, object], names: Names, complaints: list[str]) -> list[Given]:
    """Values by path from the command line; None and empty lists count as not given."""
    given = []
    for name, value in flags.items():
        path = _SHORT.get(name, name)
        if value is None or (isinstance(value, list | tuple) and not value):
            continue
        if path in names.keys:
            given.append(Given(path, value, flag(path)))
        else:
            near = names.nearest(path)
            hint = _hint(flag(near) if near else None)
            complaints.append(f"{flag(path)}: there is no such setting{hint}")
    return given


def variable(path: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + path.replace(".", "__").upper()


def flag(path: str) -> str:
    """The flag of a setting."""
    path = next((short for short, long in _SHORT.items() if long == path), path)
    return "--" + path.replace(".", "-").replace("_", "-")


class _Yaml:
    """Reads one file with the line of every value; refuses keys that are unknown or there twice."""

    def __init__(self, name: str, names: Names, complaints: list[str]) -> None:
        self.name = name
        self.names = names
        self.complaints = complaints
        self.given: list[Given] = []
        self.loader: Any = None

    def read(self, raw: bytes) -> list[Given]:
        try:
            self.loader = yaml.SafeLoader(raw)
            root = self.loader.get_single_node()
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{self.name}:{mark.line + 1}" if mark else self.name
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            self.complaints.append(f"config ({place}): this is not YAML: {problem}.")
            return []
        if root is not None:
            self._section(root, "")
        return self.given

    def _section(self, node: yaml.Node, path: str) -> None:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return
        if not isinstance(node, yaml.MappingNode):
            what = (
                f"{path} ({self._place(node)}): must be a section"
                if path
                else f"{self.name}: must be a mapping"
            )
            self.complaints.append(f"{what} with names and values.")
            return
        for name, key, value in self._pairs(node, path):
            inner = f"{path}.{name}" if path else name
            if inner in self.names.keys:
                self._value(inner, key, value)
            elif inner in self.names.sections:
                self._section(value, inner)
            else:
                hint = _hint(self.names.nearest(inner))
                self.complaints.append(f"{inner} ({self._place(key)}): there is no such setting{hint}")

    def _value(self, path: str, key: yaml.Node, node: yaml.Node) -> None:
        try:
            if isinstance(node, yaml.MappingNode):
                list(self._pairs(node, path))
            self.given.append(Given(path, self.loader.construct_object(node, deep=True), self._place(key)))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            problem = getattr(error, "problem", None) or str(error) or type(error).__name__
            self.complaints.append(f"{path} ({self._place(key)}): cannot be read: {problem}.")

    def _pairs(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        lines: dict[str, str] = {}
        for key, _ in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in lines and name != "<<":
                full = f"{path}.{name}" if path else name
                self.complaints.append(
                    f"{full} ({self._place(key)}): is there twice; the first is in {lines[name]}."
                )
            lines[name] = self._place(key)
        self.loader.flatten_mapping(node)
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield str(key.value), key, value
            else:
                self.complaints.append(f"{path or 'config'} ({self._place(key)}): a name must be text.")

    def _place(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"


def _hint(near: str | None) -> str:
    return f"; did you mean {near}?" if near else "."


def _flat(path: str) -> str:
    return path.replace(".", "_")
