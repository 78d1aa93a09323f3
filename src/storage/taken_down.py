"""`taken_down_bytes`: the bytes that an operator refuses to all accounts, of each track that was taken down with them."""

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from aggregates.tracks.track import Track
from eventstore.change import Change, changes_of
from eventstore.projection import Into, ProjectedTable, write_rows
from eventstore.sql.schema import Position, metadata
from eventstore.streams.buckets import account_columns
from storage.errors import TakenDownError

taken_down_bytes = sa.Table(
    "taken_down_bytes",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    sa.Column("cid", sa.Text, primary_key=True),
    *account_columns(),
    sa.Column("refused", sa.Boolean, nullable=False),
    sa.Index("ix_taken_down_bytes_cid", "cid"),
)


class TakenDownBytes:
    """Which bytes a takedown refuses; a lifted takedown leaves its rows, which refuse nothing."""

    name: Final = "taken_down_bytes"
    fingerprint: Final = "taken_down_bytes-2"
    tables: Final = (ProjectedTable(taken_down_bytes),)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        latest = {
            (track.track_id, cid): {
                "track_id": track.track_id,
                "cid": cid,
                "did": track.did,
                "refused": cid in track.taken_down_cids,
            }
            for _, before, track in changes_of(Track, changes)
            for cid in {*getattr(before, "taken_down_cids", ()), *track.taken_down_cids}
        }
        write_rows(connection, into(taken_down_bytes), list(latest.values()))


def taken_down(connection: sa.Connection, cids: Collection[str]) -> set[str]:
    table = taken_down_bytes.c
    return set(connection.scalars(sa.select(table.cid).where(table.cid.in_(cids), table.refused)))


def require_not_taken_down(connection: sa.Connection, cids: Collection[str]) -> None:
    for cid in sorted(taken_down(connection, cids)):
        raise TakenDownError(cid)
