"""Leases of single rows: a row is created with its holder, or taken over once its lease has expired."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table

from eventstore.append import upsert


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
