"""One engine on SQLite or PostgreSQL, with the settings that durability and ordering rest on."""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from select import POLLIN, poll
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.pool import QueuePool

from eventstore.errors import (
    BrokenUnitError,
    CommitFailedError,
    LogBusyError,
    PooledConnectionError,
    ReadOnlyTransactionError,
)
from eventstore.prepared import Prepared, Query, execute, refuse_query_in_pipeline, start_begin
from eventstore.session_settings import IS_POOLED, check_session

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
_CLOCK: Final = sa.text("select clock_timestamp()")
_WRITES: Final[Mapping[str, Any]] = {"sqlite_immediate": True}
"""Of a transaction that may write, on either database: tracing tells it by this."""
MAX_CLOCK_LAG: Final = timedelta(seconds=1)
_IS_NOW: Final = Prepared(
    lambda _: sa.select(sa.literal_column("1")).where(
        sa.func.clock_timestamp().between(
            sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True)),
            sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True)) + MAX_CLOCK_LAG,
        )
    )
)


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
        self._writing: ContextVar[bool | None] = ContextVar(f"writing_{id(self)}", default=None)
        self._current: ContextVar[Callable[[], sa.Connection] | None] = ContextVar(
            f"connection_{id(self)}", default=None
        )
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
        self._sqlite_writing = threading.Lock()
        self._sqlite_writer: sa.Connection | None = None
        """The connection of the one writer between two units: taking it from the pool would cost a sixth of a unit."""
        self._is_closed = False
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            # first: the dialect itself cannot read what a database in SQL_ASCII says
            event.listen(self.engine, "connect", partial(_check_session, settings), insert=True)
            event.listen(self.engine, "checkout", _require_connected)
            event.listen(self.engine, "do_execute", refuse_query_in_pipeline)

    @property
    def is_sqlite(self) -> bool:
        return self.dialect == "sqlite"

    @property
    def connections_in_use(self) -> int:
        pool = self.engine.pool
        is_kept = self._sqlite_writer is not None
        return pool.checkedout() - is_kept if isinstance(pool, QueuePool) else 0

    def require_direct(self) -> None:
        """Raise PooledConnectionError where a pooler is between this process and PostgreSQL."""
        with self.engine.connect() as connection:
            if connection.info.get(IS_POOLED, False):
                raise PooledConnectionError

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """One snapshot for all statements inside. Joins a transaction that is already open here."""
        if (joined := self._current.get()) is not None:
            yield joined()
            return
        options = (
            {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        with self._open(writing=False, options=options) as connection:
            yield connection

    @contextmanager
    def read_committed(self) -> Generator[sa.Connection]:
        """For a single statement, or several that need no common snapshot: each sees what is committed when it begins.

        No BEGIN and no COMMIT is sent. Joins a transaction that is already open here.
        """
        if (joined := self._current.get()) is not None:
            yield joined()
            return
        options = {"sqlite_autocommit": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self._open(writing=False, options=options) as connection:
            yield connection

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that may write: `BEGIN IMMEDIATE` on SQLite. Joins a write that is already open here."""
        if (joined := self._current.get()) is not None:
            if not self._writing.get():
                raise ReadOnlyTransactionError
            yield joined()
            return
        with self._sqlite_write_lock(), self._open(writing=True, options=_WRITES) as connection:
            yield connection

    @contextmanager
    def write_when_needed(self, join: Callable[[], sa.Connection]) -> Generator[Callable[[], sa.Connection]]:
        """Yield what prepares a write, to be called once at most; what reads or writes here meanwhile is to `join`.

        On PostgreSQL the transaction begins with `prepared.start_begin`, in the pipeline of its first statements. On SQLite
        one thread at a time prepares: those that wait would only take the interpreter from the one that writes.
        """
        token, mode = self._current.set(join), self._writing.set(True)
        try:
            with self._sqlite_write_lock(), ExitStack() as begun:
                how = _WRITES if self.is_sqlite else {**_WRITES, "isolation_level": "AUTOCOMMIT"}
                yield lambda: begun.enter_context(self._open(writing=True, options=how))
        finally:
            self._writing.reset(mode)
            self._current.reset(token)

    @property
    def in_transaction(self) -> bool:
        return self._current.get() is not None

    @contextmanager
    def _sqlite_write_lock(self) -> Generator[None]:
        # SQLite has one writer at a time anyway; a lock of this process wakes the next at once, SQLite's busy handler polls.
        if not self.is_sqlite:
            yield
            return
        if not self._sqlite_writing.acquire(timeout=SQLITE_BUSY_SECONDS):
            raise LogBusyError
        try:
            yield
        finally:
            self._sqlite_writing.release()

    @contextmanager
    def _connected(self, options: Mapping[str, Any]) -> Generator[sa.Connection]:
        """Yield the writer's connection, which an error or `close` closes, or one of the pool."""
        if not (self.is_sqlite and options is _WRITES):
            with self.engine.connect().execution_options(**options) as connection:
                yield connection
            return
        writer = self._sqlite_writer or self.engine.connect().execution_options(**options)
        self._sqlite_writer = None
        try:
            yield writer
            self._sqlite_writer = None if self._is_closed else writer
        finally:
            if self._sqlite_writer is None:
                writer.close()

    @contextmanager
    def _open(self, *, writing: bool, options: Mapping[str, Any]) -> Generator[sa.Connection]:
        committing = False
        try:
            with self._connected(options) as connection, connection.begin():
                token, mode = self._current.set(lambda: connection), self._writing.set(writing)
                try:
                    yield connection
                finally:
                    self._writing.reset(mode)
                    self._current.reset(token)
                if writing:
                    _require_open_transaction(connection)
                    committing = True
        except DBAPIError as error:
            if committing:
                raise CommitFailedError from error
            raise

    def now(self, connection: sa.Connection, *, read: datetime | None = None) -> datetime:
        """Return the time for leases, retries and events: the database's, so that the clocks of machines need not agree.

        `read` is the database's time where a statement has just returned it.
        """
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return datetime.now(UTC)
        told: datetime = connection.execute(_CLOCK).scalar_one() if read is None else read
        return self.heard(told.astimezone(UTC))

    def heard(self, told: datetime) -> datetime:
        """Remember the time that the server has just told, and return it."""
        self._heard = told, time.monotonic()
        return told

    def estimated_now(self) -> tuple[datetime, Query | None] | None:
        """Return the same without asking, a little behind, with the query that finds a row if it is so; None where it is not known."""
        if self._clock is not None:
            return self._clock(), None
        if self.is_sqlite:
            return datetime.now(UTC), None
        if self._heard is None:
            return None
        told, heard_at = self._heard
        now = told + timedelta(seconds=time.monotonic() - heard_at)
        return now, _IS_NOW.query(now=now)

    def close(self) -> None:
        """Disconnect; a connection that a thread still uses is closed once it comes back, and not left to the garbage collector."""
        event.listen(self.engine.pool, "checkin", lambda _driver, record: record.invalidate())
        self._is_closed = True
        if self._sqlite_writing.acquire(blocking=False):  # else the unit that has it closes the writer
            if self._sqlite_writer is not None:
                self._sqlite_writer.close()
            self._sqlite_writer = None
            self._sqlite_writing.release()
        self.engine.dispose()


@lru_cache
def with_now(query: sa.Select[*tuple[Any, ...]], *, is_sqlite: bool) -> sa.Select[*tuple[Any, ...]]:
    """Add the database's time as a column `now`, to pass to `Database.now` as `read`: it saves a round trip."""
    return query.add_columns((sa.null() if is_sqlite else sa.func.clock_timestamp()).label("now"))


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


def _require_open_transaction(connection: sa.Connection) -> None:
    """Raise BrokenUnitError where a failed statement has ended the transaction: a COMMIT would succeed and keep nothing."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        alive = driver.in_transaction
    else:
        alive = driver.info.transaction_status.name not in {"INERROR", "UNKNOWN"}
    if not alive:
        raise BrokenUnitError


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


MAX_COUNTED: Final = 10_000
"""Screens count no more rows: what waits may be very much, and few want to know how much exactly."""


def count_up_to_limit(connection: sa.Connection, query: sa.Select[Any]) -> int:
    """Count the rows of the query; MAX_COUNTED stands for as many or more."""
    return connection.scalar(sa.select(sa.func.count()).select_from(query.limit(MAX_COUNTED).subquery())) or 0


MAX_ITEMS_PER_QUERY: Final = 500


def pages(items: Collection[Any]) -> Iterator[list[Any]]:
    """Divide what a statement lists into lists of at most MAX_ITEMS_PER_QUERY."""
    whole = list(items)
    return (whole[at : at + MAX_ITEMS_PER_QUERY] for at in range(0, len(whole), MAX_ITEMS_PER_QUERY))
