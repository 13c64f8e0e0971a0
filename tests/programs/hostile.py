"""Programs that try what they must not be able to do: the catalogue.

Each prints ``BROKEN`` and what it got away with, or ``held`` at its end, or is ended by a limit. Each is bounded by
itself: where nothing would stop it, it would not harm the machine.

They learn of the host from their environment: CANARY (a word no program may read), FILE and FOLDER (a readable file and a
folder outside), SECRET (a file of root's), OTHER (the folder of another job), PORT (TCP on 127.0.0.1 and ::1, and UDP),
ABSTRACT and SOCKET (Unix sockets), VICTIM (the pid of a process).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rota.programs.ask import MIB, Limits

PYTHON = """
import ctypes, errno, os, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def tries(what, do, *errors):
    "do() must fail with an OSError, with one of these numbers if some are given"
    try:
        got = do()
    except OSError as error:
        if errors and error.errno not in errors:
            print("BROKEN", what, "failed with", errno.errorcode.get(error.errno, error.errno))
        return
    print("BROKEN", what, repr(got)[:200])
def call(number, *args):
    got = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
X86 = os.uname().machine == "x86_64"
HOST = os.environ.get
"""
SMALL = Limits(
    wall_seconds=20,
    cpu_seconds=10,
    cpus=2,
    memory=192 * MIB,
    processes=16,
    file_size=4 * MIB,
    disk=16 * MIB,
    tmp=1 * MIB,
    shm=1 * MIB,
    output=64 << 10,
    output_total=4 * MIB,
)


@dataclass(frozen=True)
class Case:
    """A program, what it may use, how it may end; ``held``: it has to reach its end and say so."""

    name: str
    source: str
    kind: str  # sh, py, c
    ends: tuple[str, ...] = ("exit",)
    held: bool = True
    limits: Limits = SMALL
    grace: float = 0.2


CASES: dict[str, Case] = {}


def case(
    kind: str, name: str, source: str, ends: str = "exit", *, held: bool | None = None, **limits: float
) -> None:
    CASES[name] = Case(
        name,
        source.strip("\n"),
        kind,
        tuple(ends.split()),
        ends == "exit" if held is None else held,
        dataclasses.replace(SMALL, **limits),  # type: ignore[arg-type]
    )


# --- using too much ---

case(
    "py",
    "forks",
    """
children = []
try:
    for _ in range(60):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
    print("BROKEN", len(children), "children where 16 processes are allowed")
except BlockingIOError:
    if not 8 <= len(children) <= 17:
        print("BROKEN", len(children))
print("held")
""",
)
case(
    "sh",
    "fork_bomb",
    """
bomb() { [ "$1" -gt 0 ] && { bomb $(($1 - 1)) & bomb $(($1 - 1)) & wait; }; }
bomb 9 2>/dev/null
""",
    "exit timeout cpu",
    held=False,
    wall_seconds=3,
)
case(
    "py",
    "memory_hog",
    """
held = []
try:
    for _ in range(512):
        held.append(b"\\1" * (1 << 20))
    print("BROKEN", len(held), "MiB where 64 are allowed")
except MemoryError:
    pass
""",
    "memory exit",
    held=False,
    memory=64 * MIB,
)
case(
    "py",
    "memory_hogs",
    """
for _ in range(6):
    if os.fork() == 0:
        held = b"\\1" * (24 << 20)
        signal.pause()
for _ in range(6):
    os.wait()
print("BROKEN six processes have 24 MiB each where 96 are allowed")
""",
    "memory",
    memory=96 * MIB,
)
case(
    "py",
    "hidden_memory",
    """
held = []
try:
    for _ in range(32):
        fd = os.memfd_create("x")
        for _ in range(2):
            os.write(fd, b"\\1" * (2 << 20))
        held.append(fd)
    print("BROKEN 128 MiB of memory in files without a name where 64 are allowed")
except OSError as error:
    print("held")
