"""The seam: what an engine can do. The verbs are documented here and only here.

Every verb takes and gives lists, is atomic and on stable storage when its awaitable is done, is told ``now``
(microseconds UTC) and answers what really happened. An engine may put several verbs into one commit, in the
order in which they were called; a verb that fails leaves nothing behind and does not touch its neighbours.
Age is the order of insertion; a job that comes back keeps its place, unless :meth:`Engine.finish` is told
otherwise.
Payload, result, error and progress are bytes that no engine reads; where a match asks what is in them, they
are handed to its :meth:`rota.model.job.Match.sift`. A store that cannot be written or read raises
:class:`rota.model.errors.StoreError`.

Write verbs are called in order and may be called without waiting for the one before: on an embedded engine a
claim that follows an enqueue in the same moment sees its jobs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol

from rota.model.event import Backlog, Reading, Trimmed
from rota.model.failure import FailurePage
from rota.model.file import Attachment, File, Kind, Loose, Part
from rota.model.job import (
    Applied,
    Ask,
    Beat,
    Change,
    Claimed,
    Count,
    Held,
    Job,
    Kept,
    LogLine,
    Match,
    Note,
    Outcome,
    Page,
    Request,
    Selection,
    Tally,
)


class Engine(Protocol):
    """A durable store of jobs."""

    def enqueue(self, requests: Sequence[Request], now: int) -> Awaitable[list[list[Kept]]]:
        """Write all jobs of all requests; each request wholly or not at all.

        Jobs whose idempotency key was used before with the same fingerprint are answered with the ids of
        then (``why='idempotency'``, ``state=None`` where that job is gone by now); with another fingerprint,
        or another number of jobs, the whole request stores nothing: the clashing jobs are answered
        ``why='mismatch'``, the others ``why=None`` with ``state=None``. A job whose unique key is held by
        another is answered with the holder (``why='unique'``). An id that is there already is left alone.
        Keys are kept for 24 hours.

        A request with an ``upload`` has one job, which gets that file, if it is new. When the file is not
        there with all its bytes, or not loose (see :meth:`put_parts`), nothing is stored
        (``why='no_upload'``, ``state=None``).

        A request with a ``position`` stores its jobs, and with them that its source was read up to ``next``,
        when the source was not read beyond ``first`` before. When it was, nothing of the request is stored
        (``why='taken'``, ``state=None``); one without jobs only moves the position, and never back.
        """
        ...

    def claim(self, asks: Sequence[Ask], lease_until: int, now: int) -> Awaitable[list[list[Claimed]]]:
        """Best pending jobs for every ask: priority (high first), then age; per queue of the ask in turn.

        Of an ask that names ``ids`` only these. They become running with attempt + 1, lease + 1 and the ask's
        worker. Expired jobs are passed over. A queue that has a note of kind ``paused`` (its name is the key)
        gives nothing, whoever asks.
        """
        ...

    def finish(self, outcomes: Sequence[Outcome], now: int) -> Awaitable[list[Applied]]:
        """Write what became of running jobs, in order; complete, retry, snooze, fail, release and rescue are
        all this.

        An outcome applies when the job is running under just that lease; otherwise nothing changes. An
        outcome that would go on (scheduled or pending) of a job with a requested cancel ends it as cancelled
        instead. A unique key is given up on entering a state outside its states, and not taken again. Every
        attempt that did not end in done is kept with its error. ``lost`` adds one to the job's losses;
        ``spent=False`` takes one off its attempt; ``back`` makes a job that is pending again the youngest of
        all, in every order by age. A failed job has the fingerprint of the outcome's cause
        until it is retried.
        """
        ...

    def extend(self, beats: Sequence[Beat], until: int, now: int) -> Awaitable[list[Held]]:
        """Leases now end at ``until`` (it may be nearer than before); progress is kept. What is missing is
        lost.
        """
        ...

    def promote(self, now: int, limit: int) -> Awaitable[list[tuple[str, int]]]:
        """Up to ``limit`` scheduled jobs that are due become pending; answers (queue, jobs)."""
        ...

    def cancel(self, match: Match, reason: str, now: int, limit: int) -> Awaitable[list[Applied]]:
        """Scheduled and pending jobs end as cancelled; running ones are marked *please stop* (state running).

        At most ``limit``, oldest first; jobs that have ended or are marked already are passed over.
        """
        ...

    def retry(self, match: Match, now: int, limit: int) -> Awaitable[list[Applied]]:
        """Ended jobs become pending for at least one more attempt (losses 0); result dropped, history kept.

        The attempt number goes on counting; ``max_attempts`` is raised to attempt + 1 where it would stop
        them. Scheduled jobs become pending too (*run now*). A job whose unique key is held by another is
        answered with state None (a scheduled one that gave its key up runs all the same). An expiry that has
        passed is dropped. Others are passed over. At most ``limit``, oldest first.
        """
        ...

    def delete(self, match: Match, limit: int, now: int | None = None) -> Awaitable[list[Applied]]:
        """Remove jobs and all that belongs to them, running ones excepted. Answers their last state.

        Their files are dropped; :meth:`sweep_files` removes those. ``now`` None: they had their time, and no
        event is kept of it.
        """
        ...

    def log(self, lines: Sequence[LogLine], cap: int) -> Awaitable[int]:
        """Keep lines with their jobs, at most ``cap`` per job (a last line says so); answers how many."""
        ...

    def save(self, notes: Sequence[Note]) -> Awaitable[None]:
        """Write or remove small documents.

        A note of the kind ``feeds`` (its body a :class:`rota.model.event.Feed`) switches a feed on: from then
        on enqueue, claim, finish, cancel, retry and delete also keep the events that the feed wants, in the
        same transaction. Without such notes they keep none.
        """
        ...

    async def read_events(self, feed: str, owner: str, until: int, limit: int, now: int) -> Reading:
        """Take the feed, or keep it, until then; and up to ``limit`` of its oldest events, fewer where they
        are large. Those of a job are in the order in which they happened, and none is missing before one
        that is there, whatever is committed at the same time. The same ones come until they are dropped.

        The answer says until when it is held, which may be up to two seconds sooner than asked for. Not held,
        and no events: somebody else has the feed. ``until`` no later than ``now`` gives it back. Where only
        one server can have the store open, opening it ends all holds.
        """
        ...

    async def drop_events(self, feed: str, owner: str, numbers: Sequence[int]) -> bool:
        """Just these events have arrived. False, and nothing is dropped: somebody else has the feed."""
        ...

    async def trim_events(self, limit: int, now: int) -> list[Trimmed]:
        """Drop the oldest events of feeds whose backlog is longer than it may be, and all of feeds that are
        off, up to ``limit`` of each; answers how many of which feeds.
        """
        ...

    async def backlog(self) -> list[Backlog]:
        """What waits in feeds that are on, or are being emptied."""
        ...

    def put_parts(self, parts: Sequence[Part]) -> Awaitable[list[bool]]:
        """Write parts of files, in any order, each file beginning with its part 0; a part that is there is
        replaced. False: the file has not begun, is a job's, or was dropped, and nothing was written of it.

        A file is *loose* until an enqueue or :meth:`attach` gives it to a job, or it is dropped. Where only
        one server can have the store open, opening it drops all loose files.
        """
        ...

    def attach(self, attachments: Sequence[Attachment]) -> Awaitable[list[bool]]:
        """Loose files become artifacts of the jobs that run, in the hands of just that worker, under just
        that lease; an artifact that a job has is dropped. False, and nothing changes: the job does not run
        so, or the file is not there with all its bytes.
        """
        ...

    def drop_files(self, ids: Sequence[str]) -> Awaitable[list[str]]:
        """Loose ones of these files are nobody's any more; answers which. Those of jobs are left alone."""
        ...

    def sweep_files(self, limit: int) -> Awaitable[int]:
        """Remove up to ``limit`` parts of dropped files, and those files that have none left; answers how
        many parts. Fewer than ``limit``: nothing is left to do.
        """
        ...

    async def get(self, ids: Sequence[str]) -> list[Job]:
        """Jobs by id, whole, with attempts (oldest first); unknown ones are missing, order kept."""
        ...

    async def find(self, match: Match, limit: int, cursor: str | None = None) -> Page:
        """Jobs without payload, result and attempts, newest first. The time for one call is bounded: a page
        may hold fewer jobs than there are, even none, and a cursor to go on with. A cursor that is none
        raises BadInput.
        """
        ...

    async def select(self, match: Match, limit: int, cursor: str | None = None) -> Selection:
        """Ids of jobs that match, oldest first, to act on. Bounded in time like :meth:`find`. Jobs stored
        after the first call (that without a cursor) are left out.
        """
        ...

    async def tally(self, match: Match, cursor: str | None = None) -> Tally:
        """How many jobs match, counted one by one; bounded and continued like :meth:`select`."""
        ...

    async def logs(self, id: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
        """Numbered lines of a job, from number ``after`` + 1."""
        ...

    async def files(self, jobs: Sequence[str], kind: Kind) -> dict[str, File]:
        """The file of this kind of each of the jobs that has one. An artifact is shown until the job is
        claimed again, under a newer lease than that of the artifact.
        """
        ...

    async def read_parts(self, asked: Sequence[tuple[str, int]]) -> list[bytes | None]:
        """Parts by file id and number, None for those that are not there. Dropped files may still have
        some.
        """
        ...

    async def loose_files(self) -> list[Loose]:
        """All files that are being written or were left before they became a job's."""
        ...

    async def count(self) -> list[Count]:
        """Jobs by queue, type and state, from maintained counters."""
        ...

    async def failures(
        self, queue: str | None, type: str | None, now: int, limit: int, cursor: str | None = None
    ) -> FailurePage:
        """Failed jobs by fingerprint, last seen first, from maintained counters; of one queue the figures are
        those of that queue. Groups are there while they have failed jobs. A cursor that is none raises
        BadInput.
        """
        ...

    async def tags(self, begins: str, names: int, jobs: int) -> dict[str, int]:
        """Up to ``names`` different tags that begin so, in the order of their bytes, each with the number of
        jobs that have it, counted up to ``jobs``.
        """
        ...

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        """For each queue with pending jobs: since when (``run_at``) its oldest pending job waits."""
        ...

    async def ahead(
        self, ids: Sequence[str], types: Sequence[str] | None, now: int, limit: int
    ) -> dict[str, dict[str, int]]:
        """For each of these jobs that is pending: the jobs of its queue that a claim takes first, by type.

        Those of higher priority and older ones of the same, as :meth:`claim` sees them; only of ``types``
        (None: of any). Counting stops at ``limit`` jobs in all, so that an answer never takes long.
        """
        ...

    async def notes(
        self, kind: str, since: str = "", until: str | None = None, limit: int | None = None
    ) -> list[Note]:
        """Documents of a kind in the order of their keys' bytes: all of them, or up to ``limit`` from the
        key ``since`` to before the key ``until``.
        """
        ...

    async def next_due(self) -> int | None:
        """When the next scheduled job is due; None when none is scheduled."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes may have this store open at the same time."""
        ...

    @property
    def product(self) -> tuple[str, str]:
        """What keeps the jobs: ``sqlite`` or ``postgresql``, and its version."""
        ...

    async def time(self) -> int:
        """What the store's clock shows, microseconds UTC. Servers that share a store go by that."""
        ...

    async def announce(self, queues: Sequence[str], news: Sequence[bytes] = ()) -> None:
        """Hint to the others on this store that jobs wait in these queues, and send them messages. Both are
        hints, never promises. Messages of one engine are read in the order of the calls, within seconds or
        never; they should be few and small (up to some 100 kB a call).
        """
        ...

    def changes(self) -> AsyncIterator[Change]:
        """What others announce from now on. Where nothing can be listened to, queues are those in which jobs
        wait, looked up now and then, and messages come a little later.
        """
        ...

    def vitals(self) -> dict[str, float]:
        """Figures of the engine's own since it was opened: ``commits``, ``commit_seconds``."""
        ...

    async def close(self) -> None:
        """Finish what was called and close the store."""
        ...
