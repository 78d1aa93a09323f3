"""Replace a track's audio; its id, record key and everything else stay."""

from dataclasses import dataclass

from aggregates.values import Audio
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


@dataclass(frozen=True, kw_only=True)
class ReplaceAudio(OnTrack):
    """The new audio, which has been stored."""

    audio: Audio


def replace_audio(unit: UnitOfWork, command: ReplaceAudio, media: Media) -> int:
    """Put it in place; the same audio again is no change."""
    track = load_owned(unit, command)
    require_no_duplicate(unit.connection, owner_of(unit), command.audio.cid, but=track.track_id)
    track.replace_audio(command.audio, at=unit.now)
    unit.save(track)
    media.pin(unit.connection, [command.audio.cid])
    return track.track_id
