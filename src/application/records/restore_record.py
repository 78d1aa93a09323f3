"""Restores a record that another client deleted."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from aggregates.published import Subject
from aggregates.track import Track
from application.authorization import OnTrack, load_owned
from application.errors import AlreadyHasRecordError, MigrationNeededError
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import clear_conflict
from outbox.mirror.namespace_moves import is_taken
from outbox.mirror.states import MirrorReason
from outbox.pds.client import RecordKey
from outbox.views.status import mirrors
from projections.history import history_page


class OnPds(Enum):
    """What a read of the PDS found just before."""

    PRESENT = "present"
    ABSENT = "absent"
    IN_OLD_COLLECTION = "absent, but the old collection has it, which the log does not know"
    UNKNOWN = "unknown"


OF_BLOBS: Final = frozenset({
    Track.BlobMigrated.__name__,
    Track.BlobMigrationFailed.__name__,
    Track.BlobLost.__name__,
})  # fmt: skip
EVENTS_OF_ONE_BLOB: Final = 20


@dataclass(frozen=True, kw_only=True)
class RestoreRecord(OnTrack):
    """Restore the record, given what the PDS held just before."""

    on_pds: OnPds
    old_collection: str
    collection: str


def restore_record(unit: UnitOfWork, command: RestoreRecord) -> int:
    """Record that the relay has to write the record again, once.

    Raises MigrationNeededError or AlreadyHasRecordError.
    """
    track = load_owned(unit, command)
    moved = RecordKey(track.did, command.collection, track.rkey)
    can_move = not is_taken(unit.connection, moved, excluding=Subject(track.TOPIC, track.track_id))
    if command.on_pds is OnPds.IN_OLD_COLLECTION or (track.collection == command.old_collection and can_move):
        raise MigrationNeededError(command.old_collection)
    if _was_just_restored(unit, track) and not _needs_another(unit, track, command.on_pds):
        return track.track_id
    if command.on_pds is OnPds.PRESENT and track.record_missing_since is None:
        raise AlreadyHasRecordError(RecordKey(track.did, track.collection, track.rkey).uri)
    track.restore_record(at=unit.now)
    unit.save(track)
    clear_conflict(unit.connection, track.TOPIC, track.subject_id)
    return track.track_id


def _was_just_restored(unit: UnitOfWork, track: Track) -> bool:
    """Whether RecordRestored is the newest event, apart from the relay's events about blobs."""
    page = history_page(unit.connection, track.track_id, limit=EVENTS_OF_ONE_BLOB)
    types = [entry.type for entry in page.items if entry.type not in OF_BLOBS]
    return types[:1] == [Track.RecordRestored.__name__]


def _needs_another(unit: UnitOfWork, track: Track, on_pds: OnPds) -> bool:
    """Whether the restored record was confirmed and may be gone again, or waits for one in the old collection that is gone."""
    mirror = mirrors(unit.connection, track.TOPIC, [track.track_id])[track.track_id]
    if mirror.reason == MirrorReason.MIGRATION_NEEDED:
        return True
    return on_pds is not OnPds.PRESENT and mirror.acked_generation >= mirror.generation
