"""Requests copies of audio on the PDS, of a track or of all of an account's; the relay uploads them."""

from collections.abc import Sequence
from typing import Final

from aggregates.track import Track
from application.authorization import OnTrack, load_owned
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.blobs.jobs import mark_backfill
from projections.tracks.queries import eligible_tracks

AUDIO_BLOB_BYTES: Final = 104_857_600
"""The lexicon's limit of `audioBlob`."""


def copy_audio_to_pds(unit: UnitOfWork, command: OnTrack) -> int:
    """Record the request, unless the copy exists or was requested already."""
    track = load_owned(unit, command)
    track.request_blob_migration(at=unit.now)
    unit.save(track)
    mark_backfill(unit.connection, track.did, Track.subjects([track.track_id]), backfill=False)
    return track.track_id


TRACKS_IN_A_UNIT: Final = 25
"""The account's other commands wait for such a unit."""


def copy_all_audio_to_pds(log: EventLog, did: str, envelope: Envelope, *, failed_too: bool) -> int:
    """Request a copy for every track that may have one and has none; return the number of new requests.

    A crash leaves the committed requests; a repeated call continues.
    """
    requested, after = 0, 0

    def request_some(unit: UnitOfWork) -> Sequence[int]:
        ids = eligible_tracks(
            unit.connection, did, after=after, limit=TRACKS_IN_A_UNIT, failed_too=failed_too
        )
        tracks = unit.load_all(Track, [Track.create_id(track_id) for track_id in ids])
        for track in tracks:
            track.request_blob_migration(at=unit.now)
        unit.save(*tracks)
        mark_backfill(unit.connection, did, Track.subjects(ids))
        return ids

    while ids := log.transact(did, envelope, request_some):
        requested, after = requested + len(ids), ids[-1]
    return requested
