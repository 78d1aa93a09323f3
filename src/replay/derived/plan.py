"""Finds live tracks whose cover has no renditions yet, or whose audio no waveform, and requests them.

The worker looks at the tracks that changed last, which costs the same whatever their number; a periodic job looks at all.
"""

from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, and_, func, or_, select

from aggregates.track import Track
from eventstore.database import Database
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import job
from projections.history import history
from projections.tracks.table import LIVE, tracks
from storage.derived.renditions import DerivedKind, made
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


LACKING: Final = (
    (DerivedKind.RENDITIONS, track.artwork_cid, track.artwork_cid.is_not(None), made.source),
    (DerivedKind.COVER, track.image_url, HAS_URL_ALONE, made.source),
    (DerivedKind.WAVEFORM, track.audio_cid, track.audio_file_type.in_(DECODED_FILE_TYPES), waveform.c.cid),
)
"""The kind, its source, whether a track can have it, and the source of what was made."""


def request_recent(database: Database) -> int:
    """Request what the tracks that changed last lack; return how much that is."""
    return _request(database, track.track_id.in_(select(_RECENT.c.track_id)))


def request_all(database: Database) -> int:
    """Request what any track lacks, up to MAX_REQUESTED_AT_ONCE of each kind; return how much that is."""
    return _request(database)


def _request(database: Database, *which: ColumnElement[bool]) -> int:
    found: list[Wanted] = []
    with database.read_committed() as connection:
        for kind, source, can_have_one, made_of in LACKING:
            is_known = or_(
                select(made_of).where(made_of == source).exists(),
                select(job.c.id).where(job.c.kind == kind, job.c.subject == source).exists(),
            )
            lacking = select(source, func.min(track.did)).where(LIVE, can_have_one, ~is_known, *which)
            for subject, did in connection.execute(lacking.group_by(source).limit(MAX_REQUESTED_AT_ONCE)):
                host = _host_of(subject) if kind is DerivedKind.COVER else ""
                found.append(Wanted(kind, subject, did, host))
    if found:
        with database.write() as connection:
            queue.request(connection, found, database.now(connection))
    return len(found)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
