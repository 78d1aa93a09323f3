"""Requests a copy of a track's audio on the PDS; the relay uploads it."""

from typing import Final

from application.authorization import OnTrack, load_owned
from eventstore.unit_of_work import UnitOfWork
from outbox.blobs.jobs import mark_live

AUDIO_BLOB_BYTES: Final = 104_857_600
"""The lexicon's limit of `audioBlob`."""


def copy_audio_to_pds(unit: UnitOfWork, command: OnTrack) -> int:
    """Record the request, unless the copy exists or was requested already."""
    track = load_owned(unit, command)
    track.request_blob_migration(at=unit.now)
    unit.save(track)
    mark_live(unit.connection, track.did, track.track_id)
    return track.track_id
