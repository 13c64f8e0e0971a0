"""The arguments for bubblewrap: they are the security model, so they are made here and only here."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Mapping

from rota.programs.order import Order

JOB = "/job"
USER = 1000  # of the program, in its own namespace
OLDEST = (0, 8)  # the first version that can close user namespaces behind itself

# Small files made for the program: path to content.
FILES = {
    "/etc/passwd": f"root:x:0:0:root:/:/bin/false\njob:x:{USER}:{USER}:job:{JOB}:/bin/sh\n",
    "/etc/group": f"root:x:0:\njob:x:{USER}:\n",
}
LOCAL_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
# What /proc tells about the whole machine and no program needs.
MASKED = (
    "/proc/cmdline",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kallsyms",
    "/proc/modules",
    "/proc/timer_list",
    "/proc/partitions",
    "/proc/diskstats",
)


def files(order: Order) -> dict[str, str]:
    """Files with a content of ours that the program sees, masks among them: path to content."""
    found = dict(FILES)
    if not order.network:
        found["/etc/hosts"] = LOCAL_HOSTS
    if order.proc:
        found |= dict.fromkeys(_masked(), "")
    return found


@functools.cache
def _masked() -> list[str]:
    # What only root may read the program cannot: each mask costs a mount.
    return [path for path in MASKED if os.path.exists(path) and os.stat(path).st_mode & stat.S_IROTH]


def environment(order: Order) -> dict[str, str]:
    """All variables of the program: ours, then those of the job."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": JOB,
        "USER": "job",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - the program's own
        **order.env,
    }


def arguments(
    order: Order,
    given: Mapping[str, int],
    *,
    status: int,
    seccomp: int | None = None,
    block: int | None = None,
) -> list[str]:
    """Everything that bubblewrap is told but the command; passed by descriptor, because the program can read
    its line.

    ``given`` are descriptors of the ``files``; ``status`` gets the JSON lines, ``block`` holds the program
    back until a byte comes.
    """
    said = ["--unshare-all"]
    if order.network or not order.netns:
        said += ["--share-net"]
    said += ["--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv"]
    said += ["--uid", str(USER), "--gid", str(USER), "--hostname", "job", "--cap-drop", "ALL"]
    for name, value in environment(order).items():
        said += ["--setenv", name, value]
    for path, kind, target in order.seen:
        said += ["--symlink" if kind == "link" else "--ro-bind", target, path]
    # After the toolchain, so that what is bound cannot cover them.
    if order.proc:
        said += ["--proc", "/proc"]
    said += ["--dev", "/dev"]
    # A size of 0 would mean no limit.
    if order.limits.shm:
        said += ["--perms", "1777", "--size", str(order.limits.shm), "--tmpfs", "/dev/shm"]  # noqa: S108
    if order.limits.tmp:
        said += ["--perms", "1777", "--size", str(order.limits.tmp), "--tmpfs", "/tmp"]  # noqa: S108
        said += ["--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    for path, fd in given.items():
        # A mask is a mount of its own; what is in the root is read-only with it.
        said += ["--ro-bind-data" if path.startswith("/proc/") else "--file", str(fd), path]
    said += ["--bind", order.folder, JOB, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", JOB]
    said += ["--json-status-fd", str(status)]
    if seccomp is not None:
        said += ["--seccomp", str(seccomp)]
    if block is not None:
        said += ["--block-fd", str(block)]
    return said