""",
    "memory exit",
    held=False,
    memory=64 * MIB,
)
case(
    "py",
    "shared_memory",
    """
libc.shmat.restype = ctypes.c_void_p
held = 0
for _ in range(32):
    id = libc.shmget(0, ctypes.c_size_t(4 << 20), 0o1600)
    if id < 0:
        break
    at = libc.shmat(id, None, 0)
    if at in (None, ctypes.c_void_p(-1).value):
        break
    ctypes.memset(at, 1, 4 << 20)
    libc.shmdt(ctypes.c_void_p(at))
    held += 4
else:
    print("BROKEN 128 MiB of shared memory where 64 are allowed")
""",
    "memory exit",
    held=False,
    memory=64 * MIB,
)
case(
    "py",
    "disk_filler",
    """
for number in range(16):
    with open(f"file{number}", "wb") as file:
        file.write(b"1" * (4 << 20))
        os.fsync(file)
signal.pause()
""",
    "disk",
)
case(
    "py",
    "disk_filler_without_names",
    """
held = []
for number in range(8):
    held.append(open("file", "wb"))
    os.unlink("file")
    held[-1].write(b"1" * (4 << 20))
    held[-1].flush()
signal.pause()
""",
    "disk",
)
case(
    "py",
    "disk_filler_mapped",
    """
import mmap
held = []
for number in range(8):
    with open("file", "w+b") as file:
        file.write(b"1" * (4 << 20))
        file.flush()
        held.append(mmap.mmap(file.fileno(), 4096))
    os.unlink("file")
signal.pause()
""",
    "disk",
)
case(
    "py",
    "empty_files",
    """
for number in range(6000):
    open(f"file{number}", "w").close()
signal.pause()
""",
    "disk",
)
case(
    "py",
    "disk_filler_behind_a_closed_folder",
    """
os.mkdir("closed")
for number in range(8):
    with open(f"closed/file{number}", "wb") as file:
        file.write(b"1" * (4 << 20))
os.chmod("closed", 0)
signal.pause()
""",
    "disk",
)
case(
    "sh",
    "deep_folders",
    """
i=0
while [ $i -lt 300 ]; do mkdir d && cd d || break; i=$((i + 1)); done
sleep 15
""",
    "disk",
)
case(
    "sh",
    "large_file",
    """
(head -c 9000000 /dev/zero >file) 2>/dev/null
[ "$(stat -c %s file)" -le 4194304 ] || echo BROKEN "$(stat -c %s file)" bytes
echo held
""",
)
case(
    "py",
    "tmp_filler",
    """
for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock"):
    def fill():
        with open(folder + "/rota-file", "wb", buffering=0) as file:
            for _ in range(3):
                if file.write(b"1" * (1 << 20)) < 1 << 20:
                    raise OSError(errno.ENOSPC, "full")
        os.unlink(folder + "/rota-file")
    tries(folder, fill, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT)
print("held")
""",
)
case("sh", "output_flood", "yes", "output")
case(
    "py",
    "output_long",
    """
for _ in range(100):
    sys.stdout.write("x" * 10000)
    sys.stderr.write("y" * 10000)
""",
    held=False,
)
case("sh", "cpu_burner", "while :; do :; done", "cpu", cpu_seconds=0.3)
case(
    "py",
    "cpu_burners",
    """
for _ in range(200):
    if os.fork() == 0:
        until = time.process_time() + 0.05
        while time.process_time() < until: pass
        os._exit(0)
    os.wait()
""",
    "cpu",
    cpu_seconds=0.6,
)
case("sh", "sleeper", "sleep 15", "timeout", wall_seconds=0.4)
case("sh", "stubborn", "trap '' TERM; while :; do sleep 15; done", "timeout", wall_seconds=0.4)
case(
    "py",
    "open_files",
    """
