"""Delete a track, and bring it back."""

from aggregates.track import media_cids
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


def delete_track(unit: UnitOfWork, command: OnTrack) -> int:
    """Hide the track and have its record removed; the bytes stay for the grace period."""
    track = load_owned(unit, command)
    track.delete(at=unit.now)
    unit.save(track)
    return track.track_id


def undelete_track(unit: UnitOfWork, command: OnTrack, media: Media) -> int:
    """Bring it back with the same key and content, as long as its bytes are kept."""
    track = load_owned(unit, command, deleted_too=True)
    if track.deleted_at is None:
        return track.track_id
    require_no_duplicate(unit.connection, owner_of(unit), track.audio.cid, but=track.track_id)
    track.undelete(at=unit.now)
    unit.save(track)
    media.pin(unit.connection, list(media_cids(track)))
    return track.track_id
