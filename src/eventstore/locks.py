"""The append lock: commands of one account are serial, and readers across accounts know how far to read.

Every unit holds its account's lock, exclusive, and the log's lock, shared, until it has committed. A reader that gets the
log's lock exclusively therefore knows that every position issued so far is committed or rolled back.
"""

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Select, Table, column, func, select, text
from sqlalchemy.exc import OperationalError

from eventstore.database import Database
from eventstore.errors import LOCK_NOT_AVAILABLE, LogBusyError, NestedUnitError, sqlstate
from eventstore.prepared import Prepared, pipelined

LOG_LOCK_TIMEOUT_SECONDS: Final = 20.0
"""How long to wait for the log's lock: longer than idle_in_transaction_session_timeout, which ends a frozen writer."""

# Takes the log's lock after the account's: commands that queue for one account then keep no reader waiting.
_LOCK_ACCOUNT: Final = Prepared(
    lambda _: text("""
        with held as materialized (select pg_advisory_xact_lock(:account)::text as account)
        select pg_advisory_xact_lock_shared(:log), clock_timestamp() as now from held where account is not null
    """).columns(column("locked"), column("now"))
)
_LOCK_LOG: Final = text("select pg_advisory_xact_lock(:log)")

# New writers queue behind a reader that waits for the exclusive lock, so one attempt waits only this long.
_ATTEMPT_TIMEOUT: Final = "200ms"
_FIRST_PAUSE_SECONDS: Final = 0.05
_MAX_PAUSE_SECONDS: Final = 0.8


def lock_for_append(
    connection: Connection, log: Table, did: str | None, *, timeout: float = LOG_LOCK_TIMEOUT_SECONDS
) -> datetime | None:
    """Take the account's lock, or without a DID the whole log's: the first statement of every transaction that may append.

    Returns the database's time once the account's lock is held, None where it was not queried. Raises LogBusyError.
    """
    if connection.dialect.name == "sqlite":
        return None  # BEGIN IMMEDIATE is the lock
    if did is None:
        _lock_log(connection, log.name, timeout)
        return None
    with account_locked(connection, log, did) as locked_at:
        pass
    return locked_at()


@contextmanager
def account_locked(connection: Connection, log: Table, did: str) -> Generator[Callable[[], datetime | None]]:
    """Take the account's lock, and send what is inside with it, which runs once the lock is held.

    Yields what returns, after the block, what `lock_for_append` returns. Raises LogBusyError.
    """
    if connection.dialect.name == "sqlite":
        yield lambda: None
        return
    keys = {"log": _key(log.name), "account": _key(log.name, did)}
    try:
        with pipelined(connection):
            locked = _LOCK_ACCOUNT.start(connection, keys)
            yield lambda: locked.all()[0].now
    except OperationalError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise LogBusyError from error
        raise


def stable_position(database: Database, log: Table, *, timeout: float = LOG_LOCK_TIMEOUT_SECONDS) -> int:
    """Return a position that every event committed later will be above. Raises LogBusyError, and NestedUnitError in a transaction."""
    if database.in_transaction:
        raise NestedUnitError
    last: Select[int] = select(func.coalesce(func.max(log.c.position), 0))
    if database.is_sqlite:  # one writer at a time: positions are committed in their order
        with database.read() as connection:
            return connection.scalars(last).one()
    with database.write() as connection:
        _lock_log(connection, log.name, timeout)
        return connection.scalars(last).one()


def _lock_log(connection: Connection, log: str, timeout: float) -> None:
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE_SECONDS
    while not _try_lock_log(connection, _key(log)):
        if time.monotonic() >= deadline:
            raise LogBusyError
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, _MAX_PAUSE_SECONDS)


def _try_lock_log(connection: Connection, key: int) -> bool:
    savepoint = connection.begin_nested()
    try:
        connection.execute(text(f"set local lock_timeout to '{_ATTEMPT_TIMEOUT}'"))
        connection.execute(_LOCK_LOG, {"log": key})
    except OperationalError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        savepoint.rollback()
        return False
    connection.execute(text("set local lock_timeout to default"))
    savepoint.commit()
    return True


def _key(*parts: str) -> int:
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
