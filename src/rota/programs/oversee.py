"""One process per job that starts it, watches its limits, ends it, and tells the server how it ended.

It outlives neither the job nor the server: when the server is gone (the control socket closes, which a
SIGKILL does too), the job is killed at once, its control groups are removed, and this process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from rota.programs import folder, passing, procs, rlimits, start
from rota.programs.cgroup import Group, Place
from rota.programs.order import Order
from rota.programs.spare import Spare

# Seconds between two looks at the limits that somebody has to look at.
TICK = 0.05
# A look at all processes or files may take this part of the time at most.
SHARE = 0.1
_POLITE = {"timeout", "cpu", "cancelled"}


def oversee(order: Order, control: socket.socket, spare: Spare, me: int) -> None:
    """Run the order, which the spare was told, from start to end, and report to ``control``; ``me`` is a
    descriptor of this process.

    What is left to do is ``spare.close()``, for which nobody waits.
    """
    job = _Job(order, control, spare)
    try:
        job.run(me)
    except OSError as error:
        job.why_not = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    except folder.Odd as error:
        job.why_not = str(error)
    finally:
        job.clear()
        # Nobody may be left to hear it.
        with contextlib.suppress(OSError):
            control.send(json.dumps(job.report()).encode())


def clear(order: Order) -> None:
    """End what a killed overseer left of its job."""
    if order.uid is not None:
        procs.kill_user(order.uid)
    if order.groups is not None and order.name:
        Group(Place(*order.groups), order.name).remove()


class _Job:
    def __init__(self, order: Order, control: socket.socket, spare: Spare) -> None:
        self.order = order
        self.spare = spare
        self.limits = order.limits
        self.control = control
        self.why_not: str | None = None
        self.started = False
        self.group: Group | None = None
        self.base = 0.0  # CPU seconds that its group had used before
        self.main = spare.pid  # bubblewrap, or the program itself
        self.first = 0  # the first process inside
        self.first_fd = -1
        self.ended: str | None = None
        self.killed = False
        self.kill_at: float | None = None
        self.status: int | None = None
        self.began = time.monotonic()
        self.wall = 0.0
        self.cpu = 0.0
        self.peak = 0
        self.out_of_memory = False
        self.forks_refused = False
        self.free = 0

    def run(self, me: int) -> None:
        order = self.order
        # From here on the server can kill this process, and knows what to clear after it.
        begun = {"begun": self.spare.group.name if self.spare.group is not None else ""}
        passing.give(self.control, json.dumps(begun).encode(), [me])
        if order.uid is not None:
            folder.give(order.folder, order.uid, order.uid)
        if order.groups is not None:
            if self.spare.group is None:
                raise OSError(0, "its control groups could not be made")
            self.group = self.spare.group
            self.base = self.group.cpu_seconds() or 0.0
            self.group.limit(self.limits)
        self.began = time.monotonic()
        self.spare.go()
        self.started = order.how != "bubblewrap"
        if not start.holds_back(order):
            self.spare.let_on()
        main = os.pidfd_open(self.main)
        try:
            self._watch(main, self.spare.status)
        finally:
            os.close(main)

    # --- while it runs ---

    def _watch(self, main: int, status: int) -> None:
        poll = select.poll()
        for fd in (main, status, self.control.fileno()):
            poll.register(fd, select.POLLIN)
        lines = b""
        looks = self._looks()
        while True:
            ready = {fd for fd, _ in poll.poll(self._pause())}
            if status in ready:
                if data := os.read(status, 65536):
                    lines += data
                    lines = self._told(lines)
                else:
                    poll.unregister(status)
                    ready.discard(status)
            if self.control.fileno() in ready and not self._asked():
                poll.unregister(self.control.fileno())
            if main in ready:
                break
            now = time.monotonic()
            for look in looks:
                look(now)
            if self.kill_at is not None and now >= self.kill_at:
                self._kill()
        self.wall = time.monotonic() - self.began
        _, code, used = os.wait4(self.main, 0)
        self._count(used)
        while data := os.read(status, 65536):
            lines += data
        self._told(lines)
        if self.order.how != "bubblewrap" and not (self.kill_at and os.WIFSIGNALED(code)):
            self.status = _as_a_shell(code)
        if abs(self.free - _free(self.order.folder)) > self.limits.disk // 16:
            self._look_at_disk()

    def _told(self, lines: bytes) -> bytes:
        """What bubblewrap says: the first process, later its status. Without it: why the exec failed, or
        nothing."""
        *whole, rest = lines.split(b"\n")
        for line in whole:
            said = json.loads(line)
            if "child-pid" in said:
                self.first = said["child-pid"]
                with contextlib.suppress(OSError):
                    self.first_fd = os.pidfd_open(self.first)
                if start.holds_back(self.order):
                    with contextlib.suppress(OSError):
                        rlimits.put_processes(self.limits.processes + 1, self.first)
                    self.spare.let_on()
            if "exit-code" in said:
                self.started = True
                self.status = said["exit-code"]
        return rest

    def _pause(self) -> int:
        until = TICK if self.kill_at is None else min(TICK, max(self.kill_at - time.monotonic(), 0.001))
        return int(until * 1000) + 1

    def _asked(self) -> bool:
        """One message from the server; False when there will be no more."""
        try:
            said = self.control.recv(64)
        except OSError:
            said = b""
        if said == b"stop":
            self._end("cancelled")
        else:
            # "kill", "output", or the server is gone.
            self._end("output" if said == b"output" else "cancelled", at_once=True)
        return bool(said)

    def _end(self, why: str, *, at_once: bool = False) -> None:
        if self.ended is None:
            self.ended = why
        if at_once or self.ended not in _POLITE:
            self.kill_at = time.monotonic()
            self._kill()
        elif self.kill_at is None:
            self.kill_at = time.monotonic() + self.order.grace_seconds
            procs.send(self._members(), signal.SIGTERM)

    def _members(self) -> dict[int, int]:
        """The processes of the job, without bubblewrap's own two."""
        found = procs.below(self.first or os.getpid())
        if self.order.how == "bubblewrap":
            found.pop(self.main, None)
        return found

    def _kill(self) -> None:
        self.killed = True
        with contextlib.suppress(OSError):
            if self.first_fd >= 0:
                signal.pidfd_send_signal(self.first_fd, signal.SIGKILL)
        if self.order.how != "bubblewrap":
            self._kill_open()
        with contextlib.suppress(OSError):
            os.kill(self.main, signal.SIGKILL)

    def _kill_open(self) -> None:
        """Kill a job that has no namespace whose end would end all, or whose bubblewrap died half-way."""
        if self.order.uid is not None:
            procs.kill_user(self.order.uid)
        if self.group is not None:
            self.group.kill()
        procs.send(procs.below(os.getpid()), signal.SIGKILL)

    # --- looking at limits ---

    def _looks(self) -> list[Callable[[float], None]]:
        looks = [self._look_at_clocks]
        if self.group is None:
            looks.append(_Seldom(self._look_at_processes, 0.1))
        self.free = _free(self.order.folder)
        self.device = os.stat(self.order.folder).st_dev
        disk = _Seldom(self._look_at_disk, 1.0)

        def look(now: float) -> None:
            # Cheap and often: when much was written since the last full look, look again now.
            if abs(self.free - _free(self.order.folder)) > self.limits.disk // 16:
                disk.hurry()
            disk(now)

        return [*looks, look]

    def _look_at_clocks(self, now: float) -> None:
        if self.group is not None:
            if self.group.out_of_memory():
                self._end("memory")
            if (self.group.cpu_seconds() or 0.0) - self.base > self.limits.cpu_seconds:
                self._end("cpu")
        if now - self.began > self.limits.wall_seconds:
            self._end("timeout")

    def _look_at_processes(self) -> None:
        members = self._members()
        self.peak = max(self.peak, used := procs.memory(members))
        if used > self.limits.memory:
            self._end("memory")
        if (
            self.cpu + procs.cpu_seconds([*members, *([self.first] if self.first else [])])
            > self.limits.cpu_seconds
        ):
            self._end("cpu")

    def _look_at_disk(self) -> None:
        self.free = _free(self.order.folder)
        used = folder.size(self.order.folder, self.limits.disk)
        if used <= self.limits.disk:
            used += procs.nameless(self._members(), self.device, self.limits.file_size)
        if used > self.limits.disk:
            self._end("disk")

    # --- afterwards ---

    def clear(self) -> None:
        """See to it that no process of the job is left, then take the last figures."""
        if self.order.how != "bubblewrap" or not self.started:
            self._kill_open()
        if self.first_fd >= 0:
            # It dies with bubblewrap, after all that it is the first process of.
            waiting = select.poll()
            waiting.register(self.first_fd, select.POLLIN)
            waiting.poll(1000)
            os.close(self.first_fd)
            self.first_fd = -1
        while True:
            try:
                pid, _, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid:
                self._count(used)
            else:
                self._kill_open()
                time.sleep(0.002)
        if self.group is not None:
            with contextlib.suppress(OSError):
                if (used_in_all := self.group.cpu_seconds()) is not None:
                    self.cpu = used_in_all - self.base
                self.peak = self.group.peak_memory() or self.peak
                self.out_of_memory = self.group.out_of_memory()
                self.forks_refused = self.group.forks_refused()

    def _count(self, used: Any) -> None:
        self.cpu += used.ru_utime + used.ru_stime
        self.peak = max(self.peak, used.ru_maxrss << 10)

    def report(self) -> dict[str, object]:
        """What the server is told at the end."""
        ended = self.ended
        if ended is None and self.out_of_memory:
            ended = "memory"
        if ended is None and self.status == 128 + signal.SIGXCPU:
            ended = "cpu"
        if self.killed and self.status == 128 + signal.SIGKILL:
            # Bubblewrap may live long enough to tell of our own kill.
            self.status = None
        return {
            "ended": ended or "exit",
            "status": self.status,
            "wall_seconds": self.wall,
            "cpu_seconds": self.cpu,
            "peak_memory": self.peak,
            "forks_refused": self.forks_refused,
            "started": self.started,
            "why_not": self.why_not,
        }


class _Seldom:
    """Calls a look at most every so many seconds, and less often when it takes long."""

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self.look = look
        self.seconds = seconds
        self.least = 0.0
        self.next = time.monotonic() + seconds

    def hurry(self) -> None:
        self.next = self.least

    def __call__(self, now: float) -> None:
        if now < self.next:
            return
        used = time.thread_time()
        self.look()
        used = time.thread_time() - used
        # On a machine with too much to do a look takes long, though it does not take much of it.
        self.least = now + max(used / SHARE, 2 * (time.monotonic() - now))
        self.next = max(now + self.seconds, self.least)


def _free(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _as_a_shell(code: int) -> int:
    return 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
