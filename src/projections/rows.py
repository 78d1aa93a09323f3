"""Inserts or overwrites rows."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.sql.dml import Insert

from eventstore.append import insert_of


def write_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert each row, or overwrite the one with its primary key. No key may come twice."""
    if rows:
        statement = _overwriting(connection.dialect.name, table, tuple(rows[0]))
        connection.execute(statement, [dict(row) for row in rows])


@lru_cache
def _overwriting(dialect: str, table: Table, names: Sequence[str]) -> Insert:
    statement = insert_of(dialect, table)
    key = [column.name for column in table.primary_key]
    excluded = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=key, set_={name: excluded[name] for name in names if name not in key}
    )
