"""`tracks`: what each track is now, one row a track. A deleted track keeps its row, hidden by deleted_at."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

from aggregates.track import Track
from aggregates.track_events import TrackEvent
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, fingerprint
from eventstore.schema import Json, Position, UtcDateTime, metadata
from projections.rows import write_rows
from projections.tracks.view import TrackView

VERSION: Final = 2
SEPARATOR: Final = "\n"
MAX_SEARCHED_CHARACTERS: Final = 1024
"""More than a title, an artist and an album have."""

tracks = Table(
    "tracks",
    metadata,
    Column("track_id", Position, primary_key=True, autoincrement=False),
    Column("did", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("artist", Text, nullable=False),
    Column("album", Text),
    Column("features", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("description", Text),
    Column("support_gate", Json),
    Column("unlisted", Boolean, nullable=False),
    Column("downloads", Text),  # none is open
    Column("self_labels", Json, nullable=False),
    Column("audio_cid", Text, nullable=False),
    Column("audio_size", BigInteger, nullable=False),
    Column("audio_mime", Text, nullable=False),
    Column("audio_file_type", Text, nullable=False),
    Column("audio_duration", Integer),
    Column("artwork_cid", Text),
    Column("artwork_mime", Text),
    Column("artwork_size", BigInteger),
    Column("artwork_thumbnail_cid", Text),
    Column("image_url", Text),  # of a cover whose bytes could not be fetched
    Column("adopted", Boolean, nullable=False),
    Column("created_at", Text, nullable=False),  # verbatim: the record keeps this text for ever
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Column("taken_down_at", UtcDateTime),
    Column("record_missing_since", UtcDateTime),
    Column("blob_ref", Json),
    Column("blob_requested", Boolean, nullable=False),
    Column("blob_failure", Text),
    Column("collection", Text, nullable=False),
    Column("rkey", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("visible_version", Integer, nullable=False),
    Column("search", Text, nullable=False),
    UniqueConstraint("did", "collection", "rkey"),
)
LIVE: Final = tracks.c.deleted_at.is_(None)
HAS_AUDIO_ALONE: Final = and_(LIVE, ~tracks.c.adopted)
"""Adopted records may have the same audio."""
Index(
    "uq_tracks_did_audio_cid",
    tracks.c.did,
    tracks.c.audio_cid,
    unique=True,
    sqlite_where=HAS_AUDIO_ALONE,
    postgresql_where=HAS_AUDIO_ALONE,
)
Index("ix_tracks_did_track_id", tracks.c.did, tracks.c.track_id)
Index("ix_tracks_audio_cid", tracks.c.audio_cid)
Index("ix_tracks_artwork_cid", tracks.c.artwork_cid)
Index("ix_tracks_artwork_thumbnail_cid", tracks.c.artwork_thumbnail_cid)


class TrackChange(NamedTuple):
    """A change of a track: what the log recorded, and the track before and after it."""

    recorded: Change
    event: TrackEvent
    before: Track | None
    after: Track


def track_changes(changes: Sequence[Change]) -> Iterator[TrackChange]:
    """Pick the changes of tracks, in their order."""
    for change in changes:
        event, before, after = change.event, change.before, change.after
        if isinstance(event, TrackEvent) and isinstance(after, Track):
            yield TrackChange(change, event, before if isinstance(before, Track) else None, after)


class Tracks:
    """The newest state of each track."""

    name = "tracks"
    tables = (ProjectedTable(tracks),)
    fingerprint = fingerprint(VERSION, tracks)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Write the latest state of each track, in the order of their last changes."""
        latest: dict[int, Track] = {}
        for change in track_changes(changes):
            latest.pop(change.after.track_id, None)
            latest[change.after.track_id] = change.after
        write_rows(connection, into(tracks), [row_of(TrackView.of(track)) for track in latest.values()])


def row_of(view: TrackView) -> dict[str, Any]:
    """Return the row that stores this view."""
    return {
        **view.as_row(),
        "search": normalized(SEPARATOR.join((view.title, view.artist, view.album or ""))),
    }


def normalized(text: str) -> str:
    """Normalize case and Unicode form in Python: lower() of the two databases differs beyond ASCII, and marks take quadratic time."""
    return unicodedata.normalize("NFKC", text[:MAX_SEARCHED_CHARACTERS]).casefold()
