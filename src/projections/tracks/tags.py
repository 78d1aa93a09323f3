"""`track_tags`: the tags of each track, to find tracks by."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Connection, ForeignKey, Index, Table, Text, delete, insert

from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, fingerprint
from eventstore.schema import Position, metadata
from projections.tracks.table import track_changes

if TYPE_CHECKING:
    from aggregates.track import Track

VERSION: Final = 1

track_tags = Table(
    "track_tags",
    metadata,
    Column("track_id", Position, ForeignKey("tracks.track_id"), primary_key=True, autoincrement=False),
    Column("tag", Text, primary_key=True),
    Column("did", Text, nullable=False),
    Index("ix_track_tags_tag_track_id", "tag", "track_id"),
)


class TrackTags:
    """The tags of each track."""

    name = "track_tags"
    tables = (ProjectedTable(track_tags),)
    fingerprint = fingerprint(VERSION, track_tags)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Rewrite the tags of each track whose tags changed."""
        changed: dict[int, Track] = {}
        for change in track_changes(changes):
            track = change.after
            if track.track_id in changed or change.before is None or change.before.tags != track.tags:
                changed[track.track_id] = track
        table = into(track_tags)
        rows = [
            {"track_id": track.track_id, "tag": tag, "did": track.did}
            for track in changed.values()
            for tag in track.tags
        ]
        if changed:
            dids = {track.did for track in changed.values()}
            connection.execute(delete(table).where(table.c.did.in_(dids), table.c.track_id.in_(changed)))
        if rows:
            connection.execute(insert(table), rows)
