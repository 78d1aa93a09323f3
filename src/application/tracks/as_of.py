"""A track as it was."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from aggregates.track import Track
from application.errors import VersionNotFoundError
from eventstore.change import of_class
from eventstore.event_log import MAX_VERSION, EventLog
from eventstore.schema import stored_event
from projections.history import difference, visible_state
from projections.media_references import media_references
from storage.media import MediaState, media


def track_at_version(log: EventLog, connection: sa.Connection, track_id: int, version: int) -> Track:
    """Return the track after the event of this version; raises VersionNotFoundError."""
    found = log.state_at(connection, Track.create_id(track_id), version) if version <= MAX_VERSION else None
    if found is None or found.state.version != version:
        raise VersionNotFoundError
    return of_class(Track, found.state)


def track_at_time(log: EventLog, connection: sa.Connection, track_id: int, at: datetime) -> Track:
    """Return the track after the last event that was recorded at this time or before; raises VersionNotFoundError."""
    event, stream = stored_event.c, Track.create_id(track_id)
    until = (event.originator_id == str(stream), event.recorded_at <= at)
    version = connection.scalar(sa.select(sa.func.max(event.originator_version)).where(*until))
    return track_at_version(log, connection, track_id, version or 0)


def track_as_it_is(log: EventLog, connection: sa.Connection, track_id: int) -> Track:
    """Return the track after its newest event; raises VersionNotFoundError where there was none."""
    latest = log.latest(Track.create_id(track_id), lambda query: query.start(connection).all())
    if latest is None:
        raise VersionNotFoundError
    return of_class(Track, latest.state)


def changes_between(
    log: EventLog, connection: sa.Connection, track_id: int, one: int, other: int
) -> list[dict[str, Any]]:
    """List the fields that differ between two versions; version 0 is before the track was there."""
    before, after = (
        visible_state(track_at_version(log, connection, track_id, version) if version != 0 else None)
        for version in (one, other)
    )
    return difference(before, after)


@dataclass(frozen=True)
class KeptAudio:
    """Whether the bytes are stored, and until when at least; None while a track names them, or they are gone."""

    is_kept: bool
    until: datetime | None


def kept_audio(connection: sa.Connection, cid: str, grace: timedelta) -> KeptAudio:
    """Return what the sweep lets be of these bytes, which other tracks may name too."""
    of_media, names = media.c, media_references.c
    touched_at = connection.scalar(
        sa.select(of_media.touched_at).where(of_media.cid == cid, of_media.state == MediaState.LIVE)
    )
    if touched_at is None:
        return KeptAudio(is_kept=False, until=None)
    released = connection.scalars(sa.select(names.released_at).where(names.cid == cid)).all()
    times = [at for at in released if at is not None]
    if len(times) < len(released):
        return KeptAudio(is_kept=True, until=None)
    return KeptAudio(is_kept=True, until=max([touched_at, *times]) + grace)
