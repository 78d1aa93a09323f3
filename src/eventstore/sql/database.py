"""One engine on SQLite or PostgreSQL, with the settings that durability and ordering rest on."""

import re
import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial
from select import POLLIN, poll
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.pool import QueuePool

from eventstore.errors import (
    CommitFailedError,
    LogBusyError,
    PooledConnectionError,
    ReadOnlyTransactionError,
)
from eventstore.sql.prepared import (
    execute,
    refuse_query_in_pipeline,
    require_open_transaction,
    roll_back_but_keep_prepared,
    start_begin,
)
from eventstore.sql.session_settings import IS_POOLED, check_session
from eventstore.sql.sqlite_writer import SqliteWriter

POOL_SIZE: Final = 16
SQLITE_BUSY_SECONDS: Final = 10.0
POSTGRES_SETTINGS: Final[Mapping[str, str]] = {
    "synchronous_commit": "on",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
}
POSTGRES_KEEPALIVES: Final[Mapping[str, int]] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""TCP keepalives of the client: without them, a connection that only listens would never notice that the server is gone."""

IS_SAME_SERVER: Final = "mastertape_is_same_server"
"""The key in a connection's `info` of the function that compares its server, once restore_detection.py has looked."""
_INTERNAL_ERROR: Final = "XX000"
_LOST_NODE: Final = re.compile(r"connection|could not commit transaction|failed to prepare transaction")
"""What Citus says in internal errors when its connection to a worker has ended."""
_CLOCK: Final = sa.text("select clock_timestamp()")
_WRITES: Final[Mapping[str, Any]] = {"sqlite_immediate": True}
"""Of a transaction that may write, on either database: tracing tells it by this."""
MAX_CLOCK_LAG: Final = timedelta(seconds=1)
RECENT_SECONDS: Final = 10.0


