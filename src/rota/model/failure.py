"""Why a job failed, in a form that the same failure has every time: its fingerprint.

Pure: the error document that a worker sends goes in, a :class:`Cause` comes out.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

FRAME = 200
"""Characters of a frame, and of an error class, that are kept."""
MESSAGE = 1000
"""Characters of the sample message of a group."""
HOURS = 24
"""Hours of history of a group."""

# Of a group of exceptions only the outermost traceback counts: what is nested is indented further.
_HEADER = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):")
_PYTHON = re.compile(r'(?:  \| )?  File "(.*)", line \d+(?:, in (.*))?')
_NODE = re.compile(r"    at (?:async )?(?:(.+?) \()?(?:file://)?([^()]+?):\d+:\d+\)?")
_NOT_OURS = re.compile(
    r"[/\\](?:(?:site|dist)-packages|node_modules|lib[/\\]python3[^/\\]*)[/\\]|^<frozen |^node:"
)


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What a failed job is grouped by. ``error`` is the error's class, or the reason where the server ended
    the job; ``frame`` is ``file:function`` of the innermost frame of the user's own code, None without one.
    """

    fingerprint: str
    error: str
    frame: str | None
    message: str


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs with one fingerprint. ``jobs`` are those kept now, ``job`` is one of them; ``hours``
    counts failures in each of the last 24 hours, the present one last, whatever became of the jobs.
    Times are microseconds.
    """

    fingerprint: str
    type: str
    error: str
    frame: str | None
    message: str
    job: str | None
    jobs: int
    first_seen: int
    last_seen: int
    hours: tuple[int, ...]


class FailurePage(msgspec.Struct, frozen=True):
    """Groups, last seen first, and the cursor of the next page (None: there is none)."""

    groups: list[FailureGroup]
    cursor: str | None


class _Error(msgspec.Struct):
    type: str = "Error"
    message: str = ""
    traceback: str | None = None


_error = msgspec.json.Decoder(_Error)

OURS = frozenset({"timeout", "worker_lost", "expired"})
"""Reasons that say more than the error does: where a handler was when its time ran out is chance."""


def cause(type: str, error: bytes | None, reason: str | None) -> Cause:
    """Why a job of a type failed. ``error`` is the error document (JSON), ``reason`` the job's."""
    told = _Error()
    if error is not None:
        try:
            told = _error.decode(error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = _Error()
    if reason in OURS:
        name, frame = reason or "", None
    else:
        name, frame = told.type[:FRAME], top_frame(told.traceback)
    return Cause(fingerprint(type, name, frame), name, frame, told.message[:MESSAGE])


def fingerprint(type: str, error: str, frame: str | None) -> str:
    """Twelve hexadecimal digits, the same in every process and release."""
    parts = msgspec.json.encode((type, error, frame))
    return hashlib.blake2b(parts, digest_size=6).hexdigest()


def top_frame(traceback: str | None) -> str | None:
    """``file:function`` of the innermost frame of the user's code, or of any code where there is none of it.

    Reads tracebacks of Python and stacks of Node.js. Without folder and line number, so that the same
    fault keeps its name when the file is edited, or installed elsewhere.
    """
    if not traceback:
        return None
    frames = _python(traceback) or _node(traceback)
    if not frames:
        return None
    file, function = next((one for one in frames if _NOT_OURS.search(one[0]) is None), frames[0])
    name = re.split(r"[/\\]", file)[-1]
    return f"{name}:{function}"[:FRAME]


def _python(text: str) -> list[tuple[str, str]]:
    """Frames of the last traceback in the text (the one that was not handled), innermost first."""
    frames: list[tuple[str, str]] = []
    inside = False
    for line in text.splitlines():
        if _HEADER.fullmatch(line):
            frames, inside = [], True
        elif inside:
            found = _PYTHON.fullmatch(line)
            if found is not None:
                if found[2] is not None:
                    frames.append((found[1], found[2]))
            elif not line.startswith(("  ", "   |")):
                inside = False
    if not frames and not inside:
        # A long traceback arrives without its head.
        frames = [(m[1], m[2]) for m in map(_PYTHON.fullmatch, text.splitlines()) if m and m[2]]
    return frames[::-1]


def _node(text: str) -> list[tuple[str, str]]:
    found = (_NODE.fullmatch(line) for line in text.splitlines())
    return [(one[2], one[1] or "<anonymous>") for one in found if one is not None]
