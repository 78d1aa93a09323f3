"""The tables of an export: the log, and what cannot be made from it (observations, attempts, accounts, places of bytes).

Read models are not exported, since an import rebuilds them, and no secret is: the owners sign in again.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, LargeBinary, RowMapping, Table, select, tuple_

from eventstore.database import Database
from eventstore.schema import UtcDateTime, stored_event
from eventstore.streams.ids import peer_track
from identity.accounts.accounts import account
from outbox.mirror.tables import (
    FEW_ROWS,
    PAST,
    blob_job,
    delivery_attempt,
    mirror_lane,
    mirror_target,
    pds_host,
)
from projections.media_references import media_references
from replay.dump.file_format import Row
from storage.media import media

ROWS_PER_PAGE: Final = 500
PAGE_BYTES: Final = 8 * 2**20


@dataclass(frozen=True)
class ExportedTable:
    """A table whose rows are exported; `reset` has the values that an import gives to columns that are not."""

    table: Table
    reset: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.table.name

    def owned_by(self, did: str) -> ColumnElement[bool]:
        """Return the condition for an account's rows; the bytes that its tracks name are its own, too."""
        if self.table is media:
            of_account = select(media_references.c.cid).where(media_references.c.did == did)
            return media.c.cid.in_(of_account)
        return self.table.c.did == did

    def to_row(self, values: RowMapping) -> Row:
        """Return a row as JSON values."""
        return {
            column.name: _codec(column)[0](value) if (value := values[column.name]) is not None else None
            for column in self.table.columns
            if column.name not in self.reset
        }

    def from_row(self, row: Row) -> dict[str, Any]:
        """Return the values of what to_row wrote; raises ValueError for a row of another table or version."""
        wanted = {column.name for column in self.table.columns} - set(self.reset)
        if set(row) != wanted:
            names = ", ".join(sorted(set(row) ^ wanted))
            msg = f"a row of {self.kind} has other columns in this version: {names}"
            raise ValueError(msg)
        columns = {column.name: column for column in self.table.columns}
        values = {
            columns[name].key: _codec(columns[name])[1](value) if value is not None else None
            for name, value in row.items()
        }
        return values | dict(self.reset)


LOG: Final = ExportedTable(stored_event)
EXPORTED: Final = (
    LOG,
    ExportedTable(account),
    ExportedTable(peer_track),
    ExportedTable(media),
    ExportedTable(pds_host),
    ExportedTable(mirror_lane, {"lease_owner": None, "lease_until": PAST, "lease_epoch": 0}),
    ExportedTable(mirror_target),
    ExportedTable(blob_job),
    ExportedTable(delivery_attempt),
)
"""In the order of writing and reading. Leases are reset: the process that held one has ended before an import."""

ACCOUNT_OWNED: Final = tuple(each for each in EXPORTED if each.table is not pds_host)
"""The tables of an account's own export: what is known of a host concerns other accounts too."""

BY_KIND: Final = {each.kind: each for each in EXPORTED}


def rows_of(
    database: Database,
    exported: ExportedTable,
    did: str | None = None,
    *,
    after: tuple[Any, ...] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a table, or those of an account, in the order of the primary key, after the key `after`.

    Each page is a statement of its own, and has about PAGE_BYTES at most.
    """
    key = list(exported.table.primary_key.columns)
    query = select(exported.table).order_by(*key).limit(ROWS_PER_PAGE).execution_options(**FEW_ROWS)
    if did is not None:
        query = query.where(exported.owned_by(did))
    last = after
    while True:
        page = query if last is None else query.where(tuple_(*key) > tuple_(*last))
        with database.read() as connection, connection.execute(page) as result:
            rows = list(_of_bounded_bytes(result.mappings()))
        if not rows:
            return
        yield from (exported.to_row(row) for row in rows)
        last = tuple(rows[-1][column.name] for column in key)


def _of_bounded_bytes(rows: Iterable[RowMapping]) -> Iterator[RowMapping]:
    left = PAGE_BYTES
    for row in rows:
        yield row
        left -= sum(len(value) for value in row.values() if isinstance(value, bytes))
        if left < 0:
            return


def is_empty(connection: Connection) -> bool:
    return all(connection.execute(select(each.table).limit(1)).first() is None for each in EXPORTED)


def _codec(column: Column[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return how a value that is not None is written, and read again."""
    if column is stored_event.c.state:  # JSON already, and readable in the file
        return bytes.decode, str.encode
    if isinstance(column.type, LargeBinary):
        return lambda data: base64.b64encode(data).decode(), partial(base64.b64decode, validate=True)
    if isinstance(column.type, UtcDateTime):
        return datetime.isoformat, datetime.fromisoformat
    return lambda value: value, lambda value: value
