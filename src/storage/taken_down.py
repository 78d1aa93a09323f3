"""`taken_down_bytes`: the bytes that an operator refuses to all accounts, of each track that was taken down with them."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select

from aggregates.track import Track
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, write_rows
from eventstore.schema import Position, metadata
from storage.errors import TakenDownError

taken_down_bytes = Table(
    "taken_down_bytes",
    metadata,
    Column("track_id", Position, primary_key=True, autoincrement=False),
    Column("cid", Text, primary_key=True),
    Column("refused", Boolean, nullable=False),
    Index("ix_taken_down_bytes_cid", "cid"),
)


class TakenDownBytes:
    """Which bytes a takedown refuses; a lifted takedown leaves its rows, which refuse nothing."""

    name: Final = "taken_down_bytes"
    fingerprint: Final = "taken_down_bytes-1"
    tables: Final = (ProjectedTable(taken_down_bytes),)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Write the bytes that the changes take down, or no longer."""
        latest = {
            (change.after.track_id, cid): cid in change.after.taken_down_cids
            for change in changes
            if isinstance(change.after, Track)
            for cid in {*getattr(change.before, "taken_down_cids", ()), *change.after.taken_down_cids}
        }
        rows = [{"track_id": key[0], "cid": key[1], "refused": each} for key, each in latest.items()]
        write_rows(connection, into(taken_down_bytes), rows)


def taken_down(connection: Connection, cids: Collection[str]) -> set[str]:
    table = taken_down_bytes.c
    return set(connection.scalars(select(table.cid).where(table.cid.in_(cids), table.refused)))


def require_not_taken_down(connection: Connection, cids: Collection[str]) -> None:
    for cid in sorted(taken_down(connection, cids)):
        raise TakenDownError(cid)
