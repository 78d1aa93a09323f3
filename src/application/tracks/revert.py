"""Reverts fields of a track to an earlier version, each by the ordinary event that sets it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aggregates.track import METADATA, Track, media_cids
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from application.tracks.as_of import track_at_version
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media

FIELDS: Final = (*METADATA, "artwork", "support_gate", "unlisted", "downloads", "audio")
"""The fields that can be reverted: not what the relay observed, and not deletion, which undelete reverts."""


@dataclass(frozen=True, kw_only=True)
class Revert(OnTrack):
    """The earlier version, and the fields to revert to it."""

    to_version: int
    fields: Collection[str] = FIELDS


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
