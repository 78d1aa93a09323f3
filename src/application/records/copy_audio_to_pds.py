"""Copy a track's audio to the PDS; the relay does it, this records the wish."""

from typing import Final

from application.authorization import OnTrack, load_owned
from eventstore.unit_of_work import UnitOfWork
from outbox.blobs.jobs import mark_live

AUDIO_BLOB_BYTES: Final = 104_857_600
"""What the lexicon allows for `audioBlob`."""


def copy_audio_to_pds(unit: UnitOfWork, command: OnTrack) -> int:
    """Ask for it; nothing happens where it is there or asked for already."""
    track = load_owned(unit, command)
    track.request_blob_migration(at=unit.now)
    unit.save(track)
    mark_live(unit.connection, track.did, track.track_id)
    return track.track_id
