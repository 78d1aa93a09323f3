"""Copy a track's audio to the PDS; the relay does it, this records the wish."""

from typing import Final

from api.commands.owned import OnTrack, load_owned
from eventstore.unit import Unit
from outbox.blobs.jobs import hurry

AUDIO_BLOB_BYTES: Final = 104_857_600
"""What the lexicon allows for `audioBlob`."""


def migrate_to_pds(unit: Unit, command: OnTrack) -> int:
    """Ask for it; nothing happens where it is there or asked for already."""
    track = load_owned(unit, command)
    track.request_blob_migration(at=unit.now)
    unit.save(track)
    hurry(unit.connection, track.did, track.track_id)
    return track.track_id
