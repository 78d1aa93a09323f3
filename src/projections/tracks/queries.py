"""Queries of tracks. A list is newest first; its cursor is the last track_id of the page before."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from heapq import nsmallest
from itertools import starmap
from operator import attrgetter
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from aggregates.states import State
from aggregates.values import tag_as_stored
from eventstore.sql.database import count_rows
from eventstore.sql.prepared import Prepared
from eventstore.streams.buckets import bucket_param
from eventstore.streams.ids import found_by_id
from eventstore.streams.record_uris import rows_by_uri, uri_column
from eventstore.untrusted import is_storable
from projections.pages import page_of
from projections.tracks.search import Search, is_indexed, search_of
from projections.tracks.table import LIVE, TrackView, normalized, track_tags, tracks

MAX_SCANNED_TRACKS: Final = 1_000
"""Of one page or search that compares row by row, and of one count."""

_TRACK_ID: Final = attrgetter("track_id")

MAX_ARTISTS_NAMING: Final = 100
"""The same bytes, of those looked at for a reader of them."""

IS_TRACK_IN_BUCKET: Final = (
    tracks.c.track_id == sa.bindparam("track_id"),
    tracks.c.bucket == bucket_param("place"),
)
"""`place` is the bucket, or the DID."""
BY_ID: Final = Prepared(lambda _: sa.select(tracks).where(*IS_TRACK_IN_BUCKET))


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
    """Tracks, and the cursor of the next page if there is one; with it a page may have fewer tracks than the limit, or none."""

    items: tuple[TrackView, ...]
    cursor: int | None


def track_by_id(connection: sa.Connection, track_id: int) -> TrackView | None:
    def read(bucket: int) -> list[Any]:
        return BY_ID.start(connection, {"track_id": track_id, "place": bucket}).all()

    rows = found_by_id(connection, track_id, read)
    return TrackView.from_row(rows[0]) if rows else None


def tracks_of(connection: sa.Connection, track_ids: Collection[int]) -> dict[int, TrackView]:
    """Return the live ones of these tracks, by id."""
    rows = connection.execute(sa.select(tracks).where(LIVE, tracks.c.track_id.in_(track_ids)))
    return {row.track_id: TrackView.from_row(row) for row in rows}


class ListedTrack(NamedTuple):
    """What lists show and decide of a track: to read all of hundreds takes ten times as long."""

    track_id: int
    did: str
    collection: str
    rkey: str
    title: str
    artist: str
    album: str | None
    unlisted: bool
    deleted_at: datetime | None
    taken_down_at: datetime | None


_LISTED: Final = sa.select(uri_column(tracks.c), *(tracks.c[name] for name in ListedTrack._fields))


def tracks_at(connection: sa.Connection, uris: Collection[str]) -> dict[str, ListedTrack]:
    """Return the tracks whose records have these URIs, in their order, deleted ones too."""
    rows = rows_by_uri(connection, lambda which: _LISTED.where(*which(tracks.c)), {*uris})
    found = {uri: ListedTrack(*track) for uri, *track in rows}
    return {uri: found[uri] for uri in uris if uri in found}


def titles_of(connection: sa.Connection, track_ids: Collection[int]) -> dict[int, str]:
    """Return the titles of these tracks, deleted ones too."""
    found = sa.select(tracks.c.track_id, tracks.c.title).where(tracks.c.track_id.in_(track_ids))
    return {row.track_id: row.title for row in connection.execute(found)}


def live_tracks_with_audio(
    connection: sa.Connection, did: str, audio_cids: Collection[str]
) -> Mapping[str, int]:
    """Find the artist's live tracks with exactly these bytes; the first one of each, since adopted records may share them."""
    cid, first = tracks.c.audio_cid, sa.func.min(tracks.c.track_id)
    these = (LIVE, tracks.c.did == did, cid.in_(audio_cids))
    rows = connection.execute(sa.select(cid, first).where(*these).group_by(cid))
    return {row[0]: row[1] for row in rows}


def count_in_collection(connection: sa.Connection, did: str, collection: str) -> int:
    return count_rows(connection, LIVE, tracks.c.did == did, tracks.c.collection == collection)