tries("many files", lambda: [os.open("/dev/null", 0) for _ in range(300)], errno.EMFILE)
print("held")
""",
)
case(
    "py",
    "raises_its_limits",
    """
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        print("BROKEN no limit", kind)
    else:
        try:
            resource.setrlimit(kind, (hard + 1, hard + 1))
            print("BROKEN raised", kind)
        except ValueError:
            pass
tries("nice", lambda: os.nice(-1), errno.EPERM)
tries("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), errno.EPERM)
print("held")
""",
)

# --- staying behind ---

case(
    "py",
    "double_fork",
    """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("alive", "w").write("1")
        time.sleep(15)
    os._exit(0)
os.wait()
while not os.path.exists("alive"): time.sleep(0.001)
print("held")
""",
)
case(
    "sh",
    "nohup",
    """
nohup setsid sh -c 'trap "" HUP TERM INT; : >alive; exec sleep 15' >/dev/null 2>&1 </dev/null &
while [ ! -e alive ]; do :; done
echo held
""",
)

case(
    "py",
    "runs_away",
    """
if os.fork() == 0:
    os.setsid()
    open("alive", "w").close()
    while True:  # nobody who looks for it finds it where it was
        if os.fork():
            os._exit(0)
os.wait()
while not os.path.exists("alive"): time.sleep(0.001)
print("held")
""",
)

# --- the network ---

case(
    "py",
    "inet",
    """
port = int(HOST("PORT"))
tries("tcp 4", lambda: socket.create_connection(("127.0.0.1", port), 2))
tries("tcp 6", lambda: socket.create_connection(("::1", port), 2))
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        s.sendto(b"x", ("127.0.0.1", port))
        return s.recv(9)
tries("udp", udp)
def outside():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 53))
        return s.getsockname()
tries("a route", outside, errno.ENETUNREACH, errno.EAFNOSUPPORT)
print("held")
""",
)
case(
    "py",
    "unix_sockets",
    """
def connect(name):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(name)
tries("abstract", lambda: connect("\\0" + HOST("ABSTRACT")))
tries("path", lambda: connect(HOST("SOCKET")))
print("held")
""",
)
case(
    "py",
    "odd_families",
    """
for name, family in dict(netlink=16, packet=17, vsock=40, alg=38, bluetooth=31, can=29, key=15, tipc=30, xdp=44,
                         rds=21, x25=9, appletalk=5, nfc=39, qipcrtr=42, smc=43).items():
    tries(name, lambda: socket.socket(family, socket.SOCK_RAW), errno.EAFNOSUPPORT)
    tries(name, lambda: socket.socket(family, socket.SOCK_DGRAM), errno.EAFNOSUPPORT)
    tries(name, lambda: socket.socketpair(family, socket.SOCK_DGRAM), errno.EAFNOSUPPORT)
tries("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1), errno.EPERM, errno.EAFNOSUPPORT)
print("held")
""",
)

# --- reading what is not its own ---

case(
    "py",
    "host_secrets",
    """
for path in ("/etc/shadow", "/etc/gshadow", "/root", "/home", "/etc/hostname", "/etc/ssh", "/var/lib", "/run", "/sys",
             HOST("SECRET"), HOST("FILE"), HOST("FOLDER"), HOST("OTHER"), HOST("OTHER") + "/..", "/proc/1/root/etc/hostname",
             "/proc/self/cwd/../../etc/hostname"):
    tries(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path).read())
print("held")
""",
)
case(
    "sh",
    "environment",
    """
env | grep -v -E '^(PATH|HOME|USER|LANG|TMPDIR|PWD|OLDPWD|SHLVL|_|FILE|FOLDER|SECRET|OTHER|PORT|ABSTRACT|SOCKET|VICTIM)=' |
    while read -r line; do echo "BROKEN $line"; done
for pid in /proc/[0-9]*; do
    if [ "$pid" != "/proc/$$" ] && tr '\\0' '\\n' <"$pid/environ" 2>/dev/null | grep -q CANARY; then
        echo "BROKEN $pid/environ"
    fi
    if tr '\\0' '\\n' <"$pid/cmdline" 2>/dev/null | grep -q -E 'CANARY|^--(ro-bind|setenv)'; then
        echo "BROKEN $pid/cmdline"
    fi
