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

from rota.engines.postgres.errors import demoted, lost, refused, transient, unsettled
from rota.engines.postgres.link import Link, Session
from rota.model.errors import StoreError

MOST = 64
"""Calls in one transaction."""
_TRIES = 5
_LONG = 20.0
"""Seconds after which nothing is tried once more."""
_MARK = "INSERT INTO rota.changes (queue, type, state, jobs) VALUES ('', '', 'done', 0)"


Answers = Sequence[Any]


class Verb(NamedTuple):
    """How a verb is run: all calls (their arguments) in one go, an answer for each.

    ``joins``: whether two calls that stand beside each other may go together. ``again``: whether it does no
    harm to run it a second time when nobody knows whether the first one was kept. ``doubted``: how it is run
    then, with the answers of the first time where those came before the doubt. ``unknown``: told of calls of
    which it is not known in the end whether they were kept.
    """

    run: Callable[[Session, list[Any]], Awaitable[Answers]]
    joins: Callable[[Any, Any], bool] = lambda one, other: False
    again: bool = False
    doubted: Callable[[Session, list[Any], Answers | None], Awaitable[Answers]] | None = None
    unknown: Callable[[list[Any]], None] = lambda calls: None


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
        # What was committed and confirmed by no standby is there to be seen, and is answered to whoever asks
        # for it again. So at first, and behind every doubt, a commit writes something, and is waited for.
        self._owes = True
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
        groups = _joined(calls)
        tries, doubt, began = 0, False, time.monotonic()
        before: list[Any] = []
        try:
            while True:
                session = await self._link.session()
                answers: list[Any] = []
                try:
                    return await self._run(session, groups, answers, before if doubt else None)
                except Exception as error:
                    tries += 1
                    self.on_rollback()
                    if session.committing and unsettled(error):
                        doubt = self._owes = True
                        before = answers if len(answers) == len(calls) else before
                    gone = lost(error)
                    if gone:
                        if demoted(error):
                            self._link.moved()
                        self._link.drop()
                    else:
                        await self._roll_back(session)
                    harmless = not doubt or all(call.verb.again or call.verb.doubted for call in calls)
                    late = tries >= _TRIES or time.monotonic() - began > _LONG
                    if late or not harmless or not (gone or transient(error)):
                        raise
        except Exception as error:
            if not doubt:
                raise
            for group in groups:
                group[0].verb.unknown([call.arguments for call in group])
            # Refused by now or not: each alone would not be told of the doubt.
            raise refused(error) from error

    async def _run(
        self, session: Session, groups: list[list[_Call]], answers: list[Any], before: list[Any] | None
    ) -> list[Any]:
        """``answers`` are filled in; ``before``: those of a run that may have been kept, None after none."""
        if len(groups) > 1:
            await session.begin()
        started = time.perf_counter()
        if self._owes:
            # Whatever was kept then is to be as durable as if it were written now, and a commit that writes
            # nothing waits for no standby.
            await session.fetch(_MARK)
        for group in groups:
            verb, given = group[0].verb, [call.arguments for call in group]
            if before is not None and verb.doubted is not None:
                known = before[len(answers) : len(answers) + len(group)] or None
                answers += await verb.doubted(session, given, known)
            else:
                answers += await verb.run(session, given)
        await session.commit()
        self._owes = False
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