def live_tracks_naming(connection: sa.Connection, cid: str) -> tuple[TrackView, ...]:
    """Find live tracks whose audio, artwork or thumbnail this is: the most open one of each artist and kind, since any number may name them."""
    names = sa.or_(
        tracks.c.audio_cid == cid, tracks.c.artwork_cid == cid, tracks.c.artwork_thumbnail_cid == cid
    )
    most_open = (tracks.c.taken_down_at.is_not(None), tracks.c.support_gate.is_not(None), tracks.c.track_id)
    alike = (tracks.c.did, tracks.c.audio_cid == cid, tracks.c.audio_file_type, tracks.c.downloads)
    number = sa.func.row_number().over(partition_by=alike, order_by=most_open)
    key = (tracks.c.track_id, tracks.c.did, tracks.c.bucket)
    numbered = sa.select(*key, number.label("number")).where(LIVE, names).subquery()
    same = sa.and_(numbered.c.did == tracks.c.did, numbered.c.track_id == tracks.c.track_id)
    first = sa.select(tracks).join(numbered, same).where(numbered.c.number == 1)
    rows = connection.execute(first.order_by(*most_open).limit(MAX_ARTISTS_NAMING))
    return tuple(TrackView.from_row(row) for row in rows)


def image_urls_of(connection: sa.Connection, did: str) -> Sequence[str]:
    """Return the addresses of covers that the account's tracks name, deleted ones too."""
    of_account = sa.select(tracks.c.image_url).where(tracks.c.did == did, tracks.c.image_url.is_not(None))
    return connection.scalars(of_account.distinct()).all()


def tracks_with_image_urls(connection: sa.Connection, urls: Collection[str]) -> Sequence[tuple[str, int]]:
    """Return the addresses that live tracks without a cover of ours name, each with the track."""
    if not urls:
        return ()
    at = sa.select(tracks.c.image_url, tracks.c.track_id).where(LIVE, tracks.c.artwork_cid.is_(None))
    return [
        (row.image_url, row.track_id) for row in connection.execute(at.where(tracks.c.image_url.in_(urls)))
    ]


