"""Calls that arrive together become one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Gather(Generic[A, R]):
    """Wraps a verb that takes and gives lists; callers give one item and get one answer.

    All items of one turn of the event loop share a call. Nobody waits for company: an item that is alone goes
    alone, and a batch grows only by what came in while the loop was busy.
    """

    def __init__(
        self,
        verb: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        refusal: Callable[[A, R], Exception | None] = lambda item, answer: None,
    ) -> None:
        """``refusal``: the error that a caller gets in place of the answer, if any."""
        self._verb = verb
        self._refusal = refusal
        self._items: list[A] = []
        self._futures: list[asyncio.Future[R]] = []
        self._running: set[asyncio.Task[None]] = set()

    def __call__(self, item: A) -> asyncio.Future[R]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        if not self._items:
            loop.call_soon(self._flush)
        self._items.append(item)
        self._futures.append(future)
        return future

    def _flush(self) -> None:
        items, futures = self._items, self._futures
        self._items, self._futures = [], []
        # The verb is called here, not in the task, so that what follows in this turn comes after it.
        try:
            call = self._verb(items)
        except Exception as error:
            _fail(futures, error)
            return
        task = asyncio.get_running_loop().create_task(self._answer(call, items, futures))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(
        self, call: Awaitable[Sequence[R]], items: Sequence[A], futures: Sequence[asyncio.Future[R]]
    ) -> None:
        try:
            answers = await call
        except Exception as error:
            _fail(futures, error)
            return
        for item, future, answer in zip(items, futures, answers, strict=True):
            if not future.done():
                refusal = self._refusal(item, answer)
                if refusal is None:
                    future.set_result(answer)
                else:
                    future.set_exception(refusal)


def _fail(futures: Sequence[asyncio.Future[R]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
