"""Queries of tracks. A list is newest first; its cursor is the last track_id of the page before."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, or_, select

from aggregates.values import tag_as_stored
from projections.track_search import contains
from projections.track_tags import track_tags
from projections.track_view import TrackView
from projections.tracks import LIVE, normalized, tracks

BY_ID: Final = select(tracks).where(tracks.c.track_id == bindparam("track_id"))


@dataclass(frozen=True)
class TrackFilter:
    """Selects the tracks of a list. Unlisted tracks, and those taken down, are shown to `owner` alone."""

    artist: str | None = None
    tags: tuple[str, ...] = ()
    """A track has one of them."""
    album: str | None = None
    q: str | None = None
    owner: str | None = None

    def can_match(self) -> bool:
        """Whether any stored text can equal the filter's texts; PostgreSQL refuses to compare with others."""
        texts = (self.artist, self.album, self.q, self.owner, *self.tags)
        return all(is_storable(text) for text in texts if text is not None)


@dataclass(frozen=True)
class TrackPage:
    """Tracks, and the cursor of the next page if there is one."""

    items: tuple[TrackView, ...]
    cursor: int | None


def track_by_id(connection: Connection, track_id: int) -> TrackView | None:
    """Find a track, a deleted one too."""
    row = connection.execute(BY_ID, {"track_id": track_id}).mappings().one_or_none()
    return TrackView.from_row(row) if row is not None else None


def live_track_with_audio(connection: Connection, did: str, audio_cid: str) -> TrackView | None:
    """Find the artist's live track with exactly these bytes; the first one, since adopted records may share them."""
    of_artist = select(tracks).where(LIVE, tracks.c.did == did, tracks.c.audio_cid == audio_cid)
    row = connection.execute(of_artist.order_by(tracks.c.track_id).limit(1)).mappings().one_or_none()
    return TrackView.from_row(row) if row is not None else None


def count_in_collection(connection: Connection, did: str, collection: str) -> int:
    """Count the artist's live tracks whose record is in this collection."""
    there = select(func.count()).where(LIVE, tracks.c.did == did, tracks.c.collection == collection)
    return connection.execute(there).scalar_one()


def live_tracks_naming(connection: Connection, cid: str) -> tuple[TrackView, ...]:
    """Find the live tracks, of any artist, whose audio, artwork or thumbnail this is."""
    names = or_(tracks.c.audio_cid == cid, tracks.c.artwork_cid == cid, tracks.c.artwork_thumbnail_cid == cid)
    rows = connection.execute(select(tracks).where(LIVE, names).order_by(tracks.c.track_id)).mappings()
    return tuple(TrackView.from_row(row) for row in rows)


def track_page(
    connection: Connection, wanted: TrackFilter | None = None, *, cursor: int | None = None, limit: int = 50
) -> TrackPage:
    """Read a page of live tracks."""
    wanted = wanted or TrackFilter()
    if not wanted.can_match():
        return TrackPage((), None)
    query = select(tracks).where(LIVE, *_conditions(wanted))
    track_id: ColumnElement[int] = tracks.c.track_id
    if wanted.q is not None:
        is_sqlite = connection.dialect.name == "sqlite"
        found, track_id = contains(normalized(wanted.q), is_sqlite=is_sqlite)
        query = query.where(found)
    if cursor is not None:
        query = query.where(track_id < cursor)
    rows = connection.execute(query.order_by(track_id.desc()).limit(limit + 1)).mappings().all()
    items = tuple(TrackView.from_row(row) for row in rows[:limit])
    return TrackPage(items, items[-1].track_id if len(rows) > limit else None)


def _conditions(wanted: TrackFilter) -> list[ColumnElement[bool]]:
    conditions = [is_shown_to(wanted.owner)]
    if wanted.artist is not None:
        conditions.append(tracks.c.did == wanted.artist)
    if wanted.album is not None:
        conditions.append(tracks.c.album == wanted.album)
    if wanted.tags:
        tags = [tag_as_stored(tag) for tag in wanted.tags]
        tagged = select(track_tags.c.track_id).where(track_tags.c.tag.in_(tags))
        conditions.append(tracks.c.track_id.in_(tagged))
    return conditions


def is_shown_to(viewer: str | None) -> ColumnElement[bool]:
    """Whether a list shows the track to this account: neither unlisted nor taken down, or its own."""
    shown: ColumnElement[bool] = tracks.c.unlisted.is_(False) & tracks.c.taken_down_at.is_(None)
    return shown if viewer is None else shown | (tracks.c.did == viewer)


def is_storable(text: str) -> bool:
    """Whether both databases can store the text."""
    return "\0" not in text and text == text.encode(errors="ignore").decode()
