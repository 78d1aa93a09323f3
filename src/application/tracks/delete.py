"""Deletes and undeletes a track."""

from aggregates.track import media_cids
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


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
