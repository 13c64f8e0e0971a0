"""Trying each layer of the sandbox by doing it: a child of the keeper takes the layer on and then tries what
it forbids.

The result is a plain value, told to the server: layer to (why it does not work, or None). Bubblewrap is
tried by the server itself (probe.py), through the same door as every program.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from rota.programs import bwrap, kernel, landlock, rlimits, seccomp
from rota.programs.ask import MIB, Limits
from rota.programs.cgroup import Group, Place, places, prepare

# Where the users of slots begin: far from all that machines and containers hand out, or, where such numbers
# do not exist (in a container with few users), below what they have.
FIRST_USERS = (1_900_000_000, 60_100)


def everything() -> dict[str, object]:
    """Try everything: layer to (why it does not work, or None), and what it takes to use those that do."""
    return {
        "why_not": {
            "seccomp": try_seccomp(),
            "landlock": try_landlock(),
            "limits": try_limits(),
        },
        "landlock": landlock.version(),
        "bubblewrap": find_bubblewrap(),
        "user": try_user(),
        "groups": try_groups(),
    }


def try_user() -> tuple[int | None, str | None]:
    """The first user for slots, or why there is none."""
    if os.geteuid() != 0:
        return None, "the server is not root, so programs run as its own user"
    why = None
    for uid in FIRST_USERS:

        def do(uid: int = uid) -> None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            _refused("becoming root again", lambda: os.setuid(0), errno.EPERM)

        why = _in_child(do)
        if why is None:
            return uid, None
    return None, f"the user cannot be changed: {why}"


def try_seccomp() -> str | None:
    """Whether the filter is taken and refuses."""
    if seccomp.machine() is None:
        return f"there is no table of system calls for {os.uname().machine}"

    def do() -> None:
        seccomp.install(seccomp.program(()))
        column, _ = seccomp.MACHINES[seccomp.machine() or ""]
        unshare, clone3 = seccomp.REFUSED["unshare"][column], seccomp.ABSENT["clone3"][column]
        assert unshare is not None
        _refused("unshare", lambda: kernel.syscall("unshare", unshare, 0), errno.EPERM)
        _refused("clone3", lambda: kernel.syscall("clone3", clone3, 0, 0), errno.ENOSYS)
        _refused("a socket", lambda: socket.socket(socket.AF_INET), errno.EAFNOSUPPORT)
        _refused("TIOCSTI", lambda: fcntl.ioctl(0, seccomp.TIOCSTI, b"x"), errno.EPERM)

    return _in_child(do)


def try_landlock() -> str | None:
    """Whether files outside the rules are refused and those inside are not."""
    version = landlock.version()
    if version == 0:
        return "this kernel has no Landlock, or it is switched off"

    def do() -> None:
        landlock.confine(version, ["/usr"], [], [], network=False)
        os.listdir("/usr")
        _refused("reading /proc", lambda: os.listdir("/proc"), errno.EACCES)
        _refused("writing /usr", lambda: os.mkdir("/usr/.rota-probe"), errno.EACCES)

    return _in_child(do)


def try_limits() -> str | None:
    """Whether limits on a process hold."""

    def do() -> None:
        rlimits.put({resource.RLIMIT_FSIZE: 4096, resource.RLIMIT_NOFILE: 16})
        fd = os.memfd_create("probe")
        _refused("a large file", lambda: os.ftruncate(fd, 8192), errno.EFBIG)
        _refused("many files", lambda: [os.dup(fd) for _ in range(20)], errno.EMFILE)

    return _in_child(do)


def try_groups() -> tuple[tuple[int, dict[str, str]] | None, str | None, str | None]:
    """Where groups can be made, why memory and processes cannot be limited, why cores cannot."""
    why: list[str] = []
    for place in places():
        failed = prepare(place) or _try_place(place)
        if failed is None:
            return (place.version, place.folders), None, _try_cores(place)
        why.append(failed)
    reason = "; ".join(why) or "no control groups are mounted"
    return None, reason, reason


def _try_place(place: Place) -> str | None:
    group = Group(place, f"probe-{secrets.token_hex(8)}")
    try:
        group.make()
        group.limit(Limits(memory=48 * MIB, processes=4))

        def fork() -> None:
            group.join()
            children: list[int] = []

            def ten() -> None:
                while len(children) < 10:
                    children.append(_sleeper())

            try:
                _refused("the eighth process", ten, errno.EAGAIN)
            finally:
                for child in children:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)

        def fill() -> None:
            group.join()
            held = [b"\1" * MIB for _ in range(96)]
            raise AssertionError(f"{len(held)} MiB were given where 48 are allowed")

        if (failed := _in_child(fork)) is not None:
            return f"version {place.version}: {failed}"
        failed = _in_child(fill)
        if failed != "killed" or not group.out_of_memory():
            return f"version {place.version}: memory is not limited ({failed})"
    except OSError as error:
        return f"version {place.version}: {error.strerror} ({error.filename})"
    finally:
        with contextlib.suppress(OSError):
            group.remove()
    return None


def _try_cores(place: Place) -> str | None:
    if "cpu" not in place.folders:
        return f"version {place.version} has no cpu controller"
    group = Group(place, f"probe-{secrets.token_hex(8)}")
    try:
        group.make()
        group.limit(Limits(cpus=0.02))

        def burn() -> None:
            group.join()
            until = time.monotonic() + 5
            while time.monotonic() < until and group.cpu_seconds() is not None:
                fields = (group.of["cpu"] / "cpu.stat").read_text().split()
                if int(fields[fields.index("nr_throttled") + 1]) > 0:
                    return
            raise AssertionError("a program was never slowed down")

        failed = _in_child(burn)
        return None if failed is None else f"version {place.version}: {failed}"
    except OSError as error:
        return f"version {place.version}: {error.strerror} ({error.filename})"
    finally:
        with contextlib.suppress(OSError):
            group.remove()


def find_bubblewrap() -> tuple[str | None, str | None]:
    """Its path, or why it cannot be used."""
    for folder in ("/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/run/current-system/sw/bin"):
        path = Path(folder) / "bwrap"
        if not os.access(path, os.X_OK):
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            said = subprocess.run(
                [path, "--version"], capture_output=True, text=True, timeout=10, check=True
            ).stdout
            version = tuple(int(part) for part in said.split()[-1].split(".")[:2])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            return None, f"{path} does not run: {error}"
        if version < bwrap.OLDEST:
            return None, f"{path} is version {said.split()[-1]}; 0.8 or later is needed"
        return str(path), None
    return None, "bubblewrap is not installed (Debian: apt-get install bubblewrap)"


def _refused(what: str, do: Callable[[], object], number: int) -> None:
    try:
        do()
    except OSError as error:
        if error.errno != number:
            raise AssertionError(f"{what}: {error.strerror}, not {os.strerror(number)}") from None
        return
    raise AssertionError(f"{what} was not refused")


def _in_child(do: Callable[[], object]) -> str | None:
    """Run it in a child: None when it went well, what it complained of, or "killed"."""
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            do()
            os.write(write, b"ok")
        except BaseException as error:
            os.write(write, str(error).encode()[:1000] or b"failed")
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        said = file.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return None if said == "ok" else said or "killed"


def _sleeper() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid
