"""`peer_track`: the ids that tracks had at the service they came from, whose clients still use them.

A track with such an id is known to those clients by it alone; every other track by its own id. No id names two tracks, since
the numbers of a peer are taken out of our own sequence before any of them is used.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Column, Connection, Table, Text, bindparam, or_, select

from eventstore.prepared import Prepared, among
from eventstore.schema import Position, metadata

peer_track = Table(
    "peer_track",
    metadata,
    Column("peer_id", Position, primary_key=True, autoincrement=False),
    Column("did", Text, nullable=False, index=True),
    Column("track_id", Position, nullable=False, unique=True),
)
NAMED: Final = select(peer_track).where(
    or_(peer_track.c.peer_id == bindparam("shown"), peer_track.c.track_id == bindparam("shown"))
)

OF_TRACKS: Final = Prepared(
    lambda dialect: select(peer_track).where(among(peer_track.c.track_id, "track_ids", dialect))
)


def track_id_of(connection: Connection, shown: int) -> int | None:
    """Return the id of the track that clients of the peer know as `shown`; None where that track has another number there."""
    rows = connection.execute(NAMED, {"shown": shown}).all()
    if not rows:
        return shown
    return next((row.track_id for row in rows if row.peer_id == shown), None)


def peer_ids_of(connection: Connection, track_ids: Collection[int]) -> dict[int, int]:
    """Return the ids by which clients of the peer know the tracks, by track id; the reverse of `track_id_of`."""
    rows = OF_TRACKS.start(connection, {"track_ids": list(track_ids)}).all()
    return {track_id: track_id for track_id in track_ids} | {row.track_id: row.peer_id for row in rows}
