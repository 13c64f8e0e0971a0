"""What is written, in the order in which it was called.

One connection writes. Calls that came in while it was busy go together: neighbours of the same verb become
one statement, and all of them share one transaction, so that the more there is to do the less each job costs.
Should a call be refused, nothing of the transaction was stored, and each call goes alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from rota.engines.postgres.errors import lost, refused, transient
from rota.engines.postgres.link import Link, Session
from rota.model.errors import StoreError

MOST = 64
"""Calls in one transaction."""
_TRIES = 5


class Verb(NamedTuple):
    """How a verb is run: all calls (their arguments) in one go, an answer for each.

    ``joins``: whether two calls that stand beside each other may go together. ``again``: whether it does no
    harm to run it a second time when nobody knows whether the first one was kept.
    """

    run: Callable[[Session, list[Any]], Awaitable[Sequence[Any]]]
    joins: Callable[[Any, Any], bool] = lambda one, other: False
    again: bool = False


class _Call(NamedTuple):
    verb: Verb
    arguments: Any
    future: asyncio.Future[Any]


class Writer:
    """The queue of calls, and the connection that works it off."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._calls: list[_Call] = []
        self._task: asyncio.Task[None] | None = None
        self.closed = False
        self.commits = 0
        self.seconds = 0.0
        self.on_rollback: Callable[[], None] = lambda: None

    def call(self, verb: Verb, arguments: Any) -> asyncio.Future[Any]:
        """Run a verb after those called before. The future is done when that is on stable storage."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self.closed:
            future.set_exception(StoreError("The store is closed."))
            return future
        self._calls.append(_Call(verb, arguments, future))
        if self._task is None:
            self._task = loop.create_task(self._work())
        return future

    async def close(self) -> None:
        self.closed = True
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._link.close()

    async def _work(self) -> None:
        try:
            while self._calls:
                calls, self._calls = self._calls[:MOST], self._calls[MOST:]
                calls = [call for call in calls if not call.future.cancelled()]
                if calls:
                    await self._store(calls)
        finally:
            self._task = None

    async def _store(self, calls: list[_Call]) -> None:
        try:
            answers = await self._transaction(calls)
        except Exception as error:
            if len(calls) == 1 or lost(error) or isinstance(error, StoreError):
                for call in calls:
                    _fail(call.future, error)
                return
            # One bad call must not take its neighbours down: nothing was stored, so each goes alone.
            for call in calls:
                await self._store([call])
            return
        for call, answer in zip(calls, answers, strict=True):
            if not call.future.done():
                call.future.set_result(answer)

    async def _transaction(self, calls: list[_Call]) -> list[Any]:
        tries = 0
        while True:
            session = await self._link.session()
            try:
                return await self._run(session, _joined(calls))
            except Exception as error:
                tries += 1
                self.on_rollback()
                gone = lost(error)
                if gone:
                    self._link.drop()
                else:
                    await self._roll_back(session)
                # What was not committed for certain may be tried again, and so may what does no harm.
                harmless = not (gone and session.committing) or all(call.verb.again for call in calls)
                if tries >= _TRIES or not harmless or not (gone or transient(error)):
                    raise

    async def _run(self, session: Session, groups: list[list[_Call]]) -> list[Any]:
        answers: list[Any] = []
        if len(groups) > 1:
            await session.begin()
        started = time.perf_counter()
        for group in groups:
            answers += await group[0].verb.run(session, [call.arguments for call in group])
        await session.commit()
        self.commits += 1
        self.seconds += time.perf_counter() - started
        return answers

    async def _roll_back(self, session: Session) -> None:
        try:
            await session.rollback()
        except Exception:
            self._link.drop()


def _joined(calls: list[_Call]) -> list[list[_Call]]:
    """Neighbours that go together."""
    groups: list[list[_Call]] = []
    for call in calls:
        last = groups[-1][-1] if groups else None
        if last is not None and last.verb is call.verb and call.verb.joins(last.arguments, call.arguments):
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(refused(error))
