"""A track as it was, and how it becomes so again.

A revert sets fields back to an earlier version, each by the ordinary event that sets it; earlier audio is found by the event that replaced it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from aggregates.errors import InvalidFieldError
from aggregates.track import METADATA, Track, media_cids
from aggregates.values import Audio
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from application.errors import AcrossGateError, RevisionNotFoundError, VersionNotFoundError
from application.tracks.commands import at_expected_version
from eventstore.change import of_class
from eventstore.event_log import MAX_VERSION, EventLog
from eventstore.schema import stored_event
from eventstore.streams.buckets import bucket_of
from eventstore.unit_of_work import UnitOfWork
from projections.history import changes_between
from projections.media_references import media_references
from storage.media import IS_LIVE, Media, media
from storage.taken_down import require_not_taken_down


def track_at_version(
    log: EventLog, connection: sa.Connection, did: str, track_id: int, version: int
) -> Track:
    """Return the track after the event of this version; raises VersionNotFoundError."""
    stream = Track.create_id(track_id)
    found = log.state_at(connection, did, stream, version) if version <= MAX_VERSION else None
    if found is None or found.state.version != version:
        raise VersionNotFoundError
    return of_class(Track, found.state)


def track_at_time(log: EventLog, connection: sa.Connection, did: str, track_id: int, at: datetime) -> Track:
    """Return the track after the last event that was recorded at this time or before; raises VersionNotFoundError."""
    event, stream = stored_event.c, Track.create_id(track_id)
    until = (event.bucket == bucket_of(did), event.originator_id == str(stream), event.recorded_at <= at)
    version = connection.scalar(sa.select(sa.func.max(event.originator_version)).where(*until))
    return track_at_version(log, connection, did, track_id, version or 0)


def track_as_it_is(log: EventLog, connection: sa.Connection, did: str, track_id: int) -> Track:
    """Return the track after its newest event; raises VersionNotFoundError where there was none."""
    latest = log.latest(did, Track.create_id(track_id), lambda query: query.start(connection).all())
    if latest is None:
        raise VersionNotFoundError
    return of_class(Track, latest.state)


def changes_between_versions(
    log: EventLog, connection: sa.Connection, did: str, track_id: int, versions: tuple[int, int]
) -> list[dict[str, Any]]:
    """List the fields that differ between two versions; version 0 is before the track was there."""
    before, after = (
        track_at_version(log, connection, did, track_id, version) if version != 0 else None
        for version in versions
    )
    return changes_between(before, after)


@dataclass(frozen=True)
class KeptAudio:
    """Whether the bytes are stored, and until when at least; None while a track names them, or they are gone."""

    is_kept: bool
    until: datetime | None


def kept_audio(connection: sa.Connection, cid: str, grace: timedelta) -> KeptAudio:
    """Return what the sweep lets be of these bytes, which other tracks may name too."""
    of_media, names = media.c, media_references.c
    touched_at = connection.scalar(sa.select(of_media.touched_at).where(of_media.cid == cid, IS_LIVE))
    if touched_at is None:
        return KeptAudio(is_kept=False, until=None)
    released = connection.scalars(sa.select(names.released_at).where(names.cid == cid)).all()
    times = [at for at in released if at is not None]
    if len(times) < len(released):
        return KeptAudio(is_kept=True, until=None)
    return KeptAudio(is_kept=True, until=max([touched_at, *times]) + grace)


FIELDS: Final = (*METADATA, "artwork", "support_gate", "unlisted", "downloads", "audio")
"""The fields that can be reverted."""
_OF_UPLOAD: Final = "it stays as the upload has set it"
_OF_RECORD: Final = "it is part of the record's address"
_OF_PDS: Final = "it says what the PDS has; the relay observes it"
_OF_OPERATOR: Final = "an operator decides it"
KEPT_BECAUSE: Final = {
    "artist": _OF_UPLOAD,
    "created_at": _OF_UPLOAD,
    "collection": _OF_RECORD,
    "rkey": _OF_RECORD,
    "image_url": "`artwork` brings it back",
    "blob": "`audio` brings it back, once the PDS has a copy again",
    "blob_requested": _OF_PDS,
    "blob_failure": _OF_PDS,
    "record_missing_since": _OF_PDS,
    "foreign_edit": _OF_PDS,
    "deleted_at": "an undelete brings a deleted track back",
    "taken_down_at": _OF_OPERATOR,
    "takedown_reason": _OF_OPERATOR,
}
"""Why each of the other fields that history shows cannot be reverted."""


@dataclass(frozen=True, kw_only=True)
class Revert(OnTrack):
    """The earlier version, and the fields to revert to it."""

    to_version: int
    fields: Collection[str] = FIELDS


def require_revertible(fields: Collection[str]) -> None:
    """Raise InvalidFieldError for the first field that cannot be reverted, and say why."""
    for name in fields:
        if name in KEPT_BECAUSE:
            raise InvalidFieldError("fields", f"{name} cannot be reverted: {KEPT_BECAUSE[name]}")
        if name not in FIELDS:
            raise InvalidFieldError("fields", f"must be some of: {', '.join(FIELDS)}")


def published_by_reverting(connection: sa.Connection, command: Revert, log: EventLog) -> Audio | None:
    """The audio after the revert, where it is open then and is not public now."""
    view = at_expected_version(connection, command)
    if view is None:
        return None
    past = track_at_version(log, connection, view.did, command.track_id, command.to_version)
    gate = past.support_gate if "support_gate" in command.fields else view.support_gate
    audio = past.audio if "audio" in command.fields else view.audio
    if gate is not None or (view.support_gate is None and audio.cid == view.audio.cid):
        return None
    if audio.cid != view.audio.cid:
        require_not_taken_down(connection, [audio.cid])
    return audio


def revert_track(unit: UnitOfWork, command: Revert, log: EventLog, media: Media) -> int:
    """Revert the fields; unchanged ones make no event. Raises VersionNotFoundError, DuplicateAudioError, or MediaGoneError for swept bytes."""
    track = load_owned(unit, command)
    past = track_at_version(log, unit.connection, track.did, track.track_id, command.to_version)
    if "audio" in command.fields and past.audio.cid != track.audio.cid:
        require_no_duplicate(unit.connection, owner_of(unit), past.audio.cid, but=track.track_id)
    named_before = set(media_cids(track))
    _set_back(track, past, command.fields, unit.now)
    unit.save(track)
    media.pin(unit.connection, [cid for cid in media_cids(track) if cid not in named_before])
    return track.track_id


def _set_back(track: Track, past: Track, fields: Collection[str], at: datetime) -> None:
    track.update_metadata({name: getattr(past, name) for name in METADATA if name in fields}, at=at)
    if "artwork" in fields:
        if past.artwork is not None:
            track.replace_artwork(past.artwork, at=at)
        elif past.image_url is not None:
            track.restore_image_url(past.image_url, at=at)
        else:
            track.remove_artwork(at=at)
    if "support_gate" in fields:
        track.set_support_gate(past.support_gate, at=at)
    if "unlisted" in fields:
        track.set_unlisted(past.unlisted, at=at)
    if "downloads" in fields:
        track.set_downloads(past.downloads, at=at)
    if "audio" in fields:
        track.replace_audio(past.audio, at=at)
        if past.blob is not None and track.support_gate is None:
            track.request_blob_migration(at=at)


@dataclass(frozen=True)
class AudioRevision:
    """Audio that a track had; `id` is the position of the event that replaced it, `version` the last one with it."""

    id: int
    version: int
    replaced_at: datetime
    audio: Audio
    on_pds: bool
    was_gated: bool


@dataclass(frozen=True, kw_only=True)
class RestoreRevision(OnTrack):
    revision_id: int


MOST_REVISIONS: Final = 10
"""As many as plyr.fm keeps."""
MOST_REPLACEMENTS: Final = 2 * MOST_REVISIONS
"""That are looked at: the same audio may have been there several times."""


def audio_revisions(
    log: EventLog, connection: sa.Connection, did: str, track_id: int
) -> Sequence[AudioRevision]:
    """Return the track's earlier audio, newest first, each once and without what it has now."""
    event, stream = stored_event.c, str(Track.create_id(track_id))
    replacements = (
        sa.select(event.position, event.originator_version, event.recorded_at)
        .where(
            event.bucket == bucket_of(did),
            event.originator_id == stream,
            event.topic == Track.AudioReplaced.TOPIC,
        )
        .order_by(event.originator_version.desc())
        .limit(MOST_REPLACEMENTS)
    )
    now = track_as_it_is(log, connection, did, track_id).audio.cid
    found: dict[str, AudioRevision] = {}
    for replaced in connection.execute(replacements):
        track = track_at_version(log, connection, did, track_id, replaced.originator_version - 1)
        if track.audio.cid != now and track.audio.cid not in found:
            found[track.audio.cid] = AudioRevision(
                id=replaced.position,
                version=track.version,
                replaced_at=replaced.recorded_at,
                audio=track.audio,
                on_pds=track.blob is not None,
                was_gated=track.support_gate is not None,
            )
    return [*found.values()][:MOST_REVISIONS]


