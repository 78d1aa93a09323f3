"""The append lock: commands of one account are serial, and readers across accounts know how far to read.

Every unit holds its account's lock, exclusive, and the log's lock, shared, until it has committed. A reader that gets the
log's lock exclusively therefore knows that every position issued so far is committed or rolled back.
"""

import random
import time
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, column, text
from sqlalchemy.exc import OperationalError

from eventstore.errors import LOCK_NOT_AVAILABLE, LogBusyError, sqlstate
from eventstore.prepared import Prepared, Result
from eventstore.schema import stored_event

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


def lock_log(connection: Connection) -> None:
    """Take the whole log's lock, as the first statement of a transaction; SQLite's BEGIN IMMEDIATE is it. Raises LogBusyError."""
    if connection.dialect.name == "sqlite":
        return
    deadline, pause = time.monotonic() + LOG_LOCK_TIMEOUT_SECONDS, _FIRST_PAUSE_SECONDS
    while True:
        savepoint = connection.begin_nested()
        try:
            connection.execute(text(f"set local lock_timeout to '{_ATTEMPT_TIMEOUT}'"))
            connection.execute(_LOCK_LOG, {"log": _key()})
        except OperationalError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            savepoint.rollback()
        else:
            connection.execute(text("set local lock_timeout to default"))
            savepoint.commit()
            return
        if time.monotonic() >= deadline:
            raise LogBusyError
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, _MAX_PAUSE_SECONDS)


def lock_account(connection: Connection, did: str) -> Result | None:
    """Start to take the account's lock; the result has the time `now` when it was taken. SQLite's BEGIN IMMEDIATE is it."""
    if connection.dialect.name == "sqlite":
        return None
    return _LOCK_ACCOUNT.start(connection, {"log": _key(), "account": _key(did)})


def _key(*did: str) -> int:
    digest = blake2b("\0".join((stored_event.name, *did)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
