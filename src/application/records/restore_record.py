"""Restores a record that another client deleted."""

from enum import Enum
from typing import Final

from aggregates.published import (
    ForeignEditObserved,
    ForeignEditWithdrawn,
    Published,
    PublishedEvent,
    RecordMissing,
    Subject,
    event_classes,
)
from application.errors import AlreadyHasRecordError, MigrationNeededError
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import clear_conflict
from outbox.mirror.namespace_moves import is_taken
from outbox.mirror.states import MirrorReason
from outbox.pds.client import RecordKey
from outbox.record.kind import RecordKind
from outbox.views.status import mirrors
from projections.history import history_page


class OnPds(Enum):
    """What a read of the PDS found just before."""

    PRESENT = "present"
    ABSENT = "absent"
    IN_OLD_COLLECTION = "absent, but the old collection has it, which the log does not know"
    UNKNOWN = "unknown"


SEEN_AT_PDS: Final = (RecordMissing, ForeignEditObserved, ForeignEditWithdrawn)
"""What the relay says of the record; all else that it says is about blobs."""
EVENTS_OF_ONE_BLOB: Final = 20


def restore_record(unit: UnitOfWork, subject: Published, kind: RecordKind, on_pds: OnPds) -> int:
    """Record that the relay has to write the record again, once, given what the PDS held just before.

    Raises MigrationNeededError or AlreadyHasRecordError.
    """
    if on_pds is OnPds.IN_OLD_COLLECTION or _can_move(unit, subject, kind):
        raise MigrationNeededError(kind.old_collection or "")
    if _was_just_restored(unit, subject) and not _needs_another(unit, subject, on_pds):
        return subject.subject_id
    if on_pds is OnPds.PRESENT and subject.record_missing_since is None:
        raise AlreadyHasRecordError(RecordKey(subject.did, subject.collection, subject.rkey).uri)
    subject.restore_record(at=unit.now)
    unit.save(subject)
    clear_conflict(unit.connection, subject.TOPIC, subject.subject_id)
    return subject.subject_id


def _can_move(unit: UnitOfWork, subject: Published, kind: RecordKind) -> bool:
    moved = RecordKey(subject.did, kind.collection, subject.rkey)
    return subject.collection == kind.old_collection and not is_taken(
        unit.connection, moved, excluding=Subject(subject.TOPIC, subject.subject_id)
    )


def _was_just_restored(unit: UnitOfWork, subject: Published) -> bool:
    """Whether RecordRestored is the newest event, apart from the relay's events about blobs."""
    page = history_page(unit.connection, subject.subject_id, kind=subject.TOPIC, limit=EVENTS_OF_ONE_BLOB)
    of_blobs = {
        each.__name__
        for each in event_classes(type(subject))
        if issubclass(each, PublishedEvent) and each.BY_RELAY and not issubclass(each, SEEN_AT_PDS)
    }
    types = [entry.type for entry in page.items if entry.type not in of_blobs]
    return types[:1] == [subject.RecordRestored.__name__]


def _needs_another(unit: UnitOfWork, subject: Published, on_pds: OnPds) -> bool:
    """Whether the restored record was confirmed and may be gone again, or waits for one in the old collection that is gone."""
    mirror = mirrors(unit.connection, subject.TOPIC, [subject.subject_id])[subject.subject_id]
    if mirror.reason == MirrorReason.MIGRATION_NEEDED:
        return True
    return on_pds is not OnPds.PRESENT and mirror.acked_generation >= mirror.generation
