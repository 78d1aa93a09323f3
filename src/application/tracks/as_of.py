"""A track as it was: the fold of the first events of its stream."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, select

from aggregates.track import Track
from application.errors import VersionNotFoundError
from eventstore.change import RecordedEvent
from eventstore.event_log import EventLog
from projections.media_references import media_references
from projections.visible_state import difference, visible_state
from storage.media import MediaState, media

MOST_VERSIONS = 2**31 - 1


def track_at_version(log: EventLog, connection: Connection, track_id: int, version: int) -> Track:
    """Return the track after the event of this version; raises VersionNotFoundError."""
    if not 0 < version <= MOST_VERSIONS:
        raise VersionNotFoundError
    track = _fold(log, connection, track_id, lambda recorded: recorded.version <= version)
    if track.version != version:
        raise VersionNotFoundError
    return track


def track_at_time(log: EventLog, connection: Connection, track_id: int, at: datetime) -> Track:
    """Return the track after the last event that was recorded at this time or before; raises VersionNotFoundError."""
    return _fold(log, connection, track_id, lambda recorded: recorded.recorded_at <= at)


def track_as_it_is(log: EventLog, connection: Connection, track_id: int) -> Track:
    """Return the track after its newest event; raises VersionNotFoundError where there was none."""
    return _fold(log, connection, track_id, lambda _: True)


def changes_between(
    log: EventLog, connection: Connection, track_id: int, one: int, other: int
) -> list[dict[str, Any]]:
    """List the fields that differ between two versions; version 0 is before the track was there."""
    before, after = (
        visible_state(track_at_version(log, connection, track_id, version) if version != 0 else None)
        for version in (one, other)
    )
    return difference(before, after)


def _fold(
    log: EventLog, connection: Connection, track_id: int, belongs: Callable[[RecordedEvent], bool]
) -> Track:
    recorded = log.stream(connection, Track.create_id(track_id))
    track = log.fold(Track, takewhile(belongs, recorded))
    if track is None:
        raise VersionNotFoundError
    return track


@dataclass(frozen=True)
class KeptAudio:
    """Whether the bytes are stored, and until when at least; None while a track names them, or they are gone."""

    is_kept: bool
    until: datetime | None


def kept_audio(connection: Connection, cid: str, grace: timedelta) -> KeptAudio:
    """Return what the sweep lets be of these bytes, which other tracks may name too."""
    of_media, names = media.c, media_references.c
    touched_at = connection.scalar(
        select(of_media.touched_at).where(of_media.cid == cid, of_media.state == MediaState.LIVE)
    )
    if touched_at is None:
        return KeptAudio(is_kept=False, until=None)
    released = connection.scalars(select(names.released_at).where(names.cid == cid)).all()
    times = [at for at in released if at is not None]
    if len(times) < len(released):
        return KeptAudio(is_kept=True, until=None)
    return KeptAudio(is_kept=True, until=max([touched_at, *times]) + grace)
