"""Inserts or overwrites rows."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.sql.dml import Insert

from eventstore.append import insert_of
from eventstore.prepared import Prepared


def write_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert each row, or overwrite the one with its primary key. No key may come twice."""
    if rows:
        _statement(table, tuple(rows[0]), overwrites=True).many(connection, rows)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert each row."""
    if rows:
        _statement(table, tuple(rows[0]), overwrites=False).copy(connection, table, rows)


@cache
def _statement(table: Table, names: Sequence[str], *, overwrites: bool) -> Prepared:
    def build(dialect: str) -> Insert:
        if not overwrites:
            return insert(table)
        statement, key = insert_of(dialect, table), [column.name for column in table.primary_key]
        excluded = {name: statement.excluded[name] for name in names if name not in key}
        return statement.on_conflict_do_update(index_elements=key, set_=excluded)

    return Prepared(build, names)
