"""Tasks: plain functions that can also be run as jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, cast

from rota.model.job import State
from rota.model.spec import NAME, NAME_RULE, JobSpec
from rota.sdk import transactions
from rota.sdk.context import Context
from rota.sdk.handle import Handle
from rota.sdk.options import Options, RetryPolicy, as_states, as_tags
from rota.sdk.signature import Signature
from rota.sdk.values import Duration

if TYPE_CHECKING:
    from rota.sdk.app import App

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal["async", "thread", "process"]


class Arguments(Generic[P]):
    """The arguments of one call, checked by type checkers: ``task.args(1, name="x")``."""

    __slots__ = ("named", "positional")

    def __init__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        self.positional: Sequence[Any] = args
        self.named: Mapping[str, Any] = kwargs


class Task(Generic[P, R]):
    """A function declared with :meth:`App.task`. Calling it calls the function; ``enqueue`` makes a job of
    it.

    ``P`` are the parameters without a leading :class:`rota.Context`, ``R`` is the result of the job.
    """

    def __init__(
        self,
        app: App,
        function: Callable[..., Any],
        signature: Signature,
        defaults: Options,
        process: bool,
    ) -> None:
        self.name = signature.name
        """The type of its jobs."""
        self.app = app
        self.function = function
        self.signature = signature
        self.defaults = defaults
        self.is_async = inspect.iscoroutinefunction(function)
        self.kind: Kind = "process" if process else "async" if self.is_async else "thread"
        """Where a worker runs it: on its event loop, in a thread, or in a child process."""
        update_wrapper(cast(Any, self), function)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Make a job that will call the function with these arguments, and return its handle.

        TypeError when the arguments do not fit; nothing is sent then. ``connection=`` among them, where the
        function takes none of that name, is as that of :meth:`options`, which type checkers know.
        """
        return Bound(self, self.defaults).enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """As :meth:`enqueue`, awaited."""
        return await Bound(self, self.defaults).aenqueue(*args, **kwargs)

    def enqueue_many(
        self, calls: Iterable[Arguments[P] | Sequence[Any] | Mapping[str, Any]], *, connection: Any = None
    ) -> list[Handle[R]]:
        """One job per item: ``task.args(...)``, a tuple of arguments, or a dict of arguments by name.

        Up to 10,000 jobs go in one request, which is stored wholly or not at all; more are split into
        several. With ``connection`` all are part of its transaction (see :meth:`options`).
        """
        return Bound(self, self.defaults).enqueue_many(calls, connection=connection)

    async def aenqueue_many(
        self, calls: Iterable[Arguments[P] | Sequence[Any] | Mapping[str, Any]], *, connection: Any = None
    ) -> list[Handle[R]]:
        """As :meth:`enqueue_many`, awaited."""
        return await Bound(self, self.defaults).aenqueue_many(calls, connection=connection)

    def args(self, *args: P.args, **kwargs: P.kwargs) -> Arguments[P]:
        """Arguments for :meth:`enqueue_many`."""
        return Arguments(*args, **kwargs)

    def spec(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec:
        """The job that :meth:`enqueue` would send."""
        return Bound(self, self.defaults).spec(*args, **kwargs)

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: Duration | None = None,
        run_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        timeout: Duration | None = None,
        retries: int | None = None,
        retry: RetryPolicy | None = None,
        tags: Iterable[str] | None = None,
        headers: Mapping[str, str] | None = None,
        unique_key: str | None = None,
        unique_states: Iterable[State | str] | None = None,
        idempotency_key: str | None = None,
        retention: Duration | None = None,
        content_type: str | None = None,
        connection: Any = None,
    ) -> Bound[P, R]:
        """The same task with other options; what is left out is as declared.

        ``delay`` / ``run_at``: not before then. ``expires_at``: not after. ``timeout``: per try. ``retries``:
        tries after the first. ``unique_key``: no second job with this key while one is in ``unique_states``.
        ``idempotency_key``: the same key makes the same job. ``retention``: how long the ended job is kept.
        ``connection``: of psycopg, asyncpg or SQLAlchemy, to the PostgreSQL of the store: the job is part of
        its transaction, and exists when that is committed.
        """
        given = Options(
            queue=queue,
            priority=priority,
            delay=delay,
            run_at=run_at,
            expires_at=expires_at,
            timeout=timeout,
            retries=retries,
            retry=retry,
            tags=as_tags(tags),
            headers=headers,
            unique_key=unique_key,
            unique_states=as_states(unique_states),
            idempotency_key=idempotency_key,
            retention=retention,
            content_type=content_type,
        )
        return Bound(self, given.over(self.defaults), connection)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


