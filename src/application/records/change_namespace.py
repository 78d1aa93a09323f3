"""Moves a record from the old collection to the current one."""

from dataclasses import dataclass

from aggregates.errors import UndecidedForeignEditError
from aggregates.track import Track
from application.authorization import OnTrack, load_owned
from application.errors import CannotMoveError
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import conflict_of
from outbox.mirror.namespace_moves import carry_over, is_taken
from outbox.pds.client import RecordKey


@dataclass(frozen=True, kw_only=True)
class ChangeNamespace(OnTrack):
    old_collection: str
    collection: str


def change_namespace(unit: UnitOfWork, command: ChangeNamespace) -> int:
    """Request the move; a record in the current collection is left unchanged."""
    track = load_owned(unit, command)
    if track.collection == command.collection:
        return track.track_id
    old = RecordKey(track.did, track.collection, track.rkey)
    new = RecordKey(track.did, command.collection, track.rkey)
    _require_movable(unit, track, command, new)
    track.migrate_namespace(command.collection, at=unit.now)
    unit.save(track)
    carry_over(unit.connection, old, new)
    return track.track_id


def _require_movable(unit: UnitOfWork, track: Track, command: ChangeNamespace, new: RecordKey) -> None:
    if track.collection != command.old_collection:
        raise CannotMoveError(
            f"The record is in {track.collection}, not in {command.old_collection}, and stays there"
        )
    if conflict_of(unit.connection, track.track_id) is not None:
        raise UndecidedForeignEditError
    if is_taken(unit.connection, new, excluding=track.track_id):
        raise CannotMoveError(
            f"Another track has, or had, the record {new.uri}: this one stays in {track.collection}, "
            "where POST /tracks/{id}/restore-record restores it"
        )
