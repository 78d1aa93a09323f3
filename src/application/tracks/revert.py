"""Reverts fields of a track to an earlier version, each by the ordinary event that sets it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aggregates.errors import InvalidFieldError
from aggregates.track import METADATA, Track, media_cids
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from application.tracks.as_of import track_at_version
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media

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


def revert_track(unit: UnitOfWork, command: Revert, log: EventLog, media: Media) -> int:
    """Revert the fields; unchanged ones make no event. Raises VersionNotFoundError, DuplicateAudioError, or MediaGoneError for swept bytes."""
    track = load_owned(unit, command)
    past = track_at_version(log, unit.connection, track.track_id, command.to_version)
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
