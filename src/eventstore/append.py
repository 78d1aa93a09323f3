"""Inserts into the log's tables, on either database."""

from contextlib import nullcontext
from datetime import datetime
from functools import cache
from typing import Any

from eventsourcing.persistence import StoredEvent
from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.change import Envelope
from eventstore.prepared import Prepared, pipelined


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> list[int]:
    """Insert events, and return their positions, which rise in the order of `rows`."""
    with pipelined(connection) if len(rows) > 1 else nullcontext():
        inserted = [_appending(table).start(connection, row) for row in rows]
    return [result.all()[0].position for result in inserted]


@cache
def _appending(table: Table) -> Prepared:
    names = [column.name for column in table.columns if column is not table.c.position]
    return Prepared(lambda _: insert(table).returning(table.c.position), names)


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
