"""Queries of tracks. Every list is newest first; its cursor is the last track_id of the page before."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, or_, select

from aggregates.values import tag_as_stored
from eventstore.prepared import Prepared
from projections.track_search import Search, is_indexed, search_of
from projections.track_tags import track_tags
from projections.track_view import TrackView
from projections.tracks import LIVE, normalized, tracks

MAX_SCANNED_TRACKS: Final = 10_000
"""Of one page, for a term that no index finds."""

BY_ID: Final = Prepared(lambda _: select(tracks).where(tracks.c.track_id == bindparam("track_id")))


@dataclass(frozen=True)
class TrackFilter:
    """Selects the tracks of a list. Unlisted tracks, and those taken down, are shown to `owner` alone."""

    artist: str | None = None
    tag: str | None = None
    album: str | None = None
    q: str | None = None
    owner: str | None = None

    def can_match(self) -> bool:
        """Whether any stored text can equal the filter's texts; PostgreSQL refuses to compare with others."""
        texts = [getattr(self, field.name) or "" for field in fields(self)]
        return all(is_storable(text) for text in texts)


@dataclass(frozen=True)
class TrackPage:
    """Tracks, and the cursor of the next page if there is one; with it a page may have fewer tracks than the limit, or none."""

    items: tuple[TrackView, ...]
    cursor: int | None


def track_by_id(connection: Connection, track_id: int) -> TrackView | None:
    """Find a track, a deleted one too."""
    rows = BY_ID.start(connection, {"track_id": track_id}).all()
    return TrackView.from_row(rows[0]) if rows else None


def live_track_with_audio(connection: Connection, did: str, audio_cid: str) -> TrackView | None:
    """Find the artist's live track with exactly these bytes; the first one, since adopted records may share them."""
    of_artist = select(tracks).where(LIVE, tracks.c.did == did, tracks.c.audio_cid == audio_cid)
    row = connection.execute(of_artist.order_by(tracks.c.track_id).limit(1)).one_or_none()
    return TrackView.from_row(row) if row is not None else None


def live_tracks_naming(connection: Connection, cid: str) -> tuple[TrackView, ...]:
    """Find the live tracks, of any artist, whose audio, artwork or thumbnail this is."""
    names = or_(tracks.c.audio_cid == cid, tracks.c.artwork_cid == cid, tracks.c.artwork_thumbnail_cid == cid)
    rows = connection.execute(select(tracks).where(LIVE, names).order_by(tracks.c.track_id))
    return tuple(TrackView.from_row(row) for row in rows)


def track_page(
    connection: Connection, wanted: TrackFilter | None = None, *, cursor: int | None = None, limit: int = 50
) -> TrackPage:
    """Read a page of live tracks."""
    wanted = wanted or TrackFilter()
    if not wanted.can_match():
        return TrackPage((), None)
    values: dict[str, Any] = {name: value for name, value in vars(wanted).items() if value is not None}
    search: Search | None = None
    if wanted.tag is not None:
        values["tag"] = tag_as_stored(wanted.tag)
    if wanted.q is not None:
        search, values["q"] = search_of(normalized(wanted.q), is_sqlite=connection.dialect.name == "sqlite")
    if cursor is not None:
        values["cursor"] = cursor
    oldest = _oldest_scanned(connection, wanted, cursor)
    if oldest is not None:
        values["oldest"] = oldest
    rows = _listing(frozenset(values), search).start(connection, {**values, "limit": limit + 1}).all()
    items = tuple(TrackView.from_row(row) for row in rows[:limit])
    return TrackPage(items, items[-1].track_id if len(rows) > limit else oldest)


def _oldest_scanned(connection: Connection, wanted: TrackFilter, cursor: int | None) -> int | None:
    """Return where a page's search stops that compares row by row; None if an index finds its tracks, or few are left."""
    if wanted.q is None or is_indexed(normalized(wanted.q)) or wanted.artist is not None:
        return None
    scanned = select(tracks.c.track_id).order_by(tracks.c.track_id.desc())
    if cursor is not None:
        scanned = scanned.where(tracks.c.track_id < cursor)
    return connection.scalar(scanned.offset(MAX_SCANNED_TRACKS - 1).limit(1))


@cache
def _listing(names: frozenset[str], search: Search | None) -> Prepared:
    """Return the statement of a page that these names restrict."""
    track_id = tracks.c.track_id if search is None else search.track_id
    conditions = {
        "artist": tracks.c.did == bindparam("artist"),
        "album": tracks.c.album == bindparam("album"),
        "tag": tracks.c.track_id.in_(
            select(track_tags.c.track_id).where(track_tags.c.tag == bindparam("tag"))
        ),
        "cursor": track_id < bindparam("cursor"),
        "oldest": track_id >= bindparam("oldest"),
    }
    shown = tracks.c.unlisted.is_(False) & tracks.c.taken_down_at.is_(None)
    if "owner" in names:
        shown = shown | (tracks.c.did == bindparam("owner"))
    query = select(tracks).where(LIVE, shown, *(conditions[name] for name in conditions if name in names))
    if search is not None:
        query = query.where(search.contains)
    page = query.order_by(track_id.desc()).limit(bindparam("limit", type_=Integer))
    return Prepared(lambda _: page)


def is_storable(text: str) -> bool:
    """Whether both databases can store the text."""
    return "\0" not in text and text == text.encode(errors="ignore").decode()