done
echo held
""",
)
case(
    "py",
    "proc",
    """
try:
    names = os.listdir("/proc")
except PermissionError:
    names = []  # there is no /proc at all
if names:
    pids = [int(name) for name in names if name.isdigit()]
    if len(pids) > 4 or max(pids) > 50:
        print("BROKEN processes", pids)
    for path in ("cmdline", "keys", "key-users", "kallsyms", "modules", "timer_list"):
        try:
            if open("/proc/" + path).read():
                print("BROKEN /proc/" + path)
        except (FileNotFoundError, PermissionError):
            pass
    tries("kcore", lambda: open("/proc/kcore", "rb").read(10))
    tries("kmsg", lambda: open("/proc/kmsg", "rb").read(10))
    tries("pid 1", lambda: os.listdir("/proc/1/root/etc/ssl"))
    # The first process is within reach, as any of its own user: so it must be held by the same means.
    for line in open("/proc/1/status"):
        key, _, value = line.partition(":")
        if value.strip() != {"CapPrm": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}.get(key, value.strip()):
            print("BROKEN pid 1", line)
    tries("descriptors of pid 1", lambda: [os.open("/proc/1/fd/" + fd, 0) for fd in os.listdir("/proc/1/fd") if int(fd) > 2])
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory",
                 "/proc/sys/user/max_user_namespaces"):
        tries(path, lambda: os.open(path, os.O_WRONLY))
print("held")
""",
)
case(
    "py",
    "descriptors",
    """
open_ = []
for fd in range(256):
    try:
        os.fstat(fd)
        open_.append(fd)
    except OSError:
        pass
if open_ != [0, 1, 2]:
    print("BROKEN", open_)
if os.read(0, 10) != b"":
    print("BROKEN standard input")
print("held")
""",
)

# --- writing what is not its own ---

case(
    "py",
    "outside_files",
    """
for folder in ("", "/usr", "/usr/bin", "/usr/local/bin", "/etc", "/var", "/dev", "/run", "/proc", "..", HOST("FOLDER"), HOST("OTHER")):
    path = folder + "/rota-broken"
    tries(path, lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT)) or os.unlink(path))
for path in (HOST("FILE"), HOST("SECRET"), "/usr/bin/env", "/etc/passwd", "/dev/mem", "/dev/sda", "/dev/vda"):
    tries(path, lambda: os.open(path, os.O_WRONLY))
for path in (HOST("FILE"), HOST("SECRET"), HOST("FOLDER")):
    tries("chmod " + path, lambda: os.chmod(path, 0o777))
tries("link", lambda: os.link("/usr/bin/env", "env"))
tries("rename", lambda: os.rename("../job", "../other"))
tries("rmdir", lambda: os.rmdir(os.getcwd()))
print("held")
""",
)
case(
    "sh",
    "links",
    """
