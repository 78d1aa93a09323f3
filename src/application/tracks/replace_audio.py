"""Replaces a track's audio; everything else stays."""

from dataclasses import dataclass

from aggregates.values import Audio
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


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