def published_by_restoring(
    connection: sa.Connection, command: RestoreRevision, log: EventLog
) -> Audio | None:
    """Return the audio that becomes public, as `published_by_reverting`; raises RevisionNotFoundError."""
    if (view := at_expected_version(connection, command)) is None:
        return None
    revision = _revision(log, connection, view.did, command)
    return published_by_reverting(connection, _revert(command, revision), log)


def restore_revision(unit: UnitOfWork, command: RestoreRevision, log: EventLog, media: Media) -> int:
    """Give the track the audio again; raises as `revert_track`, RevisionNotFoundError or AcrossGateError."""
    track = load_owned(unit, command)
    revision = _revision(log, unit.connection, track.did, command)
    if revision.was_gated is not (track.support_gate is not None):
        raise AcrossGateError
    return revert_track(unit, _revert(command, revision), log, media)


def _revision(log: EventLog, connection: sa.Connection, did: str, command: RestoreRevision) -> AudioRevision:
    for revision in audio_revisions(log, connection, did, command.track_id):
        if revision.id == command.revision_id:
            return revision
    raise RevisionNotFoundError


def _revert(command: RestoreRevision, revision: AudioRevision) -> Revert:
    return Revert(command.track_id, command.versions, to_version=revision.version, fields=("audio",))
