"""The append lock: commands of one account are serial, and readers across accounts know how far to read.

Every unit holds its account's lock, alone, and the log's, shared, until it has committed. Whoever gets the
log's lock alone therefore knows that no position handed out so far is still on its way.
"""

import random
import time
from datetime import datetime
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Select, Table, func, select, text
from sqlalchemy.exc import OperationalError

from eventstore.database import Database
from eventstore.errors import LOCK_NOT_AVAILABLE, LogBusyError, NestedUnitError, sqlstate

PATIENCE: Final = 20.0
"""Seconds to wait for the whole log: longer than idle_in_transaction_session_timeout, which ends a frozen writer."""

# The log's lock is asked for only once the account's is held: a queue of one account then holds up no reader.
_LOCK_ACCOUNT: Final = text("""
    with held as materialized (select pg_advisory_xact_lock(:account)::text as account)
    select pg_advisory_xact_lock_shared(:log), clock_timestamp() as now from held where account is not null
""")
_LOCK_LOG: Final = text("select pg_advisory_xact_lock(:log)")

# New writers queue behind a waiting exclusive lock, so it waits only this long at a time.
_ONE_WAIT: Final = "200ms"
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.8


def lock_for_append(
    connection: Connection, log: Table, did: str | None, *, patience: float = PATIENCE
) -> datetime | None:
    """The first statement of whoever may append: the account's lock, or without a DID the whole log's.

    Returns the database's time under the account's lock, where it was queried.
    """
    if connection.dialect.name == "sqlite":
        return None  # BEGIN IMMEDIATE let us in alone
    if did is None:
        _lock_log(connection, log.name, patience)
        return None
    return _lock_account(connection, log.name, did)


def stable_position(database: Database, log: Table, *, patience: float = PATIENCE) -> int:
    """No event that is committed later has a position at or below this one."""
    if database.in_transaction:
        raise NestedUnitError
    last: Select[int] = select(func.coalesce(func.max(log.c.position), 0))
    if database.is_sqlite:  # one writer at a time: positions are committed in their order
        with database.read() as connection:
            return connection.scalars(last).one()
    with database.write() as connection:
        _lock_log(connection, log.name, patience)
        return connection.scalars(last).one()


def _lock_account(connection: Connection, log: str, did: str) -> datetime:
    keys = {"log": _key(log), "account": _key(log, did)}
    try:
        now: datetime = connection.execute(_LOCK_ACCOUNT, keys).one().now
    except OperationalError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise LogBusyError from error
        raise
    return now


def _lock_log(connection: Connection, log: str, patience: float) -> None:
    deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
    while not _lock_log_at_once(connection, _key(log)):
        if time.monotonic() >= deadline:
            raise LogBusyError
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE)


def _lock_log_at_once(connection: Connection, key: int) -> bool:
    savepoint = connection.begin_nested()
    try:
        connection.execute(text(f"set local lock_timeout to '{_ONE_WAIT}'"))
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
