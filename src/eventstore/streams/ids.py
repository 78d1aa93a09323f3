"""Ids of tracks and of all other kinds: each is issued once, so that no two subjects share one, whatever their kinds.

An id is a number of one sequence times BUCKETS, plus the bucket of its account. Ids below the boundary were issued by an
older version and carry none: rows of `track_id_sequence` that have a DID are their directory.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.prepared import Prepared, among
from eventstore.sql.schema import Position, metadata, track_id_sequence
from eventstore.streams.append import insert_of, upsert
from eventstore.streams.buckets import BUCKETS, bucket_of

peer_track = sa.Table(
    "peer_track",
    metadata,
    sa.Column("peer_id", Position, primary_key=True, autoincrement=False),
    sa.Column("did", sa.Text, nullable=False, index=True),
    sa.Column("track_id", Position, nullable=False, unique=True),
)
id_boundary = sa.Table(
    "id_boundary",
    metadata,
    sa.Column("first_id", Position, primary_key=True, autoincrement=False),
)
"""The first id that carries its bucket; without a row, all do."""

NAMED: Final = sa.select(peer_track).where(
    sa.or_(peer_track.c.peer_id == sa.bindparam("shown"), peer_track.c.track_id == sa.bindparam("shown"))
)

_SEQUENCE: Final = "pg_get_serial_sequence('track_id_sequence', 'id')::regclass"
MAX_REMEMBERED_IDS: Final = 100_000
_NO_DID: Final = ""
"""Of a row that only keeps a number from being issued: it is no entry of the directory."""

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
    issuing: sa.Executable = sa.text(f"select nextval({_SEQUENCE})")
    if connection.dialect.name == "sqlite":
        issuing = sa.insert(track_id_sequence).values(did=_NO_DID).returning(track_id_sequence.c.id)
    return int(connection.execute(issuing).scalar_one()) * BUCKETS + bucket_of(did)


def issue_only_above(connection: sa.Connection, number: int) -> None:
    """Count on from `number`, and so issue no id up to it; the caller holds the log's lock, so that none is being issued."""
    used = insert_of(connection.dialect.name, track_id_sequence).values(id=number, did=_NO_DID)
    connection.execute(used.on_conflict_do_nothing())
    if connection.dialect.name == "postgresql":  # SQLite counts on from the largest by itself
        newest = f"greatest(:number, coalesce(pg_sequence_last_value({_SEQUENCE}), 0))"
        connection.execute(sa.text(f"select setval({_SEQUENCE}, {newest})"), {"number": number})


def boundary_of(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(id_boundary.c.first_id)) or BUCKETS


def found_by_id(connection: sa.Connection, subject_id: int, read: Callable[[int], list[Any]]) -> list[Any]:
    """Return the rows that `read` finds of a subject in the bucket of its account: the one that the id carries, or its entry in the directory."""
    if rows := read(_known_older.get(subject_id, subject_id % BUCKETS)):
        return rows
    if (bucket := bucket_of_older(connection, subject_id)) is None:
        return []
    if len(_known_older) < MAX_REMEMBERED_IDS:
        _known_older[subject_id] = bucket
    return read(bucket)


def bucket_of_older(connection: sa.Connection, subject_id: int) -> int | None:
    """Return the bucket that the directory has of an id; None of those that carry it, or were never issued."""
    did = connection.scalar(sa.select(track_id_sequence.c.did).where(track_id_sequence.c.id == subject_id))
    return bucket_of(did) if did else None


_known_older: Final[dict[int, int]] = {}
"""The buckets of older ids, which never change; a database that is put back may have other ones, and is asked then."""


def enter_older_ids(connection: sa.Connection, boundary: int, older: sa.Select[int, str]) -> None:
    """Set the boundary, and enter the `older` ids, with their DIDs, in the directory."""
    connection.execute(sa.delete(id_boundary))
    connection.execute(sa.insert(id_boundary).values(first_id=boundary))
    entries = upsert(connection, track_id_sequence).from_select(["id", "did"], older)
    named = {"did": entries.excluded.did}
    connection.execute(entries.on_conflict_do_update(index_elements=["id"], set_=named))
