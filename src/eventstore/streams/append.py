"""The append lock and what is written under it; upserts, and leases of single rows, on either database.

Commands of one account are serial, and readers across accounts know how far to read: every unit holds its account's lock,
exclusive, and the log's lock, shared, until it has committed. A reader that gets the log's lock exclusively therefore knows
that every position issued so far is committed or rolled back.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from itertools import count
from typing import Any, Final

import sqlalchemy as sa
from eventsourcing.persistence import StoredEvent
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from eventstore.change import Envelope
from eventstore.coordination.backoff import backoff
from eventstore.errors import LOCK_NOT_AVAILABLE, LogBusyError, sqlstate
from eventstore.sql.database import MAX_CLOCK_LAG
from eventstore.sql.prepared import Prepared, Result
from eventstore.sql.schema import metadata, stored_event
from eventstore.streams.buckets import BUCKET

_APPEND: Final = Prepared(
    lambda _: sa.insert(stored_event).returning(stored_event.c.position),
    [each.name for each in stored_event.columns if each.name not in {"position", "bucket"}],
)


def append_rows(connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> list[Result]:
    """Start to insert events; each result has its position, and they rise in the order of `rows`."""
    return [_APPEND.start(connection, row) for row in rows]


def event_row(stored: StoredEvent, did: str, envelope: Envelope, recorded_at: datetime) -> dict[str, Any]:
    return {
        "did": did,
        "originator_id": str(stored.originator_id),
        "originator_version": stored.originator_version,
        "topic": stored.topic,
        "state": stored.state,
        **vars(envelope),
        "recorded_at": recorded_at,
    }


def upsert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that can say `ON CONFLICT`."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return the same by the name of a dialect, for a statement that is built once."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def key_of(dialect: str, table: sa.Table, *unique: sa.Column[Any]) -> list[sa.Column[Any]]:
    """Return the columns of the primary key, or those of another unique one, as `ON CONFLICT` names them.

    On PostgreSQL the bucket is one; of a scratch table everywhere (ADR 52).
    """
    has_bucket = dialect != "sqlite" and table.metadata is metadata and BUCKET in table.c
    return [*(unique or table.primary_key.columns), *([table.c[BUCKET]] if has_bucket else [])]


def take_lease(
    connection: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    holder: Mapping[str, Any],
    *,
    is_free: sa.ColumnElement[bool],
) -> bool:
    """Write `holder` (owner and end of the lease) into the row of `key`, a new one or one that `is_free`.

    Returns whether the lease is the holder's now. `key` names the table's primary key.
    """
    taken = (
        upsert(connection, table)
        .values(**key, **holder)
        .on_conflict_do_update(
            index_elements=key_of(connection.dialect.name, table), set_=holder, where=is_free
        )
        .returning(*table.primary_key.columns)
    )
    return connection.execute(taken).one_or_none() is not None


LOG_LOCK_TIMEOUT_SECONDS: Final = 20.0
"""How long to wait for the log's lock: longer than idle_in_transaction_session_timeout, which ends a frozen writer."""

# Takes the log's lock after the account's: commands that queue for one account then keep no reader waiting.
_LOCKED: Final = """
    with held as materialized (select pg_advisory_xact_lock(:account)::text as account)
    select pg_advisory_xact_lock_shared(:log), clock_timestamp() as now{proof} from held where account is not null
"""
_LOCK_ACCOUNT: Final = Prepared(
    lambda _: sa.text(_LOCKED.format(proof="")).columns(sa.column("locked"), sa.column("now"))
)
_IS_NOW: Final = f"""
    , 1 / (case when clock_timestamp() between :now and :now + interval '{MAX_CLOCK_LAG.total_seconds()} s' then 1 else 0 end)
"""
"""Divides by zero otherwise."""
_LOCK_ACCOUNT_AT: Final = Prepared(
    lambda _: (
        sa.text(_LOCKED.format(proof=_IS_NOW))
        .bindparams(sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True)))
        .columns(sa.column("locked"), sa.column("now"), sa.column("proved"))
    )
)
_LOCK_LOG: Final = sa.text("select pg_advisory_xact_lock(:log)")

# New writers queue behind a reader that waits for the exclusive lock, so one attempt waits only this long.
_ATTEMPT_TIMEOUT: Final = "200ms"
_FIRST_PAUSE_SECONDS: Final = 0.05
_MAX_PAUSE_SECONDS: Final = 0.8


def lock_log(connection: sa.Connection) -> None:
    """Take the whole log's lock, as the first statement of a transaction; SQLite's BEGIN IMMEDIATE is it. Raises LogBusyError."""
    if connection.dialect.name == "sqlite":
        return
    deadline = time.monotonic() + LOG_LOCK_TIMEOUT_SECONDS
    for attempt in count():
        savepoint = connection.begin_nested()
        try:
            connection.execute(sa.text(f"set local lock_timeout to '{_ATTEMPT_TIMEOUT}'"))
            connection.execute(_LOCK_LOG, {"log": lock_key(stored_event.name)})
        except OperationalError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            savepoint.rollback()
        else:
            connection.execute(sa.text("set local lock_timeout to default"))
            savepoint.commit()
            return
        if time.monotonic() >= deadline:
            raise LogBusyError
        time.sleep(backoff(attempt, first=_FIRST_PAUSE_SECONDS, cap=_MAX_PAUSE_SECONDS).total_seconds())


def lock_account(connection: sa.Connection, did: str, now: datetime | None = None) -> Result | None:
    """Start to take the account's lock; the result has the time `now` when it was taken. SQLite's BEGIN IMMEDIATE is it.

    PostgreSQL refuses what follows in the pipeline unless that is the time `now` which is given, or up to MAX_CLOCK_LAG later.
    """
    if connection.dialect.name == "sqlite":
        return None
    keys = {"log": lock_key(stored_event.name), "account": lock_key(stored_event.name, did)}
    return (
        _LOCK_ACCOUNT.start(connection, keys)
        if now is None
        else _LOCK_ACCOUNT_AT.start(connection, {**keys, "now": now})
    )


def lock_key(*names: str) -> int:
    digest = blake2b("\0".join(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