class Database:
    """The connections of one process.

    `clock` replaces the database's clock in tests of time, `postgres` some of POSTGRES_SETTINGS.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] | None = None,
        pool_size: int = POOL_SIZE,
        postgres: Mapping[str, str] | None = None,
    ) -> None:
        parsed = make_url(url)
        self.url: Final = url
        self.dialect: Final = parsed.get_backend_name()
        self._clock = clock
        self._current: ContextVar[tuple[Callable[[], sa.Connection], bool] | None] = ContextVar(
            f"connection_{id(self)}", default=None
        )
        """What joins the transaction that is open here, and whether it may write."""
        self._heard: tuple[datetime, float] | None = None
        """The server's time as it last told it, and this process's when it was heard."""
        options: dict[str, Any]
        settings: dict[str, str] = {}
        if self.is_sqlite:
            options = {"connect_args": {"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False}}
        elif self.dialect == "postgresql":
            settings = {**POSTGRES_SETTINGS, **(postgres or {})}
            options = {
                "connect_args": {
                    "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
                    "connect_timeout": 5,
                    **POSTGRES_KEEPALIVES,
                },
                "isolation_level": "READ COMMITTED",  # said in each BEGIN, whatever the server's default is
            }
        else:
            msg = f"unsupported database {self.dialect!r}: use sqlite:///FILE or postgresql+psycopg://..."
            raise ValueError(msg)
        self.max_connections: Final = 2 * pool_size
        self.engine = sa.create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=15,
            pool_use_lifo=True,
            **options,
        )
        self._writer: Final = SqliteWriter(self.engine, _WRITES, SQLITE_BUSY_SECONDS)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            dialect: Any = self.engine.dialect
            dialect.is_disconnect = partial(_is_disconnect, dialect.is_disconnect)
            # first: the dialect itself cannot read what a database in SQL_ASCII says
            event.listen(self.engine, "connect", partial(_check_session, settings), insert=True)
            event.listen(self.engine, "checkout", _require_connected)
            event.listen(self.engine, "do_execute", refuse_query_in_pipeline)
            event.listen(self.engine, "rollback", roll_back_but_keep_prepared)

    @property
    def is_sqlite(self) -> bool:
        return self.dialect == "sqlite"

    @property
    def connections_in_use(self) -> int:
        pool = self.engine.pool
        return pool.checkedout() - (self._writer.idle is not None) if isinstance(pool, QueuePool) else 0

    def require_direct(self) -> None:
        """Raise PooledConnectionError where a pooler is between this process and PostgreSQL."""
        with self.engine.connect() as connection:
            if connection.info.get(IS_POOLED, False):
                raise PooledConnectionError

    def read(self) -> AbstractContextManager[sa.Connection]:
        """One snapshot for all statements inside. Joins a transaction that is already open here."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self._join_or_begin({} if self.is_sqlite else options, writing=False)

    def read_committed(self) -> AbstractContextManager[sa.Connection]:
        """For a single statement, or several that need no common snapshot: each sees what is committed when it begins.

        No BEGIN and no COMMIT is sent. Joins a transaction that is already open here.
        """
        options = {"sqlite_autocommit": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        return self._join_or_begin(options, writing=False)

    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that may write: `BEGIN IMMEDIATE` on SQLite. Joins a write that is already open here."""
        return self._join_or_begin(_WRITES, writing=True)

    def write_in_pipelines(self) -> AbstractContextManager[sa.Connection]:
        """Do what `write` does; on PostgreSQL the caller begins the transaction, by `prepared.start_begin` in the pipeline of its first statement."""
        return self._join_or_begin({**_WRITES, "isolation_level": "AUTOCOMMIT"}, writing=True)

    @contextmanager
    def write_when_needed(self, join: Callable[[], sa.Connection]) -> Generator[Callable[[], sa.Connection]]:
        """Yield what begins a write, to be called once at most; what reads or writes here meanwhile is to `join`.

        On PostgreSQL the transaction begins with `prepared.start_begin`, in the pipeline of its first statements.
        """
        options = {**_WRITES, "isolation_level": "AUTOCOMMIT"}
        with self._joinable(join, writing=True), ExitStack() as begun:
            yield lambda: begun.enter_context(self._begin(options, writing=True))

    def commit_in_group(self, write: Callable[[sa.Connection], None]) -> None:
        """Write on SQLite in one transaction with what other threads wait to write: see `SqliteWriter.commit`."""
        self._writer.commit(write, partial(self._open, writing=True))

    @property
    def in_transaction(self) -> bool:
        return self._current.get() is not None

    @contextmanager
    def _join_or_begin(self, options: Mapping[str, Any], *, writing: bool) -> Generator[sa.Connection]:
        if (current := self._current.get()) is None:
            with self._begin(options, writing=writing) as connection:
                yield connection
            return
        join, may_write = current
        if writing and not may_write:
            raise ReadOnlyTransactionError
        yield join()

    def _begin(self, options: Mapping[str, Any], *, writing: bool) -> AbstractContextManager[sa.Connection]:
        if writing and self.is_sqlite:
            return self._open(self._writer.alone(), writing=True)
        return self._open(self.engine.connect().execution_options(**options), writing=writing)

    @contextmanager
    def _open(
        self, connected: AbstractContextManager[sa.Connection], *, writing: bool
    ) -> Generator[sa.Connection]:
        committing = False
        try:
            with connected as connection, connection.begin():
                with self._joinable(lambda: connection, writing=writing):
                    yield connection
                if writing:
                    require_open_transaction(connection)
                    committing = True
        except DBAPIError as error:
            if committing:
                raise CommitFailedError from error
            raise

    @contextmanager
    def _joinable(self, join: Callable[[], sa.Connection], *, writing: bool) -> Generator[None]:
        token = self._current.set((join, writing))
        try:
            yield
        finally:
            self._current.reset(token)

    def now(self, connection: sa.Connection, *, read: datetime | None = None) -> datetime:
        """Return the time for leases, retries and events: the database's, so that the clocks of machines need not agree.

        `read` is the database's time where a statement has just returned it.
        """
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return datetime.now(UTC)
        told = connection.execute(_CLOCK).scalar_one() if read is None else read
        return self.heard(told.astimezone(UTC))

    def heard(self, told: datetime) -> datetime:
        self._heard = told, time.monotonic()
        return told

    def estimated_now(self) -> tuple[datetime, bool] | None:
        """Return the same without asking, a little behind, and whether it has to be proved; None where it is not known."""
        if self._clock is not None:
            return self._clock(), False
        if self.is_sqlite:
            return datetime.now(UTC), False
        if self._heard is None:
            return None
        told, heard_at = self._heard
        return told + timedelta(seconds=time.monotonic() - heard_at), True

    def pages_by(self, key: sa.Column[str], query: sa.Select[Any], rows: int) -> Iterator[Sequence[Any]]:
        """Yield the rows in the order of a key, each page read in a transaction of its own."""
        last = ""
        while True:
            with self.read() as connection:
                page = connection.execute(query.where(key > last).order_by(key).limit(rows)).all()
            if not page:
                return
            yield page
            last = getattr(page[-1], key.name)

    def recent_now(self, connection: sa.Connection) -> datetime:
        """Return the estimated time, asked anew every RECENT_SECONDS: for polls and the ends of logins, which may see later that the server's clock was set."""
        is_old = self._heard is not None and time.monotonic() > self._heard[1] + RECENT_SECONDS
        estimated = None if is_old else self.estimated_now()
        return self.now(connection) if estimated is None else estimated[0]

    def close(self) -> None:
        """Disconnect; a connection that a thread still uses is closed once it comes back, and not left to the garbage collector."""
        event.listen(self.engine.pool, "checkin", lambda _driver, record: record.invalidate())
        self._writer.close()
        self.engine.dispose()


def now_column(dialect: str) -> sa.Label[Any]:
    """Return a column `now`, to pass to `Database.now` as `read`; beside rows of accounts it is the time of the machine that has them."""
    return (sa.null() if dialect == "sqlite" else sa.func.clock_timestamp()).label("now")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # keep the driver from opening transactions
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    # The switch needs the file exclusively and does not wait, so two processes that open it may collide.
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _check_session(settings: Mapping[str, str], driver: Any, record: Any) -> None:
    try:
        record.info[IS_POOLED] = check_session(driver, settings)
    except BaseException:
        driver.close()
        raise


def _is_disconnect(
    is_lost: Callable[[Any, Any, Any], bool], error: Exception, connection: Any, cursor: Any
) -> bool:
    """Take a node of a cluster for what it is to its callers: a part of the database, whose lost connection is the database's."""
    is_internal = getattr(error, "sqlstate", None) == _INTERNAL_ERROR
    return is_lost(error, connection, cursor) or (is_internal and _LOST_NODE.search(str(error)) is not None)


def _require_connected(connection: Any, _record: Any, _proxy: Any) -> None:
    """Make the pool replace a connection that the server has closed: an idle one is readable only then.

    A query instead would cost every transaction a round trip.
    """
    incoming = poll()
    incoming.register(connection.pgconn.socket, POLLIN)
    if incoming.poll(0):
        raise DisconnectionError


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("sqlite_autocommit", False):
        return
    immediate = options.get("sqlite_immediate", False)
    try:
        execute(connection, "BEGIN IMMEDIATE" if immediate else "BEGIN", ())
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            raise LogBusyError from error
        raise


def require_same_server(connection: sa.Connection) -> None:
    """Raise LogBusyError where a pooler has given this transaction a session on another server than its connection began on.

    The connection is replaced by a new one, which compares the server with the known one.
    """
    if not connection.info.get(IS_POOLED) or IS_SAME_SERVER not in connection.info:
        return
    start_begin(connection)
    if not connection.info[IS_SAME_SERVER](connection):
        connection.invalidate()
        raise LogBusyError


def count_rows(
    connection: sa.Connection, *which: sa.ColumnElement[bool], of: sa.FromClause | None = None
) -> int:
    """Count the rows of the conditions' tables, or `of` this one, for which all hold."""
    query = sa.select(sa.func.count()).where(*which)
    return connection.scalar(query if of is None else query.select_from(of)) or 0


MAX_COUNTED: Final = 10_000
"""Screens count no more rows: what waits may be very much, and few want to know how much exactly."""


def count_up_to_limit(connection: sa.Connection, query: sa.Select[Any]) -> int:
    """Count the rows of the query; MAX_COUNTED stands for as many or more."""
    return count_rows(connection, of=query.limit(MAX_COUNTED).subquery())


MAX_ITEMS_PER_QUERY: Final = 500


def pages(items: Collection[Any]) -> Iterator[list[Any]]:
    """Divide what a statement lists into lists of at most MAX_ITEMS_PER_QUERY."""
    whole = list(items)
    return (whole[at : at + MAX_ITEMS_PER_QUERY] for at in range(0, len(whole), MAX_ITEMS_PER_QUERY))
