"""What each layer is for: without it, the programs that it holds get away with what they try.

So the catalogue is seen to notice, layer by layer, and the table of layers tells what is missing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct

import pytest

from rota.model.errors import BadInput
from rota.programs import bwrap, probe, seccomp, slots
from rota.programs.ask import MIB, Ask, Limits, SandboxUnavailable
from rota.programs.order import Order
from rota.programs.sandbox import Sandbox
from tests.programs.kit import AS_ROOT, open_folder, run, sandbox
from tests.programs.play import play_all

BARE = ("bubblewrap", "network", "landlock")
GROUPS = ("memory and processes", "cpu")

HELD_BY = [
    (("seccomp",), ["ptrace", "keys", "io_uring", "odd_families", "old_calls", "machine", "bpf"]),
    (("network",), ["inet"]),
    (("limits",), ["open_files", "large_file", "raises_its_limits"]),
    (("limits", *GROUPS), ["forks"]),
    (BARE, ["host_secrets", "proc"]),
    ((*BARE, "seccomp"), ["inet", "unix_sockets"]),
]
if AS_ROOT:
    HELD_BY.append(((*BARE, "user"), ["outside_files"]))


@pytest.mark.parametrize(("out", "names"), HELD_BY, ids=lambda value: "+".join(value))
def test_without_its_layer_a_program_gets_away(out: tuple[str, ...], names: list[str]) -> None:
    with open_folder() as folder:
        found = asyncio.run(play_all(names, out, unsafe=True, root=folder / "jobs"))
    assert found["left"] == []
    for name in names:
        assert any("BROKEN" in line or "SIGSYS" in line for line in found["cases"][name]), found["cases"][
            name
        ]


# --- the table, and what follows from it ---


async def test_every_layer_is_tried_and_told() -> None:
    async with sandbox() as opened:
        table = await opened.probe()
        assert await opened.probe() is table
    assert tuple(layer.name for layer in table.layers) == probe.LAYERS
    assert all(layer.works is (layer.why_not is None) for layer in table.layers)
    working = {layer.name for layer in table.layers if layer.works}
    assert working >= {"bubblewrap", "network", "seccomp", "limits"}
    if AS_ROOT:
        assert (table.profile, table.missing, working) == ("strict", None, set(probe.LAYERS))


@pytest.mark.parametrize(
    ("out", "missing"),
    [
        (("seccomp",), "seccomp: left out"),
        (("bubblewrap", "landlock"), "landlock: left out"),
        (("limits",), "limits: left out"),
    ],
)
async def test_programs_are_refused_where_nothing_holds_them(out: tuple[str, ...], missing: str) -> None:
    async with sandbox(leave_out=out) as opened, opened.workplace() as folder:
        with pytest.raises(SandboxUnavailable, match=missing) as refused:
            await opened.run(Ask(["true"], folder), bytearray().extend)
        assert (refused.value.code, refused.value.status) == ("sandbox_unavailable", 503)
        assert (await opened.probe()).profile == "none"


async def test_a_better_profile_can_be_required() -> None:
    async with sandbox(leave_out=GROUPS, require="strict") as opened:
        with pytest.raises(SandboxUnavailable, match="strict: lacks memory and processes"):
            await run(opened, "true")


async def test_unsafe_runs_programs_where_nothing_holds_them() -> None:
    async with sandbox(leave_out=(*BARE, "seccomp"), unsafe=True) as opened:
        assert (await opened.probe()).profile == "none"
        ran, said = await run(opened, "echo hello")
        assert (ran.ok, said) == (True, "hello\n")


async def test_user_namespaces_are_closed_without_the_filter_too() -> None:
    async with sandbox(leave_out=("seccomp",), unsafe=True) as opened:
        _, said = await run(opened, "unshare -U true 2>&1 && echo BROKEN")
        assert "unshare failed" in said
        assert "BROKEN" not in said


@pytest.mark.parametrize(
    "options",
    [
        {"leave_out": ["bubblewarp"]},
        {"require": "best"},
        {"readonly": ["/not/there"]},
        {"readonly": ["/dev/shm"]},
    ],
)
async def test_wrong_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        async with sandbox(**options):
            pass


async def test_a_root_that_others_can_write_is_refused() -> None:
    with open_folder() as folder:
        (folder / "jobs").mkdir()
        (folder / "jobs").chmod(0o777)
        with pytest.raises(BadInput, match="writable by nobody else"):
            async with Sandbox(folder / "jobs"):
                pass
        (folder / "link").symlink_to(folder)
        with pytest.raises(BadInput, match="no link"):
            async with Sandbox(folder / "link"):
                pass


# --- the filter ---


def interpret(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What a filter answers to a call, by the rules of classic BPF."""
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(list(arguments) + [0] * 6)[:6])
    place = value = 0
    while True:
        code, yes, no, k = struct.unpack_from("=HBBI", program, place * 8)
        place += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, k)
        elif code == 0x06:
            return int(k)
        else:
            assert code in (0x15, 0x25, 0x45)
            passed = value == k if code == 0x15 else value > k if code == 0x25 else bool(value & k)
            place += yes if passed else no


ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000