def track_page(
    connection: sa.Connection,
    wanted: TrackFilter | None = None,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> TrackPage:
    wanted = wanted or TrackFilter()
    if not wanted.can_match():
        return TrackPage((), None)
    values: dict[str, Any] = {
        name: value for name, value in vars(wanted).items() if value is not None and name != "tags"
    }
    search: Search | None = None
    filters = sum(map(bool, (wanted.artist, wanted.tags, wanted.album)))
    is_narrow = filters > 0
    if wanted.q is not None:
        # an index finds the tracks of one filter, and what these have to contain is compared row by row
        search, values["q"] = search_of(connection, wanted.q, in_index=not is_narrow)
    if cursor is not None:
        values["cursor"] = cursor
    oldest = None
    # of an artist, few are compared row by row
    is_compared = (
        wanted.q is not None and not wanted.artist and (is_narrow or not is_indexed(normalized(wanted.q)))
    )
    if is_compared or filters > 1:
        oldest = end_of_scan(connection, cursor)
    if oldest is not None:
        values["oldest"] = oldest
    values["limit"] = limit + 1
    which = [{"tag": tag_as_stored(tag)} for tag in wanted.tags] or [{}]
    found = {
        row.track_id: row
        for each in which
        for row in _listing(frozenset({*values, *each}), search).start(connection, {**values, **each}).all()
    }
    page, more_follow = page_of(sorted(found.values(), key=_TRACK_ID, reverse=True), limit)
    items = tuple(map(TrackView.from_row, page))
    return TrackPage(items, items[-1].track_id if more_follow else oldest)


def end_of_scan(connection: sa.Connection, cursor: int | None = None) -> int | None:
    """Return the last of MAX_SCANNED_TRACKS tracks, from the newest or after the cursor; None if there are fewer."""
    scanned = sa.select(tracks.c.track_id).order_by(tracks.c.track_id.desc())
    if cursor is not None:
        scanned = scanned.where(tracks.c.track_id < cursor)
    return connection.scalar(scanned.offset(MAX_SCANNED_TRACKS - 1).limit(1))


@cache
def _listing(names: frozenset[str], search: Search | None) -> Prepared:
    track_id = tracks.c.track_id if search is None else search.track_id
    if "tag" in names:
        track_id = track_tags.c.track_id  # in the order of its index

    def page(_dialect: str) -> sa.Select[Any]:
        conditions = {
            "artist": tracks.c.did == sa.bindparam("artist"),
            "album": tracks.c.album == sa.bindparam("album"),
            "tag": track_tags.c.tag == sa.bindparam("tag"),
            "cursor": track_id < sa.bindparam("cursor"),
            "oldest": track_id >= sa.bindparam("oldest"),
        }
        viewer = sa.bindparam("owner", type_=sa.Text) if "owner" in names else None
        wanted = [condition for name, condition in conditions.items() if name in names]
        query = sa.select(tracks).where(LIVE, is_shown_to(viewer), *wanted)
        if "tag" in names:
            query = query.where(_is_tag_of(tracks.c))
        if search is not None:
            query = query.where(search.contains)
        return query.order_by(track_id.desc()).limit(sa.bindparam("limit", type_=sa.Integer))

    return Prepared(page)


def _is_tag_of(track: Any) -> sa.ColumnElement[bool]:
    return sa.and_(track_tags.c.did == track.did, track_tags.c.track_id == track.track_id)


def is_shown_to(viewer: sa.ColumnElement[Any] | str | None) -> sa.ColumnElement[bool]:
    """Whether a list shows the track to this account: neither unlisted nor taken down, or its own."""
    shown: sa.ColumnElement[bool] = tracks.c.unlisted.is_(False) & tracks.c.taken_down_at.is_(None)
    return shown if viewer is None else shown | (tracks.c.did == viewer)


COUNT: Final = sa.func.count()


def is_listed(view: TrackView) -> bool:
    """Whether lists show the track to other accounts than its owner's."""
    return view.deleted_at is None and not view.unlisted and view.taken_down_at is None


def newest_listed(connection: sa.Connection, ids: tuple[int, int] | None, *, limit: int) -> Sequence[Any]:
    """Return ids, owners and times of change of the newest listed tracks; with `ids`, of those from the first on and below the second."""
    columns = (tracks.c.track_id, tracks.c.did, tracks.c.updated_at)
    newest = sa.select(*columns).where(LIVE, is_shown_to(None)).order_by(tracks.c.track_id.desc())
    if ids is not None:
        newest = newest.where(tracks.c.track_id >= ids[0], tracks.c.track_id < ids[1])
    return connection.execute(newest.limit(limit)).all()


MAX_FOUND_TRACKS: Final = 500
"""In which one search looks for names of artists and albums."""


class Named(NamedTuple):
    """An album of an artist, by the texts of a track."""

    did: str
    title: str
    artist: str


class UsedTag(NamedTuple):
    name: str
    tracks: int


def tags_by_use(
    connection: sa.Connection,
    viewer: str | None,
    *,
    begins: str = "",
    part: str = "",
    limit: int,
) -> list[UsedTag]:
    """Return the tags that most of the newest MAX_SCANNED_TRACKS listed tracks have, and how many of these have each.

    The tags begin with `begins` and contain `part`.
    """
    newest = sa.select(tracks.c.tags).where(LIVE, is_shown_to(viewer)).order_by(tracks.c.track_id.desc())
    begins, part = tag_as_stored(begins), tag_as_stored(part)
    found = Counter(
        tag
        for tags in connection.scalars(newest.limit(MAX_SCANNED_TRACKS))
        for tag in tags
        if tag.startswith(begins) and part in tag
    )
    return nsmallest(limit, starmap(UsedTag, found.items()), key=lambda used: (-used.tracks, used.name))


def track_count(connection: sa.Connection, viewer: str | None, tag: str) -> int:
    """Count the listed tracks with a tag, up to MAX_SCANNED_TRACKS."""
    if not is_storable(tag):
        return 0
    tagged = sa.select(track_tags.c.track_id).join(tracks, _is_tag_of(tracks.c))
    tagged = tagged.where(track_tags.c.tag == tag_as_stored(tag), LIVE, is_shown_to(viewer))
    return connection.scalar(sa.select(COUNT).select_from(tagged.limit(MAX_SCANNED_TRACKS).subquery())) or 0


def albums_named(connection: sa.Connection, viewer: str | None, part: str, *, limit: int) -> list[Named]:
    """Return albums whose title contains a text, in any case, with the artist's name; those of the newest tracks first."""
    found: dict[tuple[str, str], Named] = {}
    for row in _containing(connection, viewer, part):
        if row.album is not None and normalized(part) in normalized(row.album):
            found.setdefault((row.did, row.album), Named(row.did, row.album, row.artist))
    return list(found.values())[:limit]


def artists_named(connection: sa.Connection, viewer: str | None, part: str, *, limit: int) -> list[str]:
    """Return the DIDs of artists whose name, on a listed track, contains a text, in any case; those of the newest tracks first."""
    found = _containing(connection, viewer, part)
    dids = dict.fromkeys(row.did for row in found if normalized(part) in normalized(row.artist))
    return list(dids)[:limit]


def with_tracks(connection: sa.Connection, viewer: str | None, dids: Collection[str]) -> set[str]:
    listed = sa.select(tracks.c.did).where(LIVE, is_shown_to(viewer)).limit(1)
    return {did for did in dids if connection.scalar(listed.where(tracks.c.did == did)) is not None}


def _containing(connection: sa.Connection, viewer: str | None, part: str) -> Sequence[Any]:
    """Return the newest MAX_FOUND_TRACKS listed tracks with a text in title, artist or album."""
    if not is_storable(part):
        return []
    search, value = search_of(connection, part)
    query = sa.select(tracks.c.did, tracks.c.artist, tracks.c.album).where(search.contains)
    if not is_indexed(normalized(part)) and (oldest := end_of_scan(connection)) is not None:
        query = query.where(tracks.c.track_id >= oldest)
    query = query.where(LIVE, is_shown_to(viewer)).order_by(search.track_id.desc()).limit(MAX_FOUND_TRACKS)
    return connection.execute(query, {"q": value}).all()


column: Final = tracks.c


class AudioCopyState(State):
    """States of the copy of a track's audio on the PDS."""

    DELETED = "deleted", "the track is deleted"
    GATED = "gated", "the track is for supporters only: its audio stays off the PDS"
    UPLOADED = "uploaded", "the PDS has the audio"
    WANTED = "wanted", "requested, and not uploaded yet"
    FAILED = "failed", "the PDS refused the audio"
    UNASKED = "unasked", "never requested for this audio"


IS_GATED: Final = sa.and_(LIVE, column.support_gate.is_not(None))
HAS_FAILED: Final = sa.and_(column.blob_failure.is_not(None), ~column.blob_requested)
IS_ELIGIBLE: Final = sa.and_(
    LIVE, column.support_gate.is_(None), column.blob_ref.is_(None), ~column.blob_requested
)

AUDIO_COPY_STATE: Final = sa.case(
    (~LIVE, sa.literal(AudioCopyState.DELETED, sa.Text)),
    (IS_GATED, sa.literal(AudioCopyState.GATED, sa.Text)),
    (column.blob_ref.is_not(None), sa.literal(AudioCopyState.UPLOADED, sa.Text)),
    (column.blob_requested, sa.literal(AudioCopyState.WANTED, sa.Text)),
    (HAS_FAILED, sa.literal(AudioCopyState.FAILED, sa.Text)),
    else_=sa.literal(AudioCopyState.UNASKED, sa.Text),
)


def eligible_tracks(
    connection: sa.Connection, did: str, *, after: int, limit: int, failed_too: bool
) -> Sequence[int]:
    """Return ids of tracks whose audio may be copied to the PDS and was not requested, after an id, in their order."""
    query = sa.select(column.track_id).where(column.did == did, column.track_id > after, IS_ELIGIBLE)
    if not failed_too:
        query = query.where(~HAS_FAILED)
    return connection.scalars(query.order_by(column.track_id).limit(limit)).all()


def copy_counts(connection: sa.Connection, did: str) -> dict[tuple[AudioCopyState, str | None], int]:
    """Count an account's tracks by state; failed ones by their reason too."""
    reason: sa.ColumnElement[Any] = sa.case(
        (AUDIO_COPY_STATE == AudioCopyState.FAILED, column.blob_failure), else_=sa.literal(None)
    )
    tracks = sa.select(AUDIO_COPY_STATE.label("state"), reason.label("failure"), sa.func.count())
    rows = connection.execute(tracks.where(column.did == did).group_by("state", "failure"))
    return {(AudioCopyState(state), reason): count for state, reason, count in rows}


def tracks_in_state(
    connection: sa.Connection, did: str, state: AudioCopyState, *, limit: int
) -> Sequence[Any]:
    query = sa.select(column.track_id, column.title, column.blob_failure)
    found = query.where(column.did == did, AUDIO_COPY_STATE.in_((state,)))
    return connection.execute(found.order_by(column.track_id).limit(limit)).all()
