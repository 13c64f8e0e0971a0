r"""Transcripts: requests to an older interface and its exact answers, as data; and the pages of docs/fronts.

A transcript is a text of exchanges divided by lines of ``---``; lines that begin with ``#`` say why::

    # A body in JSON is kept as the payload.
    POST /enqueue
    Content-Type: application/json

    {"user": 1}
    => 200 application/json
    {"id":"<id:job>","payload":{"user": 1},"status":"pending","createdAt":"<time>"}\n
    ---
    GET /status/<job>
    => 200 application/json, in the end
    ...

The answer is compared byte for byte, and no line end follows the last line of a body unless ``\n`` is
written there. ``<id:NAME>`` is any id (text without quotes), kept under the name; ``<NAME>`` is that id
again, in requests and answers; ``<time>`` is a time of RFC 3339, ``<number>`` any whole number. A content
type of ``-`` means that there is none. Further lines after the status, up to an empty one, are headers that
the answer must have. ``in the end``: the request is repeated until the answer is the one written here. A
request line that ends with ``&`` is sent aside: those after it do not wait for its answer, which is looked at
when all others are there.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import httpx2

from tests.docs.kit import blocks
from tests.server import DEADLINE

TRANSCRIPTS = Path(__file__).parent / "transcripts"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_MARK = re.compile(r"<(id:)?([a-z_][a-z0-9_]*)>")


class Exchange(NamedTuple):
    """One request and the answer that belongs to it; ``body`` and ``answer`` may hold marks."""

    line: int
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    content_type: str
    expected: dict[str, str]
    answer: str
    in_the_end: bool
    aside: bool


def play(url: str, name: str) -> None:
    """Send all requests of ``transcripts/NAME.txt`` and compare their answers."""
    known: dict[str, str] = {}
    aside: list[tuple[Exchange, Future[httpx2.Response]]] = []
    with (
        ThreadPoolExecutor(10) as threads,
        httpx2.Client(base_url=url, timeout=DEADLINE, trust_env=False) as client,
    ):
        for one in exchanges(name):
            if one.aside:
                aside.append((one, threads.submit(_ask, client, one, known)))
                continue
            end = time.monotonic() + DEADLINE
            while told := _differs(_ask(client, one, known), one, known):
                late = not one.in_the_end or time.monotonic() > end
                assert not late, f"{name}.txt, line {one.line}: {told}"
                time.sleep(0.02)
        for one, answer in aside:
            told = _differs(answer.result(DEADLINE), one, known)
            assert not told, f"{name}.txt, line {one.line}: {told}"


def exchanges(name: str) -> Iterator[Exchange]:
    """Of ``transcripts/NAME.txt``."""
    text = (TRANSCRIPTS / f"{name}.txt").read_text(encoding="utf-8")
    line = 1
    for part in re.split(r"(?m)^---\n", text):
        lines = part.splitlines()
        comments = sum(1 for _ in _leading(lines))
        yield _parse(lines[comments:], line + comments)
        line += len(lines) + 1


def _leading(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line and not line.startswith("#"):
            return
        yield line


def _parse(lines: list[str], line: int) -> Exchange:
    at = next(index for index, text in enumerate(lines) if text.startswith("=> "))
    head, body = _head(lines[1:at])
    method, path = lines[0].removesuffix(" &").split(" ", 1)
    told = lines[at].removeprefix("=> ")
    in_the_end = told.endswith(", in the end")
    status, _, content_type = told.removesuffix(", in the end").partition(" ")
    rest = lines[at + 1 :]
    has_head = bool(rest) and re.fullmatch(r"[A-Za-z-]+: .*", rest[0]) is not None
    expected, answer = _head(rest) if has_head else ({}, "\n".join(rest))
    aside = lines[0].endswith(" &")
    return Exchange(
        line, method, path, head, body, int(status), content_type, expected, _ends(answer), in_the_end, aside
    )


def _head(lines: list[str]) -> tuple[dict[str, str], str]:
    at = lines.index("") if "" in lines else len(lines)
    head = dict(line.split(": ", 1) for line in lines[:at])
    return head, _ends("\n".join(lines[at + 1 :]))


def _ends(text: str) -> str:
    return text[:-2] + "\n" if text.endswith("\\n") else text


def _ask(client: httpx2.Client, one: Exchange, known: Mapping[str, str]) -> httpx2.Response:
    body = _filled(one.body, known).encode()
    headers = {name.encode(): value.encode() for name, value in one.headers.items()}
    return client.request(one.method, _filled(one.path, known), headers=headers, content=body)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _MARK.sub(lambda mark: known.get(mark[2], mark[0]), text)


def _differs(answer: httpx2.Response, one: Exchange, known: dict[str, str]) -> str | None:
    """What is not as it should be."""
    if answer.status_code != one.status:
        return f"{answer.status_code} {answer.text!r}, not {one.status}"
    content_type = answer.headers.get("content-type", "-")
    if content_type != one.content_type:
        return f"content type {content_type!r}, not {one.content_type!r}"
    for key, value in one.expected.items():
        if answer.headers.get(key) != value:
            return f"{key}: {answer.headers.get(key)!r}, not {value!r}"
    found = re.fullmatch(_pattern(one.answer, known), answer.content.decode())
    if found is None:
        return f"{answer.content.decode()!r}, not {_filled(one.answer, known)!r}"
    known |= found.groupdict()
    return None


def _pattern(text: str, known: dict[str, str]) -> str:
    parts, at = [], 0
    for mark in _MARK.finditer(text):
        parts.append(re.escape(text[at : mark.start()]))
        at = mark.end()
        if mark[1]:
            parts.append(rf'(?P<{mark[2]}>[^"\n]+)')
        elif mark[2] == "time":
            parts.append(TIME)
        elif mark[2] == "number":
            parts.append(r"\d+")
        else:
            parts.append(re.escape(known.get(mark[2], mark[0])))
    return "".join(parts) + re.escape(text[at:])


def type_along(page: str, url: str, folder: Path, address: str = "http://127.0.0.1:8080") -> int:
    """Run the ``console`` blocks of a page below docs/ in a folder and compare what they say. Answers
    with how many commands there were.

    A line ``$ command`` is typed, with ``address`` replaced by ``url``; what follows it is its output, in
    which ``…`` stands for anything within a line. A command whose output is not there yet is typed again, so
    a page may ask for what a worker is about to do. A command ``name=$(...)`` is typed once and sets a
    variable for those after it.
    """
    typed = 0
    env = {**os.environ}
    for block in blocks(page):
        if block.kind != "console":
            continue
        for part in re.split(r"(?m)^\$ ", block.text)[1:]:
            # A command goes on where its line ends with a backslash.
            found = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL)
            assert found is not None
            command, output = found[1].replace(address, url), found[2].replace(address, url)
            typed += 1
            if variable := re.match(r"([a-z_]+)=", command):
                env[variable[1]] = _shell(f'{command}printf %s "${variable[1]}"', folder, env).stdout
            else:
                _run(command, output, folder, env)
    return typed


def _run(command: str, output: str, folder: Path, env: Mapping[str, str]) -> None:
    wanted = re.compile("[^\n]*".join(re.escape(part) for part in output.strip().split("…")))
    end = time.monotonic() + DEADLINE
    while True:
        done = _shell(command, folder, env)
        said = done.stdout.replace("\r", "").strip()
        if done.returncode == 0 and wanted.fullmatch(said):
            return
        assert time.monotonic() < end, f"{command}\nsaid {said!r} {done.stderr}\nnot {output!r}"
        time.sleep(0.1)


def _shell(script: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euo", "pipefail", "-c", script]
    # No pipes: what a command leaves running in the background would keep them open.
    with TemporaryFile("w+") as said, TemporaryFile("w+") as errors:
        done = subprocess.run(command, cwd=folder, env=env, stdout=said, stderr=errors, timeout=50)
        said.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, said.read(), errors.read())
