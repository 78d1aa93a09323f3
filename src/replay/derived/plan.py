"""Finds live tracks whose cover has no renditions yet, or whose audio no waveform, and requests them.

The worker looks at the tracks that changed last, which costs the same whatever their number; a periodic job looks at all.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from aggregates.track import Track
from eventstore.database import Database
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import job
from projections.history import history
from projections.tracks.table import LIVE, tracks
from storage.derived.jobs import DerivedKind
from storage.derived.renditions import made
from storage.derived.waveforms import DECODED_FILE_TYPES, waveform

MAX_REQUESTED_AT_ONCE: Final = 1000
MAX_RECENT_CHANGES: Final = 200
MAX_URL_CHARACTERS: Final = 600
"""As UTF-8, an index of PostgreSQL still takes so many; a cover at a longer address is not fetched."""

track: Final = tracks.c
HAS_URL_ALONE: Final = and_(
    track.artwork_cid.is_(None),
    or_(track.image_url.startswith("https://"), track.image_url.startswith("http://")),
    func.length(track.image_url) <= MAX_URL_CHARACTERS,
)
_RECENT: Final = (
    select(history.c.track_id)
    .where(history.c.kind == Track.TOPIC)
    .order_by(history.c.position.desc())
    .limit(MAX_RECENT_CHANGES)
    .subquery()
)


def request_recent(database: Database) -> int:
    """Request what the tracks that changed last lack; return how much that is."""
    return _request(database, track.track_id.in_(select(_RECENT.c.track_id)))


def request_all(database: Database) -> int:
    """Request what any track lacks, up to MAX_REQUESTED_AT_ONCE of each kind; return how much that is."""
    return _request(database)


def _request(database: Database, *which: ColumnElement[bool]) -> int:
    with database.read_committed() as connection:
        found = [wanted for lacking in LACKING for wanted in lacking(connection, which)]
    if found:
        with database.write() as connection:
            queue.request(connection, found, database.now(connection))
    return len(found)


def _covers(connection: Connection, which: Sequence[ColumnElement[bool]]) -> Sequence[Wanted]:
    has_none = _is_unknown(DerivedKind.RENDITIONS, track.artwork_cid, made.source)
    found = _sources(connection, track.artwork_cid, track.artwork_cid.is_not(None), has_none, *which)
    return [Wanted(DerivedKind.RENDITIONS, cid, did) for cid, did in found]


def _covers_elsewhere(connection: Connection, which: Sequence[ColumnElement[bool]]) -> Sequence[Wanted]:
    has_none = _is_unknown(DerivedKind.COVER, track.image_url, made.source)
    found = _sources(connection, track.image_url, HAS_URL_ALONE, has_none, *which)
    return [Wanted(DerivedKind.COVER, url, did, _host_of(url)) for url, did in found]


def _sounds(connection: Connection, which: Sequence[ColumnElement[bool]]) -> Sequence[Wanted]:
    has_none = _is_unknown(DerivedKind.WAVEFORM, track.audio_cid, waveform.c.cid)
    can_have_one = track.audio_file_type.in_(DECODED_FILE_TYPES)
    found = _sources(connection, track.audio_cid, can_have_one, has_none, *which)
    return [Wanted(DerivedKind.WAVEFORM, cid, did) for cid, did in found]


LACKING: Final[Sequence[Callable[[Connection, Sequence[ColumnElement[bool]]], Sequence[Wanted]]]] = (
    _covers,
    _covers_elsewhere,
    _sounds,
)


def _is_unknown(
    kind: DerivedKind, source: ColumnElement[Any], made_of: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether this was neither made nor requested."""
    is_made = select(made_of).where(made_of == source).exists()
    return and_(~is_made, ~select(job.c.id).where(job.c.kind == kind, job.c.subject == source).exists())


def _sources(
    connection: Connection, source: ColumnElement[Any], *conditions: ColumnElement[bool]
) -> Sequence[Any]:
    """Return the sources, each with one account that has it."""
    account = func.min(track.did)
    found = select(source, account).where(LIVE, *conditions).group_by(source).limit(MAX_REQUESTED_AT_ONCE)
    return connection.execute(found).all()


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
