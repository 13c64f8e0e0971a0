"""The shape of the house: what a reader may rely on without reading everything. Run by `make check`."""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.config import Settings, describe
from rota.engines.base import Engine

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "rota"
DOCS = ROOT / "docs"
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 400

# The floors of the house, docs/architecture.md; what is not named here has no place in src/rota.
FLOORS = {
    "model",
    "engines",
    "core",
    "web",
    "sdk",
    "handlers",
    "edges",
    "config",
    "app",
    "bench",
    "bridges",
    "builtin",
    "confined",
    "direct",
    "terms",
    "doors",
    "testing",
    "supervise",
    "cli",
    "commands",
    "logs",
    "programs",
}
AROUND = {"__init__", "__main__", "py.typed"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called (``yaml.load``); other callees have no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else "", node


def tracked() -> list[Path]:
    """The files of the repository: those of git, or all but what tools leave behind where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        leave = {".git", ".venv", "__pycache__", "dist", "build", "node_modules"}
        paths = [
            path for path in ROOT.rglob("*") if not leave & set(path.parts) and "_cache" not in str(path)
        ]
    return sorted(path for path in paths if path.is_file())


def rows(document: str) -> str:
    """The lines of a document that are rows of a table or items of a list."""
    text = (DOCS / document).read_text()
    return "\n".join(line for line in text.splitlines() if line.lstrip().startswith(("|", "- ", "* ")))


# --- the source ---


def test_the_folders_are_those_of_the_drawing() -> None:
    names = {path.stem if path.suffix == ".py" else path.name for path in SOURCE.iterdir()}
    assert names - {"__pycache__"} <= FLOORS | AROUND


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_is_too_long_and_each_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module starts with a docstring"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_in_the_source_runs_what_it_reads(path: Path) -> None:
    forbidden_modules = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle"}
    forbidden_calls = {
        "eval",
        "exec",
        "compile",
        "yaml.load",
        "yaml.unsafe_load",
        "yaml.full_load",
        "os.system",
    }
    tree = ast.parse(path.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {(node.module or "").partition(".")[0]}
    assert not imported & forbidden_modules
    assert not {name for name, _ in calls(tree)} & forbidden_calls
    assert not [call for _, call in calls(tree) for word in call.keywords if word.arg == "shell"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_log_call_uses_a_name_that_logging_keeps_for_itself(path: Path) -> None:
    kept = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    for _, call in calls(ast.parse(path.read_text())):
        for word in call.keywords:
            if word.arg == "extra" and isinstance(word.value, ast.Dict):
                names = {key.value for key in word.value.keys if isinstance(key, ast.Constant)}
                assert not names & kept, f"line {call.lineno}: logging would raise KeyError"


def test_all_engines_have_the_same_statements() -> None:
    folders = sorted((SOURCE / "engines").glob("*/sql"))
    assert folders
    names = {folder.parent.name: sorted(path.name for path in folder.iterdir()) for folder in folders}
    first = next(iter(names.values()))
    assert first
    assert all(others == first for others in names.values()), names


def test_the_import_rules_cover_every_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layered = {name for layer in contracts[0]["layers"] for name in re.findall(r"\w+", layer)}
    assert layered == FLOORS | {"__main__"}
    assert contracts[0]["exhaustive"] is True
    # The layers alone would let these reach further down than the drawing shows.
    strict = {"web", "sdk", "handlers", "edges", "programs"}
    written = {floor for floor in strict if list((SOURCE / floor).rglob("*.py"))}
    forbidden = {
        module.removeprefix("rota.")
        for contract in contracts
        if contract["type"] == "forbidden"
        for module in contract["source_modules"]
    }
    assert written <= forbidden, "a floor that has code has a contract about what it may import"


# --- the repository ---


def test_no_machine_paths_and_no_package_indexes() -> None:
    bad = re.compile(
        # In pieces, so that this file does not find itself.
        r"(?<![\w.])/(?:wor"
        r"k|roo"
        r"t|home)/\w|pypi\."
        r"org|pythonhosted\."
        r"org|--(?:extra-)?index-"
        r"url"
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {match[0]}" for match in bad.finditer(text) if path.name != "Makefile"]
    assert not found, found


def test_the_lock_holds_every_dependency_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *(name for extra in project["project"]["optional-dependencies"].values() for name in extra),
        *project["build-system"]["requires"],
    ]
    locked = {}
    for block in re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text()):
        if match := re.match(r"([\w.-]+)==\S+", block):
            locked[plain(match[1])] = block.count("--hash=sha256:")
    assert {plain(re.split(r"[<>=~! ;\[]", name)[0]) for name in wanted} <= set(locked)
    assert all(locked.values()), "every package has its hashes"


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- the documents ---


def test_every_setting_has_its_line_with_its_default() -> None:
    table = rows("configuration.md")
    for shown in describe(Settings()):
        assert f"| `{shown.key}` | `{shown.text}` | " in table
    documented = re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)
    assert sorted(documented) == sorted(shown.key for shown in describe(Settings()))


def test_every_route_has_its_line() -> None:
    table = rows("api.md")
    routes = importlib.import_module("rota.web.api").ROUTES
    assert routes
    # The documents say {name} where the table has a converter, {name:path}.
    names = [route.method + " " + re.sub(r":\w+}", "}", route.path) for route in routes]
    missing = [name for name in names if f"`{name}`" not in table]
    assert not missing, missing


def test_every_verb_has_its_line() -> None:
    table = rows("architecture.md")
    verbs = [name for name, _ in inspect.getmembers(Engine, inspect.isfunction) if not name.startswith("_")]
    assert len(verbs) > 10
    missing = [verb for verb in verbs if not re.search(rf"`{verb}[(`]", table)]
    assert not missing, missing


def test_every_error_code_has_its_line() -> None:
    table = rows("errors.md")
    codes = {code for path in MODULES for code in error_codes(ast.parse(path.read_text()))}
    assert "not_found" in codes
    missing = sorted(code for code in codes if f"`{code}`" not in table)
    assert not missing, missing


def error_codes(tree: ast.AST) -> Iterator[str]:
    """What a class of errors has as ``code``, and what is given as ``code=`` where one is raised or made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and [ast.unparse(target) for target in line.targets] == [
                    "code"
                ]:
                    yield from texts(line.value)
    for _, call in calls(tree):
        for word in call.keywords:
            if word.arg == "code":
                yield from texts(word.value)


def texts(node: ast.expr) -> Iterator[str]:
    """The plain words of an expression; those made of pieces (``f"invalid_{field}"``) cannot be told here."""
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z_]+", node.value)
    ):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