class Bound(Generic[P, R]):
    """A task with options, ready to be enqueued."""

    __slots__ = ("_connection", "_options", "_task")

    def __init__(self, task: Task[P, R], options: Options, connection: Any = None) -> None:
        self._task = task
        self._options = options
        self._connection = connection

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """As :meth:`Task.enqueue`."""
        task, (connection, named) = self._task, self._among(kwargs)
        spec = self._spec(args, named)
        if connection is not None:
            made = transactions.enqueue(connection, [spec])[0]
        else:
            made = task.app.client.enqueue(spec)
        return Handle(task.app, made, task.signature)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """As :meth:`Task.aenqueue`."""
        task, (connection, named) = self._task, self._among(kwargs)
        spec = self._spec(args, named)
        if connection is not None:
            made = (await transactions.aenqueue(connection, [spec]))[0]
        else:
            made = await task.app.aclient.enqueue(spec)
        return Handle(task.app, made, task.signature)

    def enqueue_many(
        self, calls: Iterable[Arguments[P] | Sequence[Any] | Mapping[str, Any]], *, connection: Any = None
    ) -> list[Handle[R]]:
        """As :meth:`Task.enqueue_many`."""
        task = self._task
        connection = self._connection if connection is None else connection
        specs = self._specs(calls)
        if connection is not None:
            made = transactions.enqueue(connection, specs)
        else:
            made = task.app.client.enqueue_many(specs)
        return [Handle(task.app, one, task.signature) for one in made]

    async def aenqueue_many(
        self, calls: Iterable[Arguments[P] | Sequence[Any] | Mapping[str, Any]], *, connection: Any = None
    ) -> list[Handle[R]]:
        """As :meth:`Task.aenqueue_many`."""
        task = self._task
        connection = self._connection if connection is None else connection
        specs = self._specs(calls)
        if connection is not None:
            made = await transactions.aenqueue(connection, specs)
        else:
            made = await task.app.aclient.enqueue_many(specs)
        return [Handle(task.app, one, task.signature) for one in made]

    def _among(self, named: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        """The connection, and the arguments without it."""
        if "connection" not in named or any(
            one.name == "connection" for one in self._task.signature.parameters
        ):
            return self._connection, named
        return named["connection"], {name: value for name, value in named.items() if name != "connection"}

    def _spec(self, args: Sequence[Any], named: Mapping[str, Any]) -> JobSpec:
        return self._options.spec(self._task.name, self._task.signature.encode(args, named))

    def spec(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec:
        """As :meth:`Task.spec`."""
        return self._spec(args, kwargs)

    def _specs(self, calls: Iterable[Arguments[P] | Sequence[Any] | Mapping[str, Any]]) -> list[JobSpec]:
        encode, spec, name = self._task.signature.encode, self._options.spec, self._task.name
        specs = []
        for call in calls:
            if isinstance(call, Arguments):
                payload = encode(call.positional, call.named)
            elif isinstance(call, Mapping):
                payload = encode((), call)
            elif isinstance(call, tuple | list):
                payload = encode(call, {})
            else:
                raise TypeError(
                    f"{name}: enqueue_many takes task.args(...), tuples or dicts, not {type(call).__name__}."
                )
            specs.append(spec(name, payload))
        return specs


class SyncTask(Task[P, R]):
    """A task made of a plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)  # type: ignore[no-any-return]


class AsyncTask(Task[P, R]):
    """A task made of a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return self.function(*args, **kwargs)  # type: ignore[no-any-return]


class SyncContextTask(Task[P, R]):
    """A task made of a plain function that wants its :class:`Context` first."""

    def __call__(self, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(context, *args, **kwargs)  # type: ignore[no-any-return]


class AsyncContextTask(Task[P, R]):
    """A task made of a coroutine function that wants its :class:`Context` first."""

    def __call__(self, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return self.function(context, *args, **kwargs)  # type: ignore[no-any-return]


def declare(
    app: App,
    function: Callable[..., Any],
    name: str | None,
    defaults: Options,
    process: bool,
    local_names: Mapping[str, Any],
) -> Task[Any, Any]:
    """A task of the class that fits the function; ValueError or TypeError when it cannot be one."""
    name = name or function.__qualname__.rpartition("<locals>.")[2]
    if NAME.fullmatch(name) is None:
        raise ValueError(f"A task's name must be {NAME_RULE}, not {name!r}.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"Task {name!r} must return its result, not yield.")
    signature = Signature(name, function, local_names)
    kind: type[Task[Any, Any]]
    if inspect.iscoroutinefunction(function):
        kind = AsyncContextTask if signature.takes_context else AsyncTask
    else:
        kind = SyncContextTask if signature.takes_context else SyncTask
    return kind(app, function, signature, defaults, process)
