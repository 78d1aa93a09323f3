"""Rows into the log's tables, on either database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert events in order; their positions rise in the same order."""
    if not rows:
        return []
    statement = insert(table).returning(table.c.position, sort_by_parameter_order=True)
    return list(connection.scalars(statement, [dict(row) for row in rows]))


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what happens to a row that is there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
