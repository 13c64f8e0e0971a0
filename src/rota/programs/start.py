"""Starting the program in a child of its overseer: each way of confining it, up to the exec."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from rota.programs import bwrap, kernel, landlock, rlimits, seccomp
from rota.programs.ask import Limits
from rota.programs.order import Order

# Python, the keeper, and whoever started the server (a shell in the background) ignore some.
_DEFAULT_AGAIN = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_LIKE_ANY = Order("", ["true"], "/", {}, False, Limits(), 0.0, "bubblewrap", [("/usr", "bind", "/usr")])
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def filter_of(order: Order) -> bytes:
    """The system-call filter that fits an order."""
    if order.how == "bubblewrap":
        families: tuple[int, ...] = seccomp.INTERNET
    else:
        # Without a network of its own: nothing at all, or the internet but no socket in the file system.
        families = seccomp.INTERNET[1:] if order.network else ()
    # Where no group counts it and nothing else holds it, memory has to belong to a process.
    return seccomp.program(families, hidden_memory=order.groups is not None and order.how == "bubblewrap")


def prepare(order: Order, status: int, block: int) -> Callable[[], None]:
    """Make all that can be made ahead, and give what becomes the program, confined: an exec, or OSError.

    ``status`` and ``block`` are for bubblewrap. The control groups have been joined; the output is in place.
    """
    overseer = os.getppid()
    if order.how != "bubblewrap":
        return lambda: _exec_confined(order, overseer)
    given = {path: _memory(path, text.encode()) for path, text in bwrap.files(order).items()}
    rules = _memory("filter", filter_of(order)) if order.seccomp else None
    hold = block if holds_back(order) else None
    said = bwrap.arguments(order, given, status=status, seccomp=rules, block=hold)
    args = _memory("arguments", "".join(word + "\0" for word in said).encode())
    kept = [fd for fd in (*given.values(), args, status, rules, hold) if fd is not None]

    def run() -> None:
        _become(order, overseer)
        if order.network and order.landlock >= 6:
            landlock.close_abstract_sockets(order.landlock)
        _pass_on_nothing()
        for fd in kept:
            os.set_inheritable(fd, True)
        os.execve(order.bubblewrap, [order.bubblewrap, "--args", str(args), "--", *order.command], {})  # noqa: S606

    return run


def holds_back(order: Order) -> bool:
    """Whether bubblewrap waits for a word before it starts the program.

    Where many jobs share a user, only a limit on processes that is put after its namespace was made counts
    the job alone.
    """
    return order.how == "bubblewrap" and order.uid is None and order.rlimits


def warm() -> None:
    """Go once through what ``prepare`` needs, so that the memory it writes to is this process's own before it
    counts."""
    order = Order.decode(_LIKE_ANY.encode())
    filter_of(order)
    bwrap.files(order)
    bwrap.arguments(order, {}, status=0)
    os.close(_memory("warm", b""))


def _become(order: Order, overseer: int) -> None:
    """Take the limits, and be the job's user: in this order, since each gives up a power. Die with the
    overseer."""
    for number in _DEFAULT_AGAIN:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if order.rlimits:
        rlimits.put(rlimits.rules(order, memory=order.groups is None))
    if order.uid is not None:
        if order.rlimits:
            # The user is this job's alone; two more are bubblewrap's.
            rlimits.put_processes(order.limits.processes + 2)
        os.setgroups([])
        os.setresgid(order.uid, order.uid, order.uid)
        os.setresuid(order.uid, order.uid, order.uid)
    # After the change of user, which takes it away again.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != overseer:
        os._exit(0)
    os.umask(0o022)


def _exec_confined(order: Order, overseer: int) -> None:
    _become(order, overseer)
    os.setsid()
    temporary = os.path.join(order.folder, ".tmp")
    os.makedirs(temporary, exist_ok=True)
    os.chdir(order.folder)
    _pass_on_nothing()
    env = bwrap.environment(order) | {"HOME": order.folder, "TMPDIR": temporary} | order.env
    if order.how == "landlock":
        readable = [target for _, kind, target in order.seen if kind == "bind"]
        devices = [path for path in _DEVICES if os.path.exists(path)]
        landlock.confine(order.landlock, readable, [order.folder], devices, network=order.network)
    if order.seccomp:
        seccomp.install(filter_of(order))
    os.execvpe(order.command[0], order.command, env)  # noqa: S606


def _pass_on_nothing() -> None:
    """Close at the exec all but standard input and output, whoever forgot what: a descriptor can be a way
    out."""
    try:
        kernel.close_on_exec(3)
    except OSError:
        # Older than Linux 5.11.
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2:
                with contextlib.suppress(OSError):
                    os.set_inheritable(fd, False)


def _memory(name: str, data: bytes) -> int:
    """A descriptor that reads these bytes from their start."""
    fd = os.memfd_create(os.path.basename(name), os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
