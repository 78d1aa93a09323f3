"""Queries of what listed tracks have in common: tags, albums, artists."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, func, select

from aggregates.values import tag_as_stored
from eventstore.untrusted import is_storable
from projections.tracks.queries import end_of_scan, is_shown_to
from projections.tracks.search import ESCAPE, contains, escaped
from projections.tracks.table import LIVE, SEPARATOR, normalized, track_tags, tracks

COUNT: Final = func.count()
LINES: Final = 3
"""Of the search text: title, artist and album."""
MAX_FOUND_ROWS: Final = 1000
"""Of one search."""


class TagCount(NamedTuple):
    """A tag, and how many listed tracks have it."""

    name: str
    tracks: int


class AlbumEntry(NamedTuple):
    """An album of an artist (a DID), by the artist's name on its newest track."""

    did: str
    title: str
    artist: str


def tags_by_use(
    connection: Connection, viewer: str | None, *, begins: str = "", part: str = "", limit: int
) -> list[TagCount]:
    """Return the most used tags that begin with a text, or contain one, those used as often by name."""
    if not (is_storable(begins) and is_storable(part)):
        return []
    found = (
        select(track_tags.c.tag, COUNT.label("tracks"))
        .join(tracks, tracks.c.track_id == track_tags.c.track_id)
        .where(LIVE, is_shown_to(viewer))
        .group_by(track_tags.c.tag)
        .order_by(COUNT.desc(), track_tags.c.tag)
        .limit(limit)
    )
    if begins:
        found = found.where(track_tags.c.tag.startswith(tag_as_stored(begins), autoescape=True))
    if part:
        found = found.where(track_tags.c.tag.contains(tag_as_stored(part), autoescape=True))
    return [TagCount(row.tag, row.tracks) for row in connection.execute(found)]


def track_count(connection: Connection, viewer: str | None, tag: str) -> int:
    """Return how many listed tracks have a tag."""
    if not is_storable(tag):
        return 0
    tagged = (
        select(COUNT)
        .select_from(track_tags.join(tracks, tracks.c.track_id == track_tags.c.track_id))
        .where(track_tags.c.tag == tag_as_stored(tag), LIVE, is_shown_to(viewer))
    )
    return connection.scalar(tagged) or 0


def albums_named(connection: Connection, viewer: str | None, part: str, *, limit: int) -> list[AlbumEntry]:
    """Return albums whose title contains a text, in any case; those of the newest tracks first."""
    query = (
        select(tracks.c.did, tracks.c.album, func.max(tracks.c.artist).label("artist"))
        .where(tracks.c.album.is_not(None))
        .group_by(tracks.c.did, tracks.c.album)
        .order_by(func.max(tracks.c.track_id).desc())
    )
    found = _with_part(connection, query, viewer, part, lines_before=2)
    albums = (AlbumEntry(row.did, row.album, row.artist) for row in found)
    return [each for each in albums if normalized(part) in normalized(each.title)][:limit]


def artists_named(connection: Connection, viewer: str | None, part: str, *, limit: int) -> list[str]:
    """Return the DIDs of artists whose name, on a listed track, contains a text, in any case."""
    query = select(tracks.c.did, tracks.c.artist).distinct().order_by(tracks.c.did)
    found = _with_part(connection, query, viewer, part, lines_before=1)
    dids = dict.fromkeys(row.did for row in found if normalized(part) in normalized(row.artist))
    return list(dids)[:limit]


def with_tracks(connection: Connection, viewer: str | None, dids: Collection[str]) -> set[str]:
    """Return those accounts that have a listed track."""
    listed = select(tracks.c.did).where(LIVE, is_shown_to(viewer), tracks.c.did.in_(dids))
    return set(connection.scalars(listed.distinct()))


def _with_part(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    viewer: str | None,
    part: str,
    *,
    lines_before: int,
) -> Sequence[Row[Any]]:
    """Run the query over the newest listed tracks whose search text contains `part` after so many lines: title, artist and album are one each.

    A title may have a line break itself, so that the caller compares again.
    """
    if not is_storable(part):
        return []
    is_found = contains(connection, part)
    before, after = f"%{SEPARATOR}" * lines_before, "" if lines_before == LINES - 1 else f"{SEPARATOR}%"
    pattern = f"{before}%{escaped(normalized(part))}%{after}"
    is_there = tracks.c.search.like(pattern, escape=ESCAPE)
    if (oldest := end_of_scan(connection)) is not None:
        query = query.where(tracks.c.track_id >= oldest)
    return connection.execute(
        query.where(LIVE, is_shown_to(viewer), is_found, is_there).limit(MAX_FOUND_ROWS)
    ).all()
