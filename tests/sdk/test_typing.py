"""Type checkers see a task's arguments and results: mypy --strict reads a sample program."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mypy import api

import rota

SAMPLE = """\
from __future__ import annotations
import asyncio
import rota
from rota import Context

app = rota.App()

@app.task
def plain(x: int, name: str = "") -> float:
    return x / 2

@app.task
async def waits(x: int) -> list[str]:
    return [str(x)]

@app.task(retries=3, timeout=5.0)
def with_context(ctx: Context, x: int) -> int:
    ctx.progress(0.5)
    return x

@app.task(process=True)
async def both(ctx: Context, x: int) -> bytes:
    return b""

reveal_type(plain(1))                                      # R float
reveal_type(plain.enqueue(1, name="a"))                    # R Handle[float]
reveal_type(plain.enqueue(1).result())                     # R float
reveal_type(waits.enqueue(1).result())                     # R list[str]
reveal_type(with_context.enqueue(1).result())              # R int
reveal_type(with_context(Context(), 1))                    # R int
reveal_type(both.enqueue(1).result())                      # R bytes
reveal_type(both.options(delay=5).enqueue(2).result())     # R bytes
reveal_type(plain.enqueue_many([plain.args(1)]))           # R list[rota.sdk.handle.Handle[float]]

async def main() -> None:
    reveal_type(await waits(1))                            # R list[str]
    reveal_type(await (await both.aenqueue(1)).aresult())  # R bytes
    reveal_type(await both(Context(), 1))                  # R bytes

plain.enqueue("one")                                       # E arg-type
plain.enqueue()                                            # E call-arg
plain.enqueue(1, nme="a")                                  # E call-arg
waits.enqueue(x="1")                                       # E arg-type
with_context.enqueue(Context(), 1)                         # E call-arg arg-type
with_context(1)                                            # E call-arg arg-type
both.options(delai=5)                                      # E call-arg
both.options(delay=5).enqueue("2")                         # E arg-type
plain.args("x")                                            # E arg-type
text: str = plain.enqueue(1).result()                      # E assignment
app.task(retries="many")                                   # E call-overload
app.client.jobs(queu="x")                                  # E call-arg
reveal_type(app.client.queues()[0].pending)                # R int
reveal_type(app.enqueue(rota.job("sleep", {"ms": 5})))     # R Handle[Any]
"""


def test_mypy_infers_results_and_reports_wrong_arguments(tmp_path: Path) -> None:
    check(SAMPLE, tmp_path)


def check(text: str, tmp_path: Path) -> None:
    """mypy says of a program what its comments say: ``# R`` a revealed type, ``# E`` codes of errors."""
    sample = tmp_path / "sample.py"
    sample.write_text(text, encoding="utf-8")
    config = tmp_path / "mypy.ini"
    source = Path(rota.__file__).parents[1]
    config.write_text(
        f"[mypy]\nstrict = true\nmypy_path = {source}\nexplicit_package_bases = true\n"
        f"python_version = {sys.version_info.major}.{sys.version_info.minor}\nfollow_imports = silent\n"
        f"cache_dir = {tmp_path / 'cache'}\n",
        encoding="utf-8",
    )
    out, err, _ = api.run(["--config-file", str(config), str(sample)])
    assert not err
    said: dict[int, list[str]] = {}
    for line in out.splitlines():
        found = re.match(r".*sample\.py:(\d+): (.*)", line)
        if found:
            said.setdefault(int(found[1]), []).append(found[2])
    for number, line in enumerate(text.splitlines(), 1):
        told = [text for text in said.pop(number, []) if not text.startswith("note: ") or "Revealed" in text]
        if "# R " in line:
            wanted = line.partition("# R ")[2]
            assert len(told) == 1, (line, told)
            assert wanted in told[0].replace("builtins.", ""), (line, told)
        elif "# E " in line:
            codes = {code for text in told for code in re.findall(r"\[([a-z-]+)\]$", text)}
            assert codes, (line, told)
            assert codes <= set(line.partition("# E ")[2].split()), (line, told)
        else:
            assert not told, (line, told)
    assert not said
