"""What errors of the driver mean: whether the connection is lost, whether trying again is right, what is
said.
"""

from __future__ import annotations

import asyncio
import socket

import asyncpg

from rota.engines.places import shown
from rota.model.errors import StoreError


class Unconfirmed(Exception):
    """A transaction was committed, and the server gave up waiting for its standby."""


_LOST = (
    Unconfirmed,
    OSError,
    asyncio.TimeoutError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    # The driver itself does not know any more what the server is at: its last word came at a bad moment.
    asyncpg.InternalClientError,
)
DRIVER = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises."""
_ROLLED_BACK = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
_FULL = (asyncpg.DiskFullError, asyncpg.OutOfMemoryError)
_STALE = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


def lost(error: BaseException) -> bool:
    """Whether the connection cannot be used any more, or leads to a server that takes no writes."""
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, asyncpg.DataError | ValueError)
    return isinstance(error, (*_LOST, *_STALE))


def demoted(error: BaseException) -> bool:
    """Whether the server takes no writes: it is a standby, or has become one."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def unsettled(error: BaseException) -> bool:
    """Whether a commit under way may have gone through all the same: whoever was refused knows that it did
    not.
    """
    return lost(error) and not isinstance(error, (asyncpg.ReadOnlySQLTransactionError, *_STALE))


def transient(error: BaseException) -> bool:
    """Whether all was rolled back because of somebody else, so that it may go through the next time."""
    return isinstance(error, _ROLLED_BACK)


def refused(error: BaseException) -> BaseException:
    """What the caller is told. Errors that are none of the driver's stay as they are."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, _FULL):
        return StoreError(
            f"The database has no room; nothing was stored: {said(error)}.", code="storage_full", status=507
        )
    if lost(error):
        return StoreError(f"The database does not answer: {said(error)}.")
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return StoreError(f"The store refused: {said(error)}.")
    return error


def cannot_open(url: str, error: BaseException) -> StoreError:
    """Why there is no connection to a database, with what to do about it."""
    where = shown(url)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            why = f"it refuses the user or the password: {said(error)}"
        case asyncpg.InvalidCatalogNameError():
            why = f"there is no such database; create it first: {said(error)}"
        case asyncpg.InsufficientPrivilegeError():
            why = (
                f"the user lacks rights: {said(error)}. Let the user create a schema in the database "
                "(GRANT CREATE ON DATABASE ... TO ...)"
            )
        case asyncpg.TooManyConnectionsError():
            why = f"it has no connection left: {said(error)}"
        case asyncpg.TargetServerAttributeNotMatched():
            why = "none of its hosts takes writes"
        case socket.gaierror():
            why = f"there is no such host: {said(error)}"
        case ConnectionRefusedError():
            why = "nobody listens there"
        case TimeoutError():
            why = "it does not answer in time"
        case _:
            why = said(error)
    return StoreError(f"The store {where} cannot be opened: {why}.")


def said(error: BaseException) -> str:
    """The words of an error, in one line."""
    text = str(getattr(error, "message", None) or error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")[:500]
