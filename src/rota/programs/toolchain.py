"""What of the machine a program sees besides its own folder: compilers, interpreters and libraries,
read-only."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rota.model.errors import BadInput
from rota.programs.order import Seen

# /etc/alternatives is where cc, awk and the like lead on Debian.
DEFAULT = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
# What finding a name and checking a certificate takes.
NETWORK = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/pki",
)
_OURS = ("/proc", "/dev", "/sys", "/job", "/tmp", "/var/tmp")  # noqa: S108


def check(paths: Iterable[str], field: str) -> None:
    """Refuse (BadInput) paths that are not there, not absolute, or would cover what the sandbox is made
    of."""
    for path in paths:
        if not path.startswith("/") or "\0" in path or os.path.normpath(path) != path:
            raise BadInput(f"{path!r} must be an absolute path without '..' and '//'", field=field)
        if path == "/" or any(path == ours or path.startswith(ours + "/") for ours in _OURS):
            raise BadInput(f"{path!r} cannot be shown to programs: it covers what is their own", field=field)
        if not os.path.lexists(path):
            raise BadInput(f"{path!r} does not exist", field=field)


def seen(more: Iterable[str], *, network: bool) -> list[Seen]:
    """The toolchain and more, as far as this machine has it; links stay links, those of the network are
    followed."""
    found: list[Seen] = []
    for path in dict.fromkeys([*DEFAULT, *more]):
        if os.path.islink(path):
            found.append((path, "link", os.readlink(path)))
        elif os.path.exists(path):
            found.append((path, "bind", path))
    if network:
        found += [(path, "bind", os.path.realpath(path)) for path in NETWORK if os.path.exists(path)]
    return found
