"""Tasks as a test runs them: the same, but their handlers are watched, and may take their worker along."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn

from rota.sdk.context import current_context
from rota.sdk.tasks import Task


class WorkerLost(BaseException):
    """Ends a handler whose worker is lost, as the end of its process would. No ``Exception``, so that the
    handler does not catch it by accident.
    """


class Losses:
    """Workers that die, and the exceptions that handlers raised. Used from the threads of handlers."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lose: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self.loop = loop
        self.doomed: Counter[str] = Counter()
        """How often a handler of this type will take its worker along."""
        self.raised: dict[str, BaseException] = {}
        """By job: what its handler raised last."""
        self._lose = lose

    def die(self) -> NoReturn:
        """The worker of the handler that calls this is lost, here and now."""
        self.lose()
        raise WorkerLost

    def lose(self) -> None:
        """The worker is lost."""
        asyncio.run_coroutine_threadsafe(self._lose(), self.loop).result()

    def reported(self, type: str) -> None:
        """A handler of this type has returned; whether its worker lives to tell."""
        if self.doomed[type] > 0:
            self.doomed[type] -= 1
            self.die()


def twins(
    tasks: Mapping[str, Task[Any, Any]], losses: Losses, begun: Callable[[str], None], processes: bool
) -> dict[str, Task[Any, Any]]:
    """``begun``: told, on the loop, the job whose handler begins. ``processes``: those that want a child
    process get one, and run there unwatched; otherwise they run like the others.
    """
    found: dict[str, Task[Any, Any]] = {}
    for name, task in tasks.items():
        twin = found[name] = copy.copy(task)
        if task.kind != "process" or not processes:
            twin.kind = "async" if task.is_async else "thread"
            twin.function = (_watched_async if task.is_async else _watched)(task, losses, begun)
    return found


def _watched(task: Task[Any, Any], losses: Losses, begun: Callable[[str], None]) -> Callable[..., Any]:
    def handler(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        context = current_context.get()
        id = context.id
        losses.loop.call_soon_threadsafe(begun, id)
        try:
            value = task.function(*args, **named)
        except BaseException as error:
            losses.raised[id] = error
            raise
        losses.reported(context.type)
        return value

    return handler


def _watched_async(
    task: Task[Any, Any], losses: Losses, begun: Callable[[str], None]
) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def handler(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        context = current_context.get()
        id = context.id
        # Told when the handler waits for the first time: what it does before is done then.
        asyncio.get_running_loop().call_soon(losses.loop.call_soon_threadsafe, begun, id)
        try:
            value = await task.function(*args, **named)
        except BaseException as error:
            losses.raised[id] = error
            raise
        losses.reported(context.type)
        return value

    return handler
