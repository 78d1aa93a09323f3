"""Edits a track, replaces its audio, deletes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from aggregates.track import media_cids
from aggregates.values import Artwork, Audio, Downloads, SupportGate
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


class Keep(Enum):
    """Stands for an unchanged value, where None means a removed one."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True)
class EditTrack(OnTrack):
    """Checked values of the changed fields; new media is stored already."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    support_gate: SupportGate | Keep | None = KEEP
    unlisted: bool | None = None
    downloads: Downloads | None = None
    artwork: Artwork | Keep | None = KEEP


def edit_track(unit: UnitOfWork, command: EditTrack, media: Media) -> int:
    """Change the track; an unchanged value makes no event."""
    track = load_owned(unit, command)
    track.update_metadata(command.metadata, at=unit.now)
    if command.support_gate is not KEEP:
        track.set_support_gate(command.support_gate, at=unit.now)
    if command.unlisted is not None:
        track.set_unlisted(command.unlisted, at=unit.now)
    if command.downloads is not None:
        track.set_downloads(command.downloads, at=unit.now)
    if isinstance(command.artwork, Artwork):
        track.replace_artwork(command.artwork, at=unit.now)
    elif command.artwork is None:
        track.remove_artwork(at=unit.now)
    unit.save(track)
    if isinstance(command.artwork, Artwork):
        media.pin(unit.connection, [command.artwork.cid, command.artwork.thumbnail_cid])
    return track.track_id


@dataclass(frozen=True, kw_only=True)
class ReplaceAudio(OnTrack):
    """The new audio, which is stored already."""

    audio: Audio


def replace_audio(unit: UnitOfWork, command: ReplaceAudio, media: Media) -> int:
    """Replace the audio; raises DuplicateAudioError. The same audio makes no event."""
    track = load_owned(unit, command)
    require_no_duplicate(unit.connection, owner_of(unit), command.audio.cid, but=track.track_id)
    track.replace_audio(command.audio, at=unit.now)
    unit.save(track)
    media.pin(unit.connection, [command.audio.cid])
    return track.track_id


def delete_track(unit: UnitOfWork, command: OnTrack) -> int:
    """Hide the track; the relay removes its record, and its bytes stay for the grace period."""
    track = load_owned(unit, command)
    track.delete(at=unit.now)
    unit.save(track)
    return track.track_id


def undelete_track(unit: UnitOfWork, command: OnTrack, media: Media) -> int:
    """Restore the track with its key and content; raises MediaGoneError once its bytes are swept."""
    track = load_owned(unit, command, deleted_too=True)
    if track.deleted_at is None:
        return track.track_id
    require_no_duplicate(unit.connection, owner_of(unit), track.audio.cid, but=track.track_id)
    track.undelete(at=unit.now)
    unit.save(track)
    media.pin(unit.connection, list(media_cids(track)))
    return track.track_id
