"""Inserts into the log and other tables, and leases of single rows, on either database."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from eventsourcing.persistence import StoredEvent
from sqlalchemy import ColumnElement, Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.change import Envelope
from eventstore.prepared import Prepared, Result
from eventstore.schema import stored_event

_APPEND: Final = Prepared(
    lambda _: insert(stored_event).returning(stored_event.c.position),
    [column.name for column in stored_event.columns if column is not stored_event.c.position],
)


def append_rows(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> list[Result]:
    """Start to insert events; each result has its position, and they rise in the order of `rows`."""
    return [_APPEND.start(connection, row) for row in rows]


def event_row(stored: StoredEvent, did: str, envelope: Envelope, recorded_at: datetime) -> dict[str, Any]:
    """Return the row of an event, with its envelope."""
    return {
        "did": did,
        "originator_id": str(stored.originator_id),
        "originator_version": stored.originator_version,
        "topic": stored.topic,
        "state": stored.state,
        "actor": envelope.actor,
        "via": envelope.via,
        "request_id": envelope.request_id,
        "recorded_at": recorded_at,
    }


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that can say `ON CONFLICT`."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return the same by the name of a dialect, for a statement that is built once."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def take_lease(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    holder: Mapping[str, Any],
    *,
    is_free: ColumnElement[bool],
) -> bool:
    """Write `holder` (owner and end of the lease) into the row of `key`, a new one or one that `is_free`.

    Returns whether the lease is the holder's now. `key` names the table's primary key.
    """
    taken = (
        upsert(connection, table)
        .values(**key, **holder)
        .on_conflict_do_update(index_elements=[*table.primary_key.columns], set_=holder, where=is_free)
        .returning(*table.primary_key.columns)
    )
    return connection.execute(taken).one_or_none() is not None
