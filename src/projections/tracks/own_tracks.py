"""Queries of an artist's own tracks, unlisted ones and those taken down included."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from eventstore.untrusted import is_storable
from projections.tracks.search import contains
from projections.tracks.table import LIVE, tracks
from projections.tracks.view import TrackView


class Sort(StrEnum):
    """The orders of a list; titles are compared as search compares them."""

    RECENT = "recent"
    TITLE = "title"


@dataclass(frozen=True)
class OwnPage:
    """Some of an artist's tracks, how many match, and how many of the artist's have audio that may be copied to the PDS."""

    items: tuple[TrackView, ...]
    total: int
    copyable: int


IS_COPYABLE: Final = and_(tracks.c.support_gate.is_(None), tracks.c.blob_ref.is_(None))
"""Whether the audio may be copied to the PDS, and is not there yet."""


def own_page(
    connection: Connection, did: str, *, q: str | None, sort: Sort, offset: int, limit: int
) -> OwnPage:
    """Read a page of an artist's live tracks."""
    own = (LIVE, tracks.c.did == did)
    copyable = _count(connection, *own, IS_COPYABLE)
    if q is not None and not is_storable(q):
        return OwnPage((), 0, copyable)
    found = true() if q is None else contains(connection, q)
    order = (tracks.c.search, tracks.c.track_id) if sort is Sort.TITLE else (tracks.c.track_id.desc(),)
    page = select(tracks).where(*own, found).order_by(*order).offset(offset).limit(limit)
    rows = connection.execute(page).all()
    views = tuple(TrackView.from_row(row) for row in rows)
    return OwnPage(views, _count(connection, *own, found), copyable)


def without_record(connection: Connection, did: str) -> tuple[TrackView, ...]:
    """Return the live tracks whose record another client deleted."""
    missing = (LIVE, tracks.c.did == did, tracks.c.record_missing_since.is_not(None))
    rows = connection.execute(select(tracks).where(*missing).order_by(tracks.c.track_id.desc()))
    return tuple(TrackView.from_row(row) for row in rows)


def audio_sizes(connection: Connection, did: str) -> dict[int, int]:
    """Return the bytes of each live track's audio, by track id."""
    query = select(tracks.c.track_id, tracks.c.audio_size).where(LIVE, tracks.c.did == did)
    return {row.track_id: row.audio_size for row in connection.execute(query)}


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count(tracks.c.track_id)).where(*conditions)) or 0
