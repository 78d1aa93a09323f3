"""`tracks`: what each track is now, one row a track, and `track_tags`. A deleted track keeps its row, hidden by deleted_at."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa

from aggregates.tracks.track import Track
from aggregates.values import Artwork, Audio, BlobRef, Downloads, Feature, SupportGate
from eventstore.change import Change, changes_of
from eventstore.projection import Into, ProjectedTable, fingerprint, insert_rows, write_rows
from eventstore.sql.schema import Json, Position, UtcDateTime, metadata, partial_index
from eventstore.streams.buckets import account_columns
from eventstore.streams.record_uris import uri_column


@dataclass(frozen=True)
class TrackView:
    """The state of a track, of its latest or an earlier version."""

    track_id: int
    did: str
    title: str
    artist: str
    album: str | None
    features: tuple[Feature, ...]
    tags: tuple[str, ...]
    description: str | None
    support_gate: SupportGate | None
    unlisted: bool
    downloads: Downloads
    comments: bool | None
    self_labels: tuple[str, ...]
    audio: Audio
    artwork: Artwork | None
    image_url: str | None
    adopted: bool
    created_at: str
    updated_at: datetime
    deleted_at: datetime | None
    taken_down_at: datetime | None
    record_missing_since: datetime | None
    blob: BlobRef | None
    blob_requested: bool
    blob_failure: str | None
    collection: str
    rkey: str
    version: int
    visible_version: int

    @classmethod
    def of(cls, track: Track) -> "TrackView":
        return cls(**{field: getattr(track, field) for field in cls.__dataclass_fields__})

    @classmethod
    def from_row(cls, row: Any) -> "TrackView":
        gate, blob = row.support_gate, row.blob_ref
        return cls(
            features=tuple(Feature(**feature) for feature in row.features),
            tags=tuple(row.tags),
            self_labels=tuple(row.self_labels),
            support_gate=SupportGate(**gate) if gate is not None else None,
            downloads=Downloads(row.downloads or Downloads.OPEN),
            audio=Audio(*_AUDIO(row)),
            artwork=Artwork(*_ARTWORK(row)) if row.artwork_cid else None,
            blob=BlobRef(**blob) if blob is not None else None,
            **dict(zip(_PLAIN_FIELDS, _PLAIN(row), strict=True)),
        )


def image_columns(name: str) -> list[sa.Column[Any]]:
    """Return the columns of a picture; without one they are null."""
    of = {"cid": sa.Text, "mime": sa.Text, "size": sa.BigInteger, "thumbnail_cid": sa.Text}
    return [sa.Column(f"{name}_{each}", kind, index=each.endswith("cid")) for each, kind in of.items()]


def prefixed(value: Audio | Artwork | None, prefix: str, kind: type[Audio | Artwork]) -> dict[str, Any]:
    return {prefix + field: getattr(value, field, None) for field in kind.__dataclass_fields__}


_AUDIO: Final = attrgetter(*("audio_" + field for field in Audio.__dataclass_fields__))
_ARTWORK: Final = attrgetter(*("artwork_" + field for field in Artwork.__dataclass_fields__))
_NESTED: Final = ("features", "tags", "self_labels", "support_gate", "downloads", "audio", "artwork", "blob")
_PLAIN_FIELDS: Final = tuple(field for field in TrackView.__dataclass_fields__ if field not in _NESTED)
_PLAIN: Final = attrgetter(*_PLAIN_FIELDS)


_COLUMNS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "features": lambda features: {"features": [dict(vars(each)) for each in features]},
    "tags": lambda tags: {"tags": list(tags)},
    "self_labels": lambda labels: {"self_labels": list(labels)},
    "downloads": lambda who: {"downloads": who.value if who is not Downloads.OPEN else None},
    "support_gate": lambda gate: {"support_gate": dict(vars(gate)) if gate else None},
    "audio": partial(prefixed, prefix="audio_", kind=Audio),
    "artwork": partial(prefixed, prefix="artwork_", kind=Artwork),
    "blob": lambda blob: {"blob_ref": dict(vars(blob)) if blob else None},
}
"""The columns of the fields that are not stored as they are."""
_FIELDS: Final = tuple(TrackView.__dataclass_fields__)
_VALUES: Final = attrgetter(*_FIELDS)
_SEARCHED: Final = ("title", "artist", "album")


def row_of(track: Track, before: Track | None = None) -> dict[str, Any]:
    """Return the row of a track, or what of it differs from that of the track `before`."""
    earlier = _VALUES(before) if before is not None else repeat(...)  # which no value equals
    changed = {
        field: value
        for field, value, was in zip(_FIELDS, _VALUES(track), earlier, strict=False)
        if value is not was and value != was
    }
    row: dict[str, Any] = {}
    for field, value in changed.items():
        row |= _COLUMNS[field](value) if field in _COLUMNS else {field: value}
    if not changed.keys().isdisjoint(_SEARCHED):
        row["search"] = normalized(SEPARATOR.join((track.title, track.artist, track.album or "")))
    return row


VERSION: Final = 2
SEPARATOR: Final = "\n"
MAX_SEARCHED_CHARACTERS: Final = 1024
"""More than a title, an artist and an album have."""

tracks = sa.Table(
    "tracks",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("artist", sa.Text, nullable=False),
    sa.Column("album", sa.Text),
    sa.Column("features", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("support_gate", Json),
    sa.Column("unlisted", sa.Boolean, nullable=False),
    sa.Column("downloads", sa.Text),  # none is open
    sa.Column("comments", sa.Boolean),  # none is as the account has it
    sa.Column("self_labels", Json, nullable=False),
    sa.Column("audio_cid", sa.Text, nullable=False),
    sa.Column("audio_size", sa.BigInteger, nullable=False),
    sa.Column("audio_mime", sa.Text, nullable=False),
    sa.Column("audio_file_type", sa.Text, nullable=False),
    sa.Column("audio_duration", sa.Integer),
    *image_columns("artwork"),
    sa.Column("image_url", sa.Text),  # of a cover whose bytes could not be fetched
    sa.Column("adopted", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),  # verbatim: the record keeps this text for ever
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("taken_down_at", UtcDateTime),
    sa.Column("record_missing_since", UtcDateTime),
    sa.Column("blob_ref", Json),
    sa.Column("blob_requested", sa.Boolean, nullable=False),
    sa.Column("blob_failure", sa.Text),
    sa.Column("collection", sa.Text, nullable=False),
    sa.Column("rkey", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("visible_version", sa.Integer, nullable=False),
    sa.Column("search", sa.Text, nullable=False),
    sa.UniqueConstraint("did", "collection", "rkey"),
)
LIVE: Final = tracks.c.deleted_at.is_(None)
HAS_AUDIO_ALONE: Final = sa.and_(LIVE, ~tracks.c.adopted)
"""Adopted records may have the same audio."""
partial_index("uq_tracks_did_audio_cid", tracks.c.did, tracks.c.audio_cid, where=HAS_AUDIO_ALONE, unique=True)
sa.Index("ix_tracks_did_track_id", tracks.c.did, tracks.c.track_id)
sa.Index("ix_tracks_audio_cid", tracks.c.audio_cid)
UNSEEN_BY_OTHERS: Final = tracks.c.deleted_at.is_not(None) | tracks.c.unlisted.is_(True)
"""In lists of others, and in an artist's own as others see them."""
partial_index("ix_tracks_unseen", tracks.c.did, uri_column(tracks.c), where=UNSEEN_BY_OTHERS)
partial_index("ix_tracks_album", tracks.c.album, tracks.c.track_id, where=tracks.c.album.is_not(None))


