"""The system-call filter: which calls a program may not make, as a BPF program assembled here.

It names what to refuse, so that compilers and interpreters run unchanged, and refuses every call that is
newer than this table. What it refuses is what reaches the kernel's rarer parts (other processes' memory,
BPF, io_uring, keys, mounts, namespaces, modules, clocks) and what namespaces do not hold back (sockets of
other families, the terminal).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import socket
import struct

from rota.programs import kernel

# name: number on x86_64, number on aarch64 (None: that machine has no such call). From 424 on both are the
# same.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    # code and rings in the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    # keys, secrets
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    # mounts and roots
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    # the machine
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "acct": (163, 89),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
}
# Answered as a kernel without them would, so that the C library falls back: a filter cannot look into
# clone3's arguments.
ABSENT = {"clone3": (435, 435)}
# Memory that is in no process's size; refused where no control group counts it.
HIDDEN_MEMORY = {"memfd_create": (319, 279), "shmget": (29, 194), "mq_open": (240, 180), "msgget": (68, 186)}
# Looked at by their arguments.
CLONE, IOCTL, PERSONALITY, SOCKET, SOCKETPAIR = (56, 220), (16, 29), (135, 92), (41, 198), (53, 199)
NEWEST = 466

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
NAMESPACES = 0x7E020000  # the CLONE_NEW* flags
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
AS_EVER, ASKED, NO_RANDOM = 0, 0xFFFFFFFF, 0x0040000

_LOAD, _EQUAL, _ABOVE, _ANY, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000

LOCAL = (socket.AF_UNIX,)
INTERNET = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


def machine() -> str | None:
    """The name of this machine's instruction set, if there is a table for it."""
    name = os.uname().machine
    return name if name in MACHINES else None


@functools.cache
def program(
    families: tuple[int, ...] = INTERNET, *, hidden_memory: bool = True, name: str | None = None
) -> bytes:
    """The filter, as the kernel takes it (8 bytes an instruction), for the machine ``name`` (this one).

    ``families`` are those that socket() may have; ``hidden_memory`` allows memory that belongs to no process.
    """
    column, arch = MACHINES[name or machine() or ""]
    refused = REFUSED if hidden_memory else REFUSED | HIDDEN_MEMORY
    code = [
        _step(_LOAD, 4),  # the instruction set: a call by another one's numbers is an attack
        _step(_EQUAL, arch, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, 0),
        # Also all calls of x32, which have a high bit set.
        *_unless_then(_ABOVE, NEWEST, _ERROR | errno.ENOSYS),
    ]
    for table, answer in ((ABSENT, errno.ENOSYS), (refused, errno.EPERM)):
        for pair in table.values():
            if (number := pair[column]) is not None:
                code += _unless_then(_EQUAL, number, _ERROR | answer)
    code += _argument(CLONE[column], 0, [(_ANY, NAMESPACES)], hit=_ERROR | errno.EPERM, else_=_ALLOW)
    code += _argument(
        IOCTL[column], 1, [(_EQUAL, TIOCSTI), (_EQUAL, TIOCLINUX)], hit=_ERROR | errno.EPERM, else_=_ALLOW
    )
    calm = [(_EQUAL, AS_EVER), (_EQUAL, ASKED), (_EQUAL, NO_RANDOM)]
    code += _argument(PERSONALITY[column], 0, calm, hit=_ALLOW, else_=_ERROR | errno.EPERM)
    wanted = [(_EQUAL, int(family)) for family in families]
    code += _argument(SOCKET[column], 0, wanted, hit=_ALLOW, else_=_ERROR | errno.EAFNOSUPPORT)
    pairs = [(_EQUAL, int(socket.AF_UNIX))]
    code += _argument(SOCKETPAIR[column], 0, pairs, hit=_ALLOW, else_=_ERROR | errno.EAFNOSUPPORT)
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def install(filter_: bytes) -> None:
    """Put this process and all it starts under the filter, for good. Sets no-new-privileges first."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    whole = Program(len(filter_) // 8, filter_)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(whole))


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _unless_then(test: int, value: int, answer: int) -> list[bytes]:
    return [_step(test, value, 0, 1), _step(_RETURN, answer)]


def _argument(number: int, which: int, tests: list[tuple[int, int]], *, hit: int, else_: int) -> list[bytes]:
    """For the call with this number: ``hit`` if one of the tests holds for the low half of an argument, else
    ``else_``.

    The low half is all that these calls look at themselves.
    """
    count = len(tests)
    body = [_step(_LOAD, 16 + 8 * which)]
    body += [_step(test, value, count - place, 0) for place, (test, value) in enumerate(tests)]
    body += [_step(_RETURN, else_), _step(_RETURN, hit)]
    return [_step(_EQUAL, number, 0, len(body)), *body]
