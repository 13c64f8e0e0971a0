"""Acting on many jobs takes as many requests as it takes; together they are one piece of work."""

from __future__ import annotations

from typing import Literal

from rota.sdk import calls
from rota.sdk.answers import Bulk
from rota.sdk.calls import Call
from rota.sdk.filters import Which

Act = Literal["cancel", "retry", "delete"]


class BulkWork:
    """The requests, one after the other, and what they did in all."""

    def __init__(
        self,
        act: Act,
        which: Which,
        all: bool = False,
        dry_run: bool = False,
        limit: int | None = None,
        step: int | None = None,
    ) -> None:
        """``step``: at most so many jobs per request, for those who want to see it go on."""
        self.total = Bulk()
        self.goes_on = True
        self._act = act
        self._which = which
        self._all = all
        self._dry_run = dry_run
        self._limit = limit
        self._step = step

    def call(self) -> Call[Bulk]:
        """The next request."""
        left = None if self._limit is None else self._limit - self.total.matched
        most = left if self._step is None else self._step if left is None else min(left, self._step)
        return calls.bulk(
            self._act,
            self._which,
            all=self._all,
            dry_run=self._dry_run,
            limit=most,
            cursor=self.total.cursor,
        )

    def add(self, done: Bulk) -> None:
        """What a request did."""
        was = self.total
        self.total = Bulk(
            was.matched + done.matched, was.changed + done.changed, was.skipped + done.skipped, done.cursor
        )
        full = self._limit is not None and self.total.matched >= self._limit
        self.goes_on = done.cursor is not None and not full
