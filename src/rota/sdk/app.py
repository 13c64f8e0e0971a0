"""The App: a program's tasks, and its way to the server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakKeyDictionary

from rota.model.spec import JobSpec
from rota.sdk.context import Context
from rota.sdk.handle import Handle
from rota.sdk.options import Options, RetryPolicy, as_tags
from rota.sdk.tasks import AsyncContextTask, AsyncTask, SyncContextTask, SyncTask, Task, declare
from rota.sdk.values import Duration

if TYPE_CHECKING:
    from rota.sdk.aclient import AsyncClient
    from rota.sdk.client import Client

P = ParamSpec("P")
R = TypeVar("R")


class TaskDecorator(Protocol):
    """What ``app.task(...)`` with options gives."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # the more special one comes first
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> AsyncContextTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> SyncContextTask[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...


class App:
    """Declares tasks and enqueues them.

    ``url``: the server, by default ``ROTA_URL`` or http://127.0.0.1:8080; several over one database with
    commas between, of which another one is asked when one fails. ``token``: by default
    ``ROTA_TOKEN`` or the content of the file ``ROTA_TOKEN_FILE``. ``queue``: where jobs of tasks without a
    queue of their own go. Nothing is connected before the first enqueue.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, queue: str = "default") -> None:
        self.url = url
        self.token = token
        self.queue = queue
        self.tasks: dict[str, Task[Any, Any]] = {}
        """By name."""
        self.others: Task[Any, Any] | None = None
        """Runs jobs of all types that no task has; see :meth:`fallback`."""
        self.module: str = sys._getframe(1).f_globals.get("__name__", "")
        """The module that made the app; child processes look for it there."""
        self._client: Client | None = None
        self._aclients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = WeakKeyDictionary()

    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> AsyncContextTask[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> SyncContextTask[P, R]: ...
    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retries: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
        priority: int = 0,
        tags: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        retention: Duration | None = None,
        process: bool = False,
    ) -> TaskDecorator: ...
    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retries: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
        priority: int = 0,
        tags: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        retention: Duration | None = None,
        process: bool = False,
    ) -> Any:
        """Declare a function as a task; with or without options.

        Arguments travel as a JSON object by name and are checked against the annotations; a function whose
        only parameter is called ``payload`` takes the payload of the job as it is. A first parameter
        annotated with :class:`rota.Context` gets the context. A coroutine function runs on the worker's loop,
        a plain one in a thread, and either in a child process when ``process`` is true: that one can be
        killed when its timeout passes or somebody cancels it, which a thread cannot.

        ``name`` is the job's type, by default the function's name; ``retries`` tries follow the first.
        """
        defaults = Options(
            queue=queue or self.queue,
            priority=priority,
            timeout=timeout,
            retries=retries,
            retry=retry,
            tags=as_tags(tags),
            headers=headers,
            retention=retention,
        )
        # Options that cannot be meant are told here, not at the first enqueue.
        defaults.spec("check", b"")
        local_names = sys._getframe(1).f_locals

        def decorate(function: Callable[..., Any]) -> Task[Any, Any]:
            task = declare(self, function, name, defaults, process, local_names)
            known = self.tasks.get(task.name)
            if known is not None and known.function.__qualname__ != function.__qualname__:
                raise ValueError(f"Two tasks have the name {task.name!r}; give one another with name=.")
            self.tasks[task.name] = task
            return task

        return decorate if function is None else decorate(function)

    @overload
    def fallback(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> AsyncContextTask[P, R]: ...
    @overload
    def fallback(self, function: Callable[Concatenate[Context, P], R], /) -> SyncContextTask[P, R]: ...
    @overload
    def fallback(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def fallback(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    def fallback(self, function: Callable[..., Any], /) -> Any:
        """Declare what runs the jobs of every type that no task of this app has.

        Its worker is then given jobs of any type in its queues. ``ctx.type`` says which one it is; a
        parameter ``payload`` takes any payload as it is. Retries and timeout are those that the job came
        with. Runs on the loop or in a thread, never in a child process.
        """
        task = declare(self, function, None, Options(queue=self.queue), False, sys._getframe(1).f_locals)
        if self.others is not None and self.others.function.__qualname__ != function.__qualname__:
            raise ValueError(f"The app has a fallback already: {self.others.name}. It can have one.")
        self.others = task
        return task

    @property
    def all_tasks(self) -> Sequence[Task[Any, Any]]:
        """The tasks, and the fallback last."""
        return [*self.tasks.values(), *([] if self.others is None else [self.others])]

    def enqueue(self, job: JobSpec) -> Handle[Any]:
        """Hand over a job by the name of its type (see :func:`rota.job`)."""
        return Handle(self, self.client.enqueue(job))

    async def aenqueue(self, job: JobSpec) -> Handle[Any]:
        """As :meth:`enqueue`, awaited."""
        return Handle(self, await self.aclient.enqueue(job))

    def enqueue_many(self, jobs: Iterable[JobSpec]) -> list[Handle[Any]]:
        """Hand over jobs of any types: ``rota.job(...)`` or ``task.spec(...)``. More than 10,000 go in
        several requests, each stored wholly or not at all.
        """
        return [Handle(self, one) for one in self.client.enqueue_many(jobs)]

    async def aenqueue_many(self, jobs: Iterable[JobSpec]) -> list[Handle[Any]]:
        """As :meth:`enqueue_many`, awaited."""
        return [Handle(self, one) for one in await self.aclient.enqueue_many(jobs)]

    def handle(self, id: str) -> Handle[Any]:
        """A handle for a job whose id is known."""
        from rota.sdk.answers import Created

        return Handle(self, Created(id=id, created=False))

    @property
    def client(self) -> Client:
        """The blocking client of this app, made at first use."""
        from rota.sdk.client import Client

        if self._client is None:
            self._client = Client(self.url, self.token)
        return self._client

    @property
    def aclient(self) -> AsyncClient:
        """The asynchronous client of this app for the running event loop, made at first use."""
        from rota.sdk.aclient import AsyncClient

        loop = asyncio.get_running_loop()
        client = self._aclients.get(loop)
        if client is None:
            client = self._aclients[loop] = AsyncClient(self.url, self.token)
        return client

    def close(self) -> None:
        """Close the blocking client's connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close all connections that belong to the running event loop, and the blocking client's."""
        client = self._aclients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        self.close()
