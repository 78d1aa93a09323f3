"""`track_list`: what each album and playlist is now, but for its items. A deleted list keeps its row, hidden by deleted_at."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count, islice
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import Artwork, ListType, Visibility, slug_of
from eventstore.change import Change, changes_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.projection import Into, ProjectedTable, fingerprint, write_rows
from eventstore.sql.schema import Position, UtcDateTime, metadata, partial_index
from eventstore.streams.buckets import account_columns
from projections.reactions import carried
from projections.tracks.table import image_columns, normalized, prefixed

VERSION: Final = 1

track_list: Final = sa.Table(
    "track_list",
    metadata,
    sa.Column("list_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("list_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("first_name", sa.Text),
    sa.Column("slug", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("release_date", sa.Text),
    *image_columns("artwork"),
    sa.Column("visibility", sa.Text, nullable=False),
    sa.Column("follow", sa.Boolean, nullable=False),
    sa.Column("record_requested", sa.Boolean, nullable=False),
    sa.Column("track_count", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("taken_down_at", UtcDateTime),
    sa.Column("record_missing_since", UtcDateTime),
    sa.Column("collection", sa.Text, nullable=False),
    sa.Column("rkey", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("visible_version", sa.Integer, nullable=False),
    sa.UniqueConstraint("did", "collection", "rkey"),
    sa.Index("ix_track_list_did_list_id", "did", "list_id"),
    sa.Index("ix_track_list_did_first_name", "did", "first_name"),
)
it: Final = track_list.c
LIVE: Final = it.deleted_at.is_(None)
IS_UP: Final = it.taken_down_at.is_(None)
IS_ALBUM: Final = it.list_type == sa.literal_column(f"'{ListType.ALBUM}'")
partial_index("uq_track_list_did_name", it.did, it.name, where=sa.and_(LIVE, IS_ALBUM), unique=True)
sa.Index("ix_track_list_did_slug", it.did, it.slug)
MAX_SCANNED_LISTS: Final = 1_000
"""Of one search."""
MAX_LISTS_NAMING: Final = 100
"""The same bytes, of those looked at for a reader of them."""
_PLAIN: Final = tuple(
    column.name
    for column in track_list.columns
    if column.name not in {"bucket", "track_count"} and not column.name.startswith("artwork_")
)


def row_of(made: TrackList) -> dict[str, Any]:
    return {
        **{name: getattr(made, name) for name in _PLAIN},
        **prefixed(made.artwork, "artwork_", Artwork),
        "track_count": len(made.items),
    }


class Lists:
    """The newest state of each album and playlist; jobs carry to other accounts which of their records it follows."""

    name: Final = "track_list"
    fingerprint: Final = fingerprint(VERSION, track_list)
    tables: Final = (ProjectedTable(track_list),)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        latest, wanted = dict[int, TrackList](), list[Wanted]()
        for change, before, made in changes_of(TrackList, changes):
            latest[made.list_id] = made
            if made.followed != (before.followed if before is not None else frozenset()):
                wanted.append(carried(change, made))
        write_rows(connection, into(track_list), [row_of(made) for made in latest.values()])
        if wanted and into(track_list) is track_list:
            queue.request(connection, wanted, changes[-1].recorded_at)


def lock_list(connection: sa.Connection, did: str, list_id: int) -> None:
    connection.execute(sa.select(it.list_id).where(it.did == did, it.list_id == list_id).with_for_update())


def liked_list(connection: sa.Connection, did: str) -> Any:
    """Return the account's list of likes, a deleted one too; None where there was none."""
    these = (it.did == did, it.list_type == ListType.LIKED)
    return connection.execute(sa.select(it.list_id, it.deleted_at).where(*these)).one_or_none()


def live_lists(connection: sa.Connection, did: str, *, at_most: int) -> Sequence[int]:
    return connection.scalars(sa.select(it.list_id).where(it.did == did, LIVE).limit(at_most)).all()


class Cover(NamedTuple):
    """A picture that names some bytes, of a list or a profile of this account."""

    artwork: Artwork
    did: str
    taken_down_at: datetime | None
    is_public: bool = True


def covers_named(connection: sa.Connection, cid: str) -> list[Cover]:
    """Return the covers of live lists that are, or whose thumbnail is, these bytes."""
    names = sa.or_(it.artwork_cid == cid, it.artwork_thumbnail_cid == cid)
    columns = (it.artwork_cid, it.artwork_mime, it.artwork_size, it.artwork_thumbnail_cid)
    query = sa.select(*columns, it.did, it.visibility, it.taken_down_at).where(LIVE, names)
    return [
        Cover(Artwork(*row[:4]), row.did, row.taken_down_at, is_public=row.visibility == Visibility.PUBLIC)
        for row in connection.execute(query.limit(MAX_LISTS_NAMING))
    ]


def album_titled(connection: sa.Connection, did: str, title: str) -> int | None:
    return connection.scalar(sa.select(it.list_id).where(it.did == did, it.name == title, LIVE, IS_ALBUM))


def album_at(connection: sa.Connection, did: str, slug: str) -> int | None:
    """Return the id of the live album of an account with this slug, the newest of several."""
    these = sa.select(it.list_id).where(it.did == did, it.slug == slug, LIVE, IS_ALBUM)
    return connection.scalar(these.order_by(it.list_id.desc()).limit(1))


_older: Final = track_list.alias("older").c
_HAS_ITS_NAME: Final = sa.exists().where(
    *(_older.did == it.did, _older.list_type == it.list_type, _older.first_name == it.first_name),
    *(_older.list_id < it.list_id, sa.or_(_older.deleted_at.is_(None), _older.record_requested)),
)
_NAMED: Final = (it.list_id, it.did, it.name, it.first_name, it.slug, it.track_count, it.taken_down_at)
_COVER: Final = (it.artwork_cid, it.artwork_thumbnail_cid)


def albums_where(
    connection: sa.Connection, *which: sa.ColumnElement[bool], beside: Sequence[sa.ColumnElement[Any]] = ()
) -> Sequence[Any]:
    """Return live albums, with columns `beside`; `is_first` unless an older one of the account had the same name first, which texts alone did not make and unmake."""
    columns = (*_NAMED, *_COVER, (~_HAS_ITS_NAME).label("is_first"), *beside)
    albums = sa.select(*columns).where(LIVE, IS_ALBUM, *which)
    return connection.execute(albums.order_by(it.list_id)).all()


def playlists_named(connection: sa.Connection, part: str, *, limit: int) -> list[Any]:
    """Return public playlists whose name contains a text, in any case, of the newest lists; the newest first."""
    newest = sa.select(track_list).order_by(it.list_id.desc()).limit(MAX_SCANNED_LISTS).subquery().c
    public = (newest.list_type == ListType.PLAYLIST.value, newest.visibility == Visibility.PUBLIC.value)
    rows = connection.execute(
        sa.select(newest.list_id, newest.did, newest.name, newest.artwork_cid, newest.track_count)
        .where(newest.deleted_at.is_(None), newest.taken_down_at.is_(None), *public)
        .order_by(newest.list_id.desc())
    )
    return list(islice((row for row in rows if normalized(part) in normalized(row.name or "")), limit))


def free_slug(connection: sa.Connection, did: str, name: str) -> str:
    """Return a slug for a list of this name that no other live list of the account has."""
    slug = slug_of(name)
    begins = it.slug.startswith(slug, autoescape=True)
    taken = set(connection.scalars(sa.select(it.slug).where(it.did == did, LIVE, begins)))
    numbered = (slug if number == 1 else f"{slug}-{number}" for number in count(1))
    return next(each for each in numbered if each not in taken)