ln -s "$FOLDER" out
ln -s / root
ln -s "$FILE" file
ln -s /proc/self/root/etc/shadow shadow
(echo x >out/x) 2>/dev/null && echo BROKEN folder
(echo x >file) 2>/dev/null && [ -e "$FILE" ] && [ ! -e root/job ] && echo BROKEN file
cat shadow root/etc/shadow out/* 2>/dev/null
rm -rf out/ 2>/dev/null
rm -f out
ln -s "$FOLDER" out
echo held
""",
)
case(
    "py",
    "device_files",
    """
for kind in (0o020000, 0o060000):
    tries("device", lambda: os.mknod("device", kind | 0o666, os.makedev(1, 1)))
os.mkfifo("fifo")
print("held")
""",
)
case(
    "sh",
    "setuid",
    """
cp /usr/bin/id id && chmod 6755 id 2>/dev/null
[ "$(./id -u)" = "$(id -u)" ] || echo BROKEN
for program in su sudo mount umount newgrp; do
    [ "$(echo id -u | timeout 2 $program 2>/dev/null)" = 0 ] && echo BROKEN $program
done
[ "$(id -u)" = 0 ] && echo BROKEN root
echo held
""",
)

# --- other processes ---

case(
    "c",
    "ptrace",
    """
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>
int main(void) {
    char byte; struct iovec here = {&byte, 1}, there = {&byte, 1};
    int victim = atoi(getenv("VICTIM"));
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != -1) puts("BROKEN traceme");
    int child = fork();
    if (child == 0) { pause(); return 0; }
    if (ptrace(PTRACE_ATTACH, child, 0, 0) != -1) puts("BROKEN attach");
    if (process_vm_readv(child, &here, 1, &there, 1, 0) != -1) puts("BROKEN read memory");
    if (process_vm_readv(victim, &here, 1, &there, 1, 0) != -1) puts("BROKEN read memory outside");
    puts("held");
    return 0;
}
""",
)
case(
    "py",
    "signals",
    """
victim = int(HOST("VICTIM"))
for pid in (victim, -victim):
    tries(f"kill {pid}", lambda: os.kill(pid, signal.SIGTERM), errno.ESRCH, errno.EPERM)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.getpid() < 50 or os.getuid() >= 60100:  # never where it would reach everybody
    try:
        os.kill(-1, signal.SIGTERM)
    except OSError:
        pass
print("held")
""",
)
case(
    "py",
    "priorities",
    """
victim = int(HOST("VICTIM"))
def limit(pid):
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, 1))
    except PermissionError as error:
        raise OSError(errno.EPERM, str(error))
tries("priority", lambda: os.setpriority(os.PRIO_PROCESS, victim, 10), errno.ESRCH, errno.EPERM)
tries("cores", lambda: os.sched_setaffinity(victim, {0}), errno.ESRCH, errno.EPERM)
tries("limits", lambda: limit(victim), errno.ESRCH, errno.EPERM)
print("held")
""",
)

# --- the kernel's rarer parts ---

case(
    "py",
    "mounts",
    """
def mount(*args):
    if libc.mount(*args) < 0:
        raise OSError(ctypes.get_errno(), "mount")
os.mkdir("place")
tries("tmpfs", lambda: mount(b"none", b"place", b"tmpfs", 0, None), errno.EPERM)
tries("bind", lambda: mount(b"place", b"place", None, 4096, None), errno.EPERM)
tries("remount", lambda: mount(None, b"place", None, 32 | 4096, None), errno.EPERM)
tries("umount", lambda: call(166 if X86 else 39, b"place", 2), errno.EPERM)
tries("chroot", lambda: os.chroot("place"), errno.EPERM)
tries("pivot_root", lambda: call(155 if X86 else 41, b"place", b"place"), errno.EPERM)
for number in (428, 429, 430, 431, 432, 433, 442):
    tries(f"new mount call {number}", lambda: call(number, -1, b"/usr", 1), errno.EPERM)
print("held")
""",
)
case(
    "c",
    "namespaces",
    """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static char stack[65536];
static int child(void *_) { return 0; }
int main(void) {
    int flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, 0x80};
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (unshare(flags[i]) == 0) printf("BROKEN unshare %x\\n", flags[i]);
        if (flags[i] != 0x80 && clone(child, stack + 65000, flags[i] | SIGCHLD, 0) != -1) printf("BROKEN clone %x\\n", flags[i]);
    }
    unsigned long long wide[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    if (syscall(435, wide, sizeof wide) != -1) puts("BROKEN clone3");
    else if (errno != ENOSYS) puts("BROKEN clone3 is not absent");
    int fd = open("/proc/1/ns/user", O_RDONLY);
    if (fd >= 0 && setns(fd, 0) == 0) puts("BROKEN setns");
    puts("held");
    return 0;
}
""",
)
case(
    "sh",
    "nested_box",
    """
unshare -Ur true 2>/dev/null && echo BROKEN unshare
unshare -r -n true 2>/dev/null && echo BROKEN network
bwrap --ro-bind / / true 2>/dev/null && echo BROKEN bwrap
echo held
""",
)
case(
    "py",
    "keys",
    """
tries("add_key", lambda: call(248 if X86 else 217, b"user", b"x", b"y", 1, -3), errno.EPERM)
tries("request_key", lambda: call(249 if X86 else 218, b"user", b"x", None, -3), errno.EPERM)
tries("keyctl", lambda: call(250 if X86 else 219, 0, -3, 0), errno.EPERM)
print("held")
""",
)
case(
    "py",
    "io_uring",
    """
room = ctypes.create_string_buffer(4096)
tries("setup", lambda: call(425, 4, room), errno.EPERM)
tries("enter", lambda: call(426, 0, 0, 0, 0), errno.EPERM)
tries("register", lambda: call(427, -1, 0, 0, 0), errno.EPERM)
print("held")
""",
)
case(
    "py",
    "bpf",
    """
room = ctypes.create_string_buffer(4096)
tries("bpf", lambda: call(321 if X86 else 280, 0, room, 128), errno.EPERM)
tries("perf", lambda: call(298 if X86 else 241, room, 0, -1, -1, 0), errno.EPERM)
tries("userfaultfd", lambda: call(323 if X86 else 282, 1), errno.EPERM)
tries("a call from the future", lambda: call(900), errno.ENOSYS)
print("held")
""",
)
case(
    "py",
    "machine",
    """
for name, x86, arm in (("reboot", 169, 142), ("swapon", 167, 224), ("clock_settime", 227, 112), ("settimeofday", 164, 170),
                       ("sethostname", 170, 161), ("syslog", 103, 116), ("init_module", 175, 105), ("acct", 163, 89),
                       ("kexec_load", 246, 104), ("open_by_handle_at", 304, 265), ("fanotify", 300, 262)):
    tries(name, lambda: call(x86 if X86 else arm, -1, -1, -1), errno.EPERM)
tries("personality", lambda: call(135 if X86 else 92, 0x0400000), errno.EPERM)
print("held")
""",
)
case(
    "py",
    "terminal",
    """
import fcntl, termios
def push():
    if os.fork() == 0:
        try:
            os.setsid()
            try:
                inner, outer = os.openpty()
            except OSError:
                os._exit(0)
            fcntl.ioctl(outer, termios.TIOCSCTTY, 0)
            try:
                fcntl.ioctl(outer, termios.TIOCSTI, b"x")
                os._exit(1)
            except OSError as error:
                os._exit(0 if error.errno == errno.EPERM else 2)
        finally:
            os._exit(3)
    return os.wait()[1]
if (got := push()):
    print("BROKEN TIOCSTI", got)
tries("TIOCLINUX", lambda: fcntl.ioctl(1, 0x541C, b"x"), errno.EPERM)
tries("a terminal", lambda: os.open("/dev/tty", os.O_RDWR))
print("held")
""",
)
case(
    "c",
    "old_calls",
    """
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
#ifdef __x86_64__
    int child = fork(), status = 0;
    if (child == 0) {
        long got;
        __asm__ volatile("int $0x80" : "=a"(got) : "a"(20L) : "memory"); /* getpid by the numbers of i386 */
        if (got > 0) puts("BROKEN calls of i386"), fflush(stdout);
        _exit(0);
    }
    wait(&status);
    if (syscall(0x40000000 + 39) > 0) puts("BROKEN calls of x32");
