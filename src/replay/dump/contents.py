"""What an export holds: the log, and what no log can say - observations, attempts, accounts, where bytes lie.

Read models are not in it: an import makes them again. No secret is either: people sign in anew.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, LargeBinary, RowMapping, Table, select, tuple_

from eventstore.database import Database
from eventstore.schema import UtcDateTime, stored_event
from identity.accounts.accounts import account
from outbox.mirror.tables import PAST, blob_job, delivery_attempt, mirror_lane, mirror_target, pds_host
from projections.media_references import media_references
from replay.dump.file_format import Row
from storage.media import media

PAGE: Final = 500


@dataclass(frozen=True)
class Kept:
    """A table whose rows are exported, and the columns that begin anew at an import."""

    table: Table
    anew: Mapping[str, Any] = field(default_factory=dict)
    of_account: Callable[[str], ColumnElement[bool]] | None = None
    """How an account's own rows are found, where it is not by their DID."""

    @property
    def kind(self) -> str:
        """Return the name of the table's rows in a tape."""
        return self.table.name

    def owned_by(self, did: str) -> ColumnElement[bool]:
        """Say which rows are an account's own."""
        return self.table.c.did == did if self.of_account is None else self.of_account(did)

    def to_row(self, values: RowMapping) -> Row:
        """Write a row as JSON values."""
        return {
            column.name: _exported(column, values[column.name])
            for column in self.table.columns
            if column.name not in self.anew
        }

    def from_row(self, row: Row) -> dict[str, Any]:
        """Read what to_row wrote; raises ValueError when it is another table's or version's."""
        wanted = {column.name for column in self.table.columns} - set(self.anew)
        if set(row) != wanted:
            names = ", ".join(sorted(set(row) ^ wanted))
            msg = f"a row of {self.kind} has other columns in this version: {names}"
            raise ValueError(msg)
        return {name: _imported(self.table.c[name], value) for name, value in row.items()} | dict(self.anew)


def _bytes_of(did: str) -> ColumnElement[bool]:
    named = select(media_references.c.cid).where(media_references.c.did == did)
    return media.c.cid.in_(named)


_NO_LEASE: Final = {"lease_owner": None, "lease_until": PAST, "lease_epoch": 0}
LOG: Final = Kept(stored_event)
KEPT: Final = (
    LOG,
    Kept(account),
    Kept(media, of_account=_bytes_of),
    Kept(pds_host),
    Kept(mirror_lane, _NO_LEASE),
    Kept(mirror_target),
    Kept(blob_job, _NO_LEASE),
    Kept(delivery_attempt),
)
"""In the order in which they are written and read. A flight that was under way has ended long before an import."""

OWN: Final = tuple(kept for kept in KEPT if kept.table is not pds_host)
"""What an account may take along of itself: what is known of a host is of others too."""

BY_KIND: Final = {kept.kind: kept for kept in KEPT}


def rows_of(
    database: Database, kept: Kept, did: str | None = None, *, after: tuple[Any, ...] | None = None
) -> Iterator[Row]:
    """Yield all rows of a table, or those of an account, in the order of its key, after one; each page is a statement."""
    key = list(kept.table.primary_key.columns)
    query = select(kept.table).order_by(*key).limit(PAGE)
    if did is not None:
        query = query.where(kept.owned_by(did))
    last = after
    while True:
        page = query if last is None else query.where(tuple_(*key) > tuple_(*last))
        with database.read() as connection:
            rows = connection.execute(page).mappings().all()
        yield from (kept.to_row(row) for row in rows)
        if len(rows) < PAGE:
            return
        last = tuple(rows[-1][column.name] for column in key)


def is_empty(connection: Connection) -> bool:
    """Whether none of these tables has a row."""
    return all(connection.execute(select(kept.table).limit(1)).first() is None for kept in KEPT)


def _exported(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    return _codec(column)[0](value)


def _imported(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    return _codec(column)[1](value)


def _codec(column: Column[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if column is stored_event.c.state:  # JSON already, and to be read by people
        return bytes.decode, str.encode
    if isinstance(column.type, LargeBinary):
        return lambda data: base64.b64encode(data).decode(), lambda text: base64.b64decode(
            text, validate=True
        )
    if isinstance(column.type, UtcDateTime):
        return datetime.isoformat, datetime.fromisoformat
    return lambda value: value, lambda value: value
