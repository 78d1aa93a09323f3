"""Errors of the log; the docstring is the message."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aggregates.errors import ServiceError

LOCK_NOT_AVAILABLE: Final = "55P03"
UNIQUE_VIOLATION: Final = "23505"
SERIALIZATION_FAILURE: Final = "40001"
DEADLOCK_DETECTED: Final = "40P01"
IDLE_IN_TRANSACTION_TIMEOUT: Final = "25P03"
"""Of a session that the server has ended; the driver may have read this before it sees that the connection is closed."""
DISK_FULL: Final = "53100"
OF_ROW: Final = ("22", "54")
"""The classes of PostgreSQL's errors of a value, and of a size, that it cannot hold; the driver takes the second for a fault of the server."""


class EventStoreError(ServiceError):
    """The event store refused."""


class ReadOnlyTransactionError(EventStoreError):
    """A write was asked for inside a read transaction; open the write first."""


class NestedUnitError(EventStoreError):
    """A transaction is already open here: one unit of work at a time, and nothing around it."""


class BrokenUnitError(EventStoreError):
    """An error inside this transaction was swallowed; it was rolled back instead of committed."""


class UnpreparedQueryError(EventStoreError):
    """A pipeline takes the queries of `Prepared` only; make this one such a query, or send it before the pipeline."""


class CommitFailedError(EventStoreError):
    """The commit failed and may or may not have happened: read before deciding again."""


class LogBusyError(EventStoreError):
    """The lock of the log was not free in time; nothing was written, try again."""


class ThreadsBusyError(EventStoreError):
    """All threads for this kind of work are taken; it was not begun, try again."""


class LeaseLostError(Exception):
    """Another process has the lease now; what this one has done under its own is not recorded."""


@dataclass(eq=False)
class UnsafeConnectionError(EventStoreError):
    """the connection to PostgreSQL drops what the service asks for ({dropped}): a pooler between needs these settings on the role (docs/operations.md, Behind a pooler)."""

    dropped: str


@dataclass(eq=False)
class EncodingError(EventStoreError):
    """the database stores text as {encoding}, which cannot hold every title: create one with `createdb --encoding UTF8 --template template0`, and name it in DATABASE_URL."""

    encoding: str


class PooledConnectionError(EventStoreError):
    """A relay, and `rebuild`, need a direct connection to PostgreSQL: LISTEN and temporary tables are lost in a pooler (docs/operations.md, Behind a pooler)."""


class VersionConflictError(EventStoreError):
    """The stream has grown since this aggregate was loaded; nothing was written."""


@dataclass(eq=False)
class AggregateNotFoundError(EventStoreError):
    """There is no aggregate {aggregate_id} in this account."""

    aggregate_id: UUID


@dataclass(eq=False)
class OutdatedProjectionError(EventStoreError):
    """projection '{name}' is not of this version: run `mastertape rebuild {name}`."""

    name: str


@dataclass(eq=False)
class NewerReleaseError(EventStoreError):
    """The database has {what}, which only a newer release knows: its processes go on with that; end this one."""

    what: str


class IdempotencyMismatchError(EventStoreError):
    """The Idempotency-Key was used for another request within the last 24 hours. Nothing was changed."""


class InProgressError(EventStoreError):
    """The first request with this Idempotency-Key is still running. Send it again in a moment."""


@dataclass(eq=False)
class EventBudgetError(EventStoreError):
    """Your commands have added as much to the log today as those of an account may. Nothing was changed; send it again at midnight UTC, after Retry-After. Deletions are taken meanwhile."""

    retry_after: int


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of an error; none on SQLite or for a lost connection."""
    if not isinstance(error, DBAPIError):
        return None
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def is_of_row(error: BaseException | None) -> bool:
    """Whether the database cannot hold a row: it would refuse that one again, and takes all others."""
    return (sqlstate(error) or "").startswith(OF_ROW)


def is_busy_or_away(error: BaseException | None) -> bool:
    """Whether the database is only busy or away, so that the same will work later; a failed commit may have worked."""
    if isinstance(error, CommitFailedError):
        return is_busy_or_away(error.__cause__)
    if is_of_row(error):
        return False
    if isinstance(error, DBAPIError) and (
        error.connection_invalidated or sqlstate(error) == IDLE_IN_TRANSACTION_TIMEOUT
    ):
        return True
    return isinstance(error, LogBusyError | OperationalError | InterfaceError | PoolTimeoutError)


def is_full(error: DBAPIError) -> bool:
    sqlite_name = getattr(error.orig, "sqlite_errorname", None)
    return sqlstate(error) == DISK_FULL or sqlite_name == "SQLITE_FULL"


def is_duplicate(error: DBAPIError) -> bool:
    """Whether a unique constraint refused a row, and not some other constraint."""
    sqlite_name = getattr(error.orig, "sqlite_errorname", None)
    return sqlstate(error) == UNIQUE_VIOLATION or sqlite_name in {
        "SQLITE_CONSTRAINT_UNIQUE",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
    }