@pytest.mark.parametrize("name", seccomp.MACHINES)
def test_the_filter_says_what_the_table_says_on_every_machine(name: str) -> None:
    column, arch = seccomp.MACHINES[name]
    program = seccomp.program(name=name)
    refused = {pair[column] for pair in seccomp.REFUSED.values()} - {None}
    absent = {pair[column] for pair in seccomp.ABSENT.values()}
    by_argument = (seccomp.CLONE, seccomp.IOCTL, seccomp.PERSONALITY, seccomp.SOCKET, seccomp.SOCKETPAIR)
    looked_at = {pair[column] for pair in by_argument}
    for number in range(600):
        got = interpret(program, arch, number)
        if number > seccomp.NEWEST or number in absent:
            assert got == ERROR | errno.ENOSYS, number
        elif number in refused:
            assert got == ERROR | errno.EPERM, number
        elif number not in looked_at:
            assert got == ALLOW, number
    assert interpret(program, arch ^ 1, 0) == KILL
    assert interpret(program, arch, 0x40000000 + 39) == ERROR | errno.ENOSYS


@pytest.mark.parametrize("name", seccomp.MACHINES)
def test_the_filter_looks_into_arguments(name: str) -> None:
    column, arch = seccomp.MACHINES[name]
    refused = ERROR | errno.EPERM

    def asked(call: tuple[int, int], *arguments: int, families: tuple[int, ...] = seccomp.INTERNET) -> int:
        return interpret(seccomp.program(families, name=name), arch, call[column], *arguments)

    thread, user, net, fork = 0x3D0F00, 0x10000000, 0x40000000, 17
    assert asked(seccomp.CLONE, thread) == asked(seccomp.CLONE, fork) == ALLOW
    assert asked(seccomp.CLONE, user | fork) == asked(seccomp.CLONE, net | fork) == refused
    assert asked(seccomp.IOCTL, 1, 0x5401) == ALLOW
    assert asked(seccomp.IOCTL, 1, 0x5412) == asked(seccomp.IOCTL, 1, (7 << 32) | 0x5412) == refused
    assert asked(seccomp.PERSONALITY, 0) == asked(seccomp.PERSONALITY, 0xFFFFFFFF) == ALLOW
    assert asked(seccomp.PERSONALITY, 0x0400000) == refused
    families = {family: asked(seccomp.SOCKET, family) == ALLOW for family in range(64)}
    assert {family for family, allowed in families.items() if allowed} == {1, 2, 10}
    assert asked(seccomp.SOCKET, socket.AF_UNIX, families=()) == ERROR | errno.EAFNOSUPPORT
    assert asked(seccomp.SOCKETPAIR, socket.AF_UNIX, families=()) == ALLOW
    hidden = seccomp.program(hidden_memory=False, name=name)
    assert interpret(hidden, arch, seccomp.HIDDEN_MEMORY["memfd_create"][column]) == refused


# --- the arguments of bubblewrap ---


def order(**changes: object) -> Order:
    whole = {
        "name": "1",
        "command": ["make", "run"],
        "folder": "/srv/jobs/1",
        "env": {"A": "--bind"},
        "network": False,
        "limits": Limits(tmp=1 * MIB, shm=2 * MIB),
        "grace_seconds": 1.0,
        "how": "bubblewrap",
        "seen": [("/usr", "bind", "/usr"), ("/bin", "link", "usr/bin")],
    }
    return Order(**(whole | changes))  # type: ignore[arg-type]


def test_the_arguments_of_bubblewrap_are_these() -> None:
    said = " ".join(
        bwrap.arguments(order(), {"/etc/passwd": 7, "/proc/cmdline": 8}, status=9, seccomp=10, block=11)
    )
    assert said == (
        "--unshare-all --unshare-user --disable-userns --die-with-parent --new-session --clearenv "
        "--uid 1000 --gid 1000 --hostname job --cap-drop ALL "
        "--setenv PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
        "--setenv HOME /job --setenv USER job "
        "--setenv LANG C.UTF-8 --setenv TMPDIR /tmp --setenv A --bind "
        "--ro-bind /usr /usr --symlink usr/bin /bin --proc /proc --dev /dev "
        "--perms 1777 --size 2097152 --tmpfs /dev/shm "
        "--perms 1777 --size 1048576 --tmpfs /tmp --symlink ../tmp /var/tmp "
        "--file 7 /etc/passwd --ro-bind-data 8 /proc/cmdline "
        "--bind /srv/jobs/1 /job --remount-ro /dev --remount-ro / --chdir /job "
        "--json-status-fd 9 --seccomp 10 --block-fd 11"
    )


def test_the_network_is_shared_only_when_it_was_asked_for() -> None:
    assert "--share-net" not in bwrap.arguments(order(), {}, status=3)
    assert "--share-net" in bwrap.arguments(order(network=True), {}, status=3)


def test_no_room_means_none_and_not_all() -> None:
    said = bwrap.arguments(order(limits=Limits(tmp=0, shm=0)), {}, status=3)
    assert "--tmpfs" not in said
    assert "0" not in said


def test_an_order_survives_the_way_to_the_keeper() -> None:
    whole = order(groups=(2, {"memory": "/x"}), env={"A": "ü\n"}, uid=5)
    assert Order.decode(whole.encode()) == whole


# --- users for slots ---


def test_two_jobs_never_have_the_same_user() -> None:
    first = slots.take(1_900_100_000, 2)
    second = slots.take(1_900_100_000, 2)
    assert first is not None
    assert second is not None
    assert {first.uid, second.uid} == {1_900_100_000, 1_900_100_001}
    assert slots.take(1_900_100_000, 2) is None
    first.holder.close()
    again = slots.take(1_900_100_000, 2)
    assert again is not None
    assert again.uid == first.uid
    again.holder.close()
    second.holder.close()


def test_users_that_the_machine_knows_are_left_alone() -> None:
    assert slots.take(os.getuid(), 1) is None or os.getuid() >= 1000