class Tracks:
    """The newest state of each track."""

    name = "tracks"
    tables = (ProjectedTable(tracks),)
    fingerprint = fingerprint(VERSION, tracks)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        latest: dict[int, Track] = {}
        for _, _, track in changes_of(Track, changes):
            latest.pop(track.track_id, None)
            latest[track.track_id] = track
        if len(changes) == 1 and isinstance(before := changes[0].before, Track):
            (track,) = latest.values()
            row = row_of(track, before)
            known = {"track_id": track.track_id, "did": track.did}
            write_rows(connection, into(tracks), [known | row], tuple(row))
            return
        write_rows(connection, into(tracks), [row_of(track) for track in latest.values()])


def normalized(text: str) -> str:
    """Normalize case and Unicode form in Python: lower() of the two databases differs beyond ASCII, and marks take quadratic time."""
    return unicodedata.normalize("NFKC", text[:MAX_SEARCHED_CHARACTERS]).casefold()


TAGS_VERSION: Final = 1

track_tags = sa.Table(
    "track_tags",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    sa.Column("tag", sa.Text, primary_key=True),
    *account_columns(),
    sa.Index("ix_track_tags_tag_track_id", "tag", "track_id"),
)


class TrackTags:
    """The tags of each track."""

    name = "track_tags"
    tables = (ProjectedTable(track_tags),)
    fingerprint = fingerprint(TAGS_VERSION, track_tags)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        changed: dict[int, Track] = {}
        dids: dict[int, str] = {}
        for _, before, track in changes_of(Track, changes):
            if before is None or before.tags != track.tags:
                changed[track.track_id] = track
                if before is not None:
                    dids[track.track_id] = track.did
        table = into(track_tags)
        rows = [
            {"track_id": track.track_id, "tag": tag, "did": track.did}
            for track in changed.values()
            for tag in track.tags
        ]
        if dids:  # of tracks that are not new
            these = table.c.did.in_({*dids.values()}), table.c.track_id.in_(dids)
            connection.execute(sa.delete(table).where(*these))
        insert_rows(connection, table, rows)
