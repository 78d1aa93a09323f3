"""Moves a record from its kind's old collection to the current one."""

from aggregates.errors import UndecidedForeignEditError
from aggregates.published import Published, Subject
from application.errors import CannotMoveError
from application.records.restore_record import OnPds
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import has_conflict
from outbox.mirror.namespace_moves import carry_over, expect_record, is_accounted_for, is_taken
from outbox.pds.client import RecordKey
from outbox.record.kind import RecordKind


def change_namespace(
    unit: UnitOfWork, subject: Published, kind: RecordKind, found: OnPds = OnPds.ABSENT
) -> int:
    """Request the move; a record in the current collection is left unchanged, unless the old one has it too, or may.

    `found` is whether the old collection has the record of a subject that is in the current one.
    """
    old = RecordKey(subject.did, kind.old_collection or "", subject.rkey)
    new = RecordKey(subject.did, kind.collection, subject.rkey)
    if subject.collection == kind.collection:
        _move_what_is_left(unit, subject, old, found)
        return subject.subject_id
    _require_movable(unit, subject, old, new)
    subject.migrate_namespace(kind.collection, at=unit.now)
    unit.save(subject)
    carry_over(unit.connection, old, new)
    return subject.subject_id


def _move_what_is_left(unit: UnitOfWork, subject: Published, old: RecordKey, found: OnPds) -> None:
    """Move a record that the log does not know of; if the PDS did not say whether there is one, the relay finds out."""
    if found is OnPds.ABSENT or is_accounted_for(unit.connection, old, subject.TOPIC, subject.subject_id):
        return
    if has_conflict(unit.connection, subject.TOPIC, subject.subject_id):
        raise UndecidedForeignEditError
    subject.migrate_namespace(subject.collection, old_collection=old.collection, at=unit.now)
    unit.save(subject)
    expect_record(unit.connection, old)


def _require_movable(unit: UnitOfWork, subject: Published, old: RecordKey, new: RecordKey) -> None:
    if subject.collection != old.collection:
        raise CannotMoveError(
            f"The record is in {subject.collection}, not in {old.collection}, and stays there"
        )
    if has_conflict(unit.connection, subject.TOPIC, subject.subject_id):
        raise UndecidedForeignEditError
    if is_taken(unit.connection, new, excluding=Subject(subject.TOPIC, subject.subject_id)):
        raise CannotMoveError(
            f"Another {subject.TOPIC} has, or had, the record {new.uri}: this one stays in {subject.collection}, "
            f"where POST /{subject.TOPIC}s/{{id}}/restore-record restores it"
        )
