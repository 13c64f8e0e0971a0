"""From ``MODULE:APP`` to the App, or to a sentence that says what is wrong with it."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import traceback
from importlib import import_module
from pathlib import Path

from rota.commands import output, sources
from rota.commands.common import Misused
from rota.sdk.app import App

_TARGET = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_OURS = str(Path(__file__).parents[1]) + os.sep


def check_target(target: str) -> None:
    """Raises Misused when this is not ``MODULE:APP``, with what was perhaps meant."""
    if _TARGET.fullmatch(target):
        return
    module, _, name = target.partition(":")
    guess = module.removesuffix(".py").strip("./").replace("/", ".") + ":" + (name or "app")
    hint = f"; did you mean {guess}?" if _TARGET.fullmatch(guess) else ", such as shop.jobs:app."
    raise Misused(f"{target!r} is not MODULE:APP{hint}")


def load(target: str) -> App:
    """Import the module, the working folder first, and take the App out of it. Raises Misused.

    Says in either case which files were read, to who wants to know (see :mod:`rota.commands.sources`).
    """
    blamed: set[str] = set()
    try:
        return _load(target, blamed)
    finally:
        sources.report(blamed)


def _load(target: str, blamed: set[str]) -> App:
    module_name, _, path = target.partition(":")
    _look_here()
    module = _import(module_name, blamed)
    value: object = module
    for name in path.split("."):
        if not hasattr(value, name):
            raise Misused(f"The module {module_name!r} has no {path!r}{_apps_of(module)}")
        value = getattr(value, name)
    if not isinstance(value, App):
        raise Misused(f"{target} is no rota.App but {_article(type(value).__name__)}{_apps_of(module)}")
    if not value.all_tasks:
        raise Misused(
            f"The app {target} has no tasks: declare some with @{path}.task in what the module imports."
        )
    for task in value.all_tasks:
        try:
            task.signature.compile()
        except TypeError as error:
            raise Misused(f"The task {task.name!r} of {target} cannot be run: {error}") from None
    # Child processes begin where this one did: the module may prepare what the tasks need (django.setup).
    value.module = module_name
    return value


def missing(target: str) -> str | None:
    """The sentence for a module whose first part is not there at all; nothing is imported."""
    _look_here()
    module = target.partition(":")[0]
    try:
        found = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    return None if found else _no_module(module, module)


def _import(name: str, blamed: set[str]) -> object:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Misused(_no_module(name, error.name)) from None
        told = _trace(error, blamed)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise Misused(
            f"The module {name!r} ends the program when it is imported (status {error.code})."
        ) from None
    except BaseException as error:
        told = _trace(error, blamed)
    raise Misused(f"The module {name!r} cannot be imported:\n\n{told}")


def _no_module(name: str, lacking: str) -> str:
    if name.endswith(".py") and Path(name).is_file():
        return f"{name!r} is a file, and what is wanted is a module: write {name.removesuffix('.py')!r}."
    part = "" if lacking == name else f" (there is no {lacking!r})"
    return f"There is no module {name!r}{part}; it was looked for in {Path.cwd()} and in the Python path."


def _look_here() -> None:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _trace(error: BaseException, blamed: set[str]) -> str:
    """The traceback as it concerns the user: without our frames and those of the import system. The files in
    it, among them those whose import failed, are added to ``blamed``.
    """
    report = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    inner: traceback.TracebackException | None = report
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        blamed |= {frame.filename for frame in inner.stack} | {getattr(inner, "filename", None) or ""}
        inner.stack = traceback.StackSummary.from_list(
            [
                frame
                for frame in inner.stack
                if not frame.filename.startswith((_OURS, "<frozen importlib"))
                and "importlib/__init__" not in frame.filename
            ]
        )
        inner = inner.__cause__ or inner.__context__
    return output.inert("".join(report.format()).rstrip(), lines=True)


def _apps_of(module: object) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, App)]
    return f"; there is: {', '.join(names)}." if names else "; there is no rota.App in it."


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
