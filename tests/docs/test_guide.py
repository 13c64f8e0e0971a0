"""The guide, typed along: every block of it runs, and gives what it says."""

from __future__ import annotations

import ast
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

from tests.cli.kit import Cli, wait_until
from tests.docs.kit import DOCS, Block, blocks
from tests.server import DEADLINE, environment, running_server

KNOWN = {"python", "sh"}
PROGRAM = ("shop/jobs.py", "shop/rest.py")
EXPECTED = re.compile(r"  # -> (.+)$")


def checked(text: str) -> str:
    """The same code, with what stands behind ``# ->`` compared to what it is."""
    lines = text.splitlines()
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.Expr) and (found := EXPECTED.search(lines[(node.end_lineno or 0) - 1])):
            code = ast.unparse(node.value)
            assert node.end_lineno == node.lineno
            lines[node.lineno - 1] = f"_is({code}, {found[1]}, {code!r})"
    return "\n".join(lines)


def test_the_program_and_what_is_done_with_it(tmp_path: Path) -> None:
    found = [one for one in blocks("guide.md") if one.kind == "python"]
    typed = "\n".join(checked(one.text) for one in found if one.note is None)
    assert typed.count("_is(") == (DOCS / "guide.md").read_text().count("# ->")
    prelude = """
        def _is(value, expected, code):
            assert value == expected, f"{code} is {value!r}"
    """
    write_program(tmp_path)
    (tmp_path / "typed.py").write_text(textwrap.dedent(prelude) + typed)
    with running_server(tmp_path, "--work", "shop.jobs:app", "--work", "shop.rest:app") as server:
        done = subprocess.run(
            [sys.executable, "typed.py"],
            cwd=tmp_path,
            env=environment({"ROTA_URL": server.url}),
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, done.stderr
        # The commands, on what that has left behind.
        for block in commands(running=False):
            done = shell(block.text, tmp_path, server.url)
            assert done.returncode == 0, (block.text, done.stderr)
            if "retry" in block.text:
                assert "charge" in done.stdout


def test_what_runs_until_it_is_stopped(tmp_path: Path) -> None:
    write_program(tmp_path)
    with running_server(tmp_path, store=f"sqlite:///{tmp_path}/other.db") as server:
        for block in commands(running=True):
            assert block.note is not None
            word = block.note.removeprefix("until: ")
            [line] = block.text.splitlines()
            command = [sys.executable, "-m", *shlex.split(line)]
            env = {"ROTA_URL": server.url, "ROTA_LISTEN": "127.0.0.1:0", "ROTA_LOG_FORMAT": "json"}
            if command[3] == "work":
                del env["ROTA_LISTEN"]
            log = tmp_path / "said.log"
            with log.open("w") as said:
                process = subprocess.Popen(
                    command, cwd=tmp_path, env=environment(env), stderr=said, stdout=said
                )
            try:
                wait_until(partial(said_in, log, word), f"{command} says {word}")
                process.send_signal(signal.SIGTERM)
                assert process.wait(DEADLINE) == 0, log.read_text()
            finally:
                process.kill()
                process.wait()


def test_every_block_is_run() -> None:
    for block in blocks("guide.md"):
        assert block.kind in KNOWN
        assert block.note in (None, *PROGRAM) or block.note.startswith("until: ")
    assert len(blocks("guide.md")) == (DOCS / "guide.md").read_text().count("\n```") // 2


def test_every_link_leads_somewhere() -> None:
    pages = sorted(DOCS.rglob("*.md"))
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
            path, _, heading = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            if heading and f'<a id="{heading}"></a>' not in target.read_text():
                text = re.sub(r"^```.*?^```", "", target.read_text(), flags=re.DOTALL | re.MULTILINE)
                titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
                names = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles}
                assert heading in names, f"{page.name}: {link}"


def write_program(folder: Path) -> None:
    """The guide's program, as far as it is written down."""
    (folder / "shop").mkdir()
    for name in PROGRAM:
        (folder / name).write_text("\n\n".join(one.text for one in blocks("guide.md") if one.note == name))


def said_in(log: Path, event: str) -> bool:
    """Whether this event is in a log."""
    return f'"event":"{event}"' in log.read_text()


def commands(running: bool) -> list[Block]:
    """Blocks of commands: those that run until they are stopped, or the others."""
    found = [one for one in blocks("guide.md") if one.kind == "sh"]
    return [one for one in found if (one.note is not None) is running]


def shell(text: str, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run commands as they stand; ``rota`` and ``jq`` are found."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    for name, code in (("rota", "from rota.cli import main; main()"), ("jq", JQ)):
        path = tools / name
        path.write_text(f"#!{sys.executable}\n{code}\n")
        path.chmod(0o755)
    env = Cli(folder, url).environment
    env["PATH"] = f"{tools}:{env['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder, env=env, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


JQ = "import json, sys\nfor job in json.load(sys.stdin)['jobs']: print(job['id'])"
"""As much of jq as the guide needs, for machines without it."""
