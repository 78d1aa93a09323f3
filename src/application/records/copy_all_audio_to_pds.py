"""Copy all of an account's audio to its PDS: one wish for each track, in units of a few tracks."""

from functools import partial
from typing import Final

from aggregates.track import Track
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.blobs.jobs import mark_backfill
from projections.blob_migration import eligible_tracks

TRACKS_IN_A_UNIT: Final = 25
"""An account's other commands wait for one of these."""


def copy_all_audio_to_pds(log: EventLog, did: str, envelope: Envelope, *, failed_too: bool) -> int:
    """Ask for every track that may be on the PDS and is not, and return how many wishes are new.

    A crash leaves the wishes that were committed; asked again, it goes on.
    """
    asked = 0
    after: int | None = 0
    while after is not None:
        some = partial(_ask_for_some, did=did, after=after, failed_too=failed_too)
        found, after = log.transact(did, envelope, some)
        asked += found
    return asked


def _ask_for_some(unit: UnitOfWork, *, did: str, after: int, failed_too: bool) -> tuple[int, int | None]:
    ids = eligible_tracks(unit.connection, did, after=after, limit=TRACKS_IN_A_UNIT, failed_too=failed_too)
    tracks = [_asked(unit, track_id) for track_id in ids]
    unit.save(*tracks)
    mark_backfill(unit.connection, did, ids)
    return len(ids), ids[-1] if len(ids) == TRACKS_IN_A_UNIT else None


def _asked(unit: UnitOfWork, track_id: int) -> Track:
    track = unit.load(Track, Track.create_id(track_id))
    track.request_blob_migration(at=unit.now)
    return track
