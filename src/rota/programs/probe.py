"""What this machine can hold a program with: every layer tried by doing it, and the profile that follows.

::

    strict     bubblewrap + seccomp + limits, and control groups count memory and processes
    standard   bubblewrap + seccomp + limits of each process
    basic      Landlock + seccomp + a user of its own + limits of each process
    none       nothing that would hold: programs are refused, unless unsafe ones are allowed
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

Profile = Literal["strict", "standard", "basic", "none"]
PROFILES: tuple[Profile, ...] = ("none", "basic", "standard", "strict")
LAYERS = ("bubblewrap", "network", "user", "seccomp", "landlock", "memory and processes", "cpu", "limits")
# Why a layer that works is not used.
LEFT_OUT = "left out by the configuration"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, whether it was seen to work, and why not."""

    name: str
    works: bool
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """All layers, and what they amount to; ``missing`` says what a better profile would take."""

    layers: tuple[Layer, ...]
    profile: Profile
    missing: str | None
    bubblewrap: str | None = None
    first_uid: int | None = None
    landlock: int = 0
    groups: tuple[int, dict[str, str]] | None = None
    proc: bool = True

    def works(self, name: str) -> bool:
        """Whether a layer works."""
        return any(layer.name == name and layer.works for layer in self.layers)


def table(
    found: dict[str, Any],
    box: str | None,
    network: str | None,
    *,
    proc: bool,
    leave_out: Collection[str] = (),
) -> Table:
    """The table from what the keeper surveyed and from what a program in bubblewrap complained of (None:
    nothing)."""
    uid, no_user = found["user"]
    groups, no_groups, no_cores = found["groups"]
    why: dict[str, str | None] = {
        "bubblewrap": box,
        "network": network,
        "user": no_user,
        "seccomp": found["why_not"]["seccomp"],
        "landlock": found["why_not"]["landlock"],
        "memory and processes": no_groups,
        "cpu": no_cores,
        "limits": found["why_not"]["limits"],
    }
    why |= dict.fromkeys(set(leave_out) & set(LAYERS), LEFT_OUT)
    # A group is one thing: without its main half there is none.
    if why["memory and processes"] is not None:
        groups = None
        why["cpu"] = why["cpu"] or "needs memory and processes"
    profile, missing = _profile(why, root=os.geteuid() == 0)
    return Table(
        layers=tuple(Layer(name, reason is None, reason) for name, reason in why.items()),
        profile=profile,
        missing=missing,
        bubblewrap=found["bubblewrap"][0] if why["bubblewrap"] is None else None,
        first_uid=uid if why["user"] is None else None,
        landlock=found["landlock"] if why["landlock"] is None else 0,
        groups=(groups[0], groups[1]) if groups else None,
        proc=proc,
    )


def _profile(why: dict[str, str | None], *, root: bool) -> tuple[Profile, str | None]:
    """The best profile whose layers all work, and what the next better one lacks."""
    # A program may run as the server's own user only when that one is not root.
    user = ["user"] if root else []
    boxed = ["bubblewrap", "network", "seccomp", "limits", *user]
    needs: dict[Profile, list[str]] = {
        "strict": [*boxed, "memory and processes"],
        "standard": boxed,
        "basic": ["landlock", "seccomp", "limits", "user"],
    }
    better: str | None = None
    # Not "basic lacks": behind that word logs hide what could be a password.
    for profile, layers in needs.items():
        lacking = [f"{name}: {why[name]}" for name in layers if why[name] is not None]
        if not lacking:
            return profile, better
        better = (
            f"{better}; or {profile}: lacks {', '.join(lacking)}"
            if better
            else f"{profile}: lacks {', '.join(lacking)}"
        )
    return "none", better


# What a program in the box tries; only words that any shell has built in. Each line it prints is a
# complaint, but for the last one and those that begin with "net".
INSIDE = """
exec 2>/dev/null
say() { echo "$*"; }
if [ -r /proc/self/status ]; then
    while read -r key value rest; do
        case "$key" in
            Uid:) [ "$value" = 1000 ] || say "the user is $value" ;;
            CapEff:|CapPrm:|CapBnd:|CapAmb:) [ "$value" = 0000000000000000 ] || say "$key $value" ;;
            NoNewPrivs:) [ "$value" = 1 ] || say "new privileges are possible" ;;
            Seccomp:) [ "$value" = "${ROTA_PROBE_FILTER:-$value}" ] || say "no filter of system calls" ;;
        esac
    done </proc/self/status
    while read -r name rest; do
        case "$name" in
            Inter-*|face*|lo:*) ;;
            *) say "network $name" ;;
        esac
    done </proc/net/dev
    [ -d "/proc/$ROTA_PROBE_PID" ] && [ "$ROTA_PROBE_PID" -gt 1000 ] && say "processes outside are visible"
fi
for path in "$ROTA_PROBE_FILE" /etc/shadow /root /home /sys /run; do
    [ -e "$path" ] && say "$path is visible"
done
for path in /usr /etc /dev / /proc; do
    (: >"$path/.rota-probe") && say "$path can be written"
done
for path in /job /tmp /dev/shm; do
    (: >"$path/.rota-probe") || say "$path cannot be written"
done
kill -0 "$ROTA_PROBE_PID" && say "signals reach outside"
say done
"""


def complaints(text: str) -> tuple[str | None, str | None]:
    """What the program in the box printed: what is wrong with the box, and with its network."""
    lines = [line for line in text.splitlines() if line]
    if not lines or lines[-1] != "done":
        return (lines[-1] if lines else "a program in it said nothing"), None
    bad = [line for line in lines[:-1] if not line.startswith("network ")]
    network = [line for line in lines[:-1] if line.startswith("network ")]
    return "; ".join(bad) or None, "; ".join(network) or None