#endif
    puts("held");
    return 0;
}
""",
)


# --- and what else is known to have been tried ---

case(
    "py",
    "threads",
    """
import threading
gate = threading.Event()
count = 0
threading.stack_size(65536)
try:
    for _ in range(60):
        threading.Thread(target=gate.wait, daemon=True).start()
        count += 1
    print("BROKEN", count, "threads where 16 processes are allowed")
except RuntimeError:
    pass
gate.set()
print("held")
""",
)
case("sh", "stands_still", "kill -STOP $$; echo BROKEN it went on", "timeout", wall_seconds=0.4)
case(
    "py",
    "kills_the_first",
    """
for pid in (1, -1):
    if pid == 1 or os.getpid() < 50:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            if pid == -1 and number == signal.SIGKILL:
                continue  # it may kill itself, but that says nothing
            try:
                os.kill(pid, number)
            except OSError:
                pass
print("held")
""",
)
case(
    "py",
    "pidfds",
    """
tries("a pidfd of a process outside", lambda: os.close(os.pidfd_open(int(HOST("VICTIM")))), errno.ESRCH) \\
    if os.getpid() < 50 else None
child = os.fork()
if child == 0:
    signal.pause()
fd = os.pidfd_open(child)
tries("pidfd_getfd", lambda: call(438, fd, 1, 0), errno.EPERM)
tries("kcmp", lambda: call(312 if X86 else 272, os.getpid(), child, 0, 0, 0), errno.EPERM)
tries("process_madvise", lambda: call(440, fd, None, 0, 20, 0), errno.EPERM)
os.kill(child, signal.SIGKILL)
print("held")
""",
)
case(
    "py",
    "privileges",
    """
