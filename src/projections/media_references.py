"""`media_references`: which track names which bytes, and since when it no longer does. The sweep asks here."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Index, Table, Text, exists, or_, select

from aggregates.track import Track, media_cids
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable
from eventstore.schema import Position, UtcDateTime, metadata
from projections.fingerprint import fingerprint
from projections.rows import write_rows
from projections.track_changes import track_changes

VERSION: Final = 1
CIDS_A_QUERY: Final = 500

media_references = Table(
    "media_references",
    metadata,
    Column("track_id", Position, primary_key=True, autoincrement=False),
    Column("cid", Text, primary_key=True),
    Column("did", Text, nullable=False),
    Column("released_at", UtcDateTime),
    Index("ix_media_references_cid", "cid"),
)


class MediaReferences:
    """Keeps `media_references`."""

    name = "media_references"
    tables = (ProjectedTable(media_references),)
    fingerprint = fingerprint(VERSION, media_references)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Note what a change names anew, and what it lets go of."""
        latest: dict[tuple[int, str], dict[str, Any]] = {}
        for change in track_changes(changes):
            before, after = _live_cids(change.before), _live_cids(change.after)
            for cid in before ^ after:
                latest[change.after.track_id, cid] = {
                    "track_id": change.after.track_id,
                    "cid": cid,
                    "did": change.recorded.did,
                    "released_at": None if cid in after else change.recorded.recorded_at,
                }
        write_rows(connection, into(media_references), list(latest.values()))


def named(connection: Connection, cids: Collection[str], released_after: datetime) -> set[str]:
    """Find those of the cids that a live track names, or that one named until after the given moment."""
    wanted, found = list(cids), set[str]()
    kept = or_(media_references.c.released_at.is_(None), media_references.c.released_at > released_after)
    for start in range(0, len(wanted), CIDS_A_QUERY):
        some = media_references.c.cid.in_(wanted[start : start + CIDS_A_QUERY])
        found.update(connection.scalars(select(media_references.c.cid).where(some, kept)))
    return found


def was_named_by(connection: Connection, did: str, cid: str) -> bool:
    """Whether a track of this account names the bytes, or once did."""
    column = media_references.c
    return bool(connection.scalar(select(exists().where(column.did == did, column.cid == cid))))


def _live_cids(track: Track | None) -> frozenset[str]:
    return frozenset(media_cids(track)) if track is not None and track.deleted_at is None else frozenset()
