"""How rows are overwritten."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from eventstore.append import upsert


def write_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert each row, or overwrite the one with its primary key. No key may come twice."""
    if not rows:
        return
    statement = upsert(connection, table)
    key = [column.name for column in table.primary_key]
    values = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=values), [dict(row) for row in rows]
    )