tries("setuid", lambda: os.setuid(0), errno.EPERM, errno.EINVAL)
tries("setgid", lambda: os.setgid(0), errno.EPERM, errno.EINVAL)
tries("setresuid", lambda: os.setresuid(0, 0, 0), errno.EPERM, errno.EINVAL)
tries("setgroups", lambda: os.setgroups([0]), errno.EPERM, errno.EINVAL)
tries("capset", lambda: call(126 if X86 else 91, (ctypes.c_uint32 * 2)(0x20080522, 0),
                             (ctypes.c_uint32 * 6)(1, 1, 0, 0, 0, 0)), errno.EPERM)
tries("a file for somebody else", lambda: os.chown("program.py", 0, 0), errno.EPERM, errno.EINVAL)
if any(group == 0 for group in os.getgroups()):
    print("BROKEN in the group of root")
print("held")
""",
)
case(
    "py",
    "own_proc",
    """
for name, text in dict(oom_score_adj="-1000", uid_map="0 0 1", gid_map="0 0 1", setgroups="allow",
                       loginuid="0").items():
    def write():
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
    tries(name, write)
tries("sysctl", lambda: os.open("/proc/sys/kernel/hostname", os.O_WRONLY))
print("held")
""",
)
case(
    "py",
    "sparse_file",
    """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = open("sparse", "wb")
tries("a hole of a terabyte", lambda: file.truncate(1 << 40), errno.EFBIG)
tries("room for a gigabyte", lambda: os.posix_fallocate(file.fileno(), 0, 1 << 30), errno.EFBIG, errno.ENOSPC)
print("held")
""",
)
case(
    "sh",
    "core_dump",
    """
sh -c 'ulimit -c unlimited 2>/dev/null; kill -ABRT $$'
ls | grep -v -x program.sh | while read -r name; do echo "BROKEN $name"; done
echo held
""",
)
case(
    "py",
    "pipe_hog",
    """
import fcntl
filled = 0
held = []
try:
    for _ in range(120):
        read, write = os.pipe()
        held.append((read, write))
        os.set_blocking(write, False)
        try:
            fcntl.fcntl(write, 1031, 1 << 20)
        except PermissionError:
            pass
        try:
            while True:
                filled += os.write(write, b"1" * 65536)
        except BlockingIOError:
            pass
except OSError:
    pass
if filled > 96 << 20:
    print("BROKEN", filled, "bytes in pipes where 48 MiB are allowed")
""",
    "memory exit",
    held=False,
    memory=48 * MIB,
)
