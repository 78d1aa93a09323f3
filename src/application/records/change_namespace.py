"""Moves a record from the old collection to the current one."""

from dataclasses import dataclass

from aggregates.errors import UndecidedForeignEditError
from aggregates.published import Subject
from aggregates.track import Track
from application.authorization import OnTrack, load_owned
from application.errors import CannotMoveError
from application.records.restore_record import OnPds
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import has_conflict
from outbox.mirror.namespace_moves import carry_over, expect_record, is_accounted_for, is_taken
from outbox.pds.client import RecordKey


@dataclass(frozen=True, kw_only=True)
class ChangeNamespace(OnTrack):
    old_collection: str
    collection: str
    found: OnPds = OnPds.ABSENT
    """Whether the old collection has the record of a track that is in the current one."""


def change_namespace(unit: UnitOfWork, command: ChangeNamespace) -> int:
    """Request the move; a record in the current collection is left unchanged, unless the old one has it too, or may."""
    track = load_owned(unit, command)
    old = RecordKey(track.did, command.old_collection, track.rkey)
    new = RecordKey(track.did, command.collection, track.rkey)
    if track.collection == command.collection:
        _move_what_is_left(unit, track, old, command.found)
        return track.track_id
    _require_movable(unit, track, command, new)
    track.migrate_namespace(command.collection, at=unit.now)
    unit.save(track)
    carry_over(unit.connection, old, new)
    return track.track_id


def _move_what_is_left(unit: UnitOfWork, track: Track, old: RecordKey, found: OnPds) -> None:
    """Move a record that the log does not know of; if the PDS did not say whether there is one, the relay finds out."""
    if found is OnPds.ABSENT or is_accounted_for(unit.connection, old, track.TOPIC, track.subject_id):
        return
    if has_conflict(unit.connection, track.TOPIC, track.subject_id):
        raise UndecidedForeignEditError
    track.migrate_namespace(track.collection, old_collection=old.collection, at=unit.now)
    unit.save(track)
    expect_record(unit.connection, old)


def _require_movable(unit: UnitOfWork, track: Track, command: ChangeNamespace, new: RecordKey) -> None:
    if track.collection != command.old_collection:
        raise CannotMoveError(
            f"The record is in {track.collection}, not in {command.old_collection}, and stays there"
        )
    if has_conflict(unit.connection, track.TOPIC, track.subject_id):
        raise UndecidedForeignEditError
    if is_taken(unit.connection, new, excluding=Subject(track.TOPIC, track.track_id)):
        raise CannotMoveError(
            f"Another track has, or had, the record {new.uri}: this one stays in {track.collection}, "
            "where POST /tracks/{id}/restore-record restores it"
        )
