"""Ids of tracks and of all other kinds: each is issued once, so that no two subjects share one, whatever their kinds."""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from eventstore.append import insert_of
from eventstore.prepared import Prepared, among
from eventstore.schema import Position, metadata, track_id_sequence

peer_track = sa.Table(
    "peer_track",
    metadata,
    sa.Column("peer_id", Position, primary_key=True, autoincrement=False),
    sa.Column("did", sa.Text, nullable=False, index=True),
    sa.Column("track_id", Position, nullable=False, unique=True),
)
NAMED: Final = sa.select(peer_track).where(
    sa.or_(peer_track.c.peer_id == sa.bindparam("shown"), peer_track.c.track_id == sa.bindparam("shown"))
)

OF_TRACKS: Final = Prepared(
    lambda dialect: sa.select(peer_track).where(among(peer_track.c.track_id, "track_ids", dialect))
)


def track_id_of(connection: sa.Connection, shown: int) -> int | None:
    """Return the id of the track that clients of the peer know as `shown`; None where that track has another number there."""
    rows = connection.execute(NAMED, {"shown": shown}).all()
    if not rows:
        return shown
    return next((row.track_id for row in rows if row.peer_id == shown), None)


def peer_ids_of(connection: sa.Connection, track_ids: Collection[int]) -> dict[int, int]:
    """Return the ids by which clients of the peer know the tracks, by track id; the reverse of `track_id_of`."""
    rows = OF_TRACKS.start(connection, {"track_ids": list(track_ids)}).all()
    return {track_id: track_id for track_id in track_ids} | {row.track_id: row.peer_id for row in rows}


def next_subject_id(connection: sa.Connection, did: str) -> int:
    """Issue the id of a new subject of the account, of any kind; PostgreSQL does not reissue the id of a unit that was rolled back."""
    ids = sa.insert(track_id_sequence).values(did=did).returning(track_id_sequence.c.id)
    return int(connection.execute(ids).scalar_one())


def issue_only_above(connection: sa.Connection, number: int) -> None:
    """Issue no id up to `number` from now on; the caller holds the log's lock, so that none is being issued."""
    used = insert_of(connection.dialect.name, track_id_sequence).values(id=number, did="")
    connection.execute(used.on_conflict_do_nothing())
    if connection.dialect.name == "postgresql":  # SQLite counts on from the largest by itself
        sequence = "pg_get_serial_sequence('track_id_sequence', 'id')::regclass"
        newest = f"greatest(:number, coalesce(pg_sequence_last_value({sequence}), 0))"
        connection.execute(sa.text(f"select setval({sequence}, {newest})"), {"number": number})
